"""Inverses of registrations as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError
from impact_plugin._io import expanded, replacing
from impact_plugin.images.files import ONE_FILE, write_image
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import apply, itk_files

if TYPE_CHECKING:
    import SimpleITK as sitk

_TRANSFORMS = (".h5", ".tfm", ".txt")


def checked(path: str | os.PathLike[str]) -> Path:
    """Give the path of a file in which an inverse can be.

    Raises:
        ValueError: Its name ends otherwise.
    """
    file = expanded(path)
    if not file.name.lower().endswith((*_TRANSFORMS, *ONE_FILE)):
        message = (
            f"path is {str(file)!r}, expected a name that ends in {', '.join(_TRANSFORMS)} "
            f"(transforms of ITK) or {', '.join(ONE_FILE)} (displacements)"
        )
        raise InputError(message)
    return file


def is_of_images(file: Path) -> bool:
    """Tell whether a file is of displacements, which need a grid."""
    return file.name.lower().endswith(ONE_FILE)


def write(transform: sitk.Transform, file: Path, grid: Geometry | None) -> None:
    """Write a transform of ITK, or with a grid the displacements at its voxels, in one step.

    Raises:
        OSError: It cannot be written.
    """
    with replacing(file) as unfinished:
        if grid is None:
            itk_files.write(transform, unfinished)
        else:
            write_image(apply.field_of(transform, grid), unfinished, compressed=True)
