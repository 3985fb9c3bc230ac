"""Slices of an image as radiologists see them, in the image's own voxels.

The image is rotated by quarter turns and mirrored until its axes lie nearest to x, y and z of LPS,
without interpolation. A 3D image has three planes:

- axial: the patient's right is on the left, the front on top;
- coronal: the patient's right is on the left, the head on top;
- sagittal: the front is on the left, the head on top.

A 2D image is shown with x to the right and y down.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

LARGEST_PICTURE = 384
"""Pixels along the longest edge of a picture."""


@dataclass(frozen=True)
class Plane:
    """One of the planes of an image in the nearest orientation to LPS.

    Args:
        name: "axial", "coronal", "sagittal", or "image" for a 2D image.
        across: Physical axis (x, y, z: 0, 1, 2) perpendicular to the plane; None in 2D.
        right: Physical axis that points to the right.
        vertical: Physical axis along the other edge.
        up: Whether the vertical axis points up rather than down.
        letters: Patient directions at the left, right, top and bottom edge; empty in 2D.
    """

    name: str
    across: int | None
    right: int
    vertical: int
    up: bool
    letters: tuple[str, ...]

    def slice(self, array: NDArray[Any], number: int) -> NDArray[Any]:
        """Give one slice of an array ((z,) y, x, ...), top row first."""
        if self.across is None:
            return array
        taken: NDArray[Any] = np.take(array, number, axis=2 - self.across)
        return taken[::-1] if self.up else taken


PLANES_3D = (
    Plane("axial", 2, 0, 1, False, ("R", "L", "A", "P")),
    Plane("coronal", 1, 0, 2, True, ("R", "L", "S", "I")),
    Plane("sagittal", 0, 1, 2, True, ("A", "P", "S", "I")),
)
PLANES_2D = (Plane("image", None, 0, 1, False, ()),)


def planes_of(geometry: Geometry) -> tuple[Plane, ...]:
    """Give the planes in which an image is shown."""
    return PLANES_3D if geometry.dimension == 3 else PLANES_2D


def nearest_to_lps(geometry: Geometry) -> Geometry:
    """Reorder and flip the axes of a grid to be nearest to LPS; its voxels stay the same."""
    order, flipped = _nearest_axes(geometry)
    direction = geometry.axes
    origin = np.array(geometry.origin)
    for axis, source in enumerate(order):
        if flipped[axis]:
            length = geometry.spacing[source] * (geometry.size[source] - 1)
            origin = origin + direction[:, source] * length
    turned = direction[:, order] * np.where(flipped, -1.0, 1.0)
    return Geometry(
        tuple(geometry.size[source] for source in order),
        tuple(geometry.spacing[source] for source in order),
        tuple(origin.tolist()),
        tuple(turned.ravel().tolist()),
    )


def oriented(image: sitk.Image) -> NDArray[Any]:
    """Give the voxels of an image, ((z,) y, x), on the grid of :func:`nearest_to_lps`."""
    import SimpleITK as sitk

    order, flipped = _nearest_axes(Geometry.of(image))
    dimension = image.GetDimension()
    # Arrays have their axes in the reverse order.
    array: NDArray[Any] = sitk.GetArrayFromImage(image).transpose(
        [dimension - 1 - axis for axis in reversed(order)]
    )
    return np.flip(array, tuple(dimension - 1 - axis for axis in range(dimension) if flipped[axis]))


def resampled(
    image: sitk.Image, grid: Geometry, transform: sitk.Transform | None = None
) -> NDArray[Any]:
    """Give the array of an image on another grid, linearly interpolated.

    Args:
        image: The image.
        grid: The grid.
        transform: From points of the grid, mm in LPS, to those of the image; None for the same.
    """
    import SimpleITK as sitk

    resampler = sitk.ResampleImageFilter()
    grid.set_on(resampler)
    if transform is not None:
        resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkLinear)
    if image.GetNumberOfComponentsPerPixel() == 1:
        resampler.SetDefaultPixelValue(float(sitk.GetArrayViewFromImage(image).min()))
    array: NDArray[Any] = sitk.GetArrayFromImage(resampler.Execute(image))
    return array


def obliqueness(geometry: Geometry) -> float:
    """Give the largest angle between an image axis and its nearest axis of LPS, degrees."""
    order, _ = _nearest_axes(geometry)
    direction = geometry.axes
    cosines = [abs(direction[axis, source]) for axis, source in enumerate(order)]
    return math.degrees(math.acos(min(1.0, min(cosines))))


def picture_sizes(
    geometry: Geometry, largest: int = LARGEST_PICTURE
) -> tuple[float, dict[str, tuple[int, int]]]:
    """Choose square pixels for all planes of an image.

    Args:
        geometry: The image's grid, in the nearest orientation to LPS.
        largest: Most pixels along the longest edge.

    Returns:
        The edge of a pixel in mm, and the width and height in pixels of each plane's picture.
        Proportions are true.
    """
    extent = np.array(geometry.size) * geometry.spacing
    pixel = max(min(geometry.spacing), float(extent.max()) / largest)
    return pixel, {
        plane.name: (
            max(1, round(float(extent[plane.right]) / pixel)),
            max(1, round(float(extent[plane.vertical]) / pixel)),
        )
        for plane in planes_of(geometry)
    }


def slice_grid(geometry: Geometry, plane: Plane, size: tuple[int, int]) -> Geometry:
    """Give the grid of an image's middle slice: one voxel thick, with pixels of another size.

    Args:
        geometry: The image's grid, in the nearest orientation to LPS.
        plane: Plane of the slice.
        size: Width and height in pixels, which cover the same area.
    """
    count = list(geometry.size)
    count[plane.right], count[plane.vertical] = size
    first = np.zeros(geometry.dimension)  # the first pixel's centre, in voxels of the image
    if plane.across is not None:
        count[plane.across] = 1
        first[plane.across] = geometry.size[plane.across] // 2
    edges = np.array(geometry.size) / count  # of a pixel, in voxels
    for axis in (plane.right, plane.vertical):
        first[axis] = (edges[axis] - 1) / 2
    spacing = [
        step if axis == plane.across else step * float(edges[axis])
        for axis, step in enumerate(geometry.spacing)
    ]
    origin = geometry.matrix @ first + geometry.origin
    return Geometry(tuple(count), tuple(spacing), tuple(origin.tolist()), geometry.direction)


def slice_numbers(count: int, most: int) -> list[int]:
    """Choose at most ``most`` of ``count`` slices, evenly spread and with the middle one.

    Example:
        >>> slice_numbers(5, 9), slice_numbers(100, 5)
        ([0, 1, 2, 3, 4], [10, 30, 50, 70, 90])
    """
    if count <= most:
        return list(range(count))
    step = count / most
    shift = count // 2 - (most // 2) * step
    return [min(count - 1, max(0, round(shift + step * number))) for number in range(most)]


def _nearest_axes(geometry: Geometry) -> tuple[list[int], list[bool]]:
    """Give the image axis nearest to each axis of LPS, and whether it points the other way."""
    direction = geometry.axes
    axes = range(geometry.dimension)
    order = max(
        itertools.permutations(axes),
        key=lambda order: sum(abs(direction[axis, order[axis]]) for axis in axes),
    )
    return list(order), [bool(direction[axis, order[axis]] < 0) for axis in axes]
