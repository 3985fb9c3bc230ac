"""elastix's parameter files as Python has them: a dict from names to lists of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

ParameterMap: TypeAlias = dict[str, list[str]]
"""Names, and the values of each as texts, as elastix and itk have them."""

Value: TypeAlias = str | float | bool | Iterable[str | float | bool]
"""What a value may be written as in Python: text, number, truth value, or several of them."""

_VALUE = re.compile(r'"[^"]*"|[^\s")]+')
_LINE = re.compile(
    rf"\s*(?:\((?P<name>[^\s()\"]+)(?P<values>(?:\s+(?:{_VALUE.pattern}))*)\s*\))?\s*(?://.*)?"
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def parse(text: str, source: str = "parameter map") -> ParameterMap:
    """Read the text of a parameter file.

    Args:
        text: Its lines: parameters in parentheses, comments after ``//``.
        source: What messages call it.

    Raises:
        ValueError: A line is neither a parameter nor a comment, or a name stands there twice. The
            message names the line.

    Example:
        >>> parse('(Metric "Impact")  // a comment')
        {'Metric': ['Impact']}
    """
    found: ParameterMap = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            message = f"{source}, line {number}: expected (Name values) or a comment, got {line!r}"
            raise ValueError(message)
        name = match["name"]
        if name is None:
            continue
        if name in found:
            message = f"{source}, line {number}: {name} stands there twice"
            raise ValueError(message)
        found[name] = [value.strip('"') for value in _VALUE.findall(match["values"])]
    return found


def read(path: str | Path) -> ParameterMap:
    """Read a parameter file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no parameter file; see :func:`parse`.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return parse(text, str(path))


def as_texts(parameters: Mapping[str, Value]) -> ParameterMap:
    """Write every value as elastix has it: texts in lists.

    Example:
        >>> as_texts({"WriteResultImage": True, "NumberOfResolutions": 3})
        {'WriteResultImage': ['true'], 'NumberOfResolutions': ['3']}
    """
    return {name: _texts(value) for name, value in parameters.items()}


def dump(parameters: Mapping[str, Iterable[str]]) -> str:
    """Give the text of a parameter file: numbers bare, all else in quotes.

    Example:
        >>> print(dump({"Mode": ["Static"], "PatchSize": ["5", "5", "5"]}), end="")
        (Mode "Static")
        (PatchSize 5 5 5)
    """
    return "".join(
        f"({name} {' '.join(_quoted(value) for value in values)})\n"
        for name, values in parameters.items()
    )


def _texts(value: Value) -> list[str]:
    values = [value] if isinstance(value, str | int | float) else value
    return [str(each).lower() if isinstance(each, bool) else str(each) for each in values]


def _quoted(value: str) -> str:
    return value if _NUMBER.fullmatch(value) else f'"{value}"'
