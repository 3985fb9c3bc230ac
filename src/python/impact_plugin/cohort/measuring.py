"""What the table says of a registration: landmark errors, Dice, folding."""

from __future__ import annotations

from typing import Any

from impact_plugin.check import ImageHeader
from impact_plugin.cohort.errors import CohortProblem, Problems
from impact_plugin.cohort.pairs import Pair
from impact_plugin.evaluation import api, steps
from impact_plugin.evaluation.api import OutsideLandmarks
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.evaluation.jacobian import JacobianStatistics
from impact_plugin.evaluation.points import as_points
from impact_plugin.images.validation import check_grid
from impact_plugin.registration.result import RegistrationResult
from impact_plugin.transforms import apply

POINTS = 1_000_000
"""At which the Jacobian determinant is looked at, at most: of a large image the time and the memory
that all voxels take would be a good part of the registration's."""


_POINTS = ("fixed_points", "moving_points")
_LABELS = ("fixed_labels", "moving_labels")


def one_sided(pair: Pair) -> Problems:
    """Tell which landmarks or label maps are given of one image only."""
    return Problems(
        CohortProblem("pair", f"{kind} are given of one of the two images only")
        for kind, names in (("points", _POINTS), ("labels", _LABELS))
        if len({*names} & pair.files.keys()) == 1
    )


def problems(
    pair: Pair,
    fixed: ImageHeader,
    moving: ImageHeader,
    labels: ImageHeader | None,
    outside: OutsideLandmarks,
    lost: list[OutsideError],
) -> Problems:
    """Check what a pair is to be measured with, before it is registered.

    Args:
        pair: With landmarks and label maps, if there are any; all files are there.
        fixed: Header of the fixed image.
        moving: Header of the moving image.
        labels: Header of the label map of the fixed image, if there is one.
        outside: What becomes of landmarks outside the images.
        lost: Gets the error of landmarks outside the images, if there is one.
    """
    found = Problems()
    grids = (fixed.grid, moving.grid)
    for name, grid in zip(_POINTS, grids, strict=True):
        if name in pair.files:
            with found.noted("points", f"{name}: "):
                as_points(pair.files[name], grid.dimension, name, grid, pair.axes)
    if not found and all(name in pair.files for name in _POINTS):
        points, places = (pair.files[name] for name in _POINTS)
        try:
            api.read_truth(points, places, *grids, outside, pair.axes)
        except OutsideError as error:
            lost.append(error)
            found.add("outside", error.text)
        except ValueError as error:
            found.add("points", str(error))
    if labels is not None:
        with found.noted("grid"):
            check_grid(labels.grid, fixed.grid, "fixed_labels", "the fixed image")
    return found


def figures(
    pair: Pair, result: RegistrationResult, outside: OutsideLandmarks = "error"
) -> dict[str, Any]:
    """Measure a registration by what a pair has: a row's columns.

    Args:
        pair: With landmarks and label maps, if there are any.
        result: Its registration.
        outside: What becomes of landmarks outside the images.

    Raises:
        ValueError, OSError: It cannot be measured with them.
    """
    names = (*_POINTS, *_LABELS)
    given: dict[str, Any] = {name: pair.files[name] for name in names if name in pair.files}
    row: dict[str, Any] = {}
    if given:
        channel = pair.options.get("channel", "luminance")
        moving_grid = ImageHeader.read(pair.files["moving"], channel).grid
        found = api.measure(
            steps.load(result, None),
            **given,
            moving_grid=moving_grid,
            outside=outside,
            axes=pair.axes,
        )
        for front, step in (("", found.after), ("before_", found.before)):
            if step.landmarks:
                said = step.landmarks.statistics()
                row |= {
                    f"{front}tre_{each}_mm": float(said[each]) for each in ("mean", "p95", "max")
                }
            if step.labels is not None:
                row[f"{front}dice_mean"] = step.mean_dice
    determinant = apply.jacobian_determinant(result.chain, result.fixed.thinned(POINTS))
    found_jacobian = JacobianStatistics.of(determinant)
    return row | {"folding": found_jacobian.folding, "jacobian_min": found_jacobian.min}
