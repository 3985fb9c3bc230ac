"""What must hold of arguments: one check, and one message, for each kind of value."""

from __future__ import annotations

import math
import operator
import tempfile
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import TypeAlias, overload

from impact_plugin._errors import InputError
from impact_plugin._numbers import plain

Iterations: TypeAlias = int | Sequence[int]
"""How many iterations: of every level, or one number for each level."""

LARGEST_SEED = 2**32 - 1
"""elastix reads RandomSeed into 32 bits."""

LARGEST_COUNT = 2**31 - 1


def integer(name: str, value: object, least: int, most: int = LARGEST_COUNT, unit: str = "") -> int:
    """Give a whole number of any library as Python's.

    Raises:
        ValueError: It is another number, or none.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        message = f"{name} is {value!r}, expected a whole number of at least {least}"
        if number is not None:
            message += f" and at most {most}"
        raise InputError(f"{message} (in {unit})" if unit else message)
    return number


def check_integer(name: str, value: object, least: int, most: int = LARGEST_COUNT) -> None:
    """Check a whole number, or None; ValueError as for :func:`integer`."""
    if value is not None:
        integer(name, value, least, most)


def is_positive(number: float) -> bool:
    """Whether a number is finite and above 0."""
    return math.isfinite(number) and number > 0


def check_choice(name: str, value: object, allowed: Sequence[object], why: str = "") -> None:
    """Check that a value is one of a few.

    Args:
        name: Name of the value.
        value: The value.
        allowed: What it may be.
        why: Ends the message.

    Raises:
        ValueError: It is not.
    """
    if isinstance(value, bool) or value not in allowed:
        *others, last = map(repr, allowed)
        message = f"{name} is {value!r}, expected {', '.join(others)} or {last}{why}"
        raise InputError(message)


@overload
def checked_iterations(value: Iterations) -> int | list[int]: ...
@overload
def checked_iterations(value: None) -> None: ...
def checked_iterations(value: Iterations | None) -> int | list[int] | None:
    """Give one number of iterations, or a list of them, in Python's own whole numbers.

    Raises:
        ValueError: It is not a whole number of at least 1, or not a list of such numbers.
    """
    if value is None:
        return None
    is_list = hasattr(value, "__array__") or isinstance(value, Sequence)
    if not is_list or isinstance(value, str | bytes):
        try:
            return integer("iterations", value, 1)
        except ValueError as error:
            message = f"{error}, or a list with one for each level"
            raise InputError(message) from None
    if not len(value):  # type: ignore[arg-type]
        message = "iterations is empty, expected a whole number, or a list with one for each level"
        raise InputError(message)
    return [
        integer(f"iterations[{place}]", plain(number), 1)
        for place, number in enumerate(value)  # type: ignore[arg-type]
    ]


def check_number(name: str, value: object) -> None:
    """Check a finite number, or None.

    Raises:
        TypeError: It is no number.
        ValueError: It is not finite.
    """
    if value is None:
        return
    if not isinstance(value, Real) or isinstance(value, bool):
        message = f"{name} is {value!r}, expected a number"
        raise TypeError(message)
    if not math.isfinite(value):
        message = f"{name} is {value!r}, expected a finite number"
        raise InputError(message)


def check_flag(name: str, value: object) -> None:
    """Check a truth value, or None.

    Raises:
        TypeError: It is something else, as a text is, which would count as true.
    """
    if not isinstance(value, bool | None):
        message = f"{name} is {value!r}, expected True or False"
        raise TypeError(message)


def check_callback(callback: object) -> None:
    """Check a function, or None.

    Raises:
        TypeError: It cannot be called.
    """
    if callback is not None and not callable(callback):
        message = f"callback is {callback!r}, expected a function of an impact_plugin.Iteration"
        raise TypeError(message)


def check_preset(preset: object) -> None:
    """Check one name, several, or None; whether there are such presets is not known here.

    Raises:
        TypeError: It is something else.
        ValueError: It is empty.
    """
    names = list(preset) if isinstance(preset, Iterable) else [preset]
    if not names:
        message = "preset is empty, expected the name of a preset, or several in a list"
        raise InputError(message)
    if preset is not None and not all(isinstance(name, str) for name in names):
        message = f"preset is {preset!r}, expected the name of a preset, or several in a list"
        raise TypeError(message)


def check_record(record: object, output_directory: object) -> None:
    """Check whether and how a record is wanted.

    Raises:
        ValueError: It is no truth value, "inputs" or function, or "inputs" without a folder.
    """
    if not (isinstance(record, bool) or record == "inputs" or callable(record)):
        message = f'record is {record!r}, expected True, False, "inputs", or a function'
        raise InputError(message)
    if record == "inputs" and output_directory is None:
        message = (
            'record is "inputs", and there is no folder to keep the images in: give '
            "output_directory, too"
        )
        raise InputError(message)


def make_folder(name: str, folder: Path) -> None:
    """Make a folder if needed, and check that files can be written into it.

    Raises:
        ValueError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror or str(error)
        message = f"{name} is {str(folder)!r}, expected a folder to write into: {reason}"
        raise InputError(message) from error
