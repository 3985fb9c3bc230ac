"""A small reader of MetaImage files for the demo, which spares the seconds of importing itk."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK as sitk

_TYPES = {
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
}


@dataclass(frozen=True)
class Image:
    """A 3D image along the axes of LPS: x to the left, y to the back, z to the head.

    Args:
        voxels: Intensities, shape (z, y, x).
        origin: Centre of the first voxel in mm, (x, y, z).
        spacing: Distance of voxel centres in mm, (x, y, z).
    """

    voxels: NDArray[Any]
    origin: NDArray[np.float64]
    spacing: NDArray[np.float64]

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which points (N, 3), in mm, lie in the image; its outermost voxels count in full."""
        index = (points - self.origin) / self.spacing
        inside: NDArray[np.bool_] = np.all(
            (index >= -0.5) & (index < np.array(self.voxels.shape[::-1]) - 0.5), axis=1
        )
        return inside


def of(image: sitk.Image) -> Image:
    """Convert a 3D image of SimpleITK with identity direction."""
    import SimpleITK as sitk

    return Image(
        sitk.GetArrayFromImage(image), np.array(image.GetOrigin()), np.array(image.GetSpacing())
    )


def read(path: Path) -> Image:
    """Read a 3D ``.mha`` file with identity direction.

    Raises:
        ValueError: It is of a kind that this reader does not know; the message names the header
            entry.
        OSError: The file cannot be read.
    """
    content = path.read_bytes()
    header: dict[str, str] = {}
    position = 0
    while "ElementDataFile" not in header:
        end = content.find(b"\n", position)
        key, separator, value = content[position:end].decode("latin-1").partition("=")
        if end < 0 or not separator:
            message = f"{path} is no MetaImage: its header ends without ElementDataFile"
            raise ValueError(message)
        header[key.strip()] = value.strip()
        position = end + 1

    expected = {
        "NDims": {"3"},
        "ElementDataFile": {"LOCAL"},
        "TransformMatrix": {"1 0 0 0 1 0 0 0 1"},
        "ElementType": set(_TYPES),
    }
    for key, values in expected.items():
        if header.get(key) not in values:
            known = ", ".join(sorted(values))
            message = f"{path}: {key} is {header.get(key)!r}, this reader knows {known}"
            raise ValueError(message)

    data = content[position:]
    if header.get("CompressedData") == "True":
        data = zlib.decompress(data)
    order = ">" if header.get("BinaryDataByteOrderMSB") == "True" else "<"
    size, origin, spacing = (
        np.array(header[key].split(), dtype=np.float64)
        for key in ("DimSize", "Offset", "ElementSpacing")
    )
    voxels = np.frombuffer(data, order + _TYPES[header["ElementType"]], count=int(size.prod()))
    return Image(voxels.reshape(size.astype(int)[::-1]), origin, spacing)
