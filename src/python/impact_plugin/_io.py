"""Paths as users write them; writing files so that nobody finds half of one under its name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from impact_plugin._errors import FileError, InputError, MissingFileError

_UNFINISHED = ".writing-"


class PathNameError(InputError):
    """A path whose bytes are not UTF-8."""


def utf8_name(path: str | os.PathLike[str]) -> str:
    """Give a path as SimpleITK takes it, whatever encoding of paths Python has: its bytes as UTF-8.

    Other bytes, as in archives of old Windows programs, end the process inside SimpleITK: nothing
    goes there that did not come through here.

    Raises:
        PathNameError: They are not.
    """
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeError:
        name = os.fspath(path)
        try:
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        except UnicodeError:  # half of a pair of UTF-16
            shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
        message = (
            f"the path '{shown}' has bytes that are not UTF-8, and SimpleITK and torch take no "
            "others. Rename the file or folder, or give a link to it (ln -s) with another name"
        )
        raise PathNameError(message) from None


def expanded(path: str | os.PathLike[str], name: str = "path", also: str = "") -> Path:
    """Take a path as users write it: with the home folder in place of ``~`` or ``~user``.

    Every path that a user gives comes through here, before anything long runs.

    Args:
        path: The path.
        name: What messages call it.
        also: What else messages say is expected.

    Raises:
        TypeError: It is no path.
        ValueError: It is empty, which would be the current folder.
        FileNotFoundError: There is no such user, or no home folder.
        PathNameError: The path, or the current folder where it is relative, is not UTF-8.
    """
    if not isinstance(path, str | os.PathLike):
        message = f"{name} is {path!r}, expected {also}a path"
        raise TypeError(message)
    if not os.fspath(path):
        message = f"{name} is empty, expected {also}a path; that of the current folder is '.'"
        raise InputError(message)
    try:
        found = Path(path).expanduser()
        utf8_name(found.absolute())
        return found
    except RuntimeError as error:
        user = Path(path).parts[0]
        message = (
            f"{os.fspath(path)!r}: the home folder of {user!r} is not known. Give the path without "
            f"'~', or './{user}' for a folder of that name"
        )
        raise MissingFileError(message) from error


def cache_folder() -> Path:
    """Give the folder for files that can be made or fetched again; it need not exist.

    Returns:
        ``$IMPACT_CACHE_DIR``, else ``impact-plugin`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if own := os.environ.get("IMPACT_CACHE_DIR"):
        return expanded(own).absolute()
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache").absolute() / "impact-plugin"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is there for as long as the block runs.

    Raises:
        PathNameError: Temporary files lie in a folder (TMPDIR) whose path is not UTF-8.
    """
    place = expanded(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix="impact-plugin-", dir=place) as name:
        yield Path(name)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Give an OSError the name of what is written.

    Those of a full disk have none, and others that of a folder which is there while it is written.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and _UNFINISHED not in str(error.filename)
        if error.errno is None or (named and Path(str(error.filename)) not in target.parents):
            raise
        raise FileError(error.errno, error.strerror, str(target)) from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, and move what was written there to ``target`` in one step.

    Nobody ever reads half a file, and where the block raises, or the process is killed, ``target``
    stays as it was. The missing parent folder of ``target`` is made. (A process that is killed
    outright leaves a folder ``.writing-...`` behind.)
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=_UNFINISHED) as folder:
            unfinished = Path(folder) / target.name
            yield unfinished
            unfinished.replace(target)


def write_bytes(target: Path, content: bytes, *, executable: bool = False) -> None:
    """Write a file, in one step.

    Args:
        target: Its path.
        content: What to write.
        executable: Whether those who may read it may run it.

    Raises:
        OSError: It cannot be written; what was there is there.
    """
    with replacing(target) as unfinished:
        unfinished.write_bytes(content)
        if executable:
            mode = unfinished.stat().st_mode
            unfinished.chmod(mode | (mode & 0o444) >> 2)


def write_text(target: Path, content: str) -> None:
    """Write a text file in UTF-8, in one step; see :func:`write_bytes`.

    Paths in it are written with the bytes that they have, whatever encoding of paths Python has.
    """
    write_bytes(target, content.encode("utf-8", "surrogateescape"))
