"""The evaluation of a registration in one call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from impact_plugin._arguments import check_choice, check_flag
from impact_plugin._errors import InputError
from impact_plugin.evaluation import labels, landmarks, steps
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.evaluation.jacobian import JacobianStatistics
from impact_plugin.evaluation.labels import LabelAgreement
from impact_plugin.evaluation.landmarks import LandmarkErrors
from impact_plugin.evaluation.points import PointsLike, Positions, as_points
from impact_plugin.evaluation.results import Evaluation, StepEvaluation
from impact_plugin.evaluation.steps import Registration, RegistrationLike
from impact_plugin.images import conversion, validation
from impact_plugin.images.axes import Axes, check_axes
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import apply
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk

OutsideLandmarks: TypeAlias = Literal["error", "leave out"]
"""What becomes of landmarks outside the images."""


def evaluate(
    registration: RegistrationLike,
    *,
    fixed_points: PointsLike | None = None,
    moving_points: PointsLike | None = None,
    fixed_labels: ImageLike | None = None,
    moving_labels: ImageLike | None = None,
    fixed_image: ImageLike | None = None,
    moving_image: ImageLike | None = None,
    mask: ImageLike | None = None,
    outside: OutsideLandmarks = "error",
    jacobian: bool = True,
    axes: Axes = "LPS",
) -> Evaluation:
    """Measure how good a registration is.

    Args:
        registration: A :class:`impact_plugin.RegistrationResult`; the folder in which one was
            saved, or elastix's output folder; elastix's transform parameter file, with all that it
            builds on; with ``fixed_image`` also a transform file of ITK, or a transform of
            SimpleITK or itk. It maps points of the fixed image to the moving image.
        fixed_points: Landmarks in the fixed image: a path (see :func:`read_points`), or positions
            (N, d), mm in ``axes``.
        moving_points: The same landmarks in the moving image, in the same order, or with the same
            names.
        fixed_labels: Label map on the grid of the fixed image, 0 being background.
        moving_labels: Label map in the frame of the moving image, on any grid; it is warped without
            interpolation.
        fixed_image: Needed where ``registration`` is a transform that does not know its grid.
        moving_image: Needed where ``moving_points`` are voxel indices, or where elastix ran with
            (UseDirectionCosines "false"). With it, points outside the moving image are noticed.
        mask: Where the Jacobian determinant counts: not 0, on the grid of the fixed image.
        outside: What becomes of landmarks outside the images: an error, or ``"leave out"``.
        jacobian: Whether to look at the Jacobian determinant.
        axes: Frame of positions, and of files that do not say theirs: ``"LPS"`` or ``"RAS"``.

    Returns:
        The figures before the registration, after each of its steps, and after the last.

    Raises:
        FileNotFoundError: There is no such file.
        OutsideError: Points lie outside the images.
        ValueError: Files are of other kinds; points differ in number or lie outside; label maps
            have no label in common; grids differ; or there is nothing to measure.
        TypeError: An argument is of another kind.
        RegistrationError: transformix failed, which applies what SimpleITK has no transform for.
    """
    check_axes(axes)
    check_flag("jacobian", jacobian)
    _check(fixed_points, moving_points, fixed_labels, moving_labels, outside)
    if fixed_points is None and fixed_labels is None and not jacobian:
        message = "there is nothing to measure: give points, label maps, or jacobian=True"
        raise InputError(message)
    fixed = None if fixed_image is None else conversion.to_sitk(fixed_image, "fixed_image")
    moving = None if moving_image is None else conversion.to_sitk(moving_image, "moving_image")
    moving_grid = None if moving is None else Geometry.of(moving)
    given = steps.load(registration, fixed, moving_grid)
    inner = None
    if mask is not None:
        inner = conversion.to_sitk(mask, "mask")
        inner = validation.check_mask(inner, given.grid, "mask", "the fixed image")
    agreement = measure(
        given,
        fixed_points=fixed_points,
        moving_points=moving_points,
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        moving_grid=moving_grid,
        outside=outside,
        axes=axes,
    )
    if not jacobian:
        return agreement
    determinants = (apply.jacobian_determinant(step.chain, given.grid) for step in given.steps)
    return Evaluation(
        tuple(
            replace(step, jacobian=JacobianStatistics.of(determinant, inner))
            for step, determinant in zip(agreement.steps, determinants, strict=True)
        )
    )


def measure(
    registration: Registration,
    *,
    fixed_points: PointsLike | None = None,
    moving_points: PointsLike | None = None,
    fixed_labels: ImageLike | None = None,
    moving_labels: ImageLike | None = None,
    moving_grid: Geometry | None = None,
    outside: OutsideLandmarks = "error",
    axes: Axes = "LPS",
) -> Evaluation:
    """Measure how well landmarks and labels agree after each step; see :func:`evaluate`.

    Args:
        registration: The steps, and the grid of the fixed image.
        fixed_points: Landmarks in the fixed image.
        moving_points: The same landmarks in the moving image.
        fixed_labels: Label map on the grid of the fixed image.
        moving_labels: Label map in the frame of the moving image.
        moving_grid: Grid of the moving image, if known.
        outside: What becomes of landmarks outside the images.
        axes: Frame of the landmarks.

    Raises:
        FileNotFoundError, ValueError, TypeError, RegistrationError: As in :func:`evaluate`.
    """
    check_axes(axes)
    _check(fixed_points, moving_points, fixed_labels, moving_labels, outside)
    grid = registration.grid
    truth = None
    if fixed_points is not None and moving_points is not None:
        truth = read_truth(fixed_points, moving_points, grid, moving_grid, outside, axes)
    maps = None
    if fixed_labels is not None and moving_labels is not None:
        maps = _label_maps(fixed_labels, moving_labels, grid)
    return Evaluation(
        tuple(
            StepEvaluation(
                name=step.name,
                landmarks=truth and _landmark_errors(step.chain, *truth),
                labels=maps and _label_agreement(step.chain, *maps, grid),
            )
            for step in registration.steps
        )
    )


def _check(
    fixed_points: PointsLike | None,
    moving_points: PointsLike | None,
    fixed_labels: ImageLike | None,
    moving_labels: ImageLike | None,
    outside: OutsideLandmarks,
) -> None:
    _check_both_given(fixed_points, moving_points, "fixed_points", "moving_points")
    _check_both_given(fixed_labels, moving_labels, "fixed_labels", "moving_labels")
    check_choice("outside", outside, get_args(OutsideLandmarks))


def _check_both_given(one: object, other: object, name: str, other_name: str) -> None:
    if (one is None) != (other is None):
        message = f"{name} and {other_name} go together: give both, or neither"
        raise InputError(message)


Truth: TypeAlias = tuple[Positions, Positions, tuple[str, ...]]
"""Landmarks: positions in the fixed image, in the moving image, and names."""


def read_truth(
    fixed_points: PointsLike,
    moving_points: PointsLike,
    grid: Geometry,
    moving_grid: Geometry | None,
    outside: OutsideLandmarks = "error",
    axes: Axes = "LPS",
) -> Truth:
    """Read landmarks and check them; see :func:`measure`."""
    truth = landmarks.pair(
        as_points(fixed_points, grid.dimension, "fixed_points", grid, axes),
        as_points(moving_points, grid.dimension, "moving_points", moving_grid, axes),
    )
    return _points_inside(truth, grid, moving_grid, outside)


def _points_inside(
    truth: Truth, fixed: Geometry, moving: Geometry | None, outside: OutsideLandmarks
) -> Truth:
    """Refuse or leave out points outside the images, as ``outside`` says."""
    points, places, names = truth
    names = names or tuple(str(number) for number in range(1, len(points) + 1))
    inside = fixed.contains(points)
    missed = [("fixed", fixed, inside)]
    if moving is not None:
        missed.append(("moving", moving, moving.contains(places)))
        inside = inside & missed[1][2]
    for which, grid, within in missed:
        if outside == "error" and not within.all():
            wrong = np.flatnonzero(~within)
            first = points[wrong[0]] if which == "fixed" else places[wrong[0]]
            message = (
                f"{len(wrong)} of {len(points)} {which}_points lie outside the {which} image, "
                f"which fills {grid.describe_extent()} mm (LPS); the first is "
                f"{names[wrong[0]]!r} at {first.round(2).tolist()}. Is the file in another frame "
                "or in voxel indices, or of another image?"
            )
            raise OutsideError(message, which, len(wrong))
    if not inside.any():
        message = "no landmark lies inside the images: is a file in another frame, or in voxels?"
        raise InputError(message)
    return points[inside], places[inside], tuple(np.array(names, dtype=object)[inside])


def _landmark_errors(
    chain: Chain, points: Positions, places: Positions, names: tuple[str, ...]
) -> LandmarkErrors:
    return LandmarkErrors.between(apply.map_points(chain, points), places, names)


def _label_maps(
    fixed_labels: ImageLike, moving_labels: ImageLike, grid: Geometry
) -> tuple[sitk.Image, sitk.Image, list[int]]:
    """Read both label maps, and give them with the labels they have in common."""
    fixed = conversion.to_sitk(fixed_labels, "fixed_labels")
    moving = conversion.to_sitk(moving_labels, "moving_labels")
    for image, name in ((fixed, "fixed_labels"), (moving, "moving_labels")):
        validation.check_place(image, name)
        labels.check(image, name)
    validation.check_grid(Geometry.of(fixed), grid, "fixed_labels", "the fixed image")
    validation.check_pair(grid, Geometry.of(moving))
    ours, theirs = labels.of(fixed), labels.of(moving)
    if not ours & theirs:
        message = (
            f"the label maps have no label in common: fixed_labels has {_some_labels(ours)}, "
            f"moving_labels {_some_labels(theirs)}"
        )
        raise InputError(message)
    return fixed, moving, sorted(ours & theirs)


def _label_agreement(
    chain: Chain, fixed: sitk.Image, moving: sitk.Image, common: list[int], grid: Geometry
) -> dict[int, LabelAgreement]:
    warped = apply.warp(chain, moving, grid, order=0, default=0)
    return labels.compare(fixed, warped, common)


def _some_labels(found: set[int]) -> str:
    ordered = [str(label) for label in sorted(found)]
    return ", ".join(ordered[:10]) + (", ..." if len(ordered) > 10 else "")
