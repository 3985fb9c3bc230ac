"""Small pictures of the fixed and the registered image laid over each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin.images.grid import Geometry
from impact_plugin.report import pictures
from impact_plugin.report.pictures import Window
from impact_plugin.report.planes import Plane, nearest_to_lps, oriented, picture_sizes, planes_of

if TYPE_CHECKING:
    import SimpleITK as sitk

_LARGEST = 160
"""Pixels along the longest edge."""


def thumbnails(fixed: sitk.Image | None, registered: sitk.Image) -> list[tuple[str, str]]:
    """Draw the middle slice of each plane: the fixed image magenta, the registered one green.

    Args:
        fixed: The fixed image, on the same grid; without it the registered image is grey.
        registered: The moving image on the fixed image's grid.

    Returns:
        The name of each plane, and what stands in ``src`` for its picture.
    """
    geometry = nearest_to_lps(Geometry.of(registered))
    _, sizes = picture_sizes(geometry, _LARGEST)
    images = [oriented(image) for image in (fixed, registered) if image is not None]
    windows = [Window.of(array) for array in images]
    if len(windows) == 2:
        windows = list(windows[0].shared(windows[1]))

    def coloured(plane: Plane) -> NDArray[np.uint8]:
        number = 0 if plane.across is None else geometry.size[plane.across] // 2
        greys = [
            pictures.resized(window.grey(plane.slice(array, number)), sizes[plane.name])
            for array, window in zip(images, windows, strict=True)
        ]
        return np.stack([greys[0], greys[-1], greys[0]], axis=-1)

    return [
        (plane.name, pictures.uri(pictures.webp(coloured(plane)))) for plane in planes_of(geometry)
    ]
