"""Writes features as image files that lie in place in any viewer."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import FileError
from impact_plugin._io import utf8_name
from impact_plugin.images.grid import Geometry
from impact_plugin.models.files import replacing
from impact_plugin.report.features.scans import Sharpness


def write_image(array: NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Write an image of vectors ((z,) y, x, channels); three bytes per voxel are colours.

    Raises:
        OSError: It cannot be written.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=True)
    geometry.place(image)
    try:
        with replacing(path) as unfinished:
            sitk.WriteImage(image, utf8_name(unfinished), useCompression=True)
    except RuntimeError as error:
        message = f"{path} cannot be written: {str(error).strip().splitlines()[-1]}"
        raise FileError(message) from error


def write_sharpness(found: Sequence[Sharpness], folder: Path) -> None:
    """Write ``sharpness.csv``, a line for each layer and distance, and ``sharpness.json``.

    The JSON file also has the curves.
    """
    rows = [each.row() for each in found]
    with (
        replacing(folder / "sharpness.csv") as path,
        path.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    document = [
        {name: _json_value(value) for name, value in row.items()}
        | {
            "curves": {
                curve.axis: {
                    "shifts (mm)": curve.shifts.tolist(),
                    "values": curve.values.tolist(),
                }
                for curve in each.curves
            }
        }
        for row, each in zip(rows, found, strict=True)
    ]
    with replacing(folder / "sharpness.json") as path:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _json_value(value: object) -> object:
    """Replace infinity, which JSON does not have, by None: a width beyond the scan's range."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
