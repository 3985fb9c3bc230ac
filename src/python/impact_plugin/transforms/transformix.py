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
            "Size": [str(n) for n in fixed.size],
            "Index": ["0"] * fixed.dimension,
            "Spacing": [repr(n) for n in fixed.spacing],
            "Origin": [repr(n) for n in fixed.origin],
            "Direction": [
                repr(float(n))
                for n in np.reshape(fixed.direction, (fixed.dimension,) * 2).T.ravel()
            ],
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


def displacement_field(chain: Chain) -> sitk.Image:
    """Give the displacements of the voxels of the fixed image, mm."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as name:
        _run(chain, Path(name), ["-def", "all"])
        return sitk.ReadImage(str(Path(name) / "deformationField.mha"), sitk.sitkVectorFloat64)


def _run(chain: Chain, folder: Path, arguments: list[str | Path]) -> None:
    last = chain.maps[-1] | {"ResultImageFormat": ["mha"]}
    transform = Chain([*chain.maps[:-1], last], chain.fields).write(folder, "transform")
    assert transform is not None
    lines: deque[str] = deque(maxlen=400)
    code = process.run("transformix", ["-tp", transform, "-out", folder, *arguments], lines.append)
    if code != 0:
        raise RegistrationError(find_cause(list(lines)), "transformix")
