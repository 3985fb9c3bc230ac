"""JSON as typed data: what it has to be is told with its place, what is there, what is expected."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias, TypeVar

import msgspec

from impact_plugin._errors import InputError

T = TypeVar("T")

_Json: TypeAlias = Any  # whatever JSON has

_NAMES = {
    "array": "an array",
    "bool": "a boolean",
    "float": "a number",
    "int": "an integer",
    "object": "an object",
    "str": "a string",
}


def typed(data: object, kind: type[T]) -> T:
    """Give what was read from JSON as typed data; fields that the type does not have are left out.

    Args:
        data: As :mod:`json` reads it.
        kind: A msgspec struct, or whatever else msgspec knows.

    Raises:
        ValueError: It is not so. The message is one line on the first such place, for example
            ``stages[0].seed is "a", expected an integer or null``.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise InputError(_told(data, kind, str(error))) from None


def _told(data: _Json, kind: object, said: str) -> str:
    text, _, path = said.partition(" - at ")
    is_name = path.startswith("`key` in ")
    keys = _keys(data, kind, said, path + "[...]" * is_name)
    if missing := re.match("Object missing required field `(.*)`", text):
        keys.append(missing[1])
        # What would be expected there is said of what is nothing of JSON.
        text = _error(_with(data, keys, ...), kind).partition(" - at ")[0]
        found = "missing"
    elif is_name:
        found = _shown(keys.pop())
    else:
        found = _shown(_at(data, keys))
    where = ("the name " if is_name else "") + (_place(keys) or "all of it")
    return f"{where} is {found}, expected {_expected(text)}"


def _expected(text: str) -> str:
    if not text.startswith("Expected "):  # of literals
        return "another value"
    wanted = text.removeprefix("Expected ").partition(", got ")[0].replace("int | float", "float")
    return re.sub("`(.*?)`", lambda m: " or ".join(map(_named, m[1].split(" | "))), wanted)


def _named(kind: str) -> str:
    return _NAMES.get(kind, kind)


def _keys(data: _Json, kind: object, said: str, path: str) -> list[Any]:
    """Give the keys on the way to a place, which msgspec names but for those of dictionaries."""
    keys: list[Any] = []
    for name, number in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path):
        inner = _at(data, keys)
        if number == "...":
            key = next(k for k in inner if _error(_with(data, keys, {k: inner[k]}), kind) == said)
        else:
            key = name or int(number)
        keys.append(key)
    return keys


def _error(data: _Json, kind: object) -> str:
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _at(data: _Json, keys: list[Any]) -> _Json:
    for key in keys:
        data = data[key]
    return data


def _with(data: _Json, keys: list[Any], value: object) -> _Json:
    """Give a copy in which another value is at a place."""
    if not keys:
        return value
    first, *rest = keys
    changed = data.copy()
    changed[first] = _with(data[first], rest, value) if rest else value
    return changed


def _shown(value: _Json) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)} items"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _place(keys: list[Any]) -> str:
    text = ""
    for key in keys:
        if isinstance(key, str) and re.fullmatch(r"[\w-]{1,80}", key):
            text += f".{key}"
        else:
            text += f"[{json.dumps(key)[:80]}]"
    return text.removeprefix(".")
