"""Reading image files: every one comes through here, and the process stays as it was."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING

from impact_plugin._files import utf8_name

if TYPE_CHECKING:
    import SimpleITK as sitk


def read_image(path: str | PathLike[str], pixel_type: int | None = None) -> sitk.Image:
    """Read an image.

    Args:
        path: The file.
        pixel_type: Of the image, as SimpleITK numbers them; None: the file's own.

    Raises:
        PathNameError: The path is not UTF-8.
        RuntimeError: SimpleITK cannot read the file.
    """
    import SimpleITK as sitk

    kind = sitk.sitkUnknown if pixel_type is None else pixel_type
    with keeping_locale():
        return sitk.ReadImage(utf8_name(path), kind)


@contextmanager
def keeping_locale() -> Iterator[None]:
    """Keep the process's locale.

    ITK's reader of VTK files sets it to "C" and leaves it so: what the process reads afterwards as
    text, without an encoding of its own, would be ASCII.
    """
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)
