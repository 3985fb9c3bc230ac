"""Images and points on helpers.registrations.GRIDS, to evaluate registrations with."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from helpers.pairs import on_grid
from helpers.registrations import GRIDS
from impact_plugin.images.grid import Geometry

GRID = GRIDS[3]
GEOMETRY = Geometry(GRID.size, GRID.spacing, GRID.origin, tuple(GRID.direction.ravel().tolist()))
POINTS = GRID.random_points(8, margin=0.2)


def image(values: np.ndarray) -> sitk.Image:
    """An image on GRID (or its first two axes) of an array (z, y, x)."""
    return on_grid(values, GRIDS[values.ndim])


def box(*ranges: tuple[int, int], label: int = 1) -> np.ndarray:
    """Voxels from..to along x, y, z that have a label."""
    values = np.zeros(GRID.size[::-1], np.uint8)
    values[tuple(slice(*each) for each in ranges[::-1])] = label
    return values


FIXED = image(np.zeros(GRID.size[::-1], np.float32))
ALONG_X = GRID.direction[:, 0]
"""The image's first axis, of which its origin's x is not a part alone: it is oblique."""
