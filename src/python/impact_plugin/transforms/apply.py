"""Applying chains of transforms: by SimpleITK where it has the same ones, else by transformix."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import from_elastix, transformix
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.from_elastix import UnsupportedTransformError

if TYPE_CHECKING:
    import SimpleITK as sitk

_DOUBLES = 2**53
"""Doubles hold every whole number up to here."""


def map_points(chain: Chain, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (N, d) of the fixed image, mm in LPS, to where they are in the moving image.

    Raises:
        ValueError: A coordinate is not finite.
    """
    check_finite(points)
    try:
        transform = from_elastix.to_sitk(chain, points.shape[1])
    except UnsupportedTransformError:
        return transformix.map_points(chain, points)
    mapped = [transform.TransformPoint(point) for point in points.tolist()]
    return np.array(mapped, dtype=np.float64).reshape(points.shape)


def check_finite(points: NDArray[np.float64]) -> None:
    """Check that points (N, d) lie somewhere.

    Raises:
        ValueError: A coordinate is not finite.
    """
    if wrong := int(np.count_nonzero(~np.isfinite(points).all(axis=1))):
        message = f"{wrong} of {len(points)} points are not finite, expected places in mm"
        raise InputError(message)


def displacement_field(chain: Chain, grid: Geometry) -> sitk.Image:
    """Give the displacement of each voxel of a grid, T(x) - x, mm in LPS: vectors of doubles."""
    try:
        transform = from_elastix.to_sitk(chain, grid.dimension)
    except UnsupportedTransformError:
        _check_memory(grid, 8 * grid.dimension)
        return transformix.displacement_field(chain, grid)
    return field_of(transform, grid)


def field_of(transform: sitk.Transform, grid: Geometry) -> sitk.Image:
    """Give the displacement by a SimpleITK transform of each voxel of a grid, likewise."""
    import SimpleITK as sitk

    _check_memory(grid, 8 * grid.dimension)
    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )


def _check_memory(grid: Geometry, of_each: int) -> None:
    """Refuse a grid that is sure not to fit, of so many bytes at each voxel.

    Raises:
        ValueError: It does not fit into this machine's memory.
    """
    needed = math.prod(grid.size) * of_each
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        message = (
            f"a result on the grid of the fixed image, {' x '.join(map(str, grid.size))} voxels, "
            f"needs {needed / 2**30:.0f} GiB, and this machine has {there / 2**30:.0f} GiB: give "
            "an image on a smaller grid as reference (evaluate: as fixed_image)"
        )
        raise InputError(message)


def warp(
    chain: Chain,
    image: sitk.Image,
    grid: Geometry,
    order: int,
    default: float,
    threads: int | None = None,
) -> sitk.Image:
    """Resample an image of the moving frame on a grid of the fixed frame, in its pixel type.

    The nearest neighbour (order 0) gives values of the image as they are, whatever their type.

    Args:
        chain: The transform.
        image: What to resample; of real values, one or several at each voxel.
        grid: The grid.
        order: Order of the B-spline interpolation, 0 (nearest neighbour) to 5.
        default: Value outside the image.
        threads: How many; None: all processors.

    Raises:
        ValueError: The grid has too many voxels for this machine.
    """
    import SimpleITK as sitk

    try:
        transform = from_elastix.to_sitk(chain, grid.dimension)
    except UnsupportedTransformError:
        # At the voxels of the grid, the only places that are asked for, it is the same; and
        # transformix would make floats of the image, which hold no whole numbers above 2**24.
        transform = sitk.DisplacementFieldTransform(transformix.displacement_field(chain, grid))
    return resample(transform, image, grid, order, default, threads)


def resample(
    transform: sitk.Transform,
    image: sitk.Image,
    grid: Geometry,
    order: int,
    default: float,
    threads: int | None = None,
) -> sitk.Image:
    """Resample an image by a transform from the grid's frame to its own; see :func:`warp`."""
    import SimpleITK as sitk

    interpolators = [
        sitk.sitkNearestNeighbor,
        sitk.sitkLinear,
        sitk.sitkBSpline2,
        sitk.sitkBSpline3,
        sitk.sitkBSpline4,
        sitk.sitkBSpline5,
    ]
    _check_memory(grid, image.GetSizeOfPixelComponent() * image.GetNumberOfComponentsPerPixel())
    resampler = sitk.ResampleImageFilter()
    grid.set_on(resampler)
    resampler.SetTransform(transform)
    resampler.SetInterpolator(interpolators[order])
    if threads is not None:
        resampler.SetNumberOfThreads(int(threads))
    if order == 0 and (values := _beyond_double(image)) is not None:
        return _of_numbers(resampler, image, values, default)
    resampler.SetDefaultPixelValue(default)
    return resampler.Execute(image)


def _beyond_double(image: sitk.Image) -> NDArray[Any] | None:
    """Give the values of an image that doubles, in which ITK interpolates, do not hold exactly."""
    import SimpleITK as sitk

    values: NDArray[Any] = sitk.GetArrayViewFromImage(image)
    if values.dtype.kind not in "iu" or values.itemsize < 8:
        return None
    return values if max(-int(values.min()), int(values.max())) > _DOUBLES else None


def _of_numbers(
    resampler: sitk.ResampleImageFilter, image: sitk.Image, values: NDArray[Any], default: float
) -> sitk.Image:
    """Resample, by the nearest neighbour, the numbers of an image's values in a list of these."""
    import SimpleITK as sitk

    outside = np.asarray(int(default), dtype=values.dtype)
    known, numbers = np.unique(np.append(values, outside), return_inverse=True)
    several = image.GetNumberOfComponentsPerPixel() > 1
    indices = numbers[:-1].reshape(values.shape).astype(np.uint32)
    numbered = sitk.GetImageFromArray(indices, isVector=several)
    numbered.CopyInformation(image)
    resampler.SetDefaultPixelValue(float(numbers[-1]))
    warped = resampler.Execute(numbered)
    found = sitk.GetImageFromArray(known[sitk.GetArrayViewFromImage(warped)], isVector=several)
    found.CopyInformation(warped)
    return found


def jacobian_determinant(chain: Chain, grid: Geometry) -> sitk.Image:
    """Give det(dT/dx) at each voxel of a grid, by how much the transform expands there.

    1 keeps the volume, 0 and less is folding. elastix's own derivatives, which are exact, are used
    for its transforms; displacement fields, of which it has none, are differentiated by central
    differences of the voxels of the grid (one-sided at its borders).

    Args:
        chain: The transform.
        grid: Where.

    Returns:
        An image of floats.
    """
    import SimpleITK as sitk

    _check_memory(grid, 8)
    if chain.fields:
        determinant = _by_differences(displacement_field(chain, grid), grid)
    elif chain.maps:
        return transformix.jacobian_determinant(chain, grid)
    else:
        determinant = np.ones(grid.size[::-1])
    image = sitk.GetImageFromArray(determinant.astype(np.float32))
    grid.place(image)
    return image


def _by_differences(field: sitk.Image, grid: Geometry) -> NDArray[Any]:
    """Give det(I + du/dx) of displacements u, (z, y, x).

    Differences run along the axes of the grid; its direction cosines D turn them into derivatives
    along x: du/dx = du/da D^T.
    """
    import SimpleITK as sitk

    displacements = sitk.GetArrayViewFromImage(field)
    along = np.stack(
        [
            np.gradient(displacements, grid.spacing[axis], axis=grid.dimension - 1 - axis)
            if grid.size[axis] > 1
            else np.zeros_like(displacements)
            for axis in range(grid.dimension)
        ],
        axis=-1,
    )
    determinant: NDArray[Any] = np.linalg.det(np.eye(grid.dimension) + along @ grid.axes.T)
    return determinant
