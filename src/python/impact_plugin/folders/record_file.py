"""Records as files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import msgspec

from impact_plugin import _json
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.folders import RECORD
from impact_plugin.folders.record import BegunRecord, Record
from impact_plugin.models.files import replacing

VERSIONS = (1,)
"""``record_version`` of the records that can be read."""


def write(record: Record, path: str | os.PathLike[str]) -> None:
    """Write a record, in one step: there is never half of one under that name.

    Raises:
        TypeError: It is no record.
        ValueError: It has a number that JSON does not have: NaN or infinity.
        OSError: It cannot be written.
    """
    if not isinstance(record, BegunRecord):
        message = f"record is a {type(record).__name__}, expected an impact_plugin.records.Record"
        raise TypeError(message)
    with replacing(expanded(path)) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.write(text(record))
        file.flush()
        os.fsync(file.fileno())


def text(record: object) -> str:
    """Give the text of a record: short lists in one line.

    Raises:
        ValueError: It has a number that JSON does not have: NaN or infinity.
    """
    # Names of files need not be Unicode, which ASCII's escapes carry over.
    whole = json.dumps(msgspec.to_builtins(record), indent=2, allow_nan=False)
    # Within JSON's strings there are no line breaks.
    short = re.sub(r"\[\n\s+([^][{}]*?)\n\s*\]", _in_one_line, whole)
    return f"{short}\n"


def _in_one_line(values: re.Match[str]) -> str:
    return "[" + re.sub(r"\n\s+", " ", values[1]) + "]"


def find(path: str | os.PathLike[str]) -> Path:
    """Give the absolute path of a record, of which the folder may be named instead.

    Raises:
        FileNotFoundError: There is none.
    """
    given = expanded(path).absolute()
    found = given / RECORD if given.is_dir() else given
    if not found.is_file():
        message = (
            f"there is no record {str(found)!r}. Registrations write one into their folder, unless "
            "they are told not to"
        )
        raise MissingFileError(message)
    return found


def read(path: str | os.PathLike[str]) -> Record:
    """Read a record.

    Args:
        path: The file, or the folder in which it is.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is something else, of a version that this one does not know, or not as
            :func:`impact_plugin.records.schema` wants it: the message has the first place, what is
            there and what is expected.
    """
    file = find(path)
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        message = f"{file} is no JSON file: {error}"
        raise InputError(message) from error
    version = record.get("record_version") if isinstance(record, dict) else None
    if version is None:
        message = f"{file} is no record of a registration: it has no record_version"
        raise InputError(message)
    if version not in VERSIONS:
        message = (
            f"{file} has record_version {version!r}, and this impact-plugin reads "
            f"{', '.join(map(str, VERSIONS))}: install the one that wrote it, or a newer one"
        )
        raise InputError(message)
    try:
        return _json.typed(record, Record)
    except ValueError as error:
        message = f"{file} is no whole record: {error}"
        raise InputError(message) from None
