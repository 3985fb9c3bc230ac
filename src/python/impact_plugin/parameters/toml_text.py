"""Parameter files in TOML, as elastix 5.2 and later read them: one key per parameter.

A value is a text, a number or a boolean, or an array of these. Comments, order and formatting of
what is not changed stay as they stand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.items
from tomlkit.exceptions import TOMLKitError

from impact_plugin import _io
from impact_plugin._errors import InputError
from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.values import Value, as_text, as_texts

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")


class TomlFile:
    """A ``.toml`` parameter file that can be changed without losing what else stands in it.

    Args:
        text: The file's text.
        source: The file's name for messages.

    Raises:
        ParameterError: It is not TOML, or has what elastix does not read.
    """

    def __init__(self, text: str = "", source: str = "") -> None:
        self.source = source
        try:
            self._document = tomlkit.parse(text)
        except TOMLKitError as error:
            line = getattr(error, "line", None)
            raise ParameterError([Problem(f"this is not TOML: {error}.", line)], source) from None
        problems = []
        self._parsed: dict[str, list[str]] = {}
        for name, item in self._document.items():
            try:
                self._parsed[name] = _values(name, item)
            except ParameterError as error:
                problems += [replace(each, line=self.line_of(name)) for each in error.problems]
        if problems:
            raise ParameterError(problems, source)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> TomlFile:
        """Read a file.

        Raises:
            ParameterError: It is not TOML, or has what elastix does not read.
            OSError: It cannot be read.
        """
        try:
            # elastix does not mind a byte order mark in front; this file is written without.
            text = Path(path).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            message = "this is not a text file in UTF-8, as TOML must be."
            raise ParameterError([Problem(message)], os.fspath(path)) from None
        return cls(text, os.fspath(path))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the text to a file, in one step: nobody finds half of it."""
        _io.write_bytes(Path(path), self.text.encode("utf-8"))

    @property
    def text(self) -> str:
        """The whole text."""
        return tomlkit.dumps(self._document)

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The map that elastix reads, in the order of the file."""
        return {name: list(values) for name, values in self._parsed.items()}

    def line_of(self, name: str) -> int | None:
        """Give the number of the line that has a parameter, counted from 1; None without one."""
        key = re.compile(rf"""\s*\[*\s*(["']?){re.escape(name)}\1\s*[=\]]""")
        for number, line in enumerate(self.text.splitlines(), start=1):
            if key.match(line):
                return number
        return None

    def set(self, name: str, value: Value, after: str | None = None) -> None:
        """Give a parameter other values, in its place, or add it at the end.

        Args:
            name: Name of the parameter.
            value: Text, number or truth value, or several. What a parameter has already changes
                nothing.
            after: Not used: a new key goes to the end of the file.

        Raises:
            TypeError: A value is of another kind.
            ValueError: There is no value.
        """
        del after
        values = as_texts(name, value)
        if not values:
            message = f"{name} has no value. Give one, or leave the parameter out."
            raise InputError(message)
        if self._parsed.get(name) != values:
            self._document[name] = _item(values)
            self._parsed[name] = values

    def remove(self, name: str) -> None:
        """Take a parameter out; KeyError where there is none."""
        del self._parsed[name]
        self._document.remove(name)

    def update(self, parameters: Mapping[str, Value]) -> None:
        """Make the file say what a map says, with as few changes as there can be."""
        for name in [name for name in self._parsed if name not in parameters]:
            self.remove(name)
        for name, values in parameters.items():
            self.set(name, values)


def _values(name: str, item: Any) -> list[str]:  # noqa: ANN401  (whatever TOML has)
    entries = item if isinstance(item, list) else [item]
    if not entries:
        remedy = "Give one, or remove the line."
        raise ParameterError([Problem(f"{name} has no value.", None, name, remedy)])
    return [_text(name, entry) for entry in entries]


def _text(name: str, value: Any) -> str:  # noqa: ANN401
    # As elastix's Conversion::ToString writes them.
    text = as_text(value)
    if text is not None:
        return text
    kind = type(value).__name__.lower()
    text = f"{name}: expected texts, numbers or booleans, or an array of them, got {kind}."
    raise ParameterError([Problem(text, None, name)])


def _item(values: Sequence[str]) -> Any:  # noqa: ANN401
    # What reads back as the same text, to the letter.
    items = [
        int(value) if _INTEGER.fullmatch(value) and value != "-0" else value for value in values
    ]
    return items[0] if len(items) == 1 else items
