"""What things are, as a record has them: checksums of voxels, files and transforms."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._io import expanded
from impact_plugin.folders.record import Image
from impact_plugin.models.files import sha256
from impact_plugin.parameters import map_files
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


def voxels_sha256(image: sitk.Image) -> str:
    """Compute the SHA-256 of an image's voxels, x fastest, in the machine's byte order."""
    import SimpleITK as sitk

    return hashlib.sha256(sitk.GetArrayViewFromImage(image)).hexdigest()


def describe_image(image: sitk.Image, given: object) -> Image:
    """Describe an image: where it came from, its grid and its voxels.

    Args:
        image: As it goes into the registration.
        given: As the caller gave it; a path is recorded as such.
    """
    import SimpleITK as sitk

    path = path_of(given)
    return Image(
        path=None if path is None else str(path),
        file_sha256=sha256(path) if path is not None and path.is_file() else None,
        stored=None,
        pixel_type=str(sitk.GetArrayViewFromImage(image).dtype),
        size=list(image.GetSize()),
        spacing=list(image.GetSpacing()),
        origin=list(image.GetOrigin()),
        direction=list(image.GetDirection()),
        voxels_sha256=voxels_sha256(image),
    )


def path_of(given: object) -> Path | None:
    """Give the absolute path of what was given as one."""
    is_path = isinstance(given, str | os.PathLike)
    return expanded(str(given)).absolute() if is_path else None


def transform_sha256(chain: Chain) -> str:
    """Compute the SHA-256 of a transform.

    Of the text of its parameter maps, one after the other, the parameters of each sorted by name;
    then of each displacement field's geometry and voxels. Two transforms that have the same are
    the same to the bit: elastix writes all digits.
    """
    digest = hashlib.sha256()
    for parameters in chain.maps:
        digest.update(map_files.dump(dict(sorted(parameters.items()))).encode())
    for name, image in sorted(chain.fields.items()):
        place = [*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]
        digest.update(f"{name} {place} {voxels_sha256(image)}\n".encode())
    return digest.hexdigest()


def first_maps(chain: Chain, number: int) -> Chain:
    """Give the transform that is made of the first so many of a chain's maps."""
    maps = chain.maps[:number]
    named = {value for parameters in maps for values in parameters.values() for value in values}
    return Chain(maps, {name: image for name, image in chain.fields.items() if name in named})
