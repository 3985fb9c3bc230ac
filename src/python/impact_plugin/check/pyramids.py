"""Image pyramids of elastix that change what the metric gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from impact_plugin.parameters.defaults import resampling_pyramid, schedule_names
from impact_plugin.parameters.values import as_number

LEAST_SMOOTHED = 4
"""Voxels that an image must have along each axis for ITK's recursive Gaussian."""


@dataclass(frozen=True)
class Resampling:
    """A pyramid that makes an image smaller before the metric resamples it.

    Attributes:
        parameter: That says so: a schedule, or the pyramid where elastix's own schedule is taken.
        is_default: Whether it is elastix's own.
        factors: For each level, along each axis, how many times smaller the image gets.
        remedy: The schedule's name that avoids it.
    """

    parameter: str
    is_default: bool
    factors: tuple[tuple[int, ...], ...]
    remedy: str

    @property
    def levels(self) -> tuple[int, ...]:
        """Those at which the image gets smaller."""
        return tuple(i for i, level in enumerate(self.factors) if max(level) > 1)


def resampling(
    parameters: Mapping[str, list[str]], side: str, number_of_levels: int, dimension: int
) -> Resampling | None:
    """Tell whether a pyramid makes its image smaller, by elastix's rules.

    elastix reads its schedule's numbers one by one, of several names that it knows; where one is
    found under none of them, it takes its own schedule: half the size for each level before the
    last.

    Args:
        parameters: The map.
        side: "Fixed" or "Moving".
        number_of_levels: Number of levels of the registration.
        dimension: Dimension of the images.
    """
    kind = resampling_pyramid(parameters, side)
    if kind is None:
        return None
    names = schedule_names(side, kind)
    default = [
        2 ** (number_of_levels - 1 - i // dimension) for i in range(number_of_levels * dimension)
    ]
    numbers = list(default)
    used = ""
    is_complete = True
    for i in range(len(numbers)):
        found = [name for name in names if i < len(parameters.get(name, ()))]
        is_complete = is_complete and bool(found)
        for name in found:
            text = parameters[name][i]
            used = name
            number = as_number(text)
            numbers[i] = numbers[i] if number is None else int(number)
    if not is_complete:
        numbers = default
    factors = tuple(
        tuple(max(1, n) for n in numbers[i : i + dimension])
        for i in range(0, len(numbers), dimension)
    )
    wanted = "ImagePyramidRescaleSchedule" if kind == "Generic" else "ImagePyramidSchedule"
    result = Resampling(
        used or f"{side}ImagePyramid",
        not is_complete,
        factors,
        used or wanted,
    )
    return result if result.levels else None


def smoothing(
    parameters: Mapping[str, list[str]], side: str, number_of_levels: int, dimension: int
) -> str | None:
    """Name the parameter by which a pyramid smooths its image; None where it does not.

    Only pyramids that do so by ITK's recursive Gaussian: the generic one, and elastix's default.

    Args:
        parameters: The map.
        side: "Fixed" or "Moving".
        number_of_levels: Number of levels of the registration.
        dimension: Dimension of the images.
    """
    kind = resampling_pyramid(parameters, side)
    names = [f"{side}ImagePyramidSmoothingSchedule", "ImagePyramidSmoothingSchedule"]
    if kind == "Generic":
        for name in names:
            if values := parameters.get(name):
                return name if any((as_number(text) or 0) > 0 for text in values) else None
        # elastix's own: half of what the image gets smaller by.
        return names[1] if resampling(parameters, side, number_of_levels, dimension) else None
    if kind is not None or number_of_levels == 1:
        return None
    given = [v for n in schedule_names(side, kind) for v in parameters.get(n, ())]
    smooths = not given or any((as_number(text) or 0) > 1 for text in given)
    return f"{side}ImagePyramid" if smooths else None
