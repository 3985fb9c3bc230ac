"""Slices of several images on one grid, for the viewer on a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin.images.grid import Geometry
from impact_plugin.report import pictures, planes
from impact_plugin.report.planes import Plane

_SIDES = ("left", "right", "top", "bottom")

Slicer = Callable[[Plane, int], NDArray[np.uint8]]
"""Draws the slice of a given number on the grid: (height, width) or (height, width, 3)."""


@dataclass
class Viewer:
    """The slices of each image that a page shows, plane by plane.

    Args:
        geometry: Grid of all images, in the nearest orientation to LPS.
        most: Most slices per plane.

    Attributes:
        pixel: Edge of a pixel of all pictures, mm.
        sizes: Width and height of the pictures in pixels, by plane.
        numbers: Numbers of the slices on the grid, by plane.
    """

    geometry: Geometry
    most: int
    pixel: float = field(init=False)
    sizes: dict[str, tuple[int, int]] = field(init=False)
    numbers: dict[str, list[int]] = field(init=False)
    _pictures: dict[str, dict[str, list[str]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.pixel, self.sizes = planes.picture_sizes(self.geometry)
        self.numbers = {
            plane.name: [0]
            if plane.across is None
            else planes.slice_numbers(self.geometry.size[plane.across], self.most)
            for plane in self.planes
        }

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes, in order."""
        return planes.planes_of(self.geometry)

    def middle(self, plane: Plane) -> int:
        """Give the number, on the grid, of the slice that is shown first."""
        numbers = self.numbers[plane.name]
        return numbers[len(numbers) // 2]

    def add(self, name: str, slicer: Slicer, lossless: bool = False) -> None:
        """Draw and keep the slices of one image."""
        self._pictures[name] = {
            plane.name: [
                pictures.webp(slicer(plane, number), lossless)
                for number in self.numbers[plane.name]
            ]
            for plane in self.planes
        }

    def grey_slicer(self, array: NDArray[Any], window: pictures.Window) -> Slicer:
        """Make a slicer for intensities on the grid."""

        def slicer(plane: Plane, number: int) -> NDArray[np.uint8]:
            grey = window.grey(plane.slice(array, number))
            return pictures.resized(grey, self.sizes[plane.name])

        return slicer

    def names(self) -> list[str]:
        """Give the names of the images added so far."""
        return list(self._pictures)

    def rows(self) -> list[dict[str, Any]]:
        """Give what a page's template has of each plane."""
        return [
            {
                "name": plane.name,
                "width": self.sizes[plane.name][0],
                "height": self.sizes[plane.name][1],
                "count": len(self.numbers[plane.name]),
                "middle": len(self.numbers[plane.name]) // 2,
                "sides": list(zip(_SIDES, plane.letters, strict=False)),
            }
            for plane in self.planes
        ]

    def as_dict(self) -> dict[str, Any]:
        """Give everything in the form that the page's script reads."""
        return {
            "planes": [
                {
                    "name": plane.name,
                    "width": self.sizes[plane.name][0],
                    "height": self.sizes[plane.name][1],
                    "letters": plane.letters,
                    "places": [self._place(plane, number) for number in self.numbers[plane.name]],
                    "pictures": {
                        name: by_plane[plane.name] for name, by_plane in self._pictures.items()
                    },
                }
                for plane in self.planes
            ]
        }

    def _place(self, plane: Plane, number: int) -> str:
        if plane.across is None:
            return ""
        middle = (np.array(self.geometry.size) - 1) / 2
        middle[plane.across] = number
        place = (self.geometry.matrix @ middle + self.geometry.origin)[plane.across]
        count = self.geometry.size[plane.across]
        return f"slice {number + 1} of {count}, {'xyz'[plane.across]} = {place:.1f} mm"
