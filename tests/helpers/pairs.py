"""Small pairs for impact_plugin.register_images, and maps that take a fraction of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

import impact_plugin
from helpers.images import Array, Grid, Image
from helpers.parameter_maps import ParameterMap, Value, parameter_map
from helpers.registrations import SHIFTS, pair
from impact_plugin.images.grid import Geometry


def image_array(image: Image) -> impact_plugin.ImageArray:
    """Give an image as register_images takes arrays."""
    grid = image.grid
    return impact_plugin.ImageArray(image.voxels, grid.spacing, grid.origin, grid.direction)


def on_grid(voxels: NDArray[Any], grid: Grid | Geometry, *, vectors: bool = False) -> sitk.Image:
    """Make an image of SimpleITK of an array (z, y, x), or of vectors (z, y, x, components)."""
    image = sitk.GetImageFromArray(voxels, isVector=vectors)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(np.ravel(grid.direction).tolist())
    return image


def sitk_image(image: Image) -> sitk.Image:
    return on_grid(image.voxels, image.grid)


def sitk_pair(dimension: int = 3) -> tuple[sitk.Image, sitk.Image]:
    """Make two images that differ by the translation in helpers.registrations."""
    fixed, moving = pair(dimension)
    return sitk_image(fixed), sitk_image(moving)


def write_pair(
    folder: Path, fixed: str = "f.mha", moving: str = "m.mha", dimension: int = 3
) -> tuple[Path, Path]:
    """Write the two images to files of these names; gives the paths."""
    paths = folder / fixed, folder / moving
    for path, image in zip(paths, sitk_pair(dimension), strict=True):
        sitk.WriteImage(image, str(path))
    return paths


def squares(dimension: int = 3, **parameters: Value) -> ParameterMap:
    """Make a map with elastix's mean squares, which needs no network and so no torch."""
    return parameter_map(
        dimension,
        **{"Metric": "AdvancedMeanSquares", "UseDirectionCosines": "true", **parameters},
    )


def grid_of(image: sitk.Image) -> Grid:
    dimension = image.GetDimension()
    return Grid(
        image.GetSize(),
        image.GetSpacing(),
        image.GetOrigin(),
        np.reshape(image.GetDirection(), (dimension, dimension)),
    )


def shift_error(result: impact_plugin.RegistrationResult) -> float:
    """Give the mean distance of the points found from the true ones, mm."""
    dimension = result.fixed.dimension
    points = grid_of(result.image).random_points(20, margin=0.2)
    found: Array = result.map_points(points) - points
    return float(np.linalg.norm(found - SHIFTS[dimension], axis=1).mean())


def voxels(image: sitk.Image) -> Any:  # noqa: ANN401  (an array of the image's type)
    return sitk.GetArrayFromImage(image)
