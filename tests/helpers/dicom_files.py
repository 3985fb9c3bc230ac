"""DICOM files as scanners write them, of which SimpleITK's writer makes only some."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
ROOT = "1.2.826.0.1.3680043.2.1125"

_LONG = ("OB", "OW", "SQ", "UN")
_VRS = {
    0x00080005: "CS", 0x00080008: "CS", 0x00080016: "UI", 0x00080018: "UI", 0x00080032: "TM",
    0x00080060: "CS", 0x0008103E: "LO", 0x00180050: "DS", 0x00180081: "DS", 0x0020000D: "UI",
    0x0020000E: "UI", 0x00200012: "IS", 0x00200013: "IS", 0x00200032: "DS", 0x00200037: "DS",
    0x00200052: "UI", 0x00200100: "IS", 0x00209111: "SQ", 0x00209113: "SQ", 0x00209116: "SQ",
    0x00209128: "UL",
    0x00280002: "US", 0x00280004: "CS", 0x00280008: "IS", 0x00280010: "US", 0x00280011: "US",
    0x00280030: "DS", 0x00280100: "US", 0x00280101: "US", 0x00280102: "US", 0x00280103: "US",
    0x00281052: "DS", 0x00281053: "DS", 0x00289110: "SQ", 0x00289145: "SQ", 0x52009229: "SQ",
    0x52009230: "SQ", 0x7FE00010: "OW",
}  # fmt: skip


def write(path: Path, tags: Mapping[int, Any], storage: str = CT, how: str = "explicit") -> None:
    """Write a data set, little endian (DICOM PS3.10).

    Args:
        path: Of the file; its folder is made.
        tags: Values by tags: texts, whole numbers, bytes, or lists of data sets.
        storage: The SOP class.
        how: "explicit" or "implicit" VR, or "undefined": explicit, with sequences that end where a
            delimiter says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    group = _element(0x00020002, "UI", storage) + _element(0x00020003, "UI", f"{ROOT}.1")
    syntax = "1.2.840.10008.1.2" if how == "implicit" else "1.2.840.10008.1.2.1"
    group += _element(0x00020010, "UI", syntax)
    group = _element(0x00020000, "UL", len(group)) + group
    content = _data_set({0x00080016: storage, **tags}, how)
    path.write_bytes(b"\0" * 128 + b"DICM" + group + content)


def slices(
    folder: Path,
    positions: Sequence[Sequence[float]],
    *,
    series: str = f"{ROOT}.20",
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (2.0, 1.5),
    voxels: NDArray[Any] | None = None,
    front: str = "s",
    each: Mapping[int, Sequence[Any]] | None = None,
    more: Mapping[int, Any] | None = None,
) -> list[Path]:
    """Write a series of one file per slice.

    Args:
        folder: For the files.
        positions: ImagePositionPatient of each.
        series: SeriesInstanceUID.
        orientation: ImageOrientationPatient of all.
        spacing: PixelSpacing: of rows (y), of columns (x).
        voxels: Shape (slices, rows, columns); by default slice k has k in its corner.
        front: Of the files' names.
        each: Other tags, with a value for each slice.
        more: Other tags of all; None takes a tag away.
    """
    if voxels is None:
        voxels = np.arange(len(positions), dtype=np.int16)[:, None, None] + np.zeros(
            (6, 5), np.int16
        )
    files = []
    for k, position in enumerate(positions):
        tags: dict[int, Any] = {
            0x00080018: f"{series}.{sum(front.encode())}.{k + 1}",
            0x00080060: "CT",
            0x0008103E: f"series of {front}",
            0x0020000D: f"{ROOT}.2",
            0x0020000E: series,
            0x00200013: str(k + 1),
            0x00200032: numbers(position),
            0x00200037: numbers(orientation),
            0x00200052: f"{ROOT}.3",
            0x00280030: numbers(spacing),
            **pixels(voxels[k]),
            **{tag: values[k] for tag, values in (each or {}).items()},
            **(more or {}),
        }
        files.append(folder / f"{front}{k:03d}.dcm")
        write(files[-1], {tag: value for tag, value in tags.items() if value is not None})
    return files


def pixels(voxels: NDArray[Any]) -> dict[int, Any]:
    """Give the tags of a grey image of signed 16-bit numbers."""
    rows, columns = voxels.shape[-2:]
    return {
        0x00280002: 1, 0x00280004: "MONOCHROME2", 0x00280010: rows, 0x00280011: columns,
        0x00280100: 16, 0x00280101: 16, 0x00280102: 15, 0x00280103: 1,
        0x7FE00010: voxels.astype("<i2").tobytes(),
    }  # fmt: skip


def numbers(values: Sequence[float]) -> str:
    """Write numbers as DICOM's decimal strings: 16 characters at most."""
    return "\\".join(f"{value:.10g}"[:16] for value in values)


def _data_set(tags: Mapping[int, Any], how: str) -> bytes:
    return b"".join(_element(tag, _VRS[tag], tags[tag], how) for tag in sorted(tags))


def _element(tag: int, vr: str, value: Any, how: str = "explicit") -> bytes:  # noqa: ANN401
    undefined = how == "undefined" and vr == "SQ"
    if vr == "SQ":
        content = b"".join(_item(_data_set(item, how), undefined) for item in value)
        content += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""
    elif vr in ("US", "UL"):
        content = struct.pack("<H" if vr == "US" else "<I", value)
    else:
        content = value if isinstance(value, bytes) else str(value).encode()
        content += b"" if len(content) % 2 == 0 else b"\0" if vr == "UI" else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    length = 0xFFFFFFFF if undefined else len(content)
    if how == "implicit":
        return head + struct.pack("<I", length) + content
    if vr in _LONG:
        return head + vr.encode() + struct.pack("<HI", 0, length) + content
    return head + vr.encode() + struct.pack("<H", length) + content


def _item(content: bytes, undefined: bool) -> bytes:
    length = 0xFFFFFFFF if undefined else len(content)
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) if undefined else b""
    return struct.pack("<HHI", 0xFFFE, 0xE000, length) + content + end
