"""MIND as a model file, which needs no download."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

from impact_plugin._arguments import check_choice, integer
from impact_plugin._io import replacing
from impact_plugin._numbers import plain_arguments
from impact_plugin.models.files import target_path

FILE_NAME = re.compile(r"MIND_R([1-9]\d*)D([1-9]\d*)_([23])D\.pt")
"""Names of its files: radius, dilation and dimension."""
VERSION = "2"
"""Of what they compute: 1 had sums over channels whose last bits depended on the image's size."""
_EXTRA = "mind_version"


def file_name(radius: object, dilation: object, dimension: object) -> str:
    """Give the name of a file, as :data:`FILE_NAME` reads it."""
    return f"MIND_R{radius}D{dilation}_{dimension}D.pt"


@plain_arguments
def mind(
    radius: int = 1, dilation: int = 2, dimension: int = 3, *, path: str | Path | None = None
) -> Path:
    """Write a MIND-SSC feature extractor (Heinrich et al., MICCAI 2013) as a TorchScript file.

    MIND-SSC describes each voxel by how the patches around it resemble one another, which carries
    over from one modality to another. The model takes one grey image or a batch of patches and
    returns one layer of the same size, with 12 channels in 3D and 4 in 2D. A voxel's features
    depend on the ``2 * (radius + dilation) + 1`` voxels around it along each axis, and on nothing
    else: whole image, tile and patch agree, for patches
    of at least ``2 * (radius + dilation) + 1`` voxels (7 by default; give PatchSize so in Jacobian
    mode). :mod:`impact_plugin._mind` has the formula.

    Args:
        radius: Radius of the compared patches, in voxels, at least 1: patches of ``2 * radius + 1``
            voxels a side.
        dilation: Distance in voxels from the centre to the compared patches, at least 1.
        dimension: 2 for a model of images ``(N, 1, H, W)``, 3 for images ``(N, 1, D, H, W)``.
        path: File to write, or a folder that gets the default name
            ``MIND_R<radius>D<dilation>_<dimension>D.pt``. By default that name in
            ``models`` of the cache: ``$IMPACT_CACHE_DIR``, else ``impact-plugin`` in
            ``$XDG_CACHE_HOME`` or ``~/.cache``. A missing parent folder is made; an existing file
            is replaced, in one step.

    Returns:
        The absolute path of the file.

    Raises:
        ValueError: ``radius`` or ``dilation`` is not a whole number of at least 1, or ``dimension``
            is neither 2 nor 3.
        OSError: The file cannot be written.
    """
    radius = integer("radius", radius, 1, unit="voxels")
    dilation = integer("dilation", dilation, 1, unit="voxels")
    check_choice("dimension", dimension, (2, 3))

    target = target_path(path, file_name(radius, dilation, dimension))

    import torch  # slow: only where a file is written

    from impact_plugin._mind import MindSSC

    with warnings.catch_warnings(), replacing(target) as unfinished:
        for category in (DeprecationWarning, FutureWarning):  # the latter from torch 2.14 on
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=category)
        script = torch.jit.script(MindSSC(radius, dilation, dimension).eval())
        with unfinished.open("wb") as file:  # torch itself ends the process where a disk is full
            torch.jit.save(script, file, _extra_files={_EXTRA: VERSION})
    return target


def is_of_this_version(path: Path) -> bool:
    """Tell whether a file is what :func:`mind` writes now, and not what it once wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.endswith(f"/extra/{_EXTRA}")]
            return [archive.read(name) for name in inside] == [VERSION.encode()]
    except (OSError, zipfile.BadZipFile):
        return False
