"""Whether a model expects Hounsfield units (HU), and whether an image has them; what it clips."""

from __future__ import annotations

import functools
import math
import re
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impact_plugin import _core
    from impact_plugin.check.images import ImageHeader

# A network that clips to a window of CT has its lower end as a number: torch.clamp(x, -1004., 9.).
_CLIP = re.compile(r"torch\.(?:clamp|clip)(?:_min)?_?\([^()]*?,\s*(?:min=)?(-\d+(?:\.\d*)?)")
_CLIPS = re.compile(r"\b(?:clamp|clip|hardtanh|clamp_max|minimum)_?\(")
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
    for found in _CLIP.finditer(_code_of(path)):
        if float(found[1]) <= _AIR:
            return f"it clips intensities at {float(found[1]):g}"
    return None


def clips_most(model: _core.ModelSettings, image: ImageHeader) -> float | None:
    """Tell whether a model sees no difference between intensities of the brighter part of an image.

    It is run on an irregular image within the range of its intensities, and on one that differs
    from it above their mean alone, where its code clips anything at all.

    Returns:
        The mean of the image; None where the model sees what is above it, or cannot be run so.
    """
    if not _CLIPS.search(_code_of(model.path)):
        return None
    least, greatest = image.intensity_range()
    mean = image.mean_intensity()
    if not (math.isfinite(greatest - least) and least < mean < greatest):
        return None
    import numpy as np

    from impact_plugin import _core, _networks

    size = [32] * 3 if model.dimension == 3 else [1, 64, 64]
    written = {
        "ModelsPath": [model.path],
        "Mode": ["Static"],
        "Dimension": [str(model.dimension)],
        "NumberOfChannels": [str(model.number_of_channels)],
        # The first layer alone, which sees least: what it does not see no other one does.
        "LayersMask": ["1" + "0" * (len(model.layers_mask) - 1)],
        "VoxelSize": ["*".join(["1"] * model.dimension)],
        "PatchSize": ["0"],
    }
    (settings,), _ = _core.parse_settings(written, 1, 3)
    voxels = np.random.default_rng(0).uniform(least, greatest, size).astype(np.float32)
    mirrored = np.where(voxels > mean, np.float32(mean + greatest) - voxels, voxels)
    for each in (voxels, mirrored):  # of one range, which the metric looks at
        each.flat[0], each.flat[-1] = least, greatest
    try:
        one, other = (
            _networks.feature_maps(
                _core.Image(each, [1.0] * 3, [0.0] * 3, np.eye(3)), settings.fixed_models[0]
            )[0][0]
            for each in (voxels, mirrored)
        )
    except _core.Error:
        return None
    return mean if np.array_equal(one, other) else None


def _code_of(path: str) -> str:
    """Give the code in a TorchScript file; nothing of what is none, which another check says."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "".join(
                archive.read(name).decode("utf-8", errors="replace")
                for name in archive.namelist()
                if "/code/" in name and name.endswith(".py")
            )
    except (OSError, zipfile.BadZipFile):
        return ""


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
