"""GIPL files, of which ITK's reader takes whatever is in memory for what is missing."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

from impact_plugin.images.integrity.damage import length_of, opened, read, require

_HEADER = 256
_BYTES = {1: 1, 7: 1, 8: 1, 15: 2, 16: 2, 31: 4, 32: 4, 64: 4, 65: 8}  # by the number of a type


def check(path: Path) -> None:
    """Check a GIPL file; see ITK's itkGiplImageIO.cxx for the places in the header.

    Raises:
        Damage: It is not whole.
        OSError: It cannot be read.
    """
    with opened(path) as file:
        header = read(file, _HEADER)
    require(len(header), _HEADER, "bytes of its header")
    *sizes, kind = struct.unpack_from(">5H", header)
    if kind in _BYTES:
        require(length_of(path), _HEADER + prod(max(1, size) for size in sizes) * _BYTES[kind])
