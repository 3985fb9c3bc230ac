"""A pair of a cohort, and what must hold of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from impact_plugin._arguments import LARGEST_SEED, check_integer, checked_iterations
from impact_plugin._io import expanded
from impact_plugin.cohort.errors import CohortProblem, PairsError, Problems
from impact_plugin.images.axes import check_axes
from impact_plugin.images.colour import check_channel
from impact_plugin.parameters.values import as_texts

if TYPE_CHECKING:
    from impact_plugin.images.axes import Axes
from impact_plugin.transforms.initial import AUTOMATIC

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

OPTIONS = (*WHOLE, "channel", "axes")
"""Columns that hold for one pair."""

OVERRIDE = "set:"
"""How the columns begin that change a parameter of every map: ``set:MaximumStepLength``."""

LONGEST = 120
"""Characters of a name: a pair's and a variant's together name a file, which may have 255."""


@dataclass(frozen=True)
class Pair:
    """Two images, and what belongs to them.

    Attributes:
        name: Name of the pair's folder: letters, digits, ``.``, ``_``, ``-``.
        files: Paths by role: ``fixed`` and ``moving``, which are needed, ``fixed_mask``,
            ``moving_mask``, ``fixed_points``, ``moving_points``, ``fixed_labels``,
            ``moving_labels``.
        initial_transform: ``center``, ``mass``, or the path of a transform file, or of a folder
            with a registration.
        options: What is the pair's own: ``iterations`` (one number, or a list with one for each
            level), ``seed`` and ``channel``, as :func:`impact_plugin.register_images` takes them,
            and ``axes``, the frame of landmarks whose files do not say theirs.
        overrides: elastix's parameters of this pair, in every map.
    """

    name: str
    files: Mapping[str, str]
    initial_transform: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def axes(self) -> Axes:
        """Frame of landmarks whose files do not say theirs."""
        return cast("Axes", self.options.get("axes", "LPS"))

    def image(self, side: str) -> str:
        """Name the fixed or the moving image: by its path, and by the channel that is chosen."""
        channel = self.options.get("channel")
        return self.files[side] + ("" if channel is None else f", channel {channel}")


def checked(pair: object) -> Pair:
    """Give a pair with absolute paths and values as elastix has them.

    Raises:
        PairsError: With all that is wrong with it: names, roles, options, parameters.
    """
    if not isinstance(pair, Pair):
        message = f"{pair!r} ({type(pair).__qualname__}) is no impact_plugin.cohort.Pair"
        raise PairsError([CohortProblem("pair", message)])
    front = f"pair {pair.name!r}"
    for name in ("files", "options", "overrides"):
        if not isinstance(getattr(pair, name), Mapping):
            message = f"{front}: {name} is {getattr(pair, name)!r}, expected a dict"
            raise PairsError([CohortProblem("pair", message)])
    problems = Problems()
    if said := name_problem(pair.name):
        problems.add("pair", f"the pair's name {said}")
    files: dict[str, str] = {}
    for role, path in dict(pair.files).items():
        if role not in FILES:
            text = f"{front}: {role!r} is no role of a file; there are {', '.join(FILES)}"
            problems.add("pair", text)
        elif not _is_path(path):
            problems.add("pair", f"{front}: {role} is {path!r}, expected the path of a file")
        else:
            with problems.noted("pair", f"{front}: {role}: "):
                files[role] = absolute(os.fspath(path), Path.cwd())
    for role in FILES[:2]:
        if role not in pair.files:
            problems.add("pair", f"{front}: {role} is missing: the path of an image")
    start = pair.initial_transform
    if start is not None and not _is_path(start):
        problems.add(
            "pair",
            f"{front}: initial_transform is {start!r}, expected {', '.join(AUTOMATIC)} or a path",
        )
        start = None
    if start not in (None, *AUTOMATIC):
        with problems.noted("pair", f"{front}: initial_transform: "):
            start = absolute(os.fspath(start), Path.cwd())
    options: dict[str, Any] = {}
    for name, value in pair.options.items():
        if name not in OPTIONS:
            problems.add("pair", f"{front}: {name!r} is no option; there are {', '.join(OPTIONS)}")
            continue
        with problems.noted("pair", f"{front}: "):
            options[name] = _checked_option(name, value)
    overrides: dict[str, list[str]] = {}
    for name, given in pair.overrides.items():
        with problems.noted("parameter", f"{front}: {OVERRIDE}"):
            overrides[name] = as_texts(str(name), given)
            if not overrides[name] or not re.fullmatch(r"[A-Za-z]\w*", str(name)):
                text = f"{front}: {OVERRIDE}{name} is {given!r}: a parameter and its values"
                problems.add("parameter", text)
    for option, parameter in (("iterations", "MaximumNumberOfIterations"), ("seed", "RandomSeed")):
        if option in pair.options and parameter in overrides:
            text = f"{front}: {option} and {OVERRIDE}{parameter} exclude each other"
            problems.add("parameter", text)
    if problems:
        raise PairsError(problems)
    return Pair(pair.name, files, start, options, overrides)


def _checked_option(name: str, value: Any) -> Any:  # noqa: ANN401
    if name == "iterations":
        return checked_iterations(value)
    if name == "seed":
        check_integer(name, value, 0, LARGEST_SEED)
    elif name == "channel":
        check_channel(value)
    else:
        check_axes(value)
    return value


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
    path: str | os.PathLike[str], problems: Problems, name: str = "path", also: str = ""
) -> str:
    """Make a path absolute; where that cannot be, say why in ``problems`` and give nothing."""
    with problems.noted("argument"):
        return str(expanded(path, name, also).absolute())
    return ""
