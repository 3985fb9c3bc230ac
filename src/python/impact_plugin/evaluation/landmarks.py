"""How far a registration leaves landmarks from where they should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from impact_plugin._errors import InputError
from impact_plugin.evaluation.points import Points, Positions


@dataclass(frozen=True)
class LandmarkErrors:
    """Target registration errors: distances in mm of the mapped points from the true ones.

    Measured in the moving image, between T(p) and the true place (Fitzpatrick, West and Maurer,
    IEEE Transactions on Medical Imaging 17(5), 1998).

    Attributes:
        distances: Error of each point, mm.
        names: Names of the points; numbers from 1 where they have none.
    """

    distances: tuple[float, ...]
    names: tuple[str, ...]
    mean: float
    std: float
    median: float
    p95: float
    max: float

    @classmethod
    def between(
        cls, points: Positions, truth: Positions, names: tuple[str, ...] = ()
    ) -> LandmarkErrors:
        """Measure the distances from ``points`` to ``truth``, row by row.

        Args:
            points: Shape (N, d), mm.
            truth: True places, shape (N, d), mm.
            names: Names of the points.
        """
        distances = np.linalg.norm(points - truth, axis=1)
        return cls(
            distances=tuple(distances.tolist()),
            names=names or tuple(str(number) for number in range(1, len(points) + 1)),
            mean=float(distances.mean()),
            std=float(distances.std()),
            median=float(np.median(distances)),
            p95=float(np.percentile(distances, 95)),
            max=float(distances.max()),
        )

    def statistics(self) -> dict[str, float]:
        """Give the summary statistics in mm, by name."""
        return {name: getattr(self, name) for name in ("mean", "std", "median", "p95", "max")}


def pair(fixed: Points, moving: Points) -> tuple[Positions, Positions, tuple[str, ...]]:
    """Put the points of two files side by side.

    By their names, where both files have the same set of names without repetition; else by their
    order.

    Returns:
        Positions in the fixed and in the moving image, of equal number, and the points' names.

    Raises:
        ValueError: Their numbers differ.
    """
    if len(fixed) != len(moving):
        message = (
            f"there are {len(fixed)} fixed_points and {len(moving)} moving_points: expected one "
            "point of the moving image for each of the fixed image, in the same order"
        )
        raise InputError(message)
    order = list(range(len(fixed)))
    unique = len(set(fixed.names)) == len(fixed)
    if unique and set(fixed.names) == set(moving.names):
        order = [moving.names.index(name) for name in fixed.names]
    return fixed.positions, moving.positions[order], fixed.names or moving.names
