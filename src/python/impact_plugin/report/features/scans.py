"""How well layers and distances distinguish places: the metric under translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.report.features.extraction import FeatureMap

Points = NDArray[np.float64]
_FEWEST = 50
_NOISE = 0.02  # share of the depth; a smaller dip does not count as a second minimum


@dataclass(frozen=True)
class Curve:
    """The metric of one layer and distance, as a function of a shift along one axis.

    Attributes:
        axis: "x", "y" or "z", of LPS.
        shifts: Translations in mm, ascending, including 0.
        values: The metric at each shift.
    """

    axis: str
    shifts: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def minimum(self) -> float:
        """Shift at which the metric is least, mm."""
        return float(self.shifts[int(np.argmin(self.values))])

    @property
    def depth(self) -> float:
        """Difference between the greatest and the least value of the metric."""
        return float(self.values.max() - self.values.min())

    @property
    def normalized(self) -> NDArray[np.float64]:
        """The values, scaled to the range from 0 to 1."""
        found: NDArray[np.float64] = (self.values - self.values.min()) / max(self.depth, 1e-300)
        return found

    @property
    def width(self) -> float:
        """Width of the well around the minimum at half its depth, mm.

        Infinite if the scan does not reach that height on both sides.
        """
        middle = int(np.argmin(self.values))
        sides = []
        for order in (slice(middle, None), slice(middle, None, -1)):
            shifts, heights = self.shifts[order], self.normalized[order]
            above = np.flatnonzero(heights >= 0.5)
            if not len(above):
                return float("inf")
            i = int(above[0])
            share = (0.5 - heights[i - 1]) / (heights[i] - heights[i - 1])
            sides.append(shifts[i - 1] + share * (shifts[i] - shifts[i - 1]))
        return float(sides[0] - sides[1])

    @property
    def curvature(self) -> float:
        """Second derivative of the normalized curve at its minimum, per mm^2.

        Taken from the parabola through the five values around the minimum.
        """
        middle = int(np.clip(np.argmin(self.values), 2, len(self.values) - 3))
        near = slice(middle - 2, middle + 3)
        return float(2 * np.polyfit(self.shifts[near], self.normalized[near], 2)[0])

    @property
    def capture(self) -> float:
        """Distance from the minimum, mm, within which the metric falls towards it on both sides."""
        middle = int(np.argmin(self.values))
        reach = []
        for order in (slice(middle, None), slice(middle, None, -1)):
            shifts, heights = self.shifts[order], self.normalized[order]
            falls = np.flatnonzero(heights < np.maximum.accumulate(heights) - _NOISE)
            last = int(falls[0]) - 1 if len(falls) else len(heights) - 1
            reach.append(abs(float(shifts[last] - shifts[0])))
        return min(reach)


@dataclass(frozen=True)
class Sharpness:
    """How well one layer, compared by one distance, distinguishes places.

    Attributes:
        layer: Number of the layer.
        distance: Name of the distance.
        curves: One curve for each axis.
    """

    layer: int
    distance: str
    curves: tuple[Curve, ...]

    @property
    def offset(self) -> float:
        """Length of the vector of the minima along the axes, mm."""
        return float(np.linalg.norm([curve.minimum for curve in self.curves]))

    @property
    def at_identity(self) -> bool:
        """Whether the minimum lies within a step of the identity along every axis."""
        return all(
            abs(curve.minimum) <= 1.0001 * (curve.shifts[1] - curve.shifts[0])
            for curve in self.curves
        )

    @property
    def width(self) -> float:
        """Width at half depth, mm, averaged over the axes."""
        return float(np.mean([curve.width for curve in self.curves]))

    @property
    def curvature(self) -> float:
        """Curvature per mm^2, averaged over the axes."""
        return float(np.mean([curve.curvature for curve in self.curves]))

    @property
    def capture(self) -> float:
        """Smallest capture range of any axis, mm."""
        return min(curve.capture for curve in self.curves)

    @property
    def contrast(self) -> float:
        """Depth relative to the greatest absolute value, averaged over the axes."""
        return float(
            np.mean([c.depth / max(float(np.abs(c.values).max()), 1e-300) for c in self.curves])
        )

    def row(self) -> dict[str, object]:
        """Give all figures by name, as in the table and the CSV file."""
        return {
            "layer": self.layer,
            "distance": self.distance,
            **{f"minimum {curve.axis} (mm)": curve.minimum for curve in self.curves},
            "minimum at identity": self.at_identity,
            "width at half depth (mm)": self.width,
            "curvature (1/mm^2)": self.curvature,
            "capture range (mm)": self.capture,
            "contrast": self.contrast,
        }


def scan(
    fixed: Sequence[FeatureMap],
    moving: Sequence[FeatureMap],
    grids: tuple[Geometry, Geometry],
    transform: Callable[[Points], Points],
    distances: Sequence[str],
    shifts: NDArray[np.float64],
    samples: int,
    seed: int,
) -> list[Sharpness]:
    """Translate the moving image along each axis and evaluate the metric's distances.

    Args:
        fixed: Features of the fixed image, one map for each layer.
        moving: Features of the moving image, the same layers.
        grids: Grids of the fixed and the moving image.
        transform: Maps points (N, d), mm, of the fixed image to the moving image; the shifts are
            relative to it.
        distances: Names of the distances.
        shifts: Shifts in mm, ascending.
        samples: Number of random points in the fixed image. Only points that stay in the moving
            image at every shift along an axis count, so that a whole curve uses the same points.
        seed: Seed of the random points.

    Returns:
        One for each layer and distance, ordered by layer, then by distance.

    Raises:
        ValueError: Too few points lie in the moving image.
    """
    from impact_plugin import _networks

    geometry, target = grids
    dimension = geometry.dimension
    indices = np.random.default_rng(seed).uniform(0, 1, (samples, dimension))
    points = indices * (np.array(geometry.size) - 1) @ geometry.matrix.T + geometry.origin
    mapped = transform(points)
    curves: dict[tuple[int, str], list[Curve]] = {}
    for axis, name in enumerate("xyz"[:dimension]):
        step = np.eye(dimension)[axis]
        ends = [target.contains(mapped + shift * step) for shift in (shifts[0], shifts[-1])]
        inside = np.all(ends, axis=0)
        if inside.sum() < _FEWEST:
            message = (
                f"{int(inside.sum())} of {samples} points of the fixed image stay in the moving "
                f"image when it is shifted by {shifts[0]:g} to {shifts[-1]:g} mm along {name}, "
                f"expected at least {_FEWEST}: give a smaller range, or an initial transform that "
                "brings the images onto each other"
            )
            raise InputError(message)
        for ours, theirs in zip(fixed, moving, strict=True):
            seen = ours.at(points[inside]).astype(np.float64)
            values: dict[str, list[float]] = {distance: [] for distance in distances}
            for shift in shifts:
                there = theirs.at(mapped[inside] + shift * step).astype(np.float64)
                for distance in distances:
                    values[distance].append(_networks.distance(distance, seen, there)[0])
            for distance in distances:
                curve = Curve(name, shifts, np.array(values[distance]))
                curves.setdefault((ours.layer, distance), []).append(curve)
    return [Sharpness(layer, distance, tuple(found)) for (layer, distance), found in curves.items()]
