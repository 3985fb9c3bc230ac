"""Check the pairs and variants of a cohort before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin.check import ImageError, ImageHeader
from impact_plugin.cohort import measuring
from impact_plugin.cohort.pairs import FILES, Pair, PairsError, checked, name_problem
from impact_plugin.cohort.plan import Variant
from impact_plugin.cohort.sources import read_pairs
from impact_plugin.evaluation.api import OutsideLandmarks
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.images.reading import exists
from impact_plugin.images.validation import check_grid
from impact_plugin.transforms import initial
from impact_plugin.transforms.initial import AUTOMATIC

_IMAGES = tuple(name for name in FILES if not name.endswith("_points"))

Headers = dict[str, ImageHeader]


def collect_pairs(
    given: str | os.PathLike[str] | Iterable[Pair], problems: list[str]
) -> list[Pair]:
    """Read the pairs, or look at those given; adds to ``problems`` what is wrong with them."""
    if isinstance(given, str | os.PathLike):
        try:
            return read_pairs(given)
        except PairsError as error:
            problems += error.problems
            return error.pairs
        except (OSError, InputError) as error:
            problems.append(f"the table of pairs cannot be read: {error}")
        return []
    if not isinstance(given, Iterable):
        problems.append(f"pairs is {given!r}, expected the path of a table, or Pairs in a list")
        return []
    found = []
    try:
        all_given = list(given)
        if not all_given:
            problems.append("there are no pairs")
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
) -> tuple[list[str], Headers]:
    """Find duplicates, files that are not there or cannot be read, and what does not fit.

    Args:
        pairs: To be registered.
        outside: What becomes of landmarks outside the images.
        lost: Gets the errors of landmarks outside the images.

    Returns:
        What is wrong, and the headers of the images by their paths.
    """
    problems = _twice("pair", [pair.name for pair in pairs])
    same: dict[str, str] = {}
    headers: Headers = {}
    wrong: dict[str, str] = {}
    for pair in pairs:
        content = repr((dict(pair.files), pair.initial_transform, pair.options, pair.overrides))
        if content in same and same[content] != pair.name:
            problems.append(f"the pairs {same[content]!r} and {pair.name!r} are the same")
        same.setdefault(content, pair.name)
        named = dict(pair.files)
        if pair.initial_transform not in (None, *AUTOMATIC):
            named["initial_transform"] = str(pair.initial_transform)
        for role, path in named.items():
            if path in wrong or (path in headers and role in _IMAGES):
                continue
            try:
                _look(path, role, headers)
            except (ImageError, OSError) as error:
                wrong[path] = str(error)
                problems.append(f"pair {pair.name!r}: {role}: {error}")
        problems += _check_sides(pair, headers, outside, [] if lost is None else lost)
    return problems, headers


def check_kept(pairs: Sequence[Pair], variants: Sequence[Variant], folder: Path) -> list[str]:
    """Find inputs in folders of results, of which a new result takes the place as a whole."""
    places = {
        (folder / "pairs" / pair.name / variant.name).resolve()
        for pair in pairs
        for variant in variants
    }
    return [
        f"pair {pair.name!r}: {role} is {path!r}, in a folder that this cohort writes anew: give "
        "another output folder, or a copy of that file"
        for pair in pairs
        for role, path in [*pair.files.items(), ("initial_transform", pair.initial_transform or "")]
        if places & set(Path(path).resolve().parents)
    ]


def check_variants(variants: Sequence[Variant]) -> list[str]:
    """Find variants that are there twice, or whose names no folder can have."""
    problems = []
    for variant in variants:
        if said := name_problem(variant.name, also="+"):
            files = ": rename the parameter file" if variant.maps else ""
            problems.append(f"the variant's name {said}{files}")
    if not variants:
        problems.append("there is neither a preset nor a parameter file")
    return problems + _twice("variant", [variant.name for variant in variants])


def _look(path: str, role: str, headers: Headers) -> None:
    if not (Path(path).is_file() or (role in _IMAGES and exists(path))):
        message = f"there is no file {path!r}"
        raise MissingFileError(message)
    if role in _IMAGES:
        headers[path] = ImageHeader.read(path)
    elif not os.access(path, os.R_OK):
        message = f"{path!r} may not be read"
        raise PermissionError(message)


def _twice(what: str, names: Sequence[str]) -> list[str]:
    """Find names that are the same, also where a file system does not tell A from a."""
    problems = []
    known: dict[str, str] = {}
    for name in names:
        first = known.get(name.lower())
        if first is None:
            known[name.lower()] = name
        elif first == name:
            problems.append(f"two {what}s are named {name!r}")
        else:
            problems.append(f"the {what}s {first!r} and {name!r} differ only in case")
    return list(dict.fromkeys(problems))


def _check_sides(
    pair: Pair,
    headers: Mapping[str, ImageHeader],
    outside: OutsideLandmarks,
    lost: list[OutsideError],
) -> list[str]:
    """Look at what belongs to a pair together with its images."""
    problems = measuring.one_sided(pair)
    fixed, moving = (headers.get(pair.files[side]) for side in ("fixed", "moving"))
    are_there = all(exists(file) for file in pair.files.values())
    if fixed is None or moving is None or not are_there:
        return [f"pair {pair.name!r}: {each}" for each in problems]
    if fixed.dimension != moving.dimension:
        return [f"pair {pair.name!r}: one image is 2D, the other 3D"]
    for side, header in (("fixed", fixed), ("moving", moving)):
        if mask := headers.get(pair.files.get(f"{side}_mask", "")):
            try:
                check_grid(mask.grid, header.grid, f"{side}_mask", f"the {side} image")
            except ValueError as error:
                problems.append(str(error))
    labels = headers.get(pair.files.get("fixed_labels", ""))
    problems += measuring.problems(pair, fixed, moving, labels, outside, lost)
    problems += _check_start(pair, fixed)
    return [f"pair {pair.name!r}: {each}" for each in problems]


def _check_start(pair: Pair, fixed: ImageHeader) -> list[str]:
    """Read the initial transform, with all that it builds on."""
    path = pair.initial_transform
    if path in (None, *AUTOMATIC) or not Path(str(path)).is_file():
        return []
    try:
        initial.read(Path(str(path)), fixed.grid)
    except (ValueError, OSError) as error:
        said = str(error)
        name = "" if said.startswith("initial_transform") else "initial_transform: "
        return [f"{name}{said}"]
    return []
