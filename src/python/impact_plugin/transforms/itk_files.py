"""Transform files of ITK: .tfm, .txt, .mat, .h5, .xfm, and displacement fields as images."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import SimpleITK as sitk

_LISTENING = threading.Lock()
_ROWS = re.compile(rb"\s*([-+.\deE]+[ \t,]+){2,3}[-+.\deE]+[ \t]*\r?\n")
_IMAGES = (".mha", ".mhd", ".nrrd", ".nhdr", ".nii", ".nii.gz")


def read(path: Path, name: str) -> sitk.Transform:
    """Read a transform file of ITK, or a displacement field (mm, LPS), as ITK and ANTs write it.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        ValueError: It is of another kind, or holds several transforms.
    """
    try:
        if path.name.lower().endswith(_IMAGES):
            return _field(path)
        transform, warnings = _listened(path)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        hint = (
            " It holds a bare matrix, which does not say of which frame it is: convert it to one "
            "of these, as `c3d_affine_tool matrix.mat -oitk affine.txt` does of greedy's"
            if _ROWS.match(path.read_bytes()[:4096])
            else ""
        )
        message = (
            f"{name}: {str(path)!r} is neither a transform parameter file of elastix nor a "
            f"transform file that ITK reads (.tfm, .txt, .mat, .h5): {reason}{hint}"
        )
        raise ValueError(message) from error
    if "more than one transform" in warnings:
        message = (
            f"{name}: {str(path)!r} holds several transforms, and does not say in which order they "
            f"are applied (the first is a {transform.GetName()}): give one file with one "
            "transform, or with a CompositeTransform"
        )
        raise ValueError(message)
    return transform


def _field(path: Path) -> sitk.Transform:
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimension != components:
        message = (
            f"it is an image of {dimension} dimensions with {components} values per voxel, and not "
            "a displacement field: one vector in mm per voxel"
        )
        raise ValueError(message)
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
            transform = sitk.ReadTransform(str(path))
            return transform, listener.text
        finally:
            before.SetAsGlobalITKLogger()
