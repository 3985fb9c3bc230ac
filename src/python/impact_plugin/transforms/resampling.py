"""What a parameter map says of resampling images of the moving frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from impact_plugin._errors import InputError
from impact_plugin.parameters.values import ParameterMap, as_integer, as_number

if TYPE_CHECKING:
    import SimpleITK as sitk

_B_SPLINES = ("FinalBSplineInterpolator", "FinalBSplineInterpolatorFloat")
_ORDERS = {"FinalNearestNeighborInterpolator": 0, "FinalLinearInterpolator": 1}
HIGHEST_ORDER = 5

Interpolation: TypeAlias = Literal["nearest", "linear", "bspline"] | int
"""How values between voxels are found: ``"bspline"`` is cubic; or a B-spline's order, 0 to 5."""

_NAMED: dict[object, int] = {"nearest": 0, "linear": 1, "bspline": 3}


@dataclass(frozen=True)
class Resampling:
    """How the moving image becomes ``result.image``.

    Args:
        order: Order of the B-spline interpolation: 0 is the nearest neighbour, 1 linear, up to 5.
        outside: Value outside the image; None: the least value of the image that is resampled.
    """

    order: int
    outside: float | None

    @classmethod
    def of(cls, parameters: ParameterMap, name: str = "the transform") -> Resampling:
        """Read it from a parameter map or a transform parameter map, as transformix does.

        Args:
            parameters: The map; elastix's defaults stand for what it does not have.
            name: What messages call it.

        Raises:
            ValueError: See :func:`order_of` and :func:`outside_of`.
        """
        return cls(order_of(parameters, name), outside_of(parameters, name))

    def value_outside(self, image: sitk.Image) -> float:
        """Give the value outside of an image that is resampled."""
        return least(image) if self.outside is None else self.outside


def order_named(interpolation: Interpolation, labels: bool) -> int:
    """Give the order of the B-spline by which a caller wants an image interpolated.

    Raises:
        InputError: There is no such interpolation, or labels are to be interpolated.
    """
    order = interpolation
    if isinstance(interpolation, bool) or interpolation not in range(HIGHEST_ORDER + 1):
        if interpolation not in _NAMED:
            message = (
                f"interpolation is {interpolation!r}, expected one of "
                f"{', '.join(map(repr, _NAMED))}, or the order of a B-spline, 0 to {HIGHEST_ORDER}"
            )
            raise InputError(message)
        order = _NAMED[interpolation]
    if labels and order != 0:
        message = (
            f"interpolation is {interpolation!r}, and labels cannot be interpolated: leave it out"
        )
        raise InputError(message)
    return int(order)


def least(image: sitk.Image) -> float:
    """Give the least value of an image, exactly."""
    import SimpleITK as sitk

    found: float = sitk.GetArrayViewFromImage(image).min().item()
    return found


def order_of(parameters: ParameterMap, name: str = "the transform") -> int:
    """Give the order of the interpolation that a map asks for.

    Raises:
        ValueError: ResampleInterpolator is none of those that interpolate as a B-spline of some
            order does, or FinalBSplineInterpolationOrder is none.
    """
    interpolator = parameters.get("ResampleInterpolator", [_B_SPLINES[0]])[0]
    if interpolator in _ORDERS:
        return _ORDERS[interpolator]
    if interpolator not in _B_SPLINES:
        message = (
            f'{name} has (ResampleInterpolator "{interpolator}"), by which no image is warped '
            f"here; expected {', '.join((*_B_SPLINES, *_ORDERS))}"
        )
        raise InputError(message)
    text = parameters.get("FinalBSplineInterpolationOrder", ["3"])[0]
    order = as_integer(text)
    if order is None or order not in range(HIGHEST_ORDER + 1):
        message = (
            f"{name} has (FinalBSplineInterpolationOrder {text}), expected a whole number from 0 "
            f"(nearest neighbour) to {HIGHEST_ORDER}"
        )
        raise InputError(message)
    return order


def outside_of(parameters: ParameterMap, name: str = "the transform") -> float:
    """Give the value outside the moving image that a map asks for.

    Raises:
        ValueError: DefaultPixelValue is no finite number.
    """
    text = parameters.get("DefaultPixelValue", ["0"])[0]
    value = as_number(text)
    if value is None:
        message = f"DefaultPixelValue of {name} is {text!r}, expected a finite number"
        raise InputError(message)
    return value
