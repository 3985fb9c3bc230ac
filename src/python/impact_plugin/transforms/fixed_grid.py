"""The grid of the fixed image, as elastix's transform parameter files have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from impact_plugin.images.geometry import Geometry
from impact_plugin.parameters.values import ParameterMap


def grid_of(parameters: ParameterMap, path: Path, remedy: str = "") -> Geometry:
    """Give the fixed image's grid.

    Args:
        parameters: Of one transform.
        path: The file that they are from.
        remedy: What to do where they do not have it.

    Raises:
        ValueError: They do not have it.
    """
    try:
        size = tuple(int(n) for n in parameters["Size"])
        spacing, origin, direction, index = (
            np.array(parameters[name], dtype=float)
            for name in ("Spacing", "Origin", "Direction", "Index")
        )
        # elastix writes directions column by column.
        matrix = direction.reshape(len(size), len(size)).T
        first = origin + matrix @ (spacing * index)
    except (KeyError, ValueError) as error:
        message = (
            f"{path} does not say where the voxels of the fixed image lie (Size, Index, Spacing, "
            f"Origin, Direction): {error}"
        )
        raise ValueError(f"{message}. {remedy}" if remedy else message) from error
    return Geometry(
        size, tuple(spacing.tolist()), tuple(first.tolist()), tuple(matrix.ravel().tolist())
    )
