"""Parameter files in elastix's own syntax, as text: what is not changed stays as it stands.

The syntax is that of elastix 5.3.1 (``Common/ParameterFileParser``): a line is empty, or has one
parameter ``(Name value value)``, or a comment from ``//`` to its end. Values are separated by
spaces; in quotes they may contain some.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from impact_plugin import _io
from impact_plugin._errors import InputError
from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.values import Value, as_texts

_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# elastix refuses these in names; its "&-+" is a range.
_NOT_IN_NAMES = re.compile(r"[.,:;!@#$%^&'()*+|<>?]")
_TOKEN = re.compile(r'"([^"]*)"|[^\s"]+')


@dataclass(frozen=True)
class _Line:
    """A line that has a parameter; `begin` and `end` bound the text of its values."""

    name: str
    values: tuple[str, ...]
    begin: int
    end: int


class ElastixFile:
    """A ``.txt`` parameter file that can be changed without losing what else stands in it.

    Args:
        text: The file's text.
        source: The file's name for messages.

    Raises:
        ParameterError: elastix would not read it. All lines that are wrong are named.
    """

    def __init__(self, text: str = "", source: str = "") -> None:
        self.source = source
        self._lines: list[str] = re.findall(r"[^\n]*\n|[^\n]+", text)
        self._places: dict[str, int] = {}
        self._parsed: dict[str, _Line] = {}
        problems: list[Problem] = []
        for number, line in enumerate(self._lines):
            try:
                parsed = _parse_line(line)
            except ParameterError as error:
                problems += [replace(each, line=number + 1) for each in error.problems]
                continue
            if parsed is None:
                continue
            if parsed.name in self._parsed:
                first = self._places[parsed.name] + 1
                text_ = f"{parsed.name} stands in line {first} already."
                remedy = "Keep one of the two: elastix refuses a parameter that is given twice."
                problems.append(Problem(text_, number + 1, parsed.name, remedy))
                continue
            self._places[parsed.name] = number
            self._parsed[parsed.name] = parsed
        if problems:
            raise ParameterError(problems, source)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ElastixFile:
        """Read a file.

        Raises:
            ParameterError: It is not a text file, or elastix would not read it.
            OSError: It cannot be read.
        """
        data = Path(path).read_bytes()
        if b"\0" in data:
            remedy = "Give a parameter file of elastix, .txt or .toml."
            problem = Problem("this is not a text file.", remedy=remedy)
            raise ParameterError([problem], os.fspath(path))
        if data.startswith(b"\xef\xbb\xbf"):
            problem = Problem(
                "the file begins with a UTF-8 byte order mark, which elastix does not read.",
                1,
                remedy='Save it as UTF-8 without the mark ("UTF-8", not "UTF-8 with BOM").',
            )
            raise ParameterError([problem], os.fspath(path))
        # Comments in other encodings go through unchanged.
        return cls(data.decode("utf-8", errors="surrogateescape"), os.fspath(path))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the text to a file, in one step: nobody finds half of it."""
        _io.write_bytes(Path(path), self.text.encode("utf-8", errors="surrogateescape"))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._lines)

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The map that elastix reads: values without quotes, in the order of the file."""
        return {name: list(line.values) for name, line in self._parsed.items()}

    def line_of(self, name: str) -> int | None:
        """Give the number of the line that has a parameter, counted from 1; None without one."""
        place = self._places.get(name)
        return None if place is None else place + 1

    def set(self, name: str, value: Value, after: str | None = None) -> None:
        """Give a parameter other values, in its place, or add it.

        Args:
            name: Name of the parameter.
            value: Text, number or truth value, or several. What a parameter has already changes
                nothing.
            after: The parameter after which a new one goes; by default the end of the file.

        Raises:
            TypeError: A value is of another kind.
            ValueError: A value cannot be written in this syntax.
        """
        check_name(name)
        values = as_texts(name, value)
        known = self._parsed.get(name)
        if known is None:
            line = format_parameter(name, values) + self._line_ending()
            place = self._places.get(after or "", len(self._lines) - 1) + 1
            if place > 0 and not self._lines[place - 1].endswith("\n"):
                self._lines[place - 1] += self._line_ending()
            self._insert(place, line, name)
        elif list(known.values) != values:
            place = self._places[name]
            old = self._lines[place]
            written = " ".join(format_values(name, values, _styles(old[known.begin : known.end])))
            rest = _moved_comment(old[known.end :], known.end - known.begin - len(written))
            self._replace(place, old[: known.begin] + written + rest, name)

    def remove(self, name: str) -> None:
        """Take a parameter and its line out; KeyError where there is none."""
        place = self._places.pop(name)
        del self._parsed[name]
        del self._lines[place]
        self._move(place, -1)

    def update(self, parameters: Mapping[str, Value]) -> None:
        """Make the file say what a map says, with as few changes as there can be.

        Parameters that the map has not are taken out, others get its values, and new ones go after
        those that stand before them in the map.
        """
        for name in [name for name in self._parsed if name not in parameters]:
            self.remove(name)
        before: str | None = None
        for name, values in parameters.items():
            self.set(name, values, before)
            before = name

    def _line_ending(self) -> str:
        return "\r\n" if any(line.endswith("\r\n") for line in self._lines) else "\n"

    def _insert(self, place: int, line: str, name: str) -> None:
        self._move(place, 1)
        self._lines.insert(place, line)
        self._replace(place, line, name)

    def _replace(self, place: int, line: str, name: str) -> None:
        parsed = _parse_line(line)
        if parsed is None:
            message = (
                f"{name} became an empty line"  # cannot be: there is a value, or format raised
            )
            raise AssertionError(message)
        self._lines[place] = line
        self._places[name] = place
        self._parsed[name] = parsed

    def _move(self, place: int, by: int) -> None:
        for name, line in self._places.items():
            if line >= place:
                self._places[name] = line + by


def format_parameter(name: str, values: Sequence[str]) -> str:
    """Write a parameter as elastix reads it.

    Raises:
        ValueError: The name or a value cannot be written in this syntax.
    """
    check_name(name)
    return f"({name} {' '.join(format_values(name, values))})"


def format_values(name: str, values: Sequence[str], quoted: Iterable[bool] = ()) -> list[str]:
    """Write values: numbers plainly, all else in quotes.

    Args:
        name: The parameter, for messages.
        values: Its values.
        quoted: Which of the values before had quotes; a number that takes their place gets them
            too.

    Raises:
        ValueError: elastix's syntax has no way to write a value.
    """
    if not values:
        message = f"{name} has no value. Give one, or leave the parameter out."
        raise InputError(message)
    styles = list(quoted)
    written = []
    for i, value in enumerate(values):
        for piece, what in (('"', "a quote"), ("//", "//, which begins a comment")):
            if piece in value:
                message = f"{name}: {value!r} cannot be written in a .txt file, for it has {what}. "
                raise InputError(message + "Use a .toml file.")
        if not value or any(ord(character) < 32 for character in value):
            message = f"{name}: {value!r} cannot be written in a .txt file. Use a .toml file."
            raise InputError(message)
        keep = styles[min(i, len(styles) - 1)] if styles else False
        written.append(value if _NUMBER.fullmatch(value) and not keep else f'"{value}"')
    return written


def check_name(name: str) -> None:
    """Refuse a name that elastix does not read.

    Raises:
        ParameterError: It is empty, or has a character that is not allowed.
    """
    if (
        not name
        or re.search(r'[\s"]', name)
        or _NOT_IN_NAMES.search(name)
        or not name.isprintable()
    ):
        raise _wrong(f"{name!r} cannot be a parameter's name.", "Allowed: letters, digits and _.")


def _wrong(text: str, remedy: str = "") -> ParameterError:
    return ParameterError([Problem(text, remedy=remedy)])


def _moved_comment(rest: str, by: int) -> str:
    """Keep a comment in its column, where there is room, when what stands before it changes."""
    found = re.fullmatch(r"([^/]*\))( +)(//.*)", rest, re.DOTALL)
    if found is None:
        return rest
    return found[1] + " " * max(1, len(found[2]) + by) + found[3]


def _styles(text: str) -> list[bool]:
    return [token.group(0).startswith('"') for token in _TOKEN.finditer(text)]


def _parse_line(line: str) -> _Line | None:
    """Read one line as elastix does; None where there is no parameter.

    Raises:
        ParameterError: It is wrong.
    """
    content = line.removesuffix("\n").removesuffix("\r").partition("//")[0].replace("\t", " ")
    if "\r" in content:
        raise _wrong(
            "there is a carriage return within the line.", "Lines must end in \\n or \\r\\n."
        )
    inner = content.strip(" ")
    if not inner:
        return None
    shown = inner if len(inner) <= 60 else inner[:57] + "..."
    if content.count('"') % 2:
        raise _wrong(f"there is a quote without its partner in {shown}.")
    if not (inner.startswith("(") and inner.endswith(")")) or len(inner) < 2:
        raise _wrong(
            f"expected (Name value ...) or a comment after //, got {shown}.",
            "Each parameter stands on a line of its own, between one pair of parentheses.",
        )
    begin = content.index("(") + 1
    end = content.rindex(")")
    found = re.match(r'[^ "]*', content[begin:end])
    name = found.group(0) if found else ""
    if not name:
        raise _wrong(
            f"the name must follow the parenthesis directly: (Name value ...), got {shown}."
        )
    try:
        check_name(name)
    except ParameterError as error:
        (wrong,) = error.problems
        raise _wrong(wrong.text, f"{wrong.remedy} It stands in {shown}.") from None
    values = []
    first = last = begin + len(name)
    for token in _TOKEN.finditer(content, begin + len(name), end):
        if token.group(1) is None and re.search(r"[()]", token.group(0)):
            raise _wrong(
                f"{name}: there is a parenthesis too many in {shown}.", "Quote it if it is meant."
            )
        value = token.group(0) if token.group(1) is None else token.group(1)
        first = token.start() if first == begin + len(name) else first
        last = token.end()
        if value:  # elastix drops ""
            values.append(value)
    if not re.search(" [^ ]", content[begin:end]):
        raise _wrong(
            f"{name} has no value after a space in {shown}.", "Give one, or remove the line."
        )
    return _Line(name, tuple(values), first, last)
