"""Where pairs come from: a table, patterns of file names, or all to one atlas."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impact_plugin._errors import InputError
from impact_plugin._io import expanded
from impact_plugin.cohort.errors import CohortProblem, PairsError, Problems
from impact_plugin.cohort.pairs import (
    FILES,
    OPTIONS,
    OVERRIDE,
    WHOLE,
    Pair,
    absolute,
    checked,
    name_problem,
    whole_path,
)
from impact_plugin.images.reading import stem
from impact_plugin.transforms.initial import AUTOMATIC

_KNOWN = ("pair", *FILES, "initial_transform", *OPTIONS)
_ENTITY = re.compile(r"(?:^|[_/])((?:sub|ses|run)-[A-Za-z0-9]+)(?=[_/.]|$)")


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """Read a table of pairs: CSV, or TSV where the name ends in ``.tsv``.

    Relative paths are relative to the table. ``docs/cohorts.md`` lists the columns, and says what
    separates them.

    Raises:
        FileNotFoundError: There is no such file.
        PairsError: With all that is wrong (columns, names, numbers), and the pairs that are right.
    """
    table = expanded(path, "pairs").absolute()
    lines = _lines(table)
    heads = lines[0][1] if lines else []
    while heads and not heads[-1]:  # spreadsheets write columns that were used once
        heads.pop()
    missing = [name for name in FILES[:2] if name not in heads]
    twice = [name for name in dict.fromkeys(heads) if name and heads.count(name) > 1]
    said = [f"there is no column {name!r}" for name in missing]
    said += [
        f"the column {name!r} is not known; known are {', '.join(_KNOWN)}, and "
        f"{OVERRIDE}<elastix parameter>"
        for name in heads
        if name and not _is_known(name)
    ]
    said += [f"the column {name!r} is there {heads.count(name)} times" for name in twice]
    if not lines[1:]:
        said.append("there is no pair in it")
    problems = [CohortProblem("table", f"{table}: {each}") for each in said]
    found = []
    for number, cells in [] if missing or twice else lines[1:]:
        try:
            row = _row(heads, cells)
            found.append(_of_row({k: row[k] for k in row if _is_known(k)}, table.parent))
        except PairsError as error:
            problems += [each.behind(f"{table}:{number}") for each in error.problems]
    if problems:
        raise PairsError(problems, found)
    return found


def _lines(table: Path) -> list[tuple[int, list[str]]]:
    """Read the lines that are not empty, each with its number."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
        separators = "\t,;" if table.suffix.lower() == ".tsv" else ",;\t"
        separator = next((s for s in separators if _separates(s, text)), separators[0])
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
        )
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        message = f"{table} is no table that can be read, CSV or TSV in UTF-8: {error}"
        raise PairsError([CohortProblem("table", message)]) from error
    return [(number, cells) for number, cells in lines if any(cells)]


def _separates(separator: str, text: str) -> bool:
    """Tell whether a separator divides the first line, outside of quotes."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    return len(next((cells for cells in lines if any(cells)), [])) > 1


def _is_known(name: str) -> bool:
    return name in _KNOWN or (name.startswith(OVERRIDE) and len(name) > len(OVERRIDE))


def _row(heads: Sequence[str], cells: list[str]) -> dict[str, str]:
    """Name the cells of a row; empty ones behind the last column are none."""
    while len(cells) > len(heads) and not cells[-1]:
        cells = cells[:-1]
    if len(cells) != len(heads):
        numbers = f"{len(cells)}, not {len(heads)}"
        message = f"the row has not as many cells as there are columns ({numbers})"
        raise PairsError([CohortProblem("table", message)])
    lost = [cell for head, cell in zip(heads, cells, strict=True) if cell and not head]
    if lost:
        raise PairsError(
            CohortProblem("table", f"the column of {cell!r} has no name in the first line")
            for cell in lost
        )
    return dict(zip(heads, cells, strict=True))


def _of_row(row: Mapping[str, str], folder: Path) -> Pair:
    problems = Problems()
    files: dict[str, str] = {}
    for name in (*FILES, "initial_transform"):
        text = row.get(name, "")
        if text in AUTOMATIC and name == "initial_transform":
            files[name] = text
        elif text:
            with problems.noted("table", f"{name}: "):
                files[name] = absolute(text, folder)
        elif name in FILES[:2]:
            problems.add("table", f"{name} is empty, expected the path of an image")
    start = files.pop("initial_transform", None)
    options: dict[str, Any] = {
        name: int(text) if re.fullmatch("[0-9]{1,9}", text) else text
        for name in ("channel", "axes")
        if (text := row.get(name, ""))
    }
    for name in WHOLE:
        text = row.get(name, "")
        numbers = re.split(r"[\s,;]+", text.strip()) if name == "iterations" else [text]
        if text and not all(re.fullmatch(r"[0-9]{1,18}", number) for number in numbers):
            several = ", or one for each level: 200 200 500" if name == "iterations" else ""
            problems.add("table", f"{name} is {text!r}, expected a whole number{several}")
        elif text:
            whole = [int(number) for number in numbers]
            options[name] = whole if len(whole) > 1 else whole[0]
    overrides = {
        name.removeprefix(OVERRIDE): text.split()
        for name, text in row.items()
        if name.startswith(OVERRIDE) and text
    }
    name = row.get("pair") or _plain(
        "__".join(stem(files[side]) for side in FILES[:2] if side in files)
    )
    # Stand-ins for what is missing, which is said already, so that the rest is looked at.
    files = {**dict.fromkeys(FILES[:2], str(folder)), **files}
    try:
        pair = checked(Pair(name, files, start, options, overrides))
    except PairsError as error:
        problems += error.problems
    if name_problem(name) and not row.get("pair"):
        problems.add("pair", "a column `pair` gives names in place of <fixed>__<moving>")
    if problems:
        raise PairsError(problems)
    return pair


def all_to_atlas(
    atlas: str | os.PathLike[str], images: Iterable[str | os.PathLike[str]]
) -> list[Pair]:
    """Pair each image, as the moving one, with an atlas, as the fixed one.

    The atlas itself may be among the images. A pair has the name of its image.

    Raises:
        PairsError: There is no image, one's name is too long for a folder, or a path begins with
            the home folder of a user that does not exist.
    """
    problems = Problems()
    fixed = whole_path(atlas, problems, "atlas")
    files = [whole_path(image, problems, "images") for image in images]
    rows = [(_plain(stem(file)), fixed, file) for file in files if file not in ("", fixed)]
    if not rows and (not files or not problems):
        problems.add("argument", "there is no image")
    return _collected(rows if fixed else [], problems)


def match_patterns(root: str | os.PathLike[str], fixed: str, moving: str) -> list[Pair]:
    """Pair the files of a folder as BIDS names them: those of the same sub-, ses- and run-.

    Args:
        root: The folder.
        fixed: Pattern of the fixed images in it, such as ``sub-*/anat/*_T1w.nii.gz``.
        moving: Pattern of the moving images.

    Raises:
        PairsError: A pattern is not relative, or nothing matches; a file has no ``sub-``; two files
            have the same entities; there is only one of two images. With the pairs that are right.
    """
    problems = Problems()
    folder = whole_path(root, problems, "root")
    if not folder:
        raise PairsError(problems)
    fixeds = _by_entities(folder, "fixed", fixed, problems)
    movings = _by_entities(folder, "moving", moving, problems)
    alone = sorted(fixeds.keys() ^ movings.keys())
    if alone and fixeds and movings:
        text = f"{folder}: there is only one of the two images of {', '.join(alone)}"
        problems.add("pattern", text)
    rows = [
        (name, fixeds[name][0], movings[name][0])
        for name in fixeds
        if len(fixeds[name]) == len(movings.get(name, ())) == 1
    ]
    return _collected(rows, problems)


def matching(folder: Path, pattern: str) -> list[Path]:
    """Find the files of a folder that match a pattern, in order.

    Raises:
        ValueError: It is no relative pattern, or the folder cannot be read.
    """
    if Path(pattern) == Path():
        message = "it names the folder itself"
        raise InputError(message)
    try:
        return sorted(folder.glob(pattern))
    except (ValueError, NotImplementedError, OSError) as error:
        raise InputError(str(error)) from error


def _by_entities(folder: str, role: str, pattern: str, problems: Problems) -> dict[str, list[str]]:
    """Find the files that match, by their sub-, ses- and run-: one each, where all is well."""
    found: dict[str, list[str]] = {}
    try:
        paths = matching(Path(folder), pattern)
    except ValueError as error:
        text = f"{role} is {pattern!r}, expected a pattern of files relative to {folder}, such as "
        problems.add("pattern", f"{text}'sub-*/anat/*_T1w.nii.gz': {error}")
        return found
    if not paths:
        problems.add("pattern", f"{folder}: no file matches {pattern!r} ({role})")
    for path in paths:
        name = "_".join(dict.fromkeys(_ENTITY.findall(path.relative_to(folder).as_posix())))
        if not (file := whole_path(path, problems)):
            continue
        if "sub-" in name:
            found.setdefault(name, []).append(file)
        else:
            problems.add("pattern", f"{path}: there is no sub-<label> in its name")
    for name, files in found.items():
        if len(files) > 1:
            problems.add("pattern", f"{' and '.join(files)} are all {name}: narrow the pattern")
    return found


def _collected(rows: Iterable[tuple[str, str, str]], problems: Problems) -> list[Pair]:
    found = []
    for name, fixed, moving in rows:
        if said := name_problem(name):
            text = f"{moving}: the pair's name {said}; give names by a table of pairs"
            problems.add("pair", text)
        else:
            found.append(Pair(name, {"fixed": fixed, "moving": moving}))
    if problems:
        raise PairsError(problems, found)
    return found


def _plain(name: str) -> str:
    """Make a name that a pair may have: ``é`` is ``e``, what has no such letter is ``_``."""
    apart = unicodedata.normalize("NFKD", name)
    letters = "".join(each for each in apart if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9._-]", "_", letters).lstrip("._-") or "pair"
