"""What must hold of the arguments of a registration, apart from its images and maps."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TypeAlias, overload

from impact_plugin._numbers import plain

Iterations: TypeAlias = int | Sequence[int]
"""How many iterations: of every level, or one number for each level."""

LARGEST_SEED = 2**32 - 1
"""elastix reads RandomSeed into 32 bits."""

LARGEST_COUNT = 2**31 - 1


def check_whole(name: str, value: object, least: int, most: int = LARGEST_COUNT) -> None:
    """Check a whole number, or None.

    Raises:
        ValueError: It is another number, or none.
    """
    if value is None:
        return
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and least <= int(str(value)) <= most):
        message = f"{name} is {value!r}, expected a whole number of at least {least}"
        if whole:
            message += f" and at most {most}"
        raise ValueError(message)


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
            check_whole("iterations", value, 1)
        except ValueError as error:
            message = f"{error}, or a list with one for each level"
            raise ValueError(message) from None
        return int(str(value))
    numbers = [plain(each) for each in value]  # type: ignore[union-attr]
    if not numbers:
        message = "iterations is empty, expected a whole number, or a list with one for each level"
        raise ValueError(message)
    for place, number in enumerate(numbers):
        # check_whole lets None pass, which stands for an argument that was not given.
        check_whole(f"iterations[{place}]", "None" if number is None else number, 1)
    return [int(number) for number in numbers]


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
        raise ValueError(message)


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
    """
    names = preset if isinstance(preset, Iterable) else [preset]
    if preset is not None and not all(isinstance(name, str) for name in names):
        message = f"preset is {preset!r}, expected the name of a preset, or several in a list"
        raise TypeError(message)


def check_gpu(device: str | None, gpu: int | None) -> None:
    """Check that there is a GPU of that number; imports torch where one is asked for.

    Args:
        device: As the caller named it.
        gpu: Its number; -1 or None where none is asked for.

    Raises:
        ValueError: torch does not see it.
    """
    if gpu is None or gpu < 0:
        return
    import torch

    number = torch.cuda.device_count()
    if gpu >= number:
        found = "none" if number == 0 else f"{number}, from cuda:0 to cuda:{number - 1}"
        message = (
            f'device is {device!r}, and of GPUs torch sees {found}. Give device="cpu", or let '
            "`impact-plugin doctor` tell why"
        )
        raise ValueError(message)


def check_record(record: object, output_directory: object) -> None:
    """Check whether and how a record is wanted.

    Raises:
        ValueError: It is no truth value, "inputs" or function, or "inputs" without a folder.
    """
    if not (isinstance(record, bool) or record == "inputs" or callable(record)):
        message = f'record is {record!r}, expected True, False, "inputs", or a function'
        raise ValueError(message)
    if record == "inputs" and output_directory is None:
        message = (
            'record is "inputs", and there is no folder to keep the images in: give '
            "output_directory, too"
        )
        raise ValueError(message)


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
        raise ValueError(message) from error
