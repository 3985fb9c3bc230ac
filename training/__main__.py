"""Trains a feature extractor on made-up anatomy: `python -m training --out out/training/one`.

An hour or two of one core; what was cut off goes on where it was left. With one thread the same
seed gives the same weights on the same machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from training.network import Shape
from training.run import Settings, train


def main(arguments: list[str] | None = None) -> None:
    """Train, and say where the weights are."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--dimension", type=int, choices=(2, 3), default=3)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--steps", type=int, default=Settings.steps, help="pairs of pictures")
    parser.add_argument("--size", type=int, default=Settings.size, help="voxels of a picture")
    parser.add_argument("--rate", type=float, default=Settings.rate, help="of learning, at most")
    parser.add_argument("--beside", action="store_true", help="keep MIND's channels, too")
    parser.add_argument(
        "--place", type=float, default=Settings.place, help="weight of the error of placement"
    )
    parser.add_argument("--begin", default="", metavar="RUN", help="folder of a run to begin with")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    settings = Settings(given.seed, given.steps, given.size, given.rate, given.place, given.begin)
    print(train(Shape(given.dimension, beside=given.beside), settings, given.out))


if __name__ == "__main__":
    main()
