"""elastix's parameter files as Python has them: a dict from names to lists of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from impact_plugin.parameters.elastix_file import ElastixFile, format_parameter

ParameterMap: TypeAlias = dict[str, list[str]]
"""Names, and the values of each as texts, as elastix and itk have them."""

Value: TypeAlias = str | float | bool | Iterable[str | float | bool]
"""What a value may be written as in Python: text, number, truth value, or several of them."""


def read(path: str | Path) -> ParameterMap:
    """Read a parameter file.

    Raises:
        OSError: It cannot be read.
        ValueError: elastix would not read it. The message names all lines that are wrong.
    """
    return ElastixFile.read(path).parameters


def as_texts(parameters: Mapping[str, Value]) -> ParameterMap:
    """Write every value as elastix has it: texts in lists.

    Example:
        >>> as_texts({"WriteResultImage": True, "NumberOfResolutions": 3})
        {'WriteResultImage': ['true'], 'NumberOfResolutions': ['3']}
    """
    return {name: _texts(value) for name, value in parameters.items()}


def dump(parameters: Mapping[str, Sequence[str]]) -> str:
    """Give the text of a parameter file: numbers bare, all else in quotes.

    Raises:
        ValueError: elastix's syntax has no way to write a name or a value.

    Example:
        >>> print(dump({"Mode": ["Static"], "PatchSize": ["5", "5", "5"]}), end="")
        (Mode "Static")
        (PatchSize 5 5 5)
    """
    return "".join(f"{format_parameter(name, values)}\n" for name, values in parameters.items())


def _texts(value: Value) -> list[str]:
    values = [value] if isinstance(value, str | int | float) else value
    return [str(each).lower() if isinstance(each, bool) else str(each) for each in values]
