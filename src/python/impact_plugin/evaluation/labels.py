"""How well label maps agree: overlap, and distances between surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.validation import check_grey

if TYPE_CHECKING:
    import SimpleITK as sitk

MOST_LABELS = 1000
"""An image with more values is taken for an image of intensities."""

Mask: TypeAlias = NDArray[np.bool_]
Box: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class LabelAgreement:
    """Agreement of one label of two label maps.

    Attributes:
        dice: Twice the common voxels over the sum of both, from 0 to 1 (Dice, Ecology 26(3), 1945).
        hausdorff: Largest distance from a surface voxel of either map to the other's surface, mm;
            None where one map does not have the label.
        hausdorff95: Larger of the two 95th percentiles of these distances, mm.
        mean_surface: Mean distance over both surfaces, mm.
    """

    dice: float
    hausdorff: float | None
    hausdorff95: float | None
    mean_surface: float | None


def check(image: sitk.Image, name: str) -> None:
    """Check that an image is a label map: whole numbers, 0 being background.

    Raises:
        ValueError: It is not.
    """
    import SimpleITK as sitk

    check_grey(image, name)
    values = np.unique(sitk.GetArrayViewFromImage(image))
    wrong = values[~(np.isfinite(values) & (values >= 0) & (values == np.round(values)))]
    if len(wrong):
        message = (
            f"{name} is no label map: it has the value {wrong[0]:g}; expected whole numbers from 0"
        )
        raise InputError(message)
    if len(values) > MOST_LABELS:
        message = (
            f"{name} is no label map: it has {len(values)} different values; expected at most "
            f"{MOST_LABELS}"
        )
        raise InputError(message)
    if not values.any():
        message = f"{name} is empty: no voxel of it has a label (is different from 0)"
        raise InputError(message)


def of(image: sitk.Image) -> set[int]:
    """Give the labels in a label map, without the background 0."""
    import SimpleITK as sitk

    return {int(value) for value in np.unique(sitk.GetArrayViewFromImage(image))} - {0}


def compare(one: sitk.Image, other: sitk.Image, labels: Sequence[int]) -> dict[int, LabelAgreement]:
    """Compare labels of two label maps on one grid; at least one map has each label.

    Distances are between voxel centres, in mm. The surface of a label is its voxels that share a
    face with a voxel outside it, or with the border of the image.
    """
    import SimpleITK as sitk

    maps = [sitk.GetArrayViewFromImage(image) for image in (one, other)]
    boxes = [_boxes(image) for image in (one, other)]
    found = {}
    for label in labels:
        box = _around([each[label] for each in boxes if label in each])
        first, second = (np.pad(each[box] == label, 1) for each in maps)
        found[label] = _agreement(first, second, one.GetSpacing())
    return found


def _boxes(image: sitk.Image) -> dict[int, Box]:
    """Give the bounding box of each label: first and end index, one row per axis (z, y, x)."""
    import SimpleITK as sitk

    # The filter takes no labels of 64 bits, so it gets their numbers, from 1.
    array = sitk.GetArrayViewFromImage(image)
    labels, numbers = np.unique(array, return_inverse=True)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(sitk.GetImageFromArray((numbers.reshape(array.shape) + 1).astype(np.uint32)))
    dimension = image.GetDimension()
    boxes = {}
    for number, label in enumerate(labels.tolist(), 1):
        # The filter gives first voxels, then sizes, in the order x, y, z.
        box = np.reshape(shapes.GetBoundingBox(number), (2, dimension))
        boxes[int(label)] = np.stack([box[0], box.sum(axis=0)], axis=1)[::-1]
    return boxes


def _around(boxes: list[Box]) -> tuple[slice, ...]:
    low, high = np.min(boxes, axis=0)[:, 0], np.max(boxes, axis=0)[:, 1]
    return tuple(slice(*edges) for edges in zip(low, high, strict=True))


def _agreement(first: Mask, second: Mask, spacing: tuple[float, ...]) -> LabelAgreement:
    """Compare two masks, which must be empty at their borders."""
    dice = float(2 * (first & second).sum() / (first.sum() + second.sum()))
    if not (first.any() and second.any()):
        return LabelAgreement(dice, None, None, None)
    surfaces = [_surface(mask) for mask in (first, second)]
    there = _distances(surfaces[1], spacing)[surfaces[0]]
    back = _distances(surfaces[0], spacing)[surfaces[1]]
    return LabelAgreement(
        dice,
        hausdorff=float(max(there.max(), back.max())),
        hausdorff95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        mean_surface=float(np.concatenate([there, back]).mean()),
    )


def _surface(mask: Mask) -> Mask:
    """Give the voxels of a mask with a face to the outside; the mask is padded by one voxel."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)
    surface: Mask = mask & ~inner
    return surface


def _distances(surface: Mask, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Give the distance of every voxel from the nearest one of a surface, mm."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing(spacing)
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    distances: NDArray[np.float64] = np.abs(sitk.GetArrayFromImage(signed))
    return distances
