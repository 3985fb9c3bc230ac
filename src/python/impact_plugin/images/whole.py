"""Whether image files are whole, where ITK's readers do not tell.

ITK reads a NIfTI file that was cut off, and takes zeros for what is missing; of a damaged
compressed MetaImage it takes zeros for all of it, and a place that is no number for the origin.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

_NIFTI = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz")
_META = (".mha", ".mhd")
_BYTES = {
    "CHAR": 1,
    "SHORT": 2,
    "INT": 4,
    "LONG": 4,
    "LONG_LONG": 8,
    "FLOAT": 4,
    "DOUBLE": 8,
}  # of MetaImage's types, MET_ or MET_U before
# What ITK takes for zeros where it is no number.
_NUMBERS = ("ElementSpacing", "Offset", "Origin", "Position", "TransformMatrix", "Orientation")
_LONGEST_HEADER = 1 << 16
_AT_ONCE = 1 << 20
_MORE = 4096  # bytes that may follow the voxels of a compressed file


class DamagedImageError(ValueError):
    """An image file of which a part is missing or cannot be unpacked."""


def check_whole(path: Path, name: str = "") -> None:
    """Check that a NIfTI or MetaImage file has all of its voxels; other formats are not looked at.

    A compressed MetaImage is unpacked for it, and a NIfTI file only where its length tells nothing.

    Args:
        path: The file.
        name: What messages call it, besides its path.

    Raises:
        DamagedImageError: It has not. The message has the bytes that there are and should be.
        OSError: The file cannot be read.
    """
    ending = path.name.lower()
    try:
        if ending.endswith(_NIFTI):
            _check_nifti(path)
        elif ending.endswith(_META):
            _check_meta(path)
    except _Damage as damage:
        message = (
            f"{name and f'{name}: '}{str(path)!r} is damaged: {damage}. Copy or export it again, "
            "and have a look at where it comes from"
        )
        raise DamagedImageError(message) from None


class _Damage(Exception):
    """What is wrong with a file."""


# NIfTI


def _check_nifti(path: Path) -> None:
    """See https://nifti.nimh.nih.gov: nifti1.h and nifti2.h, for the places in the header."""
    header_of, voxels_in = path, path
    for ending, other in ((".hdr", ".img"), (".hdr.gz", ".img.gz")):
        if path.name.lower().endswith((ending, other)):
            stem = path.name[: -len(ending)]
            header_of, voxels_in = path.with_name(stem + ending), path.with_name(stem + other)
    if not (header_of.is_file() and voxels_in.is_file()):
        return  # the reader says so
    with _opened(header_of) as file:
        header = _read(file, 540)
    if len(header) < 348:
        message = f"its header has {len(header)} bytes of 348"
        raise _Damage(message)
    needed = _bytes_of_nifti(header)
    if needed is None:
        return
    if not voxels_in.name.lower().endswith(".gz"):
        _require(voxels_in.stat().st_size, needed)
        return
    # The last four bytes of a gzip stream are its length, modulo 2**32.
    with voxels_in.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        (said,) = struct.unpack("<I", file.read(4))
    if 0 <= (said - needed) % 2**32 <= _MORE:
        return
    with _opened(voxels_in) as unpacked:
        found = 0
        while part := _read(unpacked, _AT_ONCE):
            found += len(part)
    _require(found, needed)


def _bytes_of_nifti(header: bytes) -> int | None:
    """Give the bytes up to the end of the voxels; None of a header of another kind."""
    for order in "<>":
        (length,) = struct.unpack_from(order + "i", header)
        if length == 348:
            dimensions = struct.unpack_from(order + "8h", header, 40)
            (bits,) = struct.unpack_from(order + "h", header, 72)
            (offset,) = struct.unpack_from(order + "f", header, 108)
        elif length == 540 and len(header) == 540:
            dimensions = struct.unpack_from(order + "8q", header, 16)
            (bits,) = struct.unpack_from(order + "h", header, 14)
            (offset,) = struct.unpack_from(order + "q", header, 168)
        else:
            continue
        number, *sizes = dimensions
        if 1 <= number <= 7 and bits > 0 and 0 <= offset < 2**40:
            voxels: int = prod(max(1, size) for size in sizes[:number])
            return int(offset) + voxels * int(bits) // 8
    return None


def _opened(path: Path) -> io.BufferedIOBase:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _read(file: io.BufferedIOBase, number: int) -> bytes:
    try:
        return file.read(number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"it cannot be unpacked: {error}"
        raise _Damage(message) from error


# MetaImage


@dataclass(frozen=True)
class _MetaHeader:
    fields: dict[str, str]
    end: int  # bytes of the header

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.fields.get(name, default))
        except ValueError:
            return default

    def says(self, name: str) -> bool:
        return self.fields.get(name, "False").lower() == "true"

    @property
    def sizes(self) -> list[int]:
        try:
            return [int(part) for part in self.fields.get("DimSize", "").split()]
        except ValueError:
            return []

    @property
    def bytes(self) -> int:
        """Of the voxels, unpacked; 0 where that is not known."""
        kind = self.fields.get("ElementType", "").removeprefix("MET_")
        kind = kind.removesuffix("_ARRAY")
        each = _BYTES.get(kind) or _BYTES.get(kind.removeprefix("U")) or 0
        return max(0, prod(self.sizes or [0])) * each * self.number("ElementNumberOfChannels", 1)


def _check_meta(path: Path) -> None:
    """See https://itk.org/Wiki/ITK/MetaIO/Documentation, for the fields of the header."""
    header = _meta_header(path)
    if header is None:
        return
    for name in _NUMBERS:
        if name in header.fields and not _are_numbers(header.fields[name]):
            message = f"its header says {name} = {header.fields[name]}, expected finite numbers"
            raise _Damage(message)
    if not header.bytes:
        return
    data = header.fields["ElementDataFile"]
    if data.upper().startswith("LIST"):
        _check_list(path, header)
        return
    if "%" in data or header.fields.get("BinaryData", "True").lower() == "false":
        return
    place = path if data.upper() == "LOCAL" else path.parent / data
    if not place.is_file():
        message = f"the file of its voxels, {str(place)!r}, is not there"
        raise _Damage(message)
    begin = header.end if place == path else max(0, header.number("HeaderSize", 0))
    if not header.says("CompressedData"):
        _require(place.stat().st_size, begin + header.bytes)
        return
    found = sum(map(len, _unpacked(place, begin, header.number("CompressedDataSize", 0))))
    _require(found, header.bytes)


def _are_numbers(text: str) -> bool:
    try:
        return all(math.isfinite(float(part)) for part in text.split())
    except ValueError:
        return False


def _check_list(path: Path, header: _MetaHeader) -> None:
    """Check a header that names a file for each slice."""
    lines = path.read_bytes()[header.end :].decode("utf-8", errors="surrogateescape").split("\n")
    files = [line.strip() for line in lines if line.strip()]
    if len(files) < header.sizes[-1]:
        message = f"it names {len(files)} files of slices, and has {header.sizes[-1]} slices"
        raise _Damage(message)


def _meta_header(path: Path) -> _MetaHeader | None:
    """Read up to the line ElementDataFile, which is the last; None where there is none."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    position = 0
    while (end := start.find(b"\n", position)) >= 0:
        key, separator, value = (
            start[position:end].decode("utf-8", "surrogateescape").partition("=")
        )
        if not separator:
            return None
        fields[key.strip()] = value.strip()
        position = end + 1
        if "ElementDataFile" in fields:
            return _MetaHeader(fields, position)
    return None


def _unpacked(path: Path, begin: int, number: int) -> Iterator[bytes]:
    """Give the unpacked parts of what stands from a place on, in zlib's or gzip's format."""
    unpacker = zlib.decompressobj(wbits=47)
    with path.open("rb") as file:
        file.seek(begin)
        left = number or path.stat().st_size
        while left > 0 and not unpacker.eof and (part := file.read(min(left, _AT_ONCE))):
            left -= len(part)
            try:
                yield unpacker.decompress(part)
            except zlib.error as error:
                message = f"it cannot be unpacked: {error}"
                raise _Damage(message) from error


def _require(found: int, needed: int) -> None:
    if found < needed:
        message = f"it has {found} bytes of {needed}"
        raise _Damage(message)
