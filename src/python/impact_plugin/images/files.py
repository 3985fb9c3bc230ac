"""Image files through SimpleITK: read without side effects, written and seen to be whole."""

from __future__ import annotations

import locale
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import FileError
from impact_plugin._io import utf8_name
from impact_plugin.images.errors import reason_of
from impact_plugin.images.integrity import DamagedImageError, check_complete
from impact_plugin.images.silence import itk_silent

if TYPE_CHECKING:
    import SimpleITK as sitk

ONE_FILE = (".mha", ".nii", ".nii.gz", ".nrrd")
"""Formats that keep voxels of any type, and where they lie, in one file."""
WITH_PLACE = (*ONE_FILE, ".mhd", ".nhdr")
"""Those, and their forms with a header apart."""


@contextmanager
def keeping_locale() -> Iterator[None]:
    """Keep the process's locale, and ITK silent.

    ITK's reader of VTK files sets it to "C" and leaves it so: what the process reads afterwards as
    text, without an encoding of its own, would be ASCII.
    """
    before = locale.setlocale(locale.LC_ALL)
    try:
        with itk_silent():
            yield
    finally:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)


def read_image(path: str | os.PathLike[str], pixel_type: int | None = None) -> sitk.Image:
    """Read an image as SimpleITK reads it.

    Args:
        path: The file.
        pixel_type: Pixel type of the image, a number of SimpleITK; None: the file's own.

    Raises:
        PathNameError: The path is not UTF-8.
        RuntimeError: SimpleITK cannot read the file.
    """
    import SimpleITK as sitk

    kind = sitk.sitkUnknown if pixel_type is None else pixel_type
    with keeping_locale():
        return sitk.ReadImage(utf8_name(path), kind)


def read_header(path: str | os.PathLike[str], image_io: str = "") -> sitk.ImageFileReader:
    """Read where an image lies, its size and its pixel type, and none of its voxels.

    Args:
        path: The file.
        image_io: ITK's reader, by its name; by default the one that takes the file.

    Raises:
        PathNameError: The path is not UTF-8.
        RuntimeError: SimpleITK cannot read the file.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(utf8_name(path))
    with keeping_locale():
        reader.ReadImageInformation()
    return reader


def write_image(image: sitk.Image, path: Path, *, compressed: bool = False) -> None:
    """Write an image where ``path`` says, and see that all of it was written.

    Without what its file said besides (``GetMetaDataKeys``): nobody asks for it, and the writers
    of other formats warn of each item that they do not know. Not in one step: ``path`` is a file of
    which nobody knows yet.

    Raises:
        OSError: It cannot be written, as where the disk is full.
        PathNameError: The path is not UTF-8.
    """
    import SimpleITK as sitk

    if keys := image.GetMetaDataKeys():
        image = sitk.Image(image)
        image.MakeUnique()  # the caller's keeps them
        for key in keys:
            image.EraseMetaData(key)
    try:
        sitk.WriteImage(image, utf8_name(path), useCompression=compressed)
        check_complete(path)  # the writers do not look whether all of it went to the disk
    except (RuntimeError, DamagedImageError) as error:
        reason = reason_of(error)
        message = f"{path} cannot be written: {reason} Is the disk full?"
        raise FileError(message) from error
