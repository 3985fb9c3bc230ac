"""Points written to files."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from impact_plugin._errors import InputError
from impact_plugin._io import expanded, write_text
from impact_plugin.evaluation.points import Points, PointsLike, numbers_of, read_points
from impact_plugin.images.axes import Axes, check_axes

WRITTEN = (".csv", ".txt")
"""Endings of the names of files that are written."""


def check_name(path: Path, axes: Axes) -> None:
    """Check that points of a frame can be written to a file of that name.

    Raises:
        ValueError: They cannot.
    """
    check_axes(axes)
    if path.suffix.lower() not in WRITTEN:
        message = f"{path}: points are written to a file whose name ends in {' or '.join(WRITTEN)}"
        raise InputError(message)
    if path.suffix.lower() == ".txt" and axes != "LPS":
        message = (
            f"{path}: axes is {axes!r}, and .txt is for elastix, whose points are in LPS; a .csv "
            "file says of which frame it is"
        )
        raise InputError(message)


def write_points(points: PointsLike, path: str | os.PathLike[str], axes: Axes = "LPS") -> Path:
    """Write points to a file that :func:`read_points` reads back, whatever its ``axes``.

    Args:
        points: Points; or positions, shape (N, 2) or (N, 3), mm in LPS; or a file of points.
        path: ``.csv``: a table, whose columns are named l, p, s or r, a, s, and ``label`` where the
            points have names; or ``.txt``: elastix's points, in LPS and without names.
        axes: Frame to write them in, ``"LPS"`` or ``"RAS"``.

    Returns:
        The file's path.

    Raises:
        ValueError: The name ends otherwise, ``.txt`` was to be in RAS, or ``axes`` is another word.
        OSError: It cannot be written.
    """
    file = expanded(path)
    check_name(file, axes)
    if isinstance(points, str | os.PathLike):
        points = read_points(points)
    elif not isinstance(points, Points):
        points = Points(numbers_of("points", points, "(N, 2) or (N, 3)"))
    rows = [[repr(value) for value in row] for row in points.coordinates(axes).tolist()]
    if file.suffix.lower() == ".txt":
        lines = "\n".join(" ".join(row) for row in rows)
        write_text(file, f"point\n{len(rows)}\n{lines}\n")
        return file
    head = list(axes.lower()[: points.positions.shape[1]])
    if points.names:
        head = ["label", *head]
        rows = [[name, *row] for name, row in zip(points.names, rows, strict=True)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_text(file, text.getvalue())
    return file
