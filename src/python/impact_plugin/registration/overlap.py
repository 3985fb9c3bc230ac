"""Whether enough of the fixed image lies in the moving image when a registration begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images import validation
from impact_plugin.images.grid import Geometry
from impact_plugin.registration.inputs import Inputs
from impact_plugin.registration.stages import Stage
from impact_plugin.transforms import from_elastix
from impact_plugin.transforms.chain import Chain

_PER_AXIS = 24
"""Points at most that are looked at along each axis."""

_REQUIRED = 0.25
"""elastix's default of RequiredRatioOfValidSamples."""

_SURELY = 0.8
"""Times the ratio that is required: what is found at a few points is not the last word."""


def check(inputs: Inputs, before: Chain, placed: Chain, first: Stage) -> None:
    """Check that images overlap as elastix demands it.

    Args:
        inputs: Images and masks.
        before: The initial transform.
        placed: Where elastix begins, which is elsewhere where it looks at no directions.
        first: The first stage, which may put the images on each other.

    Raises:
        ValueError: The images do not overlap, or fewer of the fixed image's points lie in the
            moving image than elastix demands. The message says what helps.
    """
    fixed, moving = Geometry.of(inputs.fixed), Geometry.of(inputs.moving)
    is_moved = first.is_laid_by_elastix
    if not before.maps and is_moved:
        method = first.parameters.get("AutomaticTransformInitializationMethod", [""])[0]
        if method not in ("", "GeometricalCenter") or placed.maps:
            return
        shift = moving.centre - fixed.centre
        _check_ratio(
            inputs, moving, lambda points: points + shift, first, "with their centres on each other"
        )
        return
    try:
        transform = from_elastix.to_sitk(placed, fixed.dimension)
    except from_elastix.UnsupportedTransformError:
        return

    def mapped(points: validation.Points) -> validation.Points:
        return np.array([transform.TransformPoint(point) for point in points.tolist()])

    how = "after the initial transform" if before.maps else "as they lie"
    validation.check_overlap(fixed, moving, mapped, how)
    if not is_moved:
        _check_ratio(inputs, moving, mapped, first, how)


def _check_ratio(
    inputs: Inputs, moving: Geometry, mapped: validation.Mapping, first: Stage, how: str
) -> None:
    """Refuse what elastix would end with "Too many samples map outside moving image buffer"."""
    inside = _inside(inputs, moving, mapped(_points(inputs)))
    ratio, required = float(inside.mean()), _required(first)
    if ratio >= _SURELY * required:
        return
    what, where = (
        f"{side} {'image' if mask is None else 'mask'}"
        for side, mask in (("fixed", inputs.fixed_mask), ("moving", inputs.moving_mask))
    )
    message = (
        f"only {100 * ratio:.2g} % of the {what} lies in the {where} {how}, and elastix demands "
        f"{100 * required:g} % of its samples. Give a fixed_mask of what the moving image shows, "
        "or crop the fixed image to it; where the images do show the same, give an "
        "initial_transform. A map with a smaller RequiredRatioOfValidSamples, such as "
        f"{max(ratio / 2, 1e-4):.1g}, and more NumberOfSpatialSamples goes without"
    )
    raise InputError(message)


def _inside(inputs: Inputs, moving: Geometry, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which points, mm, lie in the moving image and its mask."""
    inside = moving.contains(points)
    if inputs.moving_mask is not None:
        import SimpleITK as sitk

        mask = sitk.GetArrayViewFromImage(inputs.moving_mask)
        from_origin = (points[inside] - np.asarray(moving.origin)).T
        indices = np.rint(np.linalg.solve(moving.matrix, from_origin)).astype(np.int64)
        limits = np.array(moving.size)[:, np.newaxis] - 1
        inside[inside] = mask[tuple(np.clip(indices, 0, limits)[::-1])] != 0
    return inside


def _points(inputs: Inputs) -> NDArray[np.float64]:
    """Give points spread over the fixed image, or its mask, mm, shape (N, d)."""
    import SimpleITK as sitk

    fixed = Geometry.of(inputs.fixed)
    if inputs.fixed_mask is None:
        return fixed.points(_PER_AXIS)
    indices = np.argwhere(sitk.GetArrayViewFromImage(inputs.fixed_mask))[:, ::-1]
    chosen = indices[:: max(1, len(indices) // _PER_AXIS**fixed.dimension)]
    places: NDArray[np.float64] = chosen @ fixed.matrix.T + fixed.origin
    return places


def _required(first: Stage) -> float:
    try:
        return float(first.parameters.get("RequiredRatioOfValidSamples", [""])[0])
    except ValueError:
        return _REQUIRED
