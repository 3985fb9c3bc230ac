"""How good a found transform is: its error, Dice, folding; all plain functions."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from benchmarks.evidence.motions import Points, affine, mapped
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from impact_plugin.images.grid import Geometry


def followed(field: sitk.Image, points: Points) -> Points:
    """Give T(x) of points (N, d) for a field of T(x) - x on a grid, linear between its voxels."""
    grid = Geometry.of(field)
    index = (points - np.array(grid.origin)) @ np.linalg.inv(grid.matrix).T
    array = sitk.GetArrayViewFromImage(field)
    moved = [
        map_coordinates(array[..., axis], index.T[::-1], order=1, mode="nearest")
        for axis in range(points.shape[1])
    ]
    found: Points = points + np.stack(moved, axis=1)
    return found


def errors(field: sitk.Image, truth: sitk.Transform, points: Points, places: Points) -> Points:
    """Give |S(T(x)) - A(x)| of each point, mm, of which no inverse is needed.

    Args:
        field: T(x) - x, of the transform that was found.
        truth: S, from the moved image to the one that it was made from.
        points: x, in the fixed image, (N, d).
        places: A(x), where they truly are in the image that was not moved, (N, d).
    """
    distances: Points = np.linalg.norm(mapped(truth, followed(field, points)) - places, axis=1)
    return distances


def dice(one: NDArray[np.integer], other: NDArray[np.integer], labels: list[int]) -> float:
    """Give the mean over labels of twice what they have in common over their sum.

    Raises:
        ValueError: No label is in either.
    """
    found = []
    for label in labels:
        first, second = one == label, other == label
        if size := int(first.sum()) + int(second.sum()):
            found.append(2 * int((first & second).sum()) / size)
    if not found:
        message = f"none of the labels {labels} is in either label map"
        raise ValueError(message)
    return float(np.mean(found))


def warped_labels(
    field: sitk.Image, truth: sitk.Transform, labels: sitk.Image, grid: sitk.Image
) -> sitk.Image:
    """Take labels of the image that was not moved at S(T(x)) for the voxels x of a grid."""
    found = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    chain = sitk.CompositeTransform([truth, found])  # the last is applied first
    return sitk.Resample(labels, grid, chain, sitk.sitkNearestNeighbor, 0, labels.GetPixelID())


def folding(field: sitk.Image, mask: sitk.Image) -> float:
    """Give the share of the mask's voxels where the determinant of dT/dx is 0 or less."""
    determinant = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    inside = sitk.GetArrayViewFromImage(mask) != 0
    return float(np.mean(determinant[inside] <= 0))


def fitted_affine(field: sitk.Image) -> tuple[Points, Points]:
    """Give A and b of the affine transform nearest to a field: the field's own, if it is one."""
    dimension = field.GetDimension()
    corners = np.stack(
        np.meshgrid(*[np.linspace(0, size - 1, 5) for size in field.GetSize()]), -1
    ).reshape(-1, dimension)
    grid = Geometry.of(field)
    points = np.array(grid.origin) + np.round(corners) @ grid.matrix.T
    wide = np.hstack([points, np.ones((len(points), 1))])
    solved = np.linalg.lstsq(wide, followed(field, points), rcond=None)[0]
    return solved[:dimension].T, solved[dimension]


def composed(field: sitk.Image | None, start: sitk.Transform, grid: sitk.Image) -> sitk.Image:
    """Give the field of x -> start(x + field(x)) on a grid."""
    chain = [start]
    if field is not None:
        chain.append(sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))
    return sitk.TransformToDisplacementField(
        sitk.CompositeTransform(chain),
        sitk.sitkVectorFloat64,
        grid.GetSize(),
        grid.GetOrigin(),
        grid.GetSpacing(),
        grid.GetDirection(),
    )


def information(fixed: sitk.Image, moving: sitk.Image, start: tuple[Points, Points]) -> float:
    """Give the mutual information of two images, one moved by A x + b: 32 x 32 bins, nats."""
    lowest = float(sitk.GetArrayViewFromImage(moving).min())
    there = sitk.Resample(moving, fixed, affine(*start), sitk.sitkLinear, lowest, sitk.sitkFloat32)
    one, other = (sitk.GetArrayFromImage(image).ravel() for image in (fixed, there))
    joint = np.histogram2d(one, other, bins=32)[0] / one.size
    apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())
