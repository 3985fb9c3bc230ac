"""Whether what was read is shaped like a record: ``record.schema.json``, without a library for it.

Of JSON Schema this knows the keywords that the file uses, which a test holds it to.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

_Json: TypeAlias = Any  # whatever JSON has

_IS: dict[str, Callable[[_Json], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
# A condition is told as it is written here, with the schema's value in the place of {}.
_HOLDS: dict[str, tuple[Callable[[_Json, _Json], bool], str]] = {
    "const": (lambda value, wanted: bool(value == wanted), "{}"),
    "pattern": (lambda value, wanted: bool(re.search(wanted, value)), "a string like {}"),
    "minimum": (lambda value, wanted: bool(value >= wanted), "at least {}"),
    "exclusiveMinimum": (lambda value, wanted: bool(value > wanted), "more than {}"),
    "minItems": (lambda value, wanted: len(value) >= wanted, "at least {} items"),
    "maxItems": (lambda value, wanted: len(value) <= wanted, "at most {} items"),
}


@functools.cache
def schema() -> _Json:
    """Give the schema of records."""
    return json.loads(Path(__file__).with_name("record.schema.json").read_text(encoding="utf-8"))


def problem(record: object) -> str | None:
    """Say what is not as the schema wants it: where, what is there, what is expected.

    Args:
        record: As JSON was read.

    Returns:
        The first such place in one line; None of a record in which there is none.
    """
    return next(_problems(record, schema(), ""), None)


def _problems(value: _Json, wanted: _Json, where: str) -> Iterator[str]:
    # No two choices have the same type: that tells which one is meant.
    choices = [_followed(each) for each in wanted.get("anyOf", [wanted])]
    fitting = [each for each in choices if "type" not in each or _IS[each["type"]](value)]
    if not fitting:
        yield _message(value, _type(wanted), where)
        return
    wanted = fitting[0]
    for keyword, (holds, text) in _HOLDS.items():
        if keyword in wanted and not holds(value, wanted[keyword]):
            yield _message(value, text.format(wanted[keyword]), where)
            return
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _problems(item, wanted.get("items", {}), f"{where}[{number}]")
    if isinstance(value, dict):
        named = wanted.get("properties", {})
        for name in wanted.get("required", ()):
            if name not in value:
                yield f"{_place(where, name)} is missing, expected {_type(named[name])}"
        for name, item in value.items():
            if "propertyNames" in wanted:
                yield from _problems(name, wanted["propertyNames"], f"the name {where}")
            below = named.get(name, wanted.get("additionalProperties", {}))
            yield from _problems(item, below, _place(where, name))


def _followed(wanted: _Json) -> _Json:
    name = wanted.get("$ref", "").removeprefix("#/$defs/")
    return schema()["$defs"][name] if name else wanted


def _type(wanted: _Json) -> str:
    if "anyOf" in wanted:
        return " or ".join(map(_type, wanted["anyOf"]))
    name = _followed(wanted).get("type", "something else")
    return name if name == "null" else f"{'an' if name[0] in 'aio' else 'a'} {name}"


def _message(value: _Json, expected: str, where: str) -> str:
    if isinstance(value, dict | list):
        found = f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value)} items"
    else:
        found = json.dumps(value)
        found = found if len(found) <= 80 else f"{found[:80]}..."
    return f"{where or 'all of it'} is {found}, expected {expected}"


def _place(where: str, name: str) -> str:
    if re.fullmatch(r"[\w-]{1,80}", name):
        return f"{where}.{name}" if where else name
    return f"{where}[{json.dumps(name)[:80]}]"
