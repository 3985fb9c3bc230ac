"""The grid of the fixed image, as elastix's transform parameter files have it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.images.validation import check_place
from impact_plugin.parameters.values import ParameterMap, as_integer, numbers_of


class MissingGridError(InputError):
    """A transform does not say on which grid the fixed image lies."""


def grid_of(parameters: ParameterMap, source: Path | str, remedy: str = "") -> Geometry:
    """Give the fixed image's grid; what a file of an older elastix lacks is as elastix takes it.

    Args:
        parameters: Parameters of one transform.
        source: The file that they are from, for messages.
        remedy: What to do where they do not have it.

    Raises:
        ValueError: They do not have it, or no image lies so.
    """
    try:
        size = tuple(as_integer(n) or 0 for n in parameters["Size"])
        if min(size) < 1:
            message = f"(Size {' '.join(parameters['Size'])}) is none of an image"
            raise InputError(message)
        d = len(size)
        # elastix writes directions column by column.
        columns = numbers_of(parameters, "Direction", np.eye(d).ravel().tolist())
        matrix = np.reshape(columns, (d, d)).T
        spacing = np.array(numbers_of(parameters, "Spacing", [1.0] * d))
        index = numbers_of(parameters, "Index", [0.0] * d)
        with np.errstate(invalid="ignore"):  # of inf, which is refused below
            first = numbers_of(parameters, "Origin", [0.0] * d) + matrix @ (spacing * index)
        grid = Geometry(
            size, tuple(spacing.tolist()), tuple(first.tolist()), tuple(matrix.ravel().tolist())
        )
        check_place(grid, "this grid")
    except (KeyError, ValueError) as error:
        message = (
            f"{source} does not say where the voxels of the fixed image lie (Size, Index, Spacing, "
            f"Origin, Direction): {error}"
        )
        raise MissingGridError(f"{message}. {remedy}" if remedy else message) from error
    return grid


def grid_of_chain(maps: Sequence[ParameterMap], source: Path | str, remedy: str = "") -> Geometry:
    """Give the fixed image's grid of a chain of transforms: that of the last.

    With (UseDirectionCosines "false") elastix 5.3.1 forgets the direction from its second parameter
    file on, and writes the identity: that of the first file on the same voxels is taken.

    Args:
        maps: Parameter maps of the transforms.
        source: The file that the last is from, for messages.
        remedy: What to do where it does not have it.

    Raises:
        ValueError: It does not have it.
    """
    known = maps[-1]
    voxels = [known.get(name) for name in ("Size", "Index", "Spacing", "Origin")]
    for parameters in reversed(maps):
        if parameters.get("UseDirectionCosines") != ["false"] or voxels != [
            parameters.get(name) for name in ("Size", "Index", "Spacing", "Origin")
        ]:
            break
        known = parameters
    return grid_of(known, source, remedy)
