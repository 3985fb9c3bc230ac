"""Images at coarse cubic voxels along the axes of the world, for a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

RADII = {2: 9.0, 3: 6.5}
"""Voxels of the coarsest level in the radius of what the smaller image shows, by dimension."""

_LARGEST = {2: 500.0, 3: 32.0}
"""Voxels that both radii may have together at the coarsest level: bounds time and memory."""

_LOOK = {2: 64, 3: 32}
"""Voxels along an image's longest side when it is looked at first."""

_STRUCTURE = 0.15
"""Part of the strongest contrast (95th percentile) that counts as structure."""


@dataclass(frozen=True)
class CoarseImage:
    """Voxels of one size, whose axes are those of the world.

    Args:
        values: Shape ([z,] y, x), float32.
        inside: 1 where the image and its mask are, 0 elsewhere; likewise.
        origin: Centre of the first voxel, mm, x first.
        spacing: Size of voxels, mm.
    """

    values: NDArray[np.float32]
    inside: NDArray[np.float32]
    origin: NDArray[np.float64]
    spacing: float


@dataclass(frozen=True)
class Content:
    """Where an image has structure: a box, in mm, and a ball.

    Args:
        low: Least corner of the box, x first.
        high: Greatest corner.
        centre: Middle of the ball.
        radius: Radius of the ball, mm.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centre: NDArray[np.float64]
    radius: float


def levels_of(
    images: tuple[sitk.Image, sitk.Image],
    masks: tuple[sitk.Image | None, sitk.Image | None],
    number: int,
) -> tuple[list[tuple[CoarseImage, CoarseImage]], tuple[Content, Content]]:
    """Give both images from coarse to fine, and where they have structure.

    The voxels of the coarsest level follow from what the smaller image shows; what the search costs
    does not depend on the images' own voxels.

    Args:
        images: The fixed and the moving image, grey.
        masks: Where to look in them; None: everywhere.
        number: How many levels; the voxels of each are half as large as those of the one before.

    Raises:
        ValueError: One has no structure, or none in its mask.
    """
    contents = tuple(
        _content(image, mask, name)
        for image, mask, name in zip(images, masks, ("fixed", "moving"), strict=True)
    )
    dimension = images[0].GetDimension()
    radii = [content.radius for content in contents]
    spacing = max(min(radii) / RADII[dimension], sum(radii) / _LARGEST[dimension])
    found: list[tuple[CoarseImage, CoarseImage]] = []
    reduced = list(zip(images, masks, strict=True))
    for level in reversed(range(number)):
        size = spacing / 2**level
        pair = []
        for number, content in enumerate(contents):
            image, mask = reduced[number]
            image, mask = _reduced(image, size), None if mask is None else _reduced(mask, size)
            reduced[number] = image, mask
            pair.append(_sampled(image, mask, size, content.low, content.high))
        found.insert(0, (pair[0], pair[1]))
    return found, (contents[0], contents[1])


def contrast(image: CoarseImage) -> NDArray[np.float64]:
    """Give the deviation of the values over three voxels along each axis; 0 outside."""
    mean, square = image.values.astype(float), image.values.astype(float) ** 2
    for axis in range(mean.ndim):
        mean, square = (_of_three(values, axis) for values in (mean, square))
    found: NDArray[np.float64] = np.sqrt(np.maximum(square - mean**2, 0)) * image.inside
    return found


def _of_three(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    margin = [(1, 1) if each == axis else (0, 0) for each in range(values.ndim)]
    wide = np.pad(values, margin, mode="edge")
    n = values.shape[axis]
    total = sum(np.take(wide, np.arange(start, start + n), axis) for start in range(3))
    found: NDArray[np.float64] = np.asarray(total) / 3
    return found


def _content(image: sitk.Image, mask: sitk.Image | None, name: str) -> Content:
    grid = Geometry.of(image)
    corners = grid.points(2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    spacing = float((high - low).max()) / _LOOK[grid.dimension]
    small = _reduced(image, spacing)
    look = _sampled(small, None if mask is None else _reduced(mask, spacing), spacing, low, high)
    strength = contrast(look)
    seen = strength[look.inside > 0]
    if not len(seen) or not (most := float(np.percentile(seen, 95))) > 0:
        where = "" if mask is None else f" in {name}_mask"
        message = (
            f"the {name} image has nothing to be found by{where}: at voxels of {spacing:.3g} mm, "
            "where a search begins, it is the same everywhere. Start without a search: "
            'initial_transform is "none", "center", "mass" or a transform'
        )
        raise InputError(message)
    places = np.argwhere(strength > _STRUCTURE * most)[:, ::-1] * spacing + look.origin
    centre = places.mean(axis=0)
    distance = np.linalg.norm(places - centre, axis=1)
    return Content(
        np.percentile(places, 0.2, axis=0) - spacing,
        np.percentile(places, 99.8, axis=0) + spacing,
        centre,
        float(np.percentile(distance, 99.5)) + spacing,
    )


def _reduced(image: sitk.Image, spacing: float) -> sitk.Image:
    """Average voxels to at most half of a size, and smooth as far as voxels of that size would."""
    import SimpleITK as sitk

    image = sitk.Cast(image, sitk.sitkFloat32)
    blocks = [max(1, int(spacing / (2 * own))) for own in image.GetSpacing()]
    blocks = [min(block, n) for block, n in zip(blocks, image.GetSize(), strict=True)]
    if max(blocks) > 1:
        image = sitk.BinShrink(image, blocks)
    for axis, own in enumerate(image.GetSpacing()):
        if spacing > 1.2 * own and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, spacing / 2, direction=axis)
    return image


def _sampled(
    image: sitk.Image,
    mask: sitk.Image | None,
    spacing: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> CoarseImage:
    """Take an image, and where it is, at cubic voxels that fill a box."""
    import SimpleITK as sitk

    size = np.maximum(np.ceil((high - low) / spacing).astype(int) + 1, 3)
    origin = (low + high) / 2 - (size - 1) * spacing / 2
    dimension = len(size)
    axes = tuple(np.eye(dimension).ravel().tolist())
    grid = Geometry(tuple(size.tolist()), (spacing,) * dimension, tuple(origin.tolist()), axes)
    resampler = sitk.ResampleImageFilter()
    grid.set_on(resampler)
    resampler.SetInterpolator(sitk.sitkLinear)
    index = np.indices(size.tolist()[::-1]).reshape(dimension, -1)[::-1].T
    inside = Geometry.of(image).contains(index * spacing + origin).reshape(size[::-1])
    if mask is not None:
        inside &= sitk.GetArrayFromImage(resampler.Execute(mask)) > 0.5
    resampler.UseNearestNeighborExtrapolatorOn()
    values = sitk.GetArrayFromImage(resampler.Execute(image))
    return CoarseImage(values, inside.astype(np.float32), origin, spacing)
