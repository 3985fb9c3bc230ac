"""A pair of a cohort, and what must hold of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impact_plugin._arguments import LARGEST_SEED, check_integer, checked_iterations
from impact_plugin._errors import InputError
from impact_plugin._io import expanded
from impact_plugin.parameters.values import as_texts

FILES = (
    "fixed",
    "moving",
    "fixed_mask",
    "moving_mask",
    "fixed_points",
    "moving_points",
    "fixed_labels",
    "moving_labels",
)
"""Columns that name files; the first two are needed."""

WHOLE = ("iterations", "seed")
"""Columns with whole numbers: arguments of :func:`impact_plugin.register_images`."""

OVERRIDE = "set:"
"""How the columns begin that change a parameter of every map: ``set:MaximumStepLength``."""

LONGEST = 120
"""Characters of a name: a pair's and a variant's together name a file, which may have 255."""


class PairsError(InputError):
    """Not all pairs can be read.

    Attributes:
        problems: All that is wrong.
        pairs: Those with which nothing is wrong.
    """

    def __init__(self, problems: Iterable[str], pairs: Iterable[Pair] = ()) -> None:
        self.problems = list(problems)
        self.pairs = list(pairs)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Pair:
    """Two images, and what belongs to them.

    Attributes:
        name: Name of the pair's folder: letters, digits, ``.``, ``_``, ``-``.
        files: Paths by role: ``fixed`` and ``moving``, which are needed, ``fixed_mask``,
            ``moving_mask``, ``fixed_points``, ``moving_points``, ``fixed_labels``,
            ``moving_labels``.
        initial_transform: ``center``, ``mass``, or the path of a transform file.
        options: ``iterations`` (one number, or a list with one for each level) and ``seed`` where
            they are the pair's own.
        overrides: elastix's parameters of this pair, in every map.
    """

    name: str
    files: Mapping[str, str]
    initial_transform: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, list[str]] = field(default_factory=dict)


def checked(pair: object) -> Pair:
    """Give a pair with absolute paths and values as elastix has them.

    Raises:
        PairsError: With all that is wrong with it: names, roles, options, parameters.
    """
    if not isinstance(pair, Pair):
        message = f"{pair!r} ({type(pair).__qualname__}) is no impact_plugin.cohort.Pair"
        raise PairsError([message])
    front = f"pair {pair.name!r}"
    for name in ("files", "options", "overrides"):
        if not isinstance(getattr(pair, name), Mapping):
            message = f"{front}: {name} is {getattr(pair, name)!r}, expected a dict"
            raise PairsError([message])
    problems = [] if (said := name_problem(pair.name)) is None else [f"the pair's name {said}"]
    files: dict[str, str] = {}
    for role, path in dict(pair.files).items():
        if role not in FILES:
            problems.append(f"{front}: {role!r} is no role of a file; there are {', '.join(FILES)}")
        elif not _is_path(path):
            problems.append(f"{front}: {role} is {path!r}, expected the path of a file")
        else:
            try:
                files[role] = absolute(os.fspath(path), Path.cwd())
            except (OSError, ValueError) as error:
                problems.append(f"{front}: {role}: {error}")
    missing = [role for role in FILES[:2] if role not in pair.files]
    problems += [f"{front}: {role} is missing: the path of an image" for role in missing]
    start = pair.initial_transform
    if start is not None and not _is_path(start):
        problems.append(f"{front}: initial_transform is {start!r}, expected center, mass or a path")
        start = None
    if start not in (None, "center", "mass"):
        try:
            start = absolute(os.fspath(start), Path.cwd())
        except (OSError, ValueError) as error:
            problems.append(f"{front}: initial_transform: {error}")
    options: dict[str, int | list[int]] = {}
    for name, value in pair.options.items():
        if name not in WHOLE:
            problems.append(f"{front}: {name!r} is no option; there are {', '.join(WHOLE)}")
            continue
        try:
            if name == "iterations":
                options[name] = checked_iterations(value)
            else:
                check_integer(name, value, 0, LARGEST_SEED)
                options[name] = value
        except ValueError as error:
            problems.append(f"{front}: {error}")
    overrides: dict[str, list[str]] = {}
    for name, given in pair.overrides.items():
        try:
            overrides[name] = as_texts(str(name), given)
        except TypeError as error:
            problems.append(f"{front}: {OVERRIDE}{error}")
            continue
        if not overrides[name] or not re.fullmatch(r"[A-Za-z]\w*", str(name)):
            problems.append(f"{front}: {OVERRIDE}{name} is {given!r}: a parameter and its values")
    for option, parameter in (("iterations", "MaximumNumberOfIterations"), ("seed", "RandomSeed")):
        if option in pair.options and parameter in overrides:
            problems.append(f"{front}: {option} and {OVERRIDE}{parameter} exclude each other")
    if problems:
        raise PairsError(problems)
    return Pair(pair.name, files, start, options, overrides)


def name_problem(name: object, also: str = "") -> str | None:
    """Tell why something cannot be the name of a folder; None where it can.

    Args:
        name: The name.
        also: One more character that it may have.
    """
    if isinstance(name, str) and re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._{also}-]*", name):
        if len(name) <= LONGEST:
            return None
        return f"is {name!r}, of {len(name)} characters, expected at most {LONGEST}"
    signs = "letters, digits, '.', '_' and '-'" + (f", {also!r}" if also else "")
    return f"is {name!r}, expected {signs}, of which the first is a letter or digit"


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


def absolute(text: str, folder: Path) -> str:
    """Make a path absolute; relative ones are relative to ``folder``.

    Raises:
        FileNotFoundError: It begins with the home folder of a user that does not exist.
    """
    return os.path.normpath(folder / expanded(text))


def whole_path(
    path: str | os.PathLike[str], problems: list[str], name: str = "path", also: str = ""
) -> str:
    """Make a path absolute; where that cannot be, say why in ``problems`` and give nothing."""
    try:
        return str(expanded(path, name, also).absolute())
    except (OSError, ValueError, TypeError) as error:
        problems.append(str(error))
        return ""
