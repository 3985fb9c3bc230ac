"""DICOM files of several frames: where each frame lies, of which ITK's reader takes little notice.

ITK takes the frames as they come and, where they are not evenly spaced, a spacing of 1 mm in all
directions; and it shows the functional groups, which have the frames' positions, to nobody. So
they are read here: DICOM PS3.5 section 7 for the encoding, PS3.3 C.7.6.16 for the groups.
"""

from __future__ import annotations

import itertools
import mmap
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from impact_plugin._errors import InputError
from impact_plugin.images.dicom_slices import Slice

DataSet: TypeAlias = dict[int, Any]
"""Bytes by tag, or a list of data sets of a sequence."""

_IMPLICIT, _DEFLATED, _BIG = (f"1.2.840.10008.1.2{end}" for end in ("", ".1.99", ".2"))
_PIXELS = 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_SEQUENCES = {
    _SHARED, _PER_FRAME, 0x00209111, 0x00209113, 0x00209116, 0x00289110, 0x00189114, 0x00189117,
    0x00289145, 0x0062000A,
}  # fmt: skip
# A frame's tags, by the names of Slice, with the sequences in which they are.
_OF_FRAMES = {
    "position": (0x00209113, 0x00200032),
    "orientation": (0x00209116, 0x00200037),
    "spacing": (0x00289110, 0x00280030),
    "TemporalPositionIdentifier": (0x00209111, 0x00209128),
    "AcquisitionNumber": (0x00209111, 0x00209156),
    "EchoTime": (0x00189114, 0x00189082),
    "DiffusionBValue": (0x00189117, 0x00189087),
    "SegmentNumber": (0x0062000A, 0x00620004),
    "RescaleSlope": (0x00289145, 0x00281053),
    "RescaleIntercept": (0x00289145, 0x00281052),
}
# Where positions are not in functional groups: spacing between slices, offsets of dose grids.
_EVEN, _OFFSETS = 0x00180088, 0x3004000C
_POSITION, _ORIENTATION, _NUCLEAR = 0x00200032, 0x00200037, "1.2.840.10008.5.1.4.1.1.20"


def frames_of(whole: Slice, storage: str) -> list[Slice] | None:
    """Give each frame of a file as a slice.

    Args:
        whole: The file.
        storage: Its SOP class.

    Returns:
        The frames in the file's order; None where the file says of all at once where they lie,
        evenly, as ITK reads it.

    Raises:
        ValueError: It does not say where its frames lie.
    """
    tags = _read(Path(whole.file))
    number = whole.size[2]
    groups = tags.get(_PER_FRAME, [])
    if len(groups) != number:
        if _is_even(tags, storage):
            return None
        message = (
            f"{whole.file!r} has {number} frames and does not say where they lie: they may be "
            "times, or views. Give one of them, or a volume, as an image of SimpleITK"
        )
        raise InputError(message)
    shared = tags.get(_SHARED, [{}])
    frames = []
    for k, group in enumerate(groups):
        found = {}
        for name, path in _OF_FRAMES.items():
            value = _value(group, path) or _value(shared[0] if shared else {}, path)
            if value:
                found[name] = value
        instance = {"instance": f"frame {k + 1}"}
        file = f"{whole.file} frame {k + 1}"
        frames.append(Slice(file, whole.size[:2], whole.pixel_type, found | instance))
    for tag in ("RescaleSlope", "RescaleIntercept"):
        if len(values := sorted({each.tags.get(tag, "") for each in frames})) > 1:
            message = (
                f"{whole.file!r} has frames of {len(values)} values of {tag} ({values[0]} and "
                f"{values[1]} are two), and ITK applies one to all. Convert it with dcm2niix first"
            )
            raise InputError(message)
    return frames


def _is_even(tags: DataSet, storage: str) -> bool:
    offsets = [float(text) for text in _text(tags.get(_OFFSETS, b"")).split("\\") if text]
    steps = [b - a for a, b in itertools.pairwise(offsets)]
    if steps and max(steps) - min(steps) > 0.02 * abs(steps[0]):
        return False
    placed = (_POSITION in tags and _ORIENTATION in tags) or storage == _NUCLEAR
    return placed and (bool(steps) or _EVEN in tags)


def _value(group: Mapping[int, Any], path: Sequence[int]) -> str:
    sequence, tag = path
    items = group.get(sequence)
    found = items[0].get(tag, b"") if isinstance(items, list) and items else b""
    if len(found) in (2, 4, 8) and not re.fullmatch(rb"[0-9.+\-eE\\ \0]*", found):
        kind = {2: "<H", 4: "<I", 8: "<d"}[len(found)]
        return str(struct.unpack(kind, found)[0])
    return _text(found)


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _read(file: Path) -> DataSet:
    """Read a file's data set up to the pixels.

    Raises:
        ValueError: It is encoded in a way that nobody uses, or damaged.
    """
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            head, at = _data_set(data, 132, len(data), explicit=True, group=2)
            syntax = _text(head.get(0x00020010, b""))
            if syntax == _BIG:
                message = f"{str(file)!r} is a DICOM file of big-endian numbers. Convert it first"
                raise InputError(message)
            if syntax == _DEFLATED:
                content = zlib.decompress(data[at:], -15)
                return _data_set(content, 0, len(content), explicit=True)[0]
            return _data_set(data, at, len(data), explicit=syntax != _IMPLICIT)[0]
        except (struct.error, zlib.error, RecursionError) as error:
            message = f"{str(file)!r} is a damaged DICOM file: {error}"
            raise InputError(message) from error


def _data_set(
    data: bytes | mmap.mmap, at: int, end: int, *, explicit: bool, group: int | None = None
) -> tuple[DataSet, int]:
    """Read elements from one place to another, or to where an item ends; gives that place, too."""
    tags: DataSet = {}
    while at + 8 <= end:
        high, low = struct.unpack_from("<HH", data, at)
        tag = high << 16 | low
        if tag == _ITEM_END:
            return tags, at + 8
        if tag == _PIXELS or (group is not None and high != group):
            break
        kind = data[at + 4 : at + 6] if explicit else b""
        if explicit and kind not in _LONG:
            (length,) = struct.unpack_from("<H", data, at + 6)
            at += 8
        else:
            (length,) = struct.unpack_from("<I", data, at + (8 if explicit else 4))
            at += 12 if explicit else 8
        nested = kind == b"SQ" or length == _UNDEFINED or (not explicit and tag in _SEQUENCES)
        if nested:
            tags[tag], at = _items(data, at, length, explicit=explicit and kind != b"UN")
        else:
            if length <= 4096:
                tags[tag] = bytes(data[at : at + length])
            at += length
    return tags, at


def _items(
    data: bytes | mmap.mmap, at: int, length: int, *, explicit: bool
) -> tuple[list[DataSet], int]:
    items = []
    end = len(data) if length == _UNDEFINED else at + length
    while at + 8 <= end:
        high, low, size = struct.unpack_from("<HHI", data, at)
        at += 8
        tag = high << 16 | low
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM:
            message = "an item of a sequence is not where it should be"
            raise struct.error(message)
        stop = len(data) if size == _UNDEFINED else at + size
        item, after = _data_set(data, at, stop, explicit=explicit)
        items.append(item)
        at = after if size == _UNDEFINED else stop
    return items, at
