"""Whether image files are whole, where ITK's readers do not tell.

ITK reads a NIfTI file that was cut off, and takes zeros for what is missing; of a damaged
compressed MetaImage it takes zeros for all of it, and a place that is no number for the origin. Of
a TIFF it takes the slices that are there for all of them, and of VTK and GIPL files zeros or
whatever is in memory for the rest.
"""

from __future__ import annotations

from pathlib import Path

from impact_plugin._errors import InputError
from impact_plugin.images.integrity import gipl, metaimage, nifti, tiff, vtk
from impact_plugin.images.integrity.damage import Damage

_CHECKS = {
    nifti.ENDINGS: nifti.check,
    (".mha", ".mhd"): metaimage.check,
    (".tif", ".tiff"): tiff.check,
    (".vtk",): vtk.check,
    (".gipl", ".gipl.gz"): gipl.check,
}


class DamagedImageError(InputError):
    """An image file of which a part is missing or cannot be unpacked."""


def check_complete(path: Path, name: str = "") -> None:
    """Check that an image file has all of its voxels.

    That is, those of the formats whose readers do not: NIfTI, MetaImage, TIFF, VTK and GIPL. A
    compressed MetaImage or GIPL is unpacked for it, and a NIfTI file only where its length tells
    nothing.

    Args:
        path: The file.
        name: What messages call it, besides its path.

    Raises:
        DamagedImageError: It has not. The message has the bytes that there are and should be.
        OSError: The file cannot be read.
    """
    ending = path.name.lower()
    try:
        for endings, check in _CHECKS.items():
            if ending.endswith(endings):
                check(path)
    except Damage as damage:
        message = (
            f"{name and f'{name}: '}{str(path)!r} is damaged: {damage}. Copy or export it again, "
            "and have a look at where it comes from"
        )
        raise DamagedImageError(message) from None
