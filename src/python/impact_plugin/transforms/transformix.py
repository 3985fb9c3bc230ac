"""Applying transforms by transformix itself, for the kinds that only elastix knows."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin._io import temporary_folder
from impact_plugin.elastix import process
from impact_plugin.elastix.errors import RegistrationError, find_cause
from impact_plugin.images.files import read_image
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.transforms import directions
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


def map_points(chain: Chain, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (N, d) of the fixed image, mm."""
    with temporary_folder() as folder:
        rows = "\n".join(" ".join(map(repr, row)) for row in points.tolist())
        (folder / "points.txt").write_text(f"point\n{len(points)}\n{rows}\n")
        _run(chain, folder, ["-def", folder / "points.txt"])
        found = re.findall(r"OutputPoint = \[([^\]]*)\]", (folder / "outputpoints.txt").read_text())
        return np.array([row.split() for row in found], dtype=float).reshape(points.shape)


def displacement_field(chain: Chain, grid: Geometry) -> sitk.Image:
    """Give the displacements of the voxels of a grid of the fixed frame, mm."""
    import SimpleITK as sitk

    with temporary_folder() as folder:
        _run(_on(grid, chain), folder, ["-def", "all"])
        return read_image(folder / "deformationField.mha", sitk.sitkVectorFloat64)


def jacobian_determinant(chain: Chain, grid: Geometry) -> sitk.Image:
    """Give det(dT/dx) at the voxels of a grid of the fixed frame, from elastix's derivatives."""
    with temporary_folder() as folder:
        _run(_on(grid, chain), folder, ["-jac", "all"])
        return read_image(folder / "spatialJacobian.mha")


def _on(grid: Geometry, chain: Chain) -> Chain:
    return Chain([*chain.maps[:-1], chain.maps[-1] | _grid(grid)], chain.fields)


def _grid(grid: Geometry) -> ParameterMap:
    """Give the parameters that make transformix's output lie on a grid."""
    columns = grid.axes.T.ravel()
    return {
        "Size": [str(n) for n in grid.size],
        "Index": ["0"] * grid.dimension,
        "Spacing": [repr(float(n)) for n in grid.spacing],
        "Origin": [repr(float(n)) for n in grid.origin],
        "Direction": [repr(float(n)) for n in columns],
    }


def _run(chain: Chain, folder: Path, arguments: list[str | Path]) -> None:
    if directions.ignores(chain.maps[-1]):
        message = (
            f"the transform was found with {directions.WHAT}: as it stands it holds for images of "
            f"which nobody knows any more how they lay. {directions.REMEDY}, and register again"
        )
        raise InputError(message)
    last = chain.maps[-1] | {"ResultImageFormat": ["mha"]}
    transform = Chain([*chain.maps[:-1], last], chain.fields).write(folder, "transform")
    assert transform is not None
    lines: deque[str] = deque(maxlen=400)
    code = process.run("transformix", ["-tp", transform, "-out", folder, *arguments], lines.append)
    if code != 0:
        raise RegistrationError(find_cause(list(lines)), "transformix")
