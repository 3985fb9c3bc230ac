"""Paths as users write them; writing files so that nobody finds half of one under its name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import SimpleITK as sitk


def expanded(path: str | os.PathLike[str]) -> Path:
    """Put the home folder in place of ``~`` or ``~user`` at the beginning of a path.

    Raises:
        FileNotFoundError: There is no such user, or no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0]
        message = (
            f"{os.fspath(path)!r}: the home folder of {user!r} is not known. Give the path without "
            f"'~', or './{user}' for a folder of that name"
        )
        raise FileNotFoundError(message) from error


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Give an OSError the name of what is written, which those of a full disk lack."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, and move what was written there to ``target`` in one step.

    Nobody ever reads half a file, and where the block raises, or the process is killed, ``target``
    stays as it was. The missing parent folder of ``target`` is made. (A process that is killed
    outright leaves a folder ``.writing-...`` behind.)
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        naming(target),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as folder,
    ):
        unfinished = Path(folder) / target.name
        yield unfinished
        unfinished.replace(target)


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file, in one step.

    Raises:
        OSError: It cannot be written; what was there is there.
    """
    with replacing(target) as unfinished:
        unfinished.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write a text file in UTF-8, in one step; see :func:`write_bytes`."""
    write_bytes(target, content.encode("utf-8"))


def write_image(image: sitk.Image, path: Path, *, compressed: bool = False) -> None:
    """Write an image where ``path`` says, and see that all of it was written.

    Not in one step: ``path`` is a file of which nobody knows yet.

    Raises:
        OSError: It cannot be written, as where the disk is full.
    """
    import SimpleITK as sitk

    from impact_plugin.images.errors import reason_of
    from impact_plugin.images.whole import DamagedImageError, check_whole

    try:
        sitk.WriteImage(image, str(path), useCompression=compressed)
        check_whole(path)  # the writers do not look whether all of it went to the disk
    except (RuntimeError, DamagedImageError) as error:
        reason = reason_of(error)
        message = f"{path} cannot be written: {reason} Is the disk full?"
        raise OSError(message) from error
