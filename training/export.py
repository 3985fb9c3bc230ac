"""Writes a trained network as a model file: `python -m training.export FOLDER OUT.pt`.

Its features are scaled so that unrelated voxels of made-up pictures are as far apart as MIND's
are, and a parameter map's weights mean the same. Where MIND's own channels are among
them, those are what the others were weighed against, and all stay as they are.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from numpy.random import default_rng
from torch import nn

from impact_plugin._mind import MindSSC
from training.anatomy import pictures
from training.network import Learned, Shape

PAIRS = 20


def load(folder: Path) -> Learned:
    """Load the network of a finished run."""
    saved = torch.load(folder / "weights.pt", weights_only=True)
    network = Learned(Shape(**saved["shape"]))
    network.load_state_dict(saved["weights"])
    return network.eval()


def distance(network: nn.Module, dimension: int) -> float:
    """Compute the mean L1 distance, per channel, of the features of unrelated voxels."""
    found = 0.0
    for seed in range(PAIRS):
        random = default_rng([7, seed])
        pair = pictures(40, dimension, random)
        with torch.no_grad():
            both = [network(image)[0][0].flatten(1) for image in (pair.fixed, pair.moving)]
        order = torch.from_numpy(random.permutation(both[0].shape[1]))
        found += float((both[0] - both[1][:, order]).abs().mean())
    return found / PAIRS


def write(network: Learned, shape: Shape, path: Path) -> None:
    """Write the model file, scaled."""
    if not shape.beside:
        mind = MindSSC(shape.radius, shape.dilation, shape.dimension)
        factor = distance(mind, shape.dimension) / distance(network, shape.dimension)
        with torch.no_grad():
            for numbers in network.convolutions[-1].parameters():
                numbers.mul_(factor)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        torch.jit.save(torch.jit.script(network), str(path))


def main(arguments: list[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the run")
    parser.add_argument("out", type=Path, help="model file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    network = load(given.folder)
    write(network, network.shape, given.out)


if __name__ == "__main__":
    main()
