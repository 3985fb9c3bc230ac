"""Fetches images of the pairs from the public repositories that they come from, pinned by commit.

What is made of what comes must be what the tables were measured on, voxel for voxel: its checksum
is below. Other places serve the same paths where IMPACT_EVIDENCE_URL says so. The native images
(study 1 of patient01 of the same data) are in no list of that repository that could be read here.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

from impact_plugin._io import replacing

PLACE = "https://raw.githubusercontent.com"
SECONDS = 20  # without an answer


class FetchError(Exception):
    """A file that does not come, or is another than expected; the message names it."""


def _crop(maps: Sequence[Path], factor: float = 1.0) -> sitk.Image:
    """The brain's part of MNI space, in LPS and whole numbers."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(maps[0]), sitk.sitkFloat64), "LPS") * factor
    grid = sitk.Image(152, 192, 160, sitk.sitkInt16)
    grid.SetOrigin((-75.0, -74.0, -72.0))
    part = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    return sitk.Cast(sitk.Round(part), sitk.sitkInt16)


def _tenfold(maps: Sequence[Path]) -> sitk.Image:
    return _crop(maps, 10.0)


def _mask(maps: Sequence[Path]) -> sitk.Image:
    """Where any of T1, T2 and FLAIR is not 0."""
    first, second, third = _crop(maps[:1]), _crop(maps[1:]), _tenfold(maps[2:])
    return sitk.Cast((first != 0) | (second != 0) | (third != 0), sitk.sitkUInt8)


def _bytes(maps: Sequence[Path]) -> sitk.Image:
    """A volume of FreeSurfer's, as it lies in the file."""
    volume = nibabel.load(maps[0])
    turned = np.diag([-1.0, -1.0, 1.0]) @ volume.affine[:3]  # RAS to LPS
    spacing = np.linalg.norm(turned[:, :3], axis=0)
    image = sitk.GetImageFromArray(np.asarray(volume.dataobj).T.astype(np.uint8))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(turned[:, 3].tolist())
    image.SetDirection((turned[:, :3] / spacing).ravel().tolist())
    return image


@dataclass(frozen=True)
class Source:
    """Where a file of the data comes from.

    Args:
        paths: repository/commit/path of each file that it is made of.
        sha256: Of the voxels in the file's own type, or of the file where it is taken as it is.
        made: What makes the image; None: taken as it is.
    """

    paths: tuple[str, ...]
    sha256: str
    made: Callable[[Sequence[Path]], sitk.Image] | None = None


def _sources() -> dict[str, Source]:
    found = {}
    for person, digests in _HEADS.items():
        maps = {
            word: f"{_MS}/cross_sectional/MNI/patient{person[1:]}/{word}_{_PREPARED}"
            for word in ("T1", "T2", "FLAIR")
        }
        for word, make in (("T1", _crop), ("T2", _crop), ("FLAIR", _tenfold)):
            found[f"ms/{person}_{word}.nii.gz"] = Source((maps[word],), digests[word], make)
        found[f"ms/{person}_mask.nii.gz"] = Source(tuple(maps.values()), digests["mask"], _mask)
    for name, (path, digest) in _FREESURFER.items():
        found[f"heads/{name}.nii.gz"] = Source((f"mne-tools/mne-misc-data/{path}",), digest, _bytes)
    for name, (path, digest) in _STAINS.items():
        found[f"histology/{name}"] = Source((f"Borda/BIRL/{path}",), digest)
    return found


_MS = "muschellij2/open_ms_data/ab6737647be9665e5448d18be2d715e0a89f7170"
_PREPARED = "N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
_HEADS = {
    "p07": {
        "T1": "fcc1e1b781e7fbe37f2287d2f3771bfb175f705b154486a221b9d7b55f766b3a",
        "T2": "fb9b9b0fc70d385370f86748dabb26efe06d1984cd7136f032265f01b94c2837",
        "FLAIR": "36b55ad3df633ae68c6128d60b61251640490456eb1b0e6b10cbbd8fc501baec",
        "mask": "a1a1e19f0c02a775717ecf100caff8c900179f6b41f551222e6a15f50547008a",
    },
    "p19": {
        "T1": "6f614b92d4e6df29d4fd1d30f5e4ef34b36340e6834b3aae4a52a3ca8bbac0a4",
        "T2": "62f8bc7a0a095197d325178a8a681d7e44745e0bee0eb562da111698d6231e9d",
        "FLAIR": "9becec00671ea743adf5262d43dcac7d71c39f59ec8c7d33fc86d6c08c64c581",
        "mask": "2060487b37fd384246a25940274865554b583d0ee5dfc83bde86c7af475e14d5",
    },
}
_FREESURFER = {
    "ecog_brain": (
        "bb30a86eb9ef40883ddfa60f984f686474756cd3/ecog/sample_ecog/mri/brain.mgz",
        "553bd9c1ebbb6012b5799fdc766bb220d1337ab10e15d6aca0db5034c270fa7b",
    ),
    "ecog_aseg": (
        "7a07eb9c7e3df8b003e6b9a9723a366ee56d0618/ecog/sample_ecog/mri/aseg.mgz",
        "0586e1384e7ea88ed6f22fc0dff32cff9d4458a4a1824b033d7646877e18ccbd",
    ),
    "seeg_brain": (
        "f6faf7e9caba966d7b498b6798d31785a15cb8c8/seeg/sample_seeg_brain.mgz",
        "cf15cbe499c3e02466623a2b6745e968839c19a0d6179d9b5a9901c6f68a95e8",
    ),
    "seeg_aseg": (
        "1fb81baa2ffb898e6cec3aa6e2e378e5200cba35/seeg/sample_seeg/mri/aseg.mgz",
        "509539a05b86a1bcb8498e805a93b7f21fc3276306bd88d41735d9b5e59269bf",
    ),
}
_STAINS = {
    "HE.jpg": (
        "46eddc5328ff7323876c66f8a47877512e95064d/data_images/lesions_/scale-5pc/Izd2-29-041-w35-He.jpg",
        "2e2938939f39bef4a33846b398b1e5b55a915400ef96399d3bd13ab5bc21d7c1",
    ),
    "HE.csv": (
        "73b404a8cfc70aaf9ffacf9ef15f1b661bfbdcfa/data/landmarks/Izd2-29-041-w35-He.csv",
        "81700acf3157ea0a7fbfab88fad090f0b6fe32fc6b4d9ec80ee3b39a8443d75b",
    ),
    "proSPC.jpg": (
        "3a8116c4dbe099f69e0ce3315b287eb53f489446/data_images/lesions_/scale-5pc/Izd2-29-041-w35_proSPC.jpg",
        "8cc76b97d4cd1f57263af5efe0c2f311cdd92e6ba460c866bb220f0ac4d1b882",
    ),
    "proSPC.csv": (
        "477ccc8139661016029700bed0b5210da766b69e/data/landmarks/29-041-Izd2-w35-proSPC-4.csv",
        "6d4f699f15d68059d1bb98d03f51125dc6e798e91c60c10a008735034ebed3ab",
    ),
}
SOURCES = _sources()


def checksum(path: Path) -> str:
    """Compute what `Source.sha256` says: of an image's voxels, of another file's bytes."""
    if path.name.endswith(".nii.gz"):
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(name: str, folder: Path) -> Path:
    """Fetch a file of the data into a folder.

    Args:
        name: As in `SOURCES`, folder/file.
        folder: The data's.

    Raises:
        FetchError: It does not come, or what is made of it is not what the tables were measured on.
    """
    source = SOURCES.get(name)
    if source is None:
        message = f"{name} is in no public repository that is known here"
        raise FetchError(message)
    target = folder / name
    with tempfile.TemporaryDirectory() as place, replacing(target) as unfinished:
        parts = [
            _downloaded(path, Path(place) / f"{i}-{Path(path).name}")
            for i, path in enumerate(source.paths)
        ]
        made = Path(place) / target.name
        if source.made is None:
            parts[0].rename(made)
        else:
            sitk.WriteImage(source.made(parts), str(made), useCompression=True)
        found = checksum(made)
        if found != source.sha256:
            message = (
                f"{name}, made of {', '.join(source.paths)}, has the checksum {found}, expected "
                f"{source.sha256}: it is not what the tables were measured on. Name a folder "
                "with the right one with DATA=FOLDER"
            )
            raise FetchError(message)
        shutil.move(made, unfinished)
    return target


def _downloaded(path: str, target: Path) -> Path:
    url = f"{os.environ.get('IMPACT_EVIDENCE_URL', PLACE).rstrip('/')}/{path}"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, http.client.HTTPException) as error:
        message = f"{url}: {error}. Get the file, and name the data's folder with DATA=FOLDER"
        raise FetchError(message) from error
    return target
