"""Images from where they lie: files of all formats, and folders of DICOM series."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.images import dicom, nifti_frames
from impact_plugin.images.errors import reason_of
from impact_plugin.images.files import read_header, read_image
from impact_plugin.images.integrity import check_complete

if TYPE_CHECKING:
    import SimpleITK as sitk

_ENDING = re.compile(r"(\.nii)?\.gz$|\.[^.]+$")


def exists(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is a file, a folder, or a folder that may have the series named."""
    place = expanded(path)
    return place.exists() or dicom.is_series(place)


def read(path: str | os.PathLike[str], name: str) -> sitk.Image:
    """Read an image.

    Args:
        path: A file, a folder with one DICOM series, or such a folder and behind it the
            SeriesInstanceUID of one of several.
        name: What messages call it.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: It is no image that ITK reads, it is damaged, or the folder has not one volume.

    Warns:
        FrameWarning: The header of a NIfTI file says two things of where it lies.
    """
    place = expanded(path, name)
    if dicom.is_series(place):
        return dicom.read(place, name)
    if not place.exists():
        message = f"{name}: there is no file {str(place)!r} (in {Path.cwd()})"
        raise MissingFileError(message)
    if dicom.is_dicom(place):
        return dicom.read_file(place, name)
    check_complete(place, name)
    nifti_frames.warn(nifti_frames.Frames.read(place), f"{name}: {str(place)!r}")
    try:
        return read_image(place)
    except RuntimeError as error:
        message = f"{name}: {str(place)!r} cannot be read as an image: {reason_of(error)}"
        raise InputError(message) from error


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """Give the files of which an image consists: that of the path, or those of a DICOM series.

    Raises:
        OSError, ValueError: There is no such series.
    """
    place = expanded(path)
    return dicom.files_of(place) if dicom.is_series(place) else [place]


def checksum(path: str | os.PathLike[str], of_file: Callable[[Path], str]) -> str:
    """Give the checksum of an image: of its file, or of the files of a series, however named.

    Args:
        path: Path of the image.
        of_file: Gives that of a file.

    Raises:
        OSError, ValueError: There is no such image.
    """
    files = files_of(path)
    if not dicom.is_series(expanded(path)):
        return of_file(files[0])
    return hashlib.sha256("".join(sorted(map(of_file, files))).encode()).hexdigest()


def stem(path: str | os.PathLike[str]) -> str:
    """Give an image's name without the format's ending; a DICOM series has none."""
    place = expanded(path)
    return place.name if dicom.is_series(place) else _ENDING.sub("", place.name)


def dimension_of(path: str | os.PathLike[str]) -> int | None:
    """Give the number of dimensions of an image file; None where it cannot be told."""
    place = expanded(path)
    if dicom.is_series(place):
        return 3
    try:
        return int(read_header(place).GetDimension())
    except RuntimeError:
        return None
