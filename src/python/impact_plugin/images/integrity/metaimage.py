"""MetaImage files, of which ITK's reader takes zeros for voxels that cannot be unpacked."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from impact_plugin.images.integrity.damage import AT_ONCE, Damage, require

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
        """Size of the unpacked voxels; 0 if unknown."""
        kind = self.fields.get("ElementType", "").removeprefix("MET_")
        kind = kind.removesuffix("_ARRAY")
        each = _BYTES.get(kind) or _BYTES.get(kind.removeprefix("U")) or 0
        return max(0, prod(self.sizes or [0])) * each * self.number("ElementNumberOfChannels", 1)


def check(path: Path) -> None:
    """Check a MetaImage; see https://itk.org/Wiki/ITK/MetaIO/Documentation for the fields.

    Raises:
        Damage: It is not whole.
        OSError: It cannot be read.
    """
    header = _meta_header(path)
    if header is None:
        return
    for name in _NUMBERS:
        if name in header.fields and not _are_numbers(header.fields[name]):
            message = f"its header says {name} = {header.fields[name]}, expected finite numbers"
            raise Damage(message)
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
        raise Damage(message)
    begin = header.end if place == path else max(0, header.number("HeaderSize", 0))
    if not header.says("CompressedData"):
        require(place.stat().st_size, begin + header.bytes)
        return
    found = sum(map(len, _unpacked(place, begin, header.number("CompressedDataSize", 0))))
    require(found, header.bytes)


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
        raise Damage(message)


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
        while left > 0 and not unpacker.eof and (part := file.read(min(left, AT_ONCE))):
            left -= len(part)
            try:
                yield unpacker.decompress(part)
            except zlib.error as error:
                message = f"it cannot be unpacked: {error}"
                raise Damage(message) from error
