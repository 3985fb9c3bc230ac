"""Legacy VTK files, of which ITK's reader takes zeros for what is missing."""

from __future__ import annotations

import io
from math import prod
from pathlib import Path

from impact_plugin.images.integrity.damage import Damage, require

_BYTES = {
    "char": 1,
    "short": 2,
    "int": 4,
    "long": 8,
    "float": 4,
    "double": 8,
    "vtktypeint64": 8,
}  # "unsigned_" or "u" before
_HEADER = ("dataset", "dimensions", "spacing", "aspect_ratio", "origin", "point_data", "cell_data")
_LINES = 20  # of a header with some empty ones; images have ten
_LONGEST_LINE = 4096


def check(path: Path) -> None:
    """Check an image of one channel; see https://docs.vtk.org, VTK File Formats, Simple Legacy.

    Raises:
        Damage: It is not whole.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        words: dict[str, list[str]] = {}
        for number in range(_LINES):
            line = _line(file)
            if number == 2:
                binary = line == ["binary"]
            elif number > 2 and line:
                words[line[0]] = line
                if line[0] not in _HEADER:
                    break
        if "scalars" not in words:
            return  # of another kind, or the reader says so
        position = file.tell()
        if not file.readline(_LONGEST_LINE).lower().startswith(b"lookup_table"):
            file.seek(position)
        values = _values(words)
        if values is None:
            return
        number, each = values
        if binary:
            require(path.stat().st_size, file.tell() + number * each)
        else:
            require(sum(len(line.split()) for line in file), number, "values")


def _line(file: io.BufferedReader) -> list[str]:
    """Read a line of the header, in words of small letters."""
    line = file.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        message = "it ends within its header"
        raise Damage(message)
    return line.decode("latin-1").lower().split()


def _values(words: dict[str, list[str]]) -> tuple[int, int] | None:
    """Give the number of values and the bytes of each; None where that is not known."""
    try:
        sizes = [int(word) for word in words["dimensions"][1:]]
        _, _, kind, *channels = words["scalars"]
        number = prod(sizes) * int(channels[0] if channels else 1)
    except (KeyError, ValueError):
        return None
    kind = kind.replace("vtktypeuint", "vtktypeint").removeprefix("unsigned_")
    return (number, _BYTES[kind]) if kind in _BYTES else None
