"""How well features say where a block belongs, on real heads: `python -m training.judge FOLDER...`.

For pairs of aligned contrasts, at two voxel sizes, without and with noise: each voxel's block of 5
is looked for among the 343 places within 3 voxels, by the mean L1 distance of features; the error
is how far the best one lies from the true one, which is 0. MIND beside the trained networks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from benchmarks.evidence.scenes import Data
from torch import Tensor, nn
from torch.nn import functional

from impact_plugin._mind import MindSSC
from training.export import load

REACH = 3
BLOCK = 5
MIDDLE = (0.3, 0.7)
"""The part of each axis whose voxels are looked for."""
SPACINGS = (1.5, 3.0)
NOISE = 0.06
"""Of the 98th percentile."""


def error(network: nn.Module, fixed: Tensor, moving: Tensor, inside: Tensor) -> float:
    """Compute the mean error in voxels.

    Args:
        network: Gives a list of features.
        fixed: (1, 1, z, y, x).
        moving: The same, aligned.
        inside: (z, y, x), which voxels count.
    """
    with torch.no_grad():
        one, other = network(fixed)[0][0], network(moving)[0][0]
    part = [(int(MIDDLE[0] * n), int(MIDDLE[1] * n)) for n in inside.shape]
    here = _part(one, part)
    best = torch.full(here.shape[1:], torch.inf)
    errors = torch.zeros(here.shape[1:])
    for shift in product(range(-REACH, REACH + 1), repeat=3):
        there = _part(other, [(a + s, b + s) for (a, b), s in zip(part, shift, strict=True)])
        cost = functional.avg_pool3d(
            (here - there).abs().sum(0)[None, None], BLOCK, 1, BLOCK // 2, count_include_pad=False
        )[0, 0]
        nearer = cost < best
        best = torch.where(nearer, cost, best)
        errors[nearer] = float(np.linalg.norm(shift))
    return float(errors[_part(inside[None], part)[0]].mean())


def _part(maps: Tensor, bounds: Sequence[tuple[int, int]]) -> Tensor:
    """View a part of maps (c, z, y, x)."""
    for axis, (first, last) in enumerate(bounds, start=1):
        maps = maps.narrow(axis, first, last - first)
    return maps


def cases(data: Data) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
    """Give names, both images and the brain of each case."""
    for spacing, person in product(SPACINGS, ("p07", "p19")):
        words = ("T1", "T2", "FLAIR", "mask")
        paths = data.paths(*(f"ms/{person}_{word}.nii.gz" for word in words))
        maps = {
            word: _array(_at(sitk.ReadImage(str(path), sitk.sitkFloat32), spacing))
            for word, path in zip(words, paths, strict=True)
        }
        inside = maps["mask"][0, 0] > 0.5
        for one, other in (("T1", "T2"), ("T1", "FLAIR"), ("T2", "FLAIR")):
            yield f"{person} {one} {other} {spacing} mm", maps[one], maps[other], inside
            random = torch.Generator().manual_seed(5)
            noisy = [
                image
                + NOISE
                * np.percentile(image[image > 0], 98)
                * torch.randn(image.shape, generator=random)
                for image in (maps[one], maps[other])
            ]
            yield f"{person} {one} {other} {spacing} mm, noise", *noisy, inside


def _at(image: sitk.Image, spacing: float) -> sitk.Image:
    """Smooth an image as far as such voxels would, and resample it."""
    image = sitk.SmoothingRecursiveGaussian(image, 0.4 * spacing) if spacing > 1 else image
    ratio = spacing / image.GetSpacing()[0]
    size = [int((n - 1) / ratio) + 1 for n in image.GetSize()]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin(image.GetOrigin())
    return sitk.Resample(image, grid)


def _array(image: sitk.Image) -> Tensor:
    return torch.from_numpy(sitk.GetArrayFromImage(image))[None, None]


def main(arguments: list[str] | None = None) -> None:
    """Print the errors of each case, and ratios to MIND's in the geometric mean."""
    parser = argparse.ArgumentParser(prog="python -m training.judge", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="of runs")
    given = parser.parse_args(arguments)
    networks: dict[str, nn.Module] = {"MIND": MindSSC(1, 2, 3)}
    networks |= {folder.name: load(folder) for folder in given.folders}
    rows = []
    for name, fixed, moving, inside in cases(Data.of(None)):
        rows.append([error(network, fixed, moving, inside) for network in networks.values()])
        found = zip(networks, rows[-1], strict=True)
        print(name, *(f"{network} {value:.3f}" for network, value in found), flush=True)
    ratios = np.exp(np.mean(np.log(np.array(rows) / np.array(rows)[:, :1]), axis=0))
    print("over MIND's:", *(f"{n} {r:.3f}" for n, r in zip(networks, ratios, strict=True)))


if __name__ == "__main__":
    main()
