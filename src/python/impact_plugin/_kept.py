"""Never overwrite an input file."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from impact_plugin._errors import InputError

Input = tuple[str, "str | os.PathLike[str]"]
"""What messages call it, and its path."""

_DATA = re.compile(rb"(?m)^(?:ElementDataFile\s*=|data file:)[ \t]*([^\r\n]+?)[ \t]*\r?$")


class OverwrittenInputError(InputError):
    """A file that is read would be written to."""


def check(targets: Iterable[Path], inputs: Iterable[Input]) -> None:
    """Refuse to write where an input lies: under whichever name, through links, too.

    Args:
        targets: What will be written; those that are not there yet harm nothing.
        inputs: What is read. Headers of images stand for their voxels, too.

    Raises:
        OverwrittenInputError: One is the other.
    """
    written = [path for path in map(_there, targets) if path.is_file()]
    if not written:
        return
    for name, path in inputs:
        for file in _with_voxels(_home(path)):
            for target in written:
                with suppress(OSError):
                    if not target.samefile(file):
                        continue
                    message = (
                        f"{name} is {os.fspath(path)!r}, and would be overwritten by what is "
                        f"written to {str(target)!r}: write the results elsewhere, or give a copy "
                        "of that file"
                    )
                    raise OverwrittenInputError(message)


def matching(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    """Give the files of a folder whose names match one of several patterns."""
    for pattern in patterns:
        yield from _there(folder).glob(pattern)


def of_elastix(names: Iterable[str]) -> Iterator[str]:
    """Give patterns of the files that elastix writes.

    Args:
        names: Names of its result images, one per parameter map.
    """
    yield "elastix.log"
    for number, name in enumerate(names):
        yield f"TransformParameters.{number}[.-]*"
        yield f"IterationInfo.{number}.*"
        yield f"{glob.escape(name)}.{number}.*"


OF_RESULTS = (
    "elastix.log",
    "InitialTransform.[0-9]*.txt",
    "Parameters.[0-9]*.txt",
    "TransformParameters.[0-9]*",
    "IterationInfo.[0-9]*",
    "field[0-9]*.mha",
    "result.mha",
    "transform.h5",
    "history.csv",
    "result.json",
    "record.json",
)
"""Patterns of what ``register_images`` and ``RegistrationResult.save`` write into a folder."""


def _there(path: Path) -> Path:
    """Give a path as it will be when folders that it goes through are made: a/../b as b."""
    return path if path.exists() else Path(os.path.abspath(path))  # noqa: PTH100  (resolves no links)


def _home(path: str | os.PathLike[str]) -> Path:
    with suppress(RuntimeError):  # there is no such user: a name like any other
        return Path(path).expanduser()
    return Path(path)


def _with_voxels(path: Path) -> Iterator[Path]:
    """Give a file, and the one that has the voxels where it is a header."""
    yield path
    ending = path.suffix.lower()
    if ending in (".hdr", ".img"):
        yield path.with_suffix(".img" if ending == ".hdr" else ".hdr")
    elif ending in (".mhd", ".nhdr"):
        with suppress(OSError), path.open("rb") as file:
            if found := _DATA.search(file.read(65536)):
                yield path.parent / os.fsdecode(found[1])
