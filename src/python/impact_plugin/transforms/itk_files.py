"""Transform files of ITK: .tfm, .txt, .mat, .h5, .xfm, and displacement fields as images."""

from __future__ import annotations

import re
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import FileError, InputError
from impact_plugin._io import utf8_name
from impact_plugin.images.files import WITH_PLACE, read_image
from impact_plugin.transforms import itk_numbers
from impact_plugin.transforms.itk_parameters import from_file

if TYPE_CHECKING:
    import SimpleITK as sitk

_LISTENING = threading.Lock()
_ROWS = re.compile(rb"\s*([-+.\deE]+[ \t,]+){2,3}[-+.\deE]+[ \t]*\r?\n")


def read(path: Path, name: str) -> sitk.Transform:
    """Read a transform file of ITK, or a displacement field (mm, LPS), as ITK and ANTs write it.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        ValueError: It is of another kind, or holds several transforms.
    """
    with path.open("rb") as file:
        begin = file.read(4096)
    if not is_field(path) and not _ROWS.match(begin):
        itk_numbers.check(path, name)
    try:
        if is_field(path):
            return field(read_image(path))
        if path.suffix == ".mat" and not _ROWS.match(begin):
            _check_matlab(begin, path.stat().st_size)
        transform, warnings = _listened(path)
    except (RuntimeError, ValueError) as error:
        said = re.search(r"ITK ERROR: \w+\(\w+\): *(.+)", str(error))
        reason = said[1] if said else str(error).strip().splitlines()[-1].strip()
        if _ROWS.match(begin):
            reason = (
                "it holds a bare matrix, which does not say of which frame it is: convert it to "
                "one of these, as `c3d_affine_tool matrix.mat -oitk affine.txt` does of greedy's"
            )
        elif begin.startswith(b"#Insight Transform File") and path.suffix not in (".tfm", ".txt"):
            reason = "it is a text of ITK: give it a name that ends in .tfm"
        message = (
            f"{name}: {str(path)!r} is neither a transform parameter file of elastix nor a "
            f"transform file that ITK reads (.tfm, .txt, .mat, .h5): {reason}"
        )
        raise InputError(message) from error
    if "more than one transform" in warnings:
        message = (
            f"{name}: {str(path)!r} holds several transforms, and does not say in which order they "
            f"are applied (the first is a {transform.GetName()}): give one file with one "
            "transform, or with a CompositeTransform"
        )
        raise InputError(message)
    return transform


def _check_matlab(begin: bytes, size: int) -> None:
    """Refuse what is no MATLAB file of version 4: ITK believes any size, and asks for the memory.

    Raises:
        ValueError: It is none.
    """
    kind, rows, columns, imaginary, length = struct.unpack("<5i", begin[:20].ljust(20, b"\xff"))
    fits = 0 <= rows * columns <= size and rows >= 0 and 0 < length < 1000
    if not (fits and 0 <= kind < 5000 and imaginary == 0):
        message = "it is no .mat file as ITK and ANTs write them (MATLAB's version 4)"
        raise InputError(message)


def is_field(path: Path) -> bool:
    """Tell whether a file is an image, which :func:`read` takes for a displacement field."""
    return path.name.lower().endswith(WITH_PLACE)


def field(image: sitk.Image) -> sitk.Transform:
    """Give an image of displacements, mm in LPS, as a transform.

    Raises:
        ValueError: It has another number of values at each voxel than dimensions.
    """
    import SimpleITK as sitk

    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimension != components:
        message = (
            f"it is an image of {dimension} dimensions with {components} values per voxel, and not "
            "a displacement field: one vector in mm per voxel"
        )
        raise InputError(message)
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def _listened(path: Path) -> tuple[sitk.Transform, str]:
    """Read a file, and give what SimpleITK warns of meanwhile: it takes the first of several."""
    import SimpleITK as sitk

    class Listener(sitk.LoggerBase):  # type: ignore[misc]
        text = ""

        def _keep(self, text: str) -> None:
            self.text += text

        DisplayText = DisplayWarningText = DisplayErrorText = _keep
        DisplayDebugText = DisplayGenericOutputText = _keep

        def GetName(self) -> str:
            return "impact_plugin"

    listener = Listener()
    with _LISTENING:  # the logger is one for all threads
        before = listener.SetAsGlobalITKLogger()
        try:
            transform = from_file(utf8_name(path))
            return transform, listener.text
        finally:
            before.SetAsGlobalITKLogger()


def write(transform: sitk.Transform, path: Path) -> None:
    """Write a transform to a file of ITK, and see that all of it was written.

    Raises:
        OSError: It cannot be written, as where the disk is full.
    """
    import SimpleITK as sitk

    try:
        sitk.WriteTransform(transform, utf8_name(path))
        from_file(utf8_name(path))  # the writer does not see whether all of it went to the disk
    except RuntimeError as error:
        message = f"{path} cannot be written. Is the disk full?"
        raise FileError(message) from error
