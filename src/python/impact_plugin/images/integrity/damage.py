"""What is wrong with a file, and how the files of all formats are read."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

AT_ONCE = 1 << 20
"""Bytes that are unpacked at once."""


class Damage(Exception):
    """What is wrong with a file, without its name."""


def opened(path: Path) -> io.BufferedIOBase:
    """Open a file, unpacked where its name ends in ``.gz``."""
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def read(file: io.BufferedIOBase, number: int) -> bytes:
    """Read so many bytes, or fewer at the end.

    Raises:
        Damage: They cannot be unpacked.
    """
    try:
        return file.read(number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"it cannot be unpacked: {error}"
        raise Damage(message) from error


def length_of(path: Path) -> int:
    """Give the length of a file, unpacked where its name ends in ``.gz``.

    Raises:
        Damage: It cannot be unpacked.
    """
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    with opened(path) as file:
        found = 0
        while part := read(file, AT_ONCE):
            found += len(part)
    return found


def require(found: int, needed: int, what: str = "bytes") -> None:
    """Compare what there is with what there should be.

    Raises:
        Damage: It is less.
    """
    if found < needed:
        message = f"it has {found} {what} of {needed}"
        raise Damage(message)
