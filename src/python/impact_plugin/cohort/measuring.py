"""What the table says of a registration: landmark errors, Dice, folding."""

from __future__ import annotations

import math
from typing import Any

from impact_plugin.cohort.pairs import Pair
from impact_plugin.evaluation import jacobian
from impact_plugin.images.geometry import Geometry
from impact_plugin.pairwise.result import RegistrationResult

POINTS = 1_000_000
"""At which the Jacobian determinant is looked at, at most: of a large image the time and the memory
that all voxels take would be a good part of the registration's."""


def figures(pair: Pair, result: RegistrationResult) -> dict[str, Any]:
    """Measure a registration by what a pair has: a row's columns.

    Args:
        pair: With landmarks and label maps, if there are any.
        result: Its registration.
    """
    names = ("fixed_points", "moving_points", "fixed_labels", "moving_labels")
    given: dict[str, Any] = {name: pair.files[name] for name in names if name in pair.files}
    row: dict[str, Any] = {}
    if given:
        found = result.evaluate(**given, jacobian=False)
        for front, step in (("", found.after), ("before_", found.before)):
            if step.landmarks:
                said = step.landmarks.statistics()
                row |= {
                    f"{front}tre_{each}_mm": float(said[each]) for each in ("mean", "p95", "max")
                }
            if step.labels is not None:
                row[f"{front}dice_mean"] = step.mean_dice
    determinant = jacobian.determinant(result.chain, thinned(result.fixed, POINTS))
    said = jacobian.JacobianStatistics.of(determinant).statistics()
    return row | {"folding": float(said["folding"]), "jacobian_min": float(said["min"])}


def thinned(grid: Geometry, most: int) -> Geometry:
    """Give every voxel, or every second, third and so on along each axis: at most so many."""
    step = 1
    while math.prod(-(-n // step) for n in grid.size) > most:
        step += 1
    size = tuple(-(-n // step) for n in grid.size)
    spacing = tuple(step * each for each in grid.spacing)
    return Geometry(size, spacing, grid.origin, grid.direction)
