"""Landmarks in elastix's point files, and how far a registration leaves them from the truth."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from impact_plugin.evaluation import points
from impact_plugin.evaluation.points import Positions


@dataclass(frozen=True)
class Errors:
    """Distances in mm between points and their true places."""

    mean: float
    median: float
    max: float

    @classmethod
    def between(cls, found: Positions, truth: Positions) -> Errors:
        """Measure the distances from ``found`` to ``truth``, row by row."""
        distances = np.linalg.norm(found - truth, axis=1)
        return cls(float(distances.mean()), float(np.median(distances)), float(distances.max()))

    def as_dict(self) -> dict[str, float]:
        """Give the three numbers by name."""
        return asdict(self)


def read_points(path: Path) -> Positions:
    """Read a file of points, mm; see :func:`impact_plugin.evaluation.read_points`."""
    return points.read_points(path).positions


def read_output_points(path: Path) -> Positions:
    """Read the mapped points out of the ``outputpoints.txt`` that transformix writes.

    Raises:
        ValueError: There are none in it.
    """
    found = re.findall(r"OutputPoint = \[([^\]]*)\]", path.read_text())
    if not found:
        message = f"{path} holds no OutputPoint"
        raise ValueError(message)
    return np.array([point.split() for point in found], dtype=np.float64)
