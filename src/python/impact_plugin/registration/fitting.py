"""Lengths of presets, fitted to the images that they are for."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impact_plugin.check.pyramids import LEAST_SMOOTHED
from impact_plugin.parameters.names import is_named
from impact_plugin.parameters.values import ParameterMap

if TYPE_CHECKING:
    from impact_plugin.images.grid import Geometry

LOGGER = logging.getLogger("impact_plugin.presets")
"""Where is said which lengths presets take for two images."""

_SHORTEST_SIDE = 115 * 1.366
"""mm: of the images (lungs; heads have 152) for which the lengths in the maps were chosen."""

_FINEST = 0.49
"""Least factor, per mm of the distance of voxels: features of 1.5 mm are then 0.74 voxels apart.
Not a half: control points would lie 5 voxels apart, and rounding decide how many an image has."""

_SLICES = 0.2
"""Least factor, per mm of the distance of slices: control points are then two slices apart."""

_LARGE = 4.0
"""Factor above which the metric is multiplied by the next power of two: elastix takes squares of
gradients (per mm, so the less the larger the image) below 1e-14 for nothing."""

_SMOOTHING = "ImagePyramidSmoothingSchedule"
_METRIC_WEIGHT = re.compile(r"Metric\d+Weight")
_PARTS = ("LayersWeight", "MutualInformationWeight", "BendingEnergyWeight", "BendingEnergyLimit")
"""What the metric is multiplied by where it is the only one."""
_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Fit:
    """How the lengths of a preset become those for two images.

    Args:
        factor: What they are multiplied by: the geometric mean of both images' own.
        is_thin: Whether an image has too few slices for elastix to smooth it.
    """

    factor: float
    is_thin: bool = False

    @classmethod
    def of(cls, fixed: Geometry, moving: Geometry) -> Fit:
        """Compute the factors for two images; see :func:`factor_of`."""
        factors = factor_of(fixed), factor_of(moving)
        # Of equal ones the square root would be theirs but for rounding.
        factor = factors[0] if factors[0] == factors[1] else math.sqrt(factors[0] * factors[1])
        return cls(factor, min(*fixed.size, *moving.size) < LEAST_SMOOTHED)

    def applied(self, parameters: ParameterMap) -> ParameterMap:
        """Give a preset's map with the lengths of these images."""
        fitted = dict(parameters)
        power = math.ldexp(1.0, math.frexp(self.factor)[1]) if self.factor > _LARGE else 1.0
        parts = [name for name in parameters if _METRIC_WEIGHT.fullmatch(name)]
        parts = parts or [name for name in parameters if is_named(name, *_PARTS)]
        for name, values in parameters.items():
            if _is_length(name):
                fitted[name] = [self._fitted(name, value) for value in values]
                continue
            factor = power if name in parts else 1.0
            if is_named(name, "BendingEnergyWeight"):  # of mm^-2
                factor *= self.factor**2
            if factor != 1.0:
                fitted[name] = [_times(value, factor) for value in values]
        return fitted

    def described(self, maps: Mapping[str, ParameterMap]) -> str:
        """Say in one line what it made of maps, by their names."""
        said = f"Lengths of the presets, times {self.factor:.4g} to fit the images, mm:"
        for name, parameters in maps.items():
            lengths = {key: values for key, values in parameters.items() if _is_length(key)}
            said += f" {name}"
            for key, values in lengths.items():
                numbers = dict.fromkeys(_NUMBER.findall(" ".join(values)))
                said += f" ({key} {' '.join(f'{float(each):.4g}' for each in numbers)})"
        if self.is_thin:
            said += ". No smoothing: fewer than four voxels along an axis"
        return said

    def _fitted(self, name: str, value: str) -> str:
        if self.is_thin and name.endswith(_SMOOTHING):
            return "0"
        return _times(value, self.factor)


def _is_length(name: str) -> bool:
    return is_named(name, "VoxelSize", "FinalGridSpacingInPhysicalUnits") or name.endswith(
        _SMOOTHING
    )


def _times(value: str, times: float) -> str:
    if times == 1.0:
        return value
    return _NUMBER.sub(lambda number: repr(float(number[0]) * times), value)


def factor_of(image: Geometry) -> float:
    """Give what the lengths of presets are multiplied by for one image.

    With its shortest side s (mm, over 157 mm) and the distance d of its voxels (mm, the geometric
    mean over the axes): the lesser of s and sqrt(s d), and at least 0.49 d, and a fifth of the
    distance along the coarsest axis. So lengths grow with the image, those of large ones with their
    resolution, too, no features lie closer than some three quarters of a voxel, and no control
    points closer than two slices. Nothing else goes in: an image k times as large gets k times the
    lengths.

    Example:
        >>> from impact_plugin.images.grid import Geometry
        >>> head = Geometry((152, 192, 160), (1.0,) * 3, (0.0,) * 3, (1, 0, 0, 0, 1, 0, 0, 0, 1))
        >>> mouse = Geometry(head.size, (0.03125,) * 3, head.origin, head.direction)
        >>> round(factor_of(head), 3), factor_of(head) / factor_of(mouse)
        (0.968, 32.0)
    """
    # Numbers near 1, so that powers of two, taken out, leave the same bits.
    _, exponent = math.frexp(image.spacing[0])
    spacing = [math.ldexp(mm, -exponent) for mm in image.spacing]
    extent = min(n * mm for n, mm in zip(image.size, spacing, strict=True))
    distance = math.prod(spacing) ** (1 / len(spacing))
    side = extent / _SHORTEST_SIDE
    least = max(_FINEST * distance, _SLICES * max(spacing))
    fitted = max(least, min(side, math.sqrt(side * distance)))
    return math.ldexp(fitted, exponent)
