"""Masks so thin that elastix, as it is by default, finds no voxel in them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap

if TYPE_CHECKING:
    import SimpleITK as sitk

_RADIUS = {"fixed": 2, "moving": 3}
"""Voxels by which elastix erodes masks where pyramids do not shrink images: those at least
sqrt(r^2 + 2) from any that is 0 remain (itkErodeMaskImageFilter)."""

_LEFT = 0.1
"""Part of a mask of which erosion may leave less only where the map says so."""

_ENOUGH = 10
"""Voxels on a grid from which elastix' optimizer estimates its step size."""

_GRIDS = {"NumberOfJacobianMeasurements": 1000, "NumberOfSamplesForExactGradient": 100000}
"""Its parameters for how many points such grids over the mask's bounding box have, by default."""


_FILLED = 0.12
"""Part of its bounding box that a mask must fill for samplers that draw points in that box until
enough are inside: they give up after ten times as many."""

_HOPELESS = 0.095
"""Part of which less is filled where they surely give up."""

_BY_CHANCE = ("RandomCoordinate", "Random", "MultiInputRandomCoordinate")
_OF_THE_MASK = "RandomSparseMask"
"""elastix's sampler that draws from the voxels of a mask."""


def changes(
    parameters: ParameterMap,
    fixed: sitk.Image | None,
    moving: sitk.Image | None,
    *,
    is_preset: bool = True,
) -> ParameterMap:
    """Give the parameters with which elastix finds the voxels of thin masks; empty for others.

    Args:
        parameters: The map; what it says itself stays, but for how a preset draws samples.
        fixed: The fixed mask.
        moving: The moving mask.
        is_preset: Whether the map is a preset's.

    Raises:
        ValueError: The map has a sampler that will not find enough voxels of the fixed mask.
    """
    wanted: ParameterMap = {}
    for side, mask in (("fixed", fixed), ("moving", moving)):
        name = f"Erode{side.capitalize()}Mask"
        if mask is None or name in parameters or "ErodeMask" in parameters:
            continue
        if _part_left(mask, _RADIUS[side]) < _LEFT:
            wanted[name] = ["false"]
    if fixed is not None:
        box = _in_bounding_box(fixed)
        wanted |= _sampler(parameters, float(np.count_nonzero(box) / box.size), is_preset)
        for name, number in _GRIDS.items():
            if name in parameters and not is_preset:
                continue
            of_levels = map(int, parameters.get(name, [str(number)]))
            if better := _number_of_points(box, min(of_levels)):
                wanted[name] = [str(better)]
    return wanted


def _sampler(parameters: ParameterMap, filled: float, is_preset: bool) -> ParameterMap:
    """Give another sampler where a map's would not find enough voxels of a mask."""
    given = parameters.get("ImageSampler", ["Random"])
    if filled >= _FILLED or not set(given) & set(_BY_CHANCE):
        return {}
    if not is_preset:
        if filled >= _HOPELESS:
            return {}
        message = (
            f'(ImageSampler "{given[0]}") gives up where a mask fills less than a tenth of its '
            f"bounding box, and fixed_mask fills {filled:.2g} of it: give "
            f'(ImageSampler "{_OF_THE_MASK}"), which draws from the voxels of the mask'
        )
        raise InputError(message)
    return {"ImageSampler": [_OF_THE_MASK]}


def _part_left(mask: sitk.Image, radius: int) -> float:
    """Give the part of a mask's voxels that erosion leaves; beyond the image nothing is 0."""
    import SimpleITK as sitk

    eroded = sitk.BinaryErode(mask, [radius] * mask.GetDimension(), sitk.sitkBall, 0, 1, True)
    left, all_of_it = (
        np.count_nonzero(sitk.GetArrayViewFromImage(each)) for each in (eroded, mask)
    )
    return left / all_of_it


def _number_of_points(box: NDArray[Any], number: int) -> int | None:
    """Give how many points to ask for so that a grid meets a mask; None where it does.

    elastix lays a grid of one spacing, in voxels, over the mask's bounding box and centres it there
    (itkImageGridSampler).

    Args:
        box: The mask in its bounding box, not 0 inside.
        number: What would be asked for: or more, so that all finer grids are looked at as well.
    """
    coarsest = _spacing(box, number)
    enough = min(_ENOUGH, int(np.count_nonzero(box)))
    if all(_met(box, spacing) >= enough for spacing in range(1, coarsest + 1)):
        return None
    for spacing in (coarsest, coarsest + 1, *range(coarsest - 1, 0, -1)):
        points: int = max(1, int(box.size) // spacing**box.ndim)
        if _spacing(box, points) == spacing and _met(box, spacing) >= enough:
            return points
    return int(box.size)


def _in_bounding_box(mask: sitk.Image) -> NDArray[Any]:
    """Give the voxels, axes x, y (, z), of the box that elastix lays around a mask.

    It has half a voxel more on each side, is parallel to the axes of space before it is one of
    voxels, and ends with whole ones.
    """
    import SimpleITK as sitk

    voxels: NDArray[Any] = sitk.GetArrayViewFromImage(mask).T
    grid = Geometry.of(mask)
    sides = []
    for axis in range(voxels.ndim):
        others = tuple(each for each in range(voxels.ndim) if each != axis)
        inside = np.flatnonzero(voxels.any(axis=others))
        sides.append((inside[0] - 0.5, inside[-1] + 0.5))
    places = np.array(list(itertools.product(*sides))) @ grid.matrix.T
    in_space = list(zip(places.min(axis=0), places.max(axis=0), strict=True))
    corners = np.linalg.solve(grid.matrix, np.array(list(itertools.product(*in_space))).T)
    first = np.maximum(np.floor(corners.min(axis=1)), 0).astype(int)
    last = np.ceil(corners.max(axis=1)).astype(int)
    return voxels[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))]


def _spacing(box: NDArray[Any], number: int) -> int:
    return max(1, math.floor(math.pow(box.size / number, 1 / box.ndim) + 0.5))


def _met(box: NDArray[Any], spacing: int) -> int:
    """Count the voxels inside at which a grid has points."""
    first = [(n - ((n - 1) // spacing * spacing + 1)) // 2 for n in box.shape]
    return int(np.count_nonzero(box[tuple(slice(start, None, spacing) for start in first)]))
