"""Masks so thin that elastix, as it is by default, finds no voxel in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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


def changes(
    parameters: ParameterMap, fixed: sitk.Image | None, moving: sitk.Image | None
) -> ParameterMap:
    """Give the parameters with which elastix finds the voxels of thin masks; empty for others.

    Args:
        parameters: The map; what it says itself stays.
        fixed: The fixed mask.
        moving: The moving mask.
    """
    wanted: ParameterMap = {}
    for side, mask in (("fixed", fixed), ("moving", moving)):
        name = f"Erode{side.capitalize()}Mask"
        if mask is None or name in parameters or "ErodeMask" in parameters:
            continue
        if _part_left(mask, _RADIUS[side]) < _LEFT:
            wanted[name] = ["false"]
    if fixed is not None:
        voxels = _array(fixed)
        for name, number in _GRIDS.items():
            if name not in parameters and (better := _number_of_points(voxels, number)):
                wanted[name] = [str(better)]
    return wanted


def _array(mask: sitk.Image) -> NDArray[Any]:
    import SimpleITK as sitk

    voxels: NDArray[Any] = sitk.GetArrayViewFromImage(mask)
    return voxels


def _part_left(mask: sitk.Image, radius: int) -> float:
    """Give the part of a mask's voxels that erosion leaves; beyond the image nothing is 0."""
    import SimpleITK as sitk

    eroded = sitk.BinaryErode(mask, [radius] * mask.GetDimension(), sitk.sitkBall, 0, 1, True)
    return float(_array(eroded).sum(dtype=np.int64) / _array(mask).sum(dtype=np.int64))


def _number_of_points(mask: NDArray[Any], number: int) -> int | None:
    """Give how many points to ask for so that a grid meets a mask; None where it does.

    elastix lays a grid of one spacing, in voxels, over the mask's bounding box and a voxel more on
    each side, centred in it (itkImageGridSampler).

    Args:
        mask: Not 0 inside.
        number: What would be asked for: or more, so that all finer grids are looked at as well.
    """
    box = mask[_bounding_box(mask)]
    coarsest = _spacing(box, number)
    enough = min(_ENOUGH, int(np.count_nonzero(box)))
    if all(_met(box, spacing) >= enough for spacing in range(1, coarsest + 1)):
        return None
    spacing = next(
        each
        for each in (coarsest, coarsest + 1, *range(coarsest - 1, 0, -1))
        if each == 1 or _met(box, each) >= enough
    )
    return max(1, int(round(box.size / spacing**box.ndim)))


def _bounding_box(mask: NDArray[Any]) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        others = tuple(each for each in range(mask.ndim) if each != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, inside[0] - 1), inside[-1] + 2))
    return tuple(box)


def _spacing(box: NDArray[Any], number: int) -> int:
    return max(1, math.floor(math.pow(box.size / number, 1 / box.ndim) + 0.5))


def _met(box: NDArray[Any], spacing: int) -> int:
    """Count the voxels inside at which a grid has points."""
    first = [(n - ((n - 1) // spacing * spacing + 1)) // 2 for n in box.shape]
    return int(np.count_nonzero(box[tuple(slice(start, None, spacing) for start in first)]))
