"""Applying transforms by transformix itself, for the kinds that only elastix knows."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin.engine import process
from impact_plugin.engine.errors import RegistrationError, find_cause
from impact_plugin.images.geometry import Geometry
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.transforms import directions
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


def warp(
    chain: Chain, image: sitk.Image, fixed: Geometry, order: int, default: float
) -> sitk.Image:
    """Resample an image of the moving frame on the grid of the fixed image.

    Args:
        chain: The transform.
        image: What to resample.
        fixed: The grid.
        order: Of the B-spline interpolation, 0 (nearest neighbour) to 5.
        default: Value outside the image.
    """
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as name:
        folder = Path(name)
        last = chain.maps[-1] | {
            **_grid(fixed),
            # The map's own may be another, such as FinalLinearInterpolator.
            "ResampleInterpolator": ["FinalBSplineInterpolator"],
            "FinalBSplineInterpolationOrder": [str(order)],
            "DefaultPixelValue": [repr(default)],
            "ResultImagePixelType": ["float"],
        }
        sitk.WriteImage(image, str(folder / "image.mha"))
        _run(Chain([*chain.maps[:-1], last], chain.fields), folder, ["-in", folder / "image.mha"])
        # Cubic interpolation overshoots; a cast alone would wrap around.
        return sitk.Clamp(sitk.ReadImage(str(folder / "result.mha")), image.GetPixelID())


def map_points(chain: Chain, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (N, d) of the fixed image, mm."""
    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as name:
        folder = Path(name)
        rows = "\n".join(" ".join(map(repr, row)) for row in points.tolist())
        (folder / "points.txt").write_text(f"point\n{len(points)}\n{rows}\n")
        _run(chain, folder, ["-def", folder / "points.txt"])
        found = re.findall(r"OutputPoint = \[([^\]]*)\]", (folder / "outputpoints.txt").read_text())
        return np.array([row.split() for row in found], dtype=float).reshape(points.shape)


def displacement_field(chain: Chain, grid: Geometry) -> sitk.Image:
    """Give the displacements of the voxels of a grid of the fixed frame, mm."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as name:
        _run(_on(grid, chain), Path(name), ["-def", "all"])
        return sitk.ReadImage(str(Path(name) / "deformationField.mha"), sitk.sitkVectorFloat64)


def jacobian_determinant(chain: Chain, grid: Geometry) -> sitk.Image:
    """Give det(dT/dx) at the voxels of a grid of the fixed frame, from elastix's derivatives."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as name:
        _run(_on(grid, chain), Path(name), ["-jac", "all"])
        return sitk.ReadImage(str(Path(name) / "spatialJacobian.mha"))


def _on(grid: Geometry, chain: Chain) -> Chain:
    return Chain([*chain.maps[:-1], chain.maps[-1] | _grid(grid)], chain.fields)


def _grid(grid: Geometry) -> ParameterMap:
    """Give the parameters that make transformix's output lie on a grid."""
    columns = np.reshape(grid.direction, (grid.dimension,) * 2).T.ravel()
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
        raise ValueError(message)
    last = chain.maps[-1] | {"ResultImageFormat": ["mha"]}
    transform = Chain([*chain.maps[:-1], last], chain.fields).write(folder, "transform")
    assert transform is not None
    lines: deque[str] = deque(maxlen=400)
    code = process.run("transformix", ["-tp", transform, "-out", folder, *arguments], lines.append)
    if code != 0:
        raise RegistrationError(find_cause(list(lines)), "transformix")
