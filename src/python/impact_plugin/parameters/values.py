"""Values of parameters, however Python writes them, as elastix has them: lists of texts."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from impact_plugin._errors import InputError
from impact_plugin._numbers import plain

ParameterMap: TypeAlias = dict[str, list[str]]
"""What itk takes and elastix reads: each parameter's values, all as texts."""

Scalar: TypeAlias = str | float | bool | os.PathLike[str]

Value: TypeAlias = Scalar | Iterable[Scalar]
"""What a value may be written as: text, number, truth value, path, or several of them."""

_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")

_ALLOWED = "Allowed: a text, a number, True or False, or a list or tuple of these."


def as_integer(text: str) -> int | None:
    """Read a whole number as elastix does, which takes 3.000 for one; None where it is none.

    Example:
        >>> as_integer("3"), as_integer("3.000000"), as_integer("3.5"), as_integer("three")
        (3, 3, None, None)
    """
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def as_number(text: str) -> float | None:
    """Read a finite number; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def numbers_of(
    parameters: Mapping[str, Sequence[str]], name: str, default: list[float] | None = None
) -> list[float]:
    """Read the numbers of a parameter.

    Raises:
        ValueError: One is none; or the parameter is not there, and there is no default.
    """
    if values := parameters.get(name):
        return [float(value) for value in values]
    if default is None:
        message = f"it has no {name}"
        raise InputError(message)
    return default


def as_texts(name: str, value: Value) -> list[str]:
    """Give a parameter's values as elastix has them.

    Args:
        name: Name of the parameter, for messages.
        value: One value, or several.

    Raises:
        TypeError: It is of another kind.

    Example:
        >>> as_texts("WriteResultImage", True), as_texts("ImpactVoxelSize0", [3, 1.5, "3"])
        (['true'], ['3', '1.5', '3'])
    """
    text = as_text(value)
    if text is not None:
        return [text]
    # Neither a dict nor a set has an order of values, and bytes are numbers to Python.
    if isinstance(value, Mapping | set | frozenset | bytes | bytearray) or not isinstance(
        value, Iterable
    ):
        message = f"{name}: {value!r} ({type(value).__qualname__}) is not allowed. {_ALLOWED}"
        raise TypeError(message)
    texts = []
    for number, entry in enumerate(value):
        text = as_text(entry)
        if text is None:
            message = (
                f"{name}: {entry!r} ({type(entry).__qualname__}), number {number + 1} of its "
                f"values, is not allowed. {_ALLOWED}"
            )
            raise TypeError(message)
        texts.append(text)
    return texts


def as_map(given: Any, what: str = "parameter_map") -> ParameterMap:  # noqa: ANN401  (itk's too)
    """Give a parameter map as elastix has it.

    Args:
        given: A mapping from names to values, or an ``itk.ParameterObject`` that has one map.
        what: What messages call it.

    Raises:
        TypeError: It is neither, or a name is no text, or a value is of a kind that is not allowed.
        ValueError: The ``itk.ParameterObject`` has no map, or several.
    """
    if is_parameter_object(given):
        maps = maps_of(given)
        if len(maps) != 1:
            message = (
                f"{what} is an itk.ParameterObject of {len(maps)} parameter maps, expected one. "
                "Choose one: GetParameterMap(0) gives the first."
            )
            raise InputError(message)
        return maps[0]
    if not hasattr(given, "keys") or not hasattr(given, "__getitem__"):
        message = (
            f"{what} is {given!r} ({type(given).__qualname__}), expected a dict of parameters, or "
            "an itk.ParameterObject that has one map."
        )
        raise TypeError(message)
    result = {}
    for name in given.keys():  # noqa: SIM118  (itk's own maps are no dicts)
        if not isinstance(name, str):
            message = f"{what}: {name!r} ({type(name).__qualname__}) is no name of a parameter."
            raise TypeError(message)
        result[name] = as_texts(name, given[name])
    return result


def is_parameter_object(given: object) -> bool:
    """Whether something is an ``itk.ParameterObject``; itk need not be imported for it."""
    return hasattr(given, "GetNumberOfParameterMaps")


def maps_of(parameter_object: Any) -> list[ParameterMap]:  # noqa: ANN401  (itk has no types)
    """Give the maps of an ``itk.ParameterObject``."""
    return [
        as_map(dict(parameter_object.GetParameterMap(number)))
        for number in range(parameter_object.GetNumberOfParameterMaps())
    ]


def format_number(value: float) -> str:
    """Write a number in the fewest digits that read back as the same number: 3, 1.5, 1e-05."""
    text = repr(float(value))
    return text.removesuffix(".0")


def as_text(value: Any) -> str | None:  # noqa: ANN401  (whatever a user gives)
    """Write one value; None where it is none."""
    value = plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    return None
