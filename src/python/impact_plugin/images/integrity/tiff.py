"""TIFF files, of which ITK's reader takes the slices that are there for all of them."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from impact_plugin.images.integrity.damage import Damage

_STRIPS, _TILES = (273, 279), (324, 325)  # tags of the places of pixels, and of their bytes
_WIDTHS = {3: "H", 4: "I", 16: "Q"}  # of whole numbers, by their types' numbers


@dataclass(frozen=True)
class _File:
    """A TIFF file and how its numbers are written.

    Args:
        file: The file.
        length: Bytes of it.
        order: "<" or ">".
        count: Type of the number of entries in a directory, a code of struct.
        offset: Type of offsets in the file, a code of struct.
    """

    file: io.BufferedReader
    length: int
    order: str
    count: str
    offset: str

    def numbers(self, place: int, kind: str, number: int, what: str) -> tuple[int, ...]:
        """Read whole numbers from a place.

        Raises:
            Damage: The file ends before.
        """
        size = number * struct.calcsize(f"={kind}")
        if place + size > self.length:
            message = f"{what} lies beyond its end, of {self.length} bytes"
            raise Damage(message)
        self.file.seek(place)
        return struct.unpack(f"{self.order}{number}{kind}", self.file.read(size))


def check(path: Path) -> None:
    """Check a classic TIFF or a BigTIFF: that all directories and all pixels are there.

    See the TIFF 6.0 specification, section 2, and https://libtiff.gitlab.io/libtiff/specification,
    BigTIFF.

    Raises:
        Damage: It is not whole.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(4)
        order = {b"II": "<", b"MM": ">"}.get(start[:2])
        version = struct.unpack(f"{order}H", start[2:])[0] if order and len(start) == 4 else 0
        if order is None or version not in (42, 43):
            return  # the reader says so
        big = version == 43
        tiff = _File(file, length, order, *("QQ" if big else "HI"))
        (place,) = tiff.numbers(8 if big else 4, tiff.offset, 1, "the place of its first image")
        seen: set[int] = set()
        while place and place not in seen:
            seen.add(place)
            place = _check_directory(tiff, place, f"its image {len(seen)}")


def _check_directory(tiff: _File, place: int, image: str) -> int:
    """Check one image, and give the place of the next; 0 after the last."""
    (count,) = tiff.numbers(place, tiff.count, 1, image)
    place += struct.calcsize(f"={tiff.count}")
    entry = 4 + 2 * struct.calcsize(f"={tiff.offset}")
    following = tiff.numbers(place + count * entry, tiff.offset, 1, image)[0]
    found: dict[int, tuple[int, ...]] = {}
    for start in range(place, place + count * entry, entry):
        tag, kind = tiff.numbers(start, "H", 2, image)
        if tag in (*_STRIPS, *_TILES) and kind in _WIDTHS:
            (number,) = tiff.numbers(start + 4, tiff.offset, 1, image)
            values = start + 4 + struct.calcsize(f"={tiff.offset}")
            if number * struct.calcsize(f"={_WIDTHS[kind]}") > struct.calcsize(f"={tiff.offset}"):
                (values,) = tiff.numbers(values, tiff.offset, 1, image)
            found[tag] = tiff.numbers(values, _WIDTHS[kind], number, image)
    for places, lengths in (_STRIPS, _TILES):
        for start, size in zip(found.get(places, ()), found.get(lengths, ()), strict=False):
            if start + size > tiff.length:
                message = f"the pixels of {image} end at {start + size} of {tiff.length} bytes"
                raise Damage(message)
    return following
