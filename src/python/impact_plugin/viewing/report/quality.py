"""Landmark errors and the overlap of labels, before and after, as tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact_plugin.images import conversion
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.geometry import Geometry
from impact_plugin.transforms import from_elastix, transformix
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.from_elastix import UnsupportedTransformError

Steps = Sequence[tuple[str, Chain]]
PointsLike = str | os.PathLike[str] | ArrayLike
_MOST_LABELS = 200


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    title: str
    heads: list[str]
    rows: list[list[str]]


def landmark_errors(
    steps: Steps, fixed: PointsLike, moving: PointsLike, geometry: Geometry
) -> Table:
    """Measure the distances between mapped landmarks of the fixed image and the moving ones.

    Args:
        steps: Transforms by name.
        fixed: Places in the fixed image, mm in LPS, (N, d), or an elastix point file of them.
        moving: The same places in the moving image, in the same order.
        geometry: Grid of the fixed image.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file holds no points; the numbers differ; none lies in the fixed image.
    """
    points, truth = (
        _points(given, name, geometry.dimension)
        for given, name in ((fixed, "fixed_landmarks"), (moving, "moving_landmarks"))
    )
    if len(points) != len(truth):
        message = (
            f"fixed_landmarks has {len(points)} points and moving_landmarks {len(truth)}, expected "
            "as many in both, in the same order"
        )
        raise ValueError(message)
    inside = geometry.contains(points)
    if not inside.any():
        message = (
            f"none of the {len(points)} points of fixed_landmarks lies in the fixed image, which "
            f"fills {geometry.describe_extent()} mm (LPS). Are they of this image, and in LPS?"
        )
        raise ValueError(message)
    left_out = "" if inside.all() else f" ({int(np.sum(~inside))} outside the image left out)"
    rows = []
    for name, chain in steps:
        errors = np.linalg.norm(_mapped(chain, points[inside]) - truth[inside], axis=1)
        figures = (errors.mean(), np.median(errors), np.percentile(errors, 95), errors.max())
        rows.append([name, *(f"{figure:.2f}" for figure in figures)])
    title = f"Target registration error of {int(inside.sum())} landmarks, mm{left_out}"
    return Table(title, ["", "mean", "median", "95 %", "greatest"], rows)


def overlap(steps: Steps, fixed: ImageLike, moving: ImageLike, geometry: Geometry) -> Table:
    """Measure the Dice coefficient of each label: 1 where the label maps agree, 0 where they do not
    meet.

    Args:
        steps: Transforms by name.
        fixed: Label map on the grid of the fixed image; 0 is the background.
        moving: Label map of the moving image, on any grid.
        geometry: Grid of the fixed image.

    Raises:
        OSError, TypeError: A map cannot be read.
        ValueError: A map has another grid or dimension, or is no label map.
    """  # noqa: D205
    import SimpleITK as sitk

    ours, theirs = (
        conversion.to_sitk(image, name)
        for image, name in ((fixed, "fixed_labels"), (moving, "moving_labels"))
    )
    if difference := geometry.difference(Geometry.of(ours)):
        message = f"fixed_labels does not lie on the grid of the fixed image: {difference}"
        raise ValueError(message)
    if theirs.GetDimension() != geometry.dimension:
        message = (
            f"moving_labels has {theirs.GetDimension()} dimensions, expected {geometry.dimension}"
        )
        raise ValueError(message)
    truth = sitk.GetArrayViewFromImage(ours)
    labels = _labels(truth, "fixed_labels") | _labels(
        sitk.GetArrayViewFromImage(theirs), "moving_labels"
    )
    rows = [[f"label {label}"] for label in sorted(labels)]
    for _, chain in steps:
        warped = _warped_labels(chain, theirs, geometry)
        for row, label in zip(rows, sorted(labels), strict=True):
            first, second = truth == label, warped == label
            total = int(first.sum()) + int(second.sum())
            row.append(f"{2 * int((first & second).sum()) / total:.3f}" if total else "-")
    return Table("Dice coefficient of labels", ["", *(name for name, _ in steps)], rows)


def _points(given: PointsLike, name: str, dimension: int) -> NDArray[np.float64]:
    if isinstance(given, str | os.PathLike):
        path = Path(given).expanduser()
        if not path.is_file():
            message = f"{name}: there is no file {str(path)!r} (in {Path.cwd()})"
            raise FileNotFoundError(message)
        kind, *rest = path.read_text(errors="replace").split() or [""]
        try:
            count, values = int(rest[0]), np.array(rest[1:], dtype=float)
        except (IndexError, ValueError):
            count, values = -1, np.zeros(0)
        if kind != "point" or values.size != count * dimension or not count:
            message = (
                f"{name}: {path} is no point file of elastix: expected the word `point`, the "
                f"number of points, then {dimension} coordinates of each, mm in LPS"
            )
            raise ValueError(message)
        return values.reshape(count, dimension)
    points = np.asarray(given, dtype=float)
    if points.ndim != 2 or points.shape[1] != dimension or not len(points):
        message = f"{name} has the shape {points.shape}, expected (N, {dimension})"
        raise ValueError(message)
    if not np.isfinite(points).all():
        message = f"{name} has coordinates that are not finite, expected places in mm"
        raise ValueError(message)
    return points


def _mapped(chain: Chain, points: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        transform = from_elastix.to_sitk(chain, points.shape[1])
    except UnsupportedTransformError:
        return transformix.map_points(chain, points)
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def _labels(array: NDArray[Any], name: str) -> set[int]:
    found = np.unique(array)
    if len(found) > _MOST_LABELS or not np.array_equal(found, np.round(found)):
        message = (
            f"{name} has {len(found)} different values, expected a label map: whole numbers, at "
            f"most {_MOST_LABELS}"
        )
        raise ValueError(message)
    return {int(label) for label in found if label != 0}


def _warped_labels(chain: Chain, labels: Any, geometry: Geometry) -> NDArray[Any]:  # noqa: ANN401
    import SimpleITK as sitk

    try:
        transform = from_elastix.to_sitk(chain, geometry.dimension)
    except UnsupportedTransformError:
        warped = transformix.warp(chain, labels, geometry, 0, 0.0)
    else:
        resampler = sitk.ResampleImageFilter()
        geometry.set_on(resampler)
        resampler.SetTransform(transform)
        resampler.SetInterpolator(sitk.sitkNearestNeighbor)
        warped = resampler.Execute(labels)
    array: NDArray[Any] = sitk.GetArrayFromImage(warped)
    return array
