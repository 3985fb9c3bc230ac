"""Images to try things with: a CT pair of a lung with landmarks, and two MR slices.

They are test data of elastix and of ITK, and no part of this package. They are looked for where the
caller says, then where ``IMPACT_ELASTIX_SOURCE_DIR`` or ``IMPACT_ITK_SOURCE_DIR`` says (unpacked
sources), then in the cache (``IMPACT_CACHE_DIR``; by default ``impact-plugin`` in
``$XDG_CACHE_HOME`` or ``~/.cache``), and else fetched into the cache, file by file, from the commit
and with the SHA-256 that stand here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from impact_plugin._errors import ImpactError
from impact_plugin._io import cache_folder, expanded, write_bytes

__all__ = ["DatasetError", "LungPair", "MrSlices", "lung_pair", "mr_slices"]

_SERVER = "https://raw.githubusercontent.com"
_SECONDS = 30.0
_LARGEST = 64 * 2**20


class DatasetError(ImpactError, OSError):
    """Images that are nowhere, or did not arrive as they should; the message has what to do.

    Attributes:
        missing: Files that are not in the folder that was given; else none.
    """

    def __init__(self, message: str, missing: tuple[Path, ...] = ()) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True)
class LungPair:
    """Paths of a CT pair of one lung, breathed in and out, with 100 landmarks.

    Of elastix's test data (``Testing`` in its sources, https://github.com/SuperElastix/elastix),
    Apache License 2.0, as elastix itself.

    Attributes:
        fixed: The image at baseline, 3D, HU.
        moving: The image at follow-up.
        fixed_points: Landmarks in the fixed image, elastix's file, mm; 51 lie inside it.
        moving_points: The true positions in the moving image, in the same order.
        fixed_mask: The lung, on the fixed image's grid.
        moving_mask: The lung, on the moving image's grid.
        initial_transform: An affine transform from fixed to moving to begin with, elastix's file.
        model: A layer of TotalSegmentator, for the preset ``ct_cbct``.
    """

    fixed: Path
    moving: Path
    fixed_points: Path
    moving_points: Path
    fixed_mask: Path
    moving_mask: Path
    initial_transform: Path
    model: Path


@dataclass(frozen=True)
class MrSlices:
    """Paths of two 2D MR slices of one head, T1- and proton-density-weighted.

    Of ITK's examples (``Examples/Data`` in its sources,
    https://github.com/InsightSoftwareConsortium/ITK), Apache License 2.0, as ITK itself. Both are
    PNG files with three equal channels, of 1 mm.

    Attributes:
        fixed: The T1-weighted slice.
        moving: The proton-density-weighted slice, shifted: a point x of the fixed image is at
            x + (13, 17) mm in it.
    """

    fixed: Path
    moving: Path


@dataclass(frozen=True)
class _Source:
    """Where files are: in whose sources, of which version, and with which checksums."""

    name: str
    repository: str
    version: str
    commit: str
    variable: str
    folder: str
    files: dict[str, tuple[str, str]]


_LUNG = _Source(
    "elastix",
    "SuperElastix/elastix",
    "5.3.1",
    "ef34ca99d84c226d1bb72d534c8a201526a5c034",
    "IMPACT_ELASTIX_SOURCE_DIR",
    "Testing",
    {
        "fixed": (
            "Data/3DCT_lung_baseline.mha",
            "aa9e1d56d676967713dc6fb43b227e079e6e52ed66b94ebd6adc1c97241fbfe7",
        ),
        "moving": (
            "Data/3DCT_lung_followup.mha",
            "0f00443a965aeae998285296bf11af3ef5d524d9208eab622778f651757deb1e",
        ),
        "fixed_points": (
            "Data/3DCT_lung_baseline_landmarks.txt",
            "127064d143dc4e5617676448d96a33f77d1683cf311dd749f82cbce82ad3ee6c",
        ),
        "moving_points": (
            "Baselines/3DCT_lung_groundtruth_point.txt",
            "390e0a983d33c2085fea61dedb27d2d0b0b60e3dbaec000cd6366c2a0ab5e8ae",
        ),
        "fixed_mask": (
            "Data/3DCT_lung_baseline_mask.mha",
            "2ab6b21dbf45904933e26c5f19af73f4e97af2df40fb09497a52f9b9659d692d",
        ),
        "moving_mask": (
            "Data/3DCT_lung_followup_mask.mha",
            "3fd8dd56427add13f603dfa510df0fd00774636449e2967ccc805afcf8f6ba3c",
        ),
        "initial_transform": (
            "Data/transformparameters.3DCT_lung.affine.txt",
            "fda9b2f6a92fcd689f8cb54f1fb958b8eaf77cedf259328fa8149832ff085d09",
        ),
        "model": (
            "Data/M730_1_Layers.pt",
            "2c4adabe47012e9da7c9d74ffe506bd6e60638494b3351d3c16f36d816aa926a",
        ),
    },
)

_MR = _Source(
    "ITK",
    "InsightSoftwareConsortium/ITK",
    "5.4.7",
    "4c49df934c316ff87dbbd971b89e63df6bbd1836",
    "IMPACT_ITK_SOURCE_DIR",
    "Examples/Data",
    {
        "fixed": (
            "BrainT1SliceBorder20.png",
            "d25689977c23f46933320686d042240655a26d4aefa66a9caea71fb7147ec15f",
        ),
        "moving": (
            "BrainProtonDensitySliceShifted13x17y.png",
            "602253ec86418500213c2fc08bd17d34041e4939185dfa60e79c0dd7c38e6a4f",
        ),
    },
)


def lung_pair(folder: str | os.PathLike[str] | None = None, *, download: bool = True) -> LungPair:
    """Give the CT pair of a lung: 10 MB, fetched once.

    Args:
        folder: elastix's sources, or their folder ``Testing``; by default as this module says.
        download: Whether it may be fetched where it is not here.

    Raises:
        DatasetError: Files are missing in the folder that was given, or in that of
            ``IMPACT_ELASTIX_SOURCE_DIR``; or they are nowhere here, and cannot be fetched.
    """
    return LungPair(**_paths(_LUNG, folder, download))


def mr_slices(folder: str | os.PathLike[str] | None = None, *, download: bool = True) -> MrSlices:
    """Give the two MR slices: 60 kB, fetched once.

    Args:
        folder: ITK's sources, or their folder ``Examples/Data``; by default as this module says.
        download: Whether they may be fetched where they are not here.

    Raises:
        DatasetError: As by :func:`lung_pair`, with ``IMPACT_ITK_SOURCE_DIR``.
    """
    return MrSlices(**_paths(_MR, folder, download))


def _paths(
    source: _Source, folder: str | os.PathLike[str] | None, download: bool
) -> dict[str, Path]:
    given = folder if folder is not None else os.environ.get(source.variable) or None
    if given is not None:
        place = expanded(given, "folder" if folder is not None else source.variable).absolute()
        inner = place / source.folder
        found = _in(source, inner if inner.is_dir() else place)
        if missing := tuple(path for path in found.values() if not path.is_file()):
            said = "folder" if folder is not None else source.variable
            files = "\n".join(f"  {path}" for path in missing)
            message = (
                f"{said} is {str(place)!r}, expected the sources of {source.name} "
                f"{source.version} or their folder {source.folder}; these files are missing:\n"
                f"{files}"
            )
            raise DatasetError(message, missing)
        return found
    cache = cache_folder() / f"{source.name}-{source.version}" / source.folder
    fetched = cache_folder() / "datasets" / f"{source.name}-{source.version}" / source.folder
    for place in (cache, fetched):
        found = _in(source, place)
        if all(path.is_file() for path in found.values()):
            return found
    found = _in(source, fetched)
    if not download:
        raise DatasetError(f"the test data of {source.name} is not here. {_remedy(source)}")
    for file, checksum in source.files.values():
        if not (fetched / file).is_file():
            write_bytes(fetched / file, _fetched(source, file, checksum))
    return found


def _in(source: _Source, folder: Path) -> dict[str, Path]:
    return {name: folder / file for name, (file, _) in source.files.items()}


def _fetched(source: _Source, file: str, checksum: str) -> bytes:
    """Fetch a file whole.

    Raises:
        DatasetError: It cannot be fetched, or is another one.
    """
    import http.client
    import urllib.request

    url = f"{_SERVER}/{source.repository}/{source.commit}/{source.folder}/{file}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            content: bytes = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        message = f"the test data of {source.name} is not here, and {url} cannot be fetched"
        raise DatasetError(f"{message}: {reason}. {_remedy(source)}") from error
    got = hashlib.sha256(content).hexdigest()
    if got != checksum:
        message = f"{url} gave another file than it should: SHA-256 {got}, expected {checksum}"
        raise DatasetError(f"{message}. {_remedy(source)}")
    return content


def _remedy(source: _Source) -> str:
    return (
        f"With a connection it is fetched from {_SERVER}; without one, get the sources of "
        f"{source.name} {source.version} (https://github.com/{source.repository}/releases) and "
        f"give their folder, or name it in {source.variable}"
    )
