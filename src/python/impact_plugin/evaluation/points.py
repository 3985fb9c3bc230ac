"""Files of points: elastix's, tables, and the two of 3D Slicer.

Whatever a file holds, what is read is in mm in LPS, ITK's frame (x to the patient's left, y to the
back, z to the head).
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact_plugin._equality import EqualByValue
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.images import conversion
from impact_plugin.images.axes import Axes, check_axes, turned
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry

Positions: TypeAlias = NDArray[np.float64]
"""Shape (N, d), mm, (x, y) or (x, y, z) in LPS."""


@dataclass(frozen=True, eq=False)
class Points(EqualByValue):
    """Points in the order of their file.

    Args:
        positions: Shape (N, d), mm, (x, y) or (x, y, z) in LPS.
        names: What the file calls them, one each; empty where it has no names.

    Raises:
        ValueError: The shape is another, or there are more or fewer names.
    """

    positions: Positions
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positions = numbers_of("positions", self.positions, "(N, 2) or (N, 3)")
        if positions.ndim != 2 or positions.shape[1] not in (2, 3):
            message = f"positions have the shape {positions.shape}, expected (N, 2) or (N, 3), mm"
            raise InputError(message)
        if self.names and len(self.names) != len(positions):
            message = f"names are {len(self.names)}, and there are {len(positions)} points"
            raise InputError(message)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "names", tuple(self.names))

    def __len__(self) -> int:
        return len(self.positions)

    def coordinates(self, axes: Axes = "LPS") -> Positions:
        """Give the positions, shape (N, d), mm, in ``"LPS"`` or ``"RAS"``.

        Raises:
            ValueError: ``axes`` is another word.
        """
        return turned(self.positions, axes)


PointsLike: TypeAlias = str | os.PathLike[str] | Points | ArrayLike
"""A path, points of :func:`read_points`, or positions."""


def read_points(
    path: str | os.PathLike[str],
    image: ImageLike | Geometry | None = None,
    axes: Axes = "LPS",
) -> Points:
    """Read a file of points.

    Args:
        path: The file, by its ending:

            - ``.txt``: elastix's, with ``point`` (mm, LPS) or ``index`` (voxels, from 0) and the
              number of points on top; or plain columns x, y, z: mm in ``axes``;
            - ``.csv``, ``.tsv``: columns named l, p, s or r, a, s, which say the frame; or x, y, z,
              or without names, mm in ``axes``; in front of them or by its name, ``label``;
            - ``.fcsv``: 3D Slicer's older fiducials: LPS or RAS as its head says, RAS without one;
            - ``.json``, ``.mrk.json``: 3D Slicer's markups, LPS or RAS as each list says.

        image: The image that voxel indices are of, as in :func:`impact_plugin.register_images`.
        axes: Frame of coordinates of which the file does not say it, ``"LPS"`` or ``"RAS"``.

    Returns:
        The points, in mm in LPS whatever the file has; ``points.coordinates("RAS")`` gives them in
        RAS.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is of another kind, or not as its kind should be; the message has the line.
            Or ``axes`` is another word, or the image is none.
        TypeError: The path or the image is of another kind.
    """
    check_axes(axes)
    if image is not None and not isinstance(image, Geometry):
        image = Geometry.of(conversion.to_sitk(image, "image"))
    file = expanded(path)
    if not file.is_file():
        message = f"there is no file of points {str(file)!r} (in {Path.cwd()})"
        raise MissingFileError(message)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        message = f"{file} is no file of points that is known: expected {', '.join(_READERS)}"
        raise InputError(message)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{file} is no text file, expected points as text ({file.suffix}): {error}"
        raise InputError(message) from error
    points = reader(text, str(file), image, axes)
    if not len(points):
        message = f"{file} holds no points"
        raise InputError(message)
    if not np.isfinite(points.positions).all():
        row = int(np.flatnonzero(~np.isfinite(points.positions).all(axis=1))[0])
        message = f"{file}: point {row + 1} is {points.positions[row]}, expected finite mm"
        raise InputError(message)
    return points


def as_points(
    points: PointsLike, dimension: int, name: str, image: Geometry | None, axes: Axes = "LPS"
) -> Points:
    """Give points of a file, or positions, as Points of a dimension.

    Args:
        points: A path, :class:`Points`, or positions (N, d), mm in ``axes``.
        dimension: 2 or 3.
        name: What messages call them.
        image: As in :func:`read_points`.
        axes: As in :func:`read_points`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: They are not (N, dimension) finite numbers, or as in :func:`read_points`.
    """
    check_axes(axes)
    if isinstance(points, str | os.PathLike | Points):
        known = isinstance(points, Points)
        found = points if isinstance(points, Points) else read_points(points, image, axes)
        if found.positions.shape[1] != dimension:
            message = (
                f"{name}: the points{'' if known else f' in {str(points)!r}'} have "
                f"{found.positions.shape[1]} coordinates, and the images that were registered have "
                f"{dimension} dimensions"
            )
            raise InputError(message)
        return found
    positions = numbers_of(name, points, f"(N, {dimension})", "a path or ")
    if positions.ndim != 2 or positions.shape[1] != dimension or not len(positions):
        message = f"{name} has the shape {positions.shape}, expected (N, {dimension}), mm"
        raise InputError(message)
    if not np.isfinite(positions).all():
        message = f"{name} has coordinates that are not finite, expected places in mm"
        raise InputError(message)
    return Points(turned(positions, axes))


def numbers_of(name: str, given: ArrayLike, shape: str, also: str = "") -> Positions:
    """Give positions as an array of doubles, of whatever shape.

    Args:
        name: What messages call them.
        given: The positions.
        shape: The shape that messages say is expected.
        also: What else messages say is expected.

    Raises:
        ValueError: They are not numbers, or rows of different lengths.
    """
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"{name}: expected {also}numbers of the shape {shape}: {error}"
        raise InputError(message) from error


def _read_text(text: str, name: str, image: Geometry | None, axes: Axes) -> Points:
    """Read elastix's points, or plain columns."""
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    rows = [(number, re.split(r"[,;\s]+", line)) for number, line in enumerate(lines, 1) if line]
    if not rows:
        return Points(np.empty((0, 3)))
    first = rows[0][1]
    if "OutputPoint" in text:
        message = (
            f"{name} is what transformix writes of points that it mapped; expected points as they "
            "lie in an image"
        )
        raise InputError(message)
    if first[0].lower() not in ("point", "index"):
        if len(first) == 1:
            message = (
                f"{name}, line 1: {first[0]!r}; expected `point` (mm, LPS) or `index` (voxels), "
                "then the number of points, or else rows of coordinates in mm"
            )
            raise InputError(message)
        return Points(turned(_numbers(rows, name), axes))
    head = [*first, *(rows[1][1] if len(first) == 1 and len(rows) > 1 else [])]
    body = rows[1:] if len(first) > 1 else rows[2:]
    if len(head) != 2 or not head[1].isdigit():
        message = f"{name}: expected the number of points after `{first[0]}`"
        raise InputError(message)
    positions = _numbers(body, name)
    if len(positions) != int(head[1]):
        message = f"{name} says that it has {head[1]} points, and has {len(positions)}"
        raise InputError(message)
    if first[0].lower() == "point":
        return Points(positions)
    if image is None:
        message = (
            f"{name} has voxel indices: give the image that they are of (image, fixed_image or "
            "moving_image), or a file with `point`, which has mm"
        )
        raise InputError(message)
    if positions.shape[1] != image.dimension:
        message = f"{name} has indices of {positions.shape[1]} axes, the image {image.dimension}"
        raise InputError(message)
    return Points(positions @ image.matrix.T + image.origin)


_NAME_COLUMNS = ("label", "name", "id")


def _read_table(text: str, name: str, _: Geometry | None, axes: Axes) -> Points:
    """Read a table with or without a line of column names."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        return Points(np.empty((0, 3)))
    delimiter = next((each for each in "\t;" if each in lines[0]), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    head = [re.split(r"[\s_(\[]", cell.lower())[0] for cell in rows[0]]
    frames: dict[str, Axes] = {"xyz": axes, "lps": "LPS", "ras": "RAS"}
    for letters, frame in frames.items():
        if all(letter in head for letter in letters[:2]):
            columns = [letter for letter in letters if letter in head]
            if double := [letter for letter in columns if head.count(letter) > 1]:
                message = (
                    f"{name}, line 1: {delimiter.join(rows[0])!r} has {double[0]} twice; which "
                    "column is meant is not clear"
                )
                raise InputError(message)
            if longer := [n for n, row in enumerate(rows[1:], 1) if any(row[len(head) :])]:
                message = (
                    f"{name}: point {longer[0]} has {len(rows[longer[0]])} values for "
                    f"{len(head)} columns"
                )
                raise InputError(message)
            return _columns(rows[1:], head, columns, frame, name)
    numbered = list(enumerate(rows, 1))
    if not _is_number(rows[0][0]):
        if len(rows[0]) < 3 or not all(map(_is_number, rows[0][1:])):
            message = (
                f"{name}, line 1: {delimiter.join(rows[0])!r}; expected column names x, y, z (or "
                "r, a, s or l, p, s), or coordinates"
            )
            raise InputError(message)
        names = tuple(row[0] for row in rows)
        coordinates = _numbers([(number, row[1:]) for number, row in numbered], name)
        return Points(turned(coordinates, axes), names)
    return Points(turned(_numbers(numbered, name), axes))


def _read_fcsv(text: str, name: str, _: Geometry | None, __: Axes) -> Points:
    """Read 3D Slicer's older fiducials."""
    if "Markups fiducial file" not in text:
        message = f"{name} is no file of 3D Slicer's fiducials: no `# Markups fiducial file` in it"
        raise InputError(message)
    notes = dict(re.findall(r"(?m)^#\s*(CoordinateSystem|columns)\s*=\s*(.*?)\s*$", text))
    system = notes.get("CoordinateSystem", "RAS")
    # Slicer 4 numbered them.
    system = {"0": "RAS", "1": "LPS", "2": "IJK"}.get(system, system)
    if system not in ("RAS", "LPS"):
        message = f"{name}: CoordinateSystem is {system!r}, expected RAS or LPS"
        raise InputError(message)
    head = notes.get("columns", "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc").lower().split(",")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return _columns(
        list(csv.reader(lines)), head, list("xyz"), "RAS" if system == "RAS" else "LPS", name
    )


def _read_markups(text: str, name: str, _: Geometry | None, __: Axes) -> Points:
    """Read 3D Slicer's markups: the points of all lists in the file."""
    try:
        lists = json.loads(text)["markups"]
        kinds = [each["type"] for each in lists]
    except (ValueError, TypeError, KeyError) as error:
        why = str(error) if isinstance(error, ValueError) else "no `markups` of a `type` each in it"
        message = f"{name} is no file of 3D Slicer's markups: {why}"
        raise InputError(message) from error
    if wrong := sorted({str(kind) for kind in kinds} - {"Fiducial"}):
        message = f"{name} holds markups of the type {', '.join(wrong)}, expected Fiducial (points)"
        raise InputError(message)
    positions, names = [], []
    for each in lists:
        system, units = each.get("coordinateSystem", "LPS"), each.get("coordinateUnits", "mm")
        if system not in ("LPS", "RAS"):
            message = f"{name}: coordinateSystem is {system!r}, expected LPS or RAS"
            raise InputError(message)
        if any(unit != "mm" for unit in ([units] if isinstance(units, str) else units)):
            message = f"{name}: coordinateUnits is {units!r}, expected mm"
            raise InputError(message)
        for number, point in enumerate(each.get("controlPoints", []), 1):
            label = str(point.get("label", number))
            place = point.get("position")
            if point.get("positionStatus", "defined") != "defined" or not _is_place(place):
                message = f"{name}: the point {label!r} is not placed (position {place})"
                raise InputError(message)
            positions.append(turned(np.array(place, dtype=float), system))
            names.append(label)
    return Points(np.reshape(positions, (-1, 3)), tuple(names))


_READERS: dict[str, Callable[[str, str, Geometry | None, Axes], Points]] = {
    ".txt": _read_text,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".fcsv": _read_fcsv,
    ".json": _read_markups,
}

FILES = tuple(_READERS)
"""Endings of the names of files of points."""


def _columns(
    rows: Sequence[Sequence[str]],
    head: Sequence[str],
    letters: Sequence[str],
    axes: Axes,
    name: str,
) -> Points:
    """Take the columns of the coordinates, and of the points' names, out of a table."""
    where = [head.index(letter) for letter in letters]
    column = next((head.index(each) for each in reversed(_NAME_COLUMNS) if each in head), None)
    if "label" in head:  # fcsv has both, and its ids are made up
        column = head.index("label")
    short = [number for number, row in enumerate(rows, 1) if len(row) <= max(where)]
    if short:
        message = f"{name}: point {short[0]} has no column {letters[-1]}"
        raise InputError(message)
    cells = [(number, [row[k] for k in where]) for number, row in enumerate(rows, 1)]
    names = (
        () if column is None else tuple(row[column] if column < len(row) else "" for row in rows)
    )
    return Points(turned(_numbers(cells, name, "point"), axes), names)


def _numbers(rows: Sequence[tuple[int, Sequence[str]]], name: str, what: str = "line") -> Positions:
    """Give rows of texts as numbers, 2 or 3 each."""
    if not rows:
        return np.empty((0, 3))
    dimension = len(rows[0][1])
    for number, row in rows:
        if len(row) != dimension or dimension not in (2, 3) or not all(map(_is_number, row)):
            message = (
                f"{name}, {what} {number}: {' '.join(row)!r}; expected "
                f"{dimension if dimension in (2, 3) else '2 or 3'} coordinates"
            )
            raise InputError(message)
    return np.array([[float(cell) for cell in row] for _, row in rows])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_place(position: Any) -> bool:  # noqa: ANN401  (whatever is in the file)
    return (
        isinstance(position, list)
        and len(position) == 3
        and all(isinstance(number, int | float) for number in position)
    )
