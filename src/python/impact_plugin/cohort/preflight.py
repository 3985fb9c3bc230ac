"""Check the pairs and variants of a cohort before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin.check import ImageHeader
from impact_plugin.check.images import header_of
from impact_plugin.cohort import measuring
from impact_plugin.cohort.errors import CohortProblem, PairsError, Problems
from impact_plugin.cohort.pairs import FILES, Pair, checked, name_problem
from impact_plugin.cohort.plan import Variant
from impact_plugin.cohort.sources import read_pairs
from impact_plugin.evaluation.api import OutsideLandmarks
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.folders.result_folder import transform_in
from impact_plugin.images.colour import ColourWarning
from impact_plugin.images.errors import notice
from impact_plugin.images.reading import exists
from impact_plugin.images.validation import check_grid
from impact_plugin.transforms import initial
from impact_plugin.transforms.initial import AUTOMATIC

_IMAGES = tuple(name for name in FILES if not name.endswith("_points"))
_SIDES = FILES[:2]

Headers = dict[str, ImageHeader]


def collect_pairs(given: str | os.PathLike[str] | Iterable[Pair], problems: Problems) -> list[Pair]:
    """Read the pairs, or look at those given; adds to ``problems`` what is wrong with them."""
    if isinstance(given, str | os.PathLike):
        try:
            return read_pairs(given)
        except PairsError as error:
            problems += error.problems
            return error.pairs
        except (OSError, InputError) as error:
            problems.add("table", f"the table of pairs cannot be read: {error}")
        return []
    if not isinstance(given, Iterable):
        text = f"pairs is {given!r}, expected the path of a table, or Pairs in a list"
        problems.add("argument", text)
        return []
    found = []
    try:
        all_given = list(given)
        if not all_given:
            problems.add("argument", "there are no pairs")
    except PairsError as error:  # of an iterator that finds them only now
        problems += error.problems
        all_given = error.pairs
    for pair in all_given:
        try:
            found.append(checked(pair))
        except PairsError as error:
            problems += error.problems
    return found


def check_pairs(
    pairs: Sequence[Pair],
    outside: OutsideLandmarks = "error",
    lost: list[OutsideError] | None = None,
) -> tuple[Problems, Headers]:
    """Find duplicates, files that are not there or cannot be read, and what does not fit.

    Args:
        pairs: To be registered.
        outside: What becomes of landmarks outside the images.
        lost: Gets the errors of landmarks outside the images.

    Returns:
        What is wrong, and the headers of the images, see :data:`.maps.Headers`.

    Warns:
        ColourWarning: Once: some images have colours, and their pairs do not say which channel.
    """
    problems = _twice("pair", [pair.name for pair in pairs])
    same: dict[str, str] = {}
    headers: Headers = {}
    wrong: set[str] = set()
    coloured: list[str] = []
    for pair in pairs:
        content = repr((dict(pair.files), pair.initial_transform, pair.options, pair.overrides))
        if content in same and same[content] != pair.name:
            problems.add("pair", f"the pairs {same[content]!r} and {pair.name!r} are the same")
        same.setdefault(content, pair.name)
        named = dict(pair.files)
        if pair.initial_transform not in (None, *AUTOMATIC):
            named["initial_transform"] = str(pair.initial_transform)
        for role, path in named.items():
            name = pair.image(role) if role in _SIDES else path
            is_known = name in headers and role in _IMAGES
            if name in wrong or (is_known and (role in _SIDES or not headers[name].channel)):
                continue
            before = len(problems)
            with problems.noted("image", f"pair {pair.name!r}: {role}: "):
                _look(path, role, pair, headers, coloured)
            if len(problems) > before:
                wrong.add(name)
        problems += _check_sides(pair, headers, outside, [] if lost is None else lost)
    if coloured:
        more = f". Images with colours in all: {len(coloured)}" if len(coloured) > 1 else ""
        notice(f"{coloured[0]}{more}", ColourWarning)
    return problems, headers


def check_kept(pairs: Sequence[Pair], variants: Sequence[Variant], folder: Path) -> Problems:
    """Find inputs in folders of results, of which a new result takes the place as a whole."""
    places = {
        (folder / "pairs" / pair.name / variant.name).resolve()
        for pair in pairs
        for variant in variants
    }
    return Problems(
        CohortProblem(
            "overwritten-input",
            f"pair {pair.name!r}: {role} is {path!r}, in a folder that this cohort writes anew: "
            "give another output folder, or a copy of that file",
        )
        for pair in pairs
        for role, path in [*pair.files.items(), ("initial_transform", pair.initial_transform or "")]
        if path and places & {Path(path).resolve(), *Path(path).resolve().parents}
    )


def check_variants(variants: Sequence[Variant]) -> Problems:
    """Find variants that are there twice, or whose names no folder can have."""
    problems = Problems()
    for variant in variants:
        if said := name_problem(variant.name, also="+"):
            files = ": rename the parameter file" if variant.maps else ""
            problems.add("variant", f"the variant's name {said}{files}")
    if not variants:
        problems.add("variant", "there is neither a preset nor a parameter file")
    problems += _twice("variant", [variant.name for variant in variants])
    return problems


def _look(path: str, role: str, pair: Pair, headers: Headers, coloured: list[str]) -> None:
    may_be_folder = role in _IMAGES or role == "initial_transform"
    if not (Path(path).is_file() or (may_be_folder and exists(path))):
        message = f"there is no file {path!r}"
        raise MissingFileError(message)
    if role in _SIDES:
        header, said = header_of(path, pair.options.get("channel"))
        headers[pair.image(role)] = header
        coloured += [f"pair {pair.name!r}: {said}"] if said else []
    elif role in _IMAGES:
        headers[path] = ImageHeader.read(path, colours=False)
    elif not os.access(path, os.R_OK):
        message = f"{path!r} may not be read"
        raise PermissionError(message)


def _twice(what: Literal["pair", "variant"], names: Sequence[str]) -> Problems:
    """Find names that are the same, also where a file system does not tell A from a."""
    problems = Problems()
    known: dict[str, str] = {}
    for name in names:
        first = known.get(name.lower())
        if first is None:
            known[name.lower()] = name
        elif first == name:
            problems.add(what, f"two {what}s are named {name!r}")
        else:
            problems.add(what, f"the {what}s {first!r} and {name!r} differ only in case")
    return Problems(dict.fromkeys(problems))


def _check_sides(
    pair: Pair,
    headers: Mapping[str, ImageHeader],
    outside: OutsideLandmarks,
    lost: list[OutsideError],
) -> list[CohortProblem]:
    """Look at what belongs to a pair together with its images."""
    problems = measuring.one_sided(pair)
    fixed, moving = (headers.get(pair.image(side)) for side in _SIDES)
    are_there = all(exists(file) for file in pair.files.values())
    if fixed is not None and moving is not None and are_there:
        if fixed.dimension != moving.dimension:
            problems = Problems([CohortProblem("pair", "one image is 2D, the other 3D")])
        else:
            for side, header in (("fixed", fixed), ("moving", moving)):
                if mask := headers.get(pair.files.get(f"{side}_mask", "")):
                    with problems.noted("grid"):
                        check_grid(mask.grid, header.grid, f"{side}_mask", f"the {side} image")
            labels = headers.get(pair.files.get("fixed_labels", ""))
            problems += measuring.problems(pair, fixed, moving, labels, outside, lost)
            _check_start(pair, fixed, problems)
    return [each.behind(f"pair {pair.name!r}") for each in problems]


def _check_start(pair: Pair, fixed: ImageHeader, problems: Problems) -> None:
    """Read the initial transform, with all that it builds on."""
    path = pair.initial_transform
    if path in (None, *AUTOMATIC) or not Path(str(path)).exists():
        return
    try:
        if file := transform_in(str(path)):
            initial.read(Path(file), fixed.grid)
    except (ValueError, OSError) as error:
        said = str(error)
        name = "" if said.startswith("initial_transform") else "initial_transform: "
        problems.add("initial-transform", f"{name}{said}")
