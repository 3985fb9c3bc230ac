"""Landmarks in elastix's point files, and how far a registration leaves them from the truth."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Positions in mm, world coordinates (LPS), shape (N, 3)."""


@dataclass(frozen=True)
class Errors:
    """Distances in mm between points and their true places."""

    mean: float
    median: float
    max: float

    @classmethod
    def between(cls, points: Points, truth: Points) -> Errors:
        """Measure the distances from ``points`` to ``truth``, row by row."""
        distances = np.linalg.norm(points - truth, axis=1)
        return cls(float(distances.mean()), float(np.median(distances)), float(distances.max()))

    def as_dict(self) -> dict[str, float]:
        """Give the three numbers by name."""
        return asdict(self)


def read_points(path: Path) -> Points:
    """Read an elastix point file: the word ``point``, their number, then one point a line, in mm.

    Raises:
        ValueError: The file holds voxel indices, or another number of points than it says.
    """
    kind, count, *rest = path.read_text().split()
    points = np.array(rest, dtype=np.float64).reshape(-1, 3)
    if kind != "point" or len(points) != int(count):
        message = (
            f"{path}: expected `point`, {count} points, and got {kind!r}, {len(points)} points"
        )
        raise ValueError(message)
    return points


def read_output_points(path: Path) -> Points:
    """Read the mapped points out of the ``outputpoints.txt`` that transformix writes.

    Raises:
        ValueError: There are none in it.
    """
    found = re.findall(r"OutputPoint = \[([^\]]*)\]", path.read_text())
    if not found:
        message = f"{path} holds no OutputPoint"
        raise ValueError(message)
    return np.array([point.split() for point in found], dtype=np.float64)
