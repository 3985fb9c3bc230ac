"""Whether a model expects Hounsfield units (HU), and whether an image has them."""

from __future__ import annotations

import functools
import re
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impact_plugin.check.images import ImageHeader

# A network that clips to a window of CT has its lower end as a number: torch.clamp(x, -1004., 9.).
_CLIP = re.compile(r"torch\.(?:clamp|clip)(?:_min)?_?\([^()]*?,\s*(?:min=)?(-\d+(?:\.\d*)?)")
_AIR = -300.0
"""HU: no tissue lies below, but air and lung do; a window that begins below it is one of CT."""


@functools.lru_cache(maxsize=64)
def expects_hu(path: str) -> str | None:
    """Tell whether a model expects HU.

    Args:
        path: Path of a TorchScript file.

    Returns:
        Why so, to follow "because"; None where nothing says so. A heuristic: the file has the name
        of a public model that does, or a clamp in the network's code begins below -300.
    """
    from impact_plugin.models.catalogue import UnknownModelError, find

    try:
        model = find(path)
    except UnknownModelError:
        pass
    else:
        if model.expects == "HU":
            return f"it has the name of {model.name} of {model.family} ({model.about})"
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if "/code/" not in name or not name.endswith(".py"):
                    continue
                for found in _CLIP.finditer(archive.read(name).decode("utf-8", errors="replace")):
                    if float(found[1]) <= _AIR:
                        return f"it clips intensities at {float(found[1]):g}"
    except (OSError, zipfile.BadZipFile):
        return None  # another check says so
    return None


def why_not_hu(image: ImageHeader) -> str | None:
    """Say what shows that an image's intensities are no HU; None where they may be."""
    if image.pixel_type.startswith("8-bit"):
        return f"has voxels of type {image.pixel_type}"
    least, greatest = image.intensity_range()
    shown = f"has intensities from {least:g} to {greatest:g}"
    if greatest - least <= 20:
        return f"{shown}, as normalised images have"
    if least >= 0 and greatest <= 255:
        return f"{shown}, as 8-bit images have"
    if least >= 0:
        return f"{shown}, none below 0, as CT without its offset of -1024 has"
    return None
