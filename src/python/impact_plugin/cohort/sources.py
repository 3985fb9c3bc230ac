"""Where pairs come from: a table, patterns of file names, or all to one atlas."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

from impact_plugin.cohort.pairs import (
    FILES,
    OVERRIDE,
    WHOLE,
    Pair,
    PairsError,
    absolute,
    checked,
    name_problem,
)

_KNOWN = ("pair", *FILES, "initial_transform", *WHOLE)
_ENTITY = re.compile(r"(?:^|[_/])((?:sub|ses|run)-[A-Za-z0-9]+)(?=[_/.]|$)")


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """Read a table of pairs: CSV, or TSV where the name ends in ``.tsv``.

    Relative paths are relative to the table. ``docs/cohorts.md`` lists the columns.

    Raises:
        FileNotFoundError: There is no such file.
        PairsError: With all that is wrong: columns, names, numbers.
    """
    table = Path(path).expanduser().absolute()
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(
            file, delimiter="\t" if table.suffix == ".tsv" else ",", strict=True
        )
        try:
            heads = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
        except (csv.Error, UnicodeDecodeError) as error:
            raise PairsError([f"{table} is no table that can be read: {error}"]) from error
    problems = [f"{table}: there is no column {name!r}" for name in FILES[:2] if name not in heads]
    problems += [
        f"{table}: the column {name!r} is not known; known are {', '.join(_KNOWN)}, and "
        f"{OVERRIDE}<elastix parameter>"
        for name in heads
        if name not in _KNOWN and not (name.startswith(OVERRIDE) and len(name) > len(OVERRIDE))
    ]
    problems += [
        f"{table}: the column {name!r} is there {heads.count(name)} times"
        for name in dict.fromkeys(heads)
        if heads.count(name) > 1
    ]
    if not rows:
        problems.append(f"{table}: there is no pair in it")
    if problems:
        raise PairsError(problems)
    found = []
    for number, row in rows:
        place = f"{table}:{number}"
        if None in row or None in row.values():
            problems.append(f"{place}: the row has not as many cells as there are columns")
            continue
        try:
            found.append(checked(_of_row({k: v.strip() for k, v in row.items()}, table.parent)))
        except PairsError as error:
            problems += [f"{place}: {each}" for each in error.problems]
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise PairsError(problems)
    return found


def _of_row(row: dict[str, str], folder: Path) -> Pair:
    for name in FILES[:2]:
        if not row[name]:
            message = f"{name} is empty, expected the path of an image"
            raise ValueError(message)
    files = {name: absolute(row[name], folder) for name in FILES if row.get(name)}
    start = row.get("initial_transform") or None
    if start not in (None, "center", "mass"):
        start = absolute(start, folder)
    options = {}
    for name in WHOLE:
        text = row.get(name, "")
        if text and not re.fullmatch(r"\d+", text):
            message = f"{name} is {text!r}, expected a whole number"
            raise ValueError(message)
        if text:
            options[name] = int(text)
    overrides = {
        name.removeprefix(OVERRIDE): text.split()
        for name, text in row.items()
        if name.startswith(OVERRIDE) and text
    }
    default = f"{_stem(files['fixed'])}__{_stem(files['moving'])}"
    return Pair(_checked(row.get("pair") or default), files, start, options, overrides)


def all_to_atlas(
    atlas: str | os.PathLike[str], images: Iterable[str | os.PathLike[str]]
) -> list[Pair]:
    """Pair each image, as the moving one, with an atlas, as the fixed one.

    Raises:
        PairsError: There is no image, or one's name is not fit for a folder.
    """
    fixed = str(Path(atlas).expanduser().absolute())
    files = [str(Path(image).expanduser().absolute()) for image in images]
    return _collected(
        ((_stem(file), fixed, file) for file in files if file != fixed), "there is no image"
    )


def match_patterns(root: str | os.PathLike[str], fixed: str, moving: str) -> list[Pair]:
    """Pair the files of a folder as BIDS names them: those of the same sub-, ses- and run-.

    Args:
        root: The folder.
        fixed: Pattern of the fixed images in it, such as ``sub-*/anat/*_T1w.nii.gz``.
        moving: Pattern of the moving images.

    Raises:
        PairsError: Nothing matches; a file has no ``sub-``; two files have the same entities.
    """
    folder = Path(root).expanduser().absolute()
    problems: list[str] = []
    sides: list[dict[str, str]] = []
    for pattern in (fixed, moving):
        side: dict[str, str] = {}
        for path in sorted(folder.glob(pattern)):
            entities = _ENTITY.findall(path.relative_to(folder).as_posix())
            name = "_".join(dict.fromkeys(entities))
            if "sub-" not in name:
                problems.append(f"{path}: there is no sub-<label> in its name")
            elif name in side:
                problems.append(f"{path} and {side[name]} are both {name}: narrow the pattern")
            else:
                side[name] = str(path)
        sides.append(side)
        if not side:
            problems.append(f"{folder}: no file matches {pattern!r}")
    if not problems and (alone := sorted(sides[0].keys() ^ sides[1].keys())):
        problems.append(f"{folder}: there is only one of the two images of {', '.join(alone)}")
    if problems:
        raise PairsError(problems)
    rows = ((name, file, sides[1][name]) for name, file in sides[0].items())
    return _collected(rows, f"{folder}: there is no pair")


def _collected(rows: Iterable[tuple[str, str, str]], none: str) -> list[Pair]:
    found, problems = [], []
    for name, fixed, moving in rows:
        try:
            found.append(Pair(_checked(name), {"fixed": fixed, "moving": moving}))
        except ValueError as error:
            problems.append(f"{moving}: {error}")
    if problems or not found:
        raise PairsError(problems or [none])
    return found


def _checked(name: str) -> str:
    if (said := name_problem(name)) is not None:
        message = f"the pair's name {said}; a column `pair` gives names"
        raise ValueError(message)
    return name


def _stem(path: str) -> str:
    return re.sub(r"(\.nii)?\.gz$|\.[^.]+$", "", Path(path).name)
