"""Folders of DICOM series: which one is meant, and whether its slices are one volume.

ITK takes the first series of a folder, sets the slices of one next to each other however they lie,
and leaves out files that are damaged. So the slices' own positions are looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import PathNameError, utf8_name
from impact_plugin.images.dicom_slices import TAGS, Slice
from impact_plugin.images.errors import reason_of
from impact_plugin.images.files import read_header
from impact_plugin.images.integrity import DamagedImageError

if TYPE_CHECKING:
    import SimpleITK as sitk

_UID = re.compile(r"[0-9]+(\.[0-9]+){2,}")
_MOST = 20  # series or files that a message names
_ENDINGS = (".dcm", ".dicom", ".ima")
# Images by the storage classes of DICOM PS3.4, annex B.5; not structures, reports and such.
_OF_IMAGES = re.compile(
    r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(1|2|3|4|6|7|12|20|66\.4|77|128|130|481\.[12])(\.\d+)*"
)


def is_series(path: Path) -> bool:
    """Tell whether a path is a folder, or a folder with a UID behind it."""
    if path.is_dir():
        return True
    return bool(_UID.fullmatch(path.name)) and not path.exists() and path.parent.is_dir()


def read(path: Path, name: str) -> sitk.Image:
    """Read a series.

    Args:
        path: The folder of the one series, or such a folder and behind it the UID of one of them.
        name: What messages call it.

    Raises:
        FileNotFoundError: The folder has no such series.
        DamagedImageError: A file of the folder is an image and cannot be read.
        ValueError: It has several series and none is named, or the slices are not one volume.
    """
    folder, uid = (path, None) if path.is_dir() else (path.parent, path.name)
    chosen = _choose(folder, uid, name)
    where = f"{name}: the DICOM series {chosen[0].tags.get('uid')!r} in {str(folder)!r}"
    return _assemble(chosen, where)


def is_file(path: Path) -> bool:
    """Tell whether a path is that of a DICOM file."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Tell whether a path is that of a series or of a DICOM file."""
    return is_series(path) or (path.is_file() and is_file(path))


def check_as_it_is(path: Path) -> None:
    """Check that ITK's reader puts a DICOM file's frames where they lie.

    Raises:
        ValueError: It does not.
        RuntimeError: It cannot read the file.
    """
    from impact_plugin.images.dicom_frames import frames_of  # imports numpy
    from impact_plugin.images.dicom_volume import volume_of

    whole = _look(str(path))
    frames = frames_of(whole, _storage_class(path)) if whole.size[2:] > (1,) else None
    if frames is None:
        return
    ordered = list(volume_of(frames, repr(str(path))).slices)
    if frames not in (ordered, ordered[::-1]):
        message = f"{str(path)!r} has frames that are not in order. Convert it with dcm2niix first"
        raise InputError(message)


def read_file(path: Path, name: str) -> sitk.Image:
    """Read a DICOM file: one slice, or a volume of several frames; errors as for :func:`read`."""
    where = f"{name}: {str(path)!r}"
    try:
        return _assemble([_look(str(path))], where)
    except RuntimeError as error:
        message = f"{where} cannot be read as an image: {reason_of(error)}"
        raise InputError(message) from error


def _assemble(slices: Sequence[Slice], where: str) -> sitk.Image:
    """Read the files of a series as one volume."""
    import SimpleITK as sitk

    from impact_plugin.images.dicom_frames import frames_of
    from impact_plugin.images.dicom_volume import volume_of

    frames: Sequence[Slice] | None = slices
    if len(slices) == 1:
        several = slices[0].size[2:] > (1,)
        storage = _storage_class(Path(slices[0].file))
        frames = frames_of(slices[0], storage) if several else None
    volume = None if frames is None else volume_of(frames, where)
    try:
        if len(slices) == 1:
            image = sitk.ReadImage(slices[0].file, imageIO="GDCMImageIO")
            if volume is not None and frames is not None:
                order = [frames.index(each) for each in volume.slices]
                colours = image.GetNumberOfComponentsPerPixel() > 1
                voxels = sitk.GetArrayViewFromImage(image)[order]
                image = sitk.GetImageFromArray(voxels, isVector=colours)
        else:
            assert volume is not None
            reader = sitk.ImageSeriesReader()
            reader.SetImageIO("GDCMImageIO")
            reader.SetFileNames([each.file for each in volume.slices])
            if len({each.pixel_type for each in slices}) > 1:  # by rescale slopes of their own
                reader.SetOutputPixelType(sitk.sitkFloat32)
            image = reader.Execute()
    except RuntimeError as error:
        message = f"{where} cannot be read: {reason_of(error)}"
        raise InputError(message) from error
    if volume is not None:
        image.SetOrigin(volume.origin)
        image.SetSpacing(volume.spacing)
        image.SetDirection(volume.direction)
    return image


def files_of(path: Path) -> list[Path]:
    """Give the files of a series, by name; errors as for :func:`read`."""
    folder, uid = (path, None) if path.is_dir() else (path.parent, path.name)
    return sorted(Path(each.file) for each in _choose(folder, uid, "image"))


def _choose(folder: Path, uid: str | None, name: str) -> list[Slice]:
    """Give the files of the series that is meant."""
    series: dict[str, list[Slice]] = {}
    for each in _images_in(folder, name):
        series.setdefault(each.tags.get("uid", ""), []).append(each)
    if uid is not None and uid in series:
        return series[uid]
    if uid is None and len(series) == 1:
        return next(iter(series.values()))
    inside = "\n".join(f"  {_describe(key, series[key])}" for key in [*series][:_MOST])
    if len(series) > _MOST:
        inside += f"\n  and {len(series) - _MOST} more"
    if uid is not None:
        place = f"it holds:\n{inside}" if series else "it holds no DICOM image"
        message = (
            f"{name}: there is no file {str(folder / uid)!r}, and no DICOM series {uid} in the "
            f"folder {str(folder)!r}; {place}"
        )
        raise MissingFileError(message)
    if not series:
        message = (
            f"{name}: the folder {str(folder)!r} holds no DICOM series (folders in it are not "
            "looked into)"
        )
        raise InputError(message)
    largest = max(series, key=lambda key: len(series[key])) or "UID"
    message = (
        f"{name}: the folder {str(folder)!r} holds {len(series)} DICOM series:\n{inside}\nName one "
        f"by its UID behind the folder: {str(folder / largest)!r}"
    )
    raise InputError(message)


def _describe(uid: str, slices: Sequence[Slice]) -> str:
    tags = slices[0].tags
    columns, rows = slices[0].size[:2]
    what = " ".join(
        part for part in (tags.get("modality"), repr(tags.get("description", ""))) if part
    )
    number = f"{len(slices)} file{'' if len(slices) == 1 else 's'}"
    return f"{uid or '(without a UID)'}: {what}, {number} of {columns} x {rows} pixels"


def _images_in(folder: Path, name: str) -> list[Slice]:
    """Look at all files of a folder."""
    found = []
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        kind = _storage_class(path)
        try:
            found.append(_look(utf8_name(path)))
        except PathNameError:
            if _OF_IMAGES.fullmatch(kind):
                raise
        except RuntimeError as error:
            if _OF_IMAGES.fullmatch(kind) or (not kind and path.suffix.lower() in _ENDINGS):
                message = (
                    f"{name}: {str(path)!r} is a DICOM image that cannot be read "
                    f"({reason_of(error)}), so a slice may be missing. Copy or export it again, or "
                    "move it away if it does not belong there"
                )
                raise DamagedImageError(message) from error
    return found


def _look(file: str) -> Slice:
    """Read the header of a file; RuntimeError where it is no DICOM image."""
    reader = read_header(file, "GDCMImageIO")
    tags = {
        tag: reader.GetMetaData(key).strip(" \0")
        for tag, key in TAGS.items()
        if reader.HasMetaDataKey(key)
    }
    return Slice(file, tuple(reader.GetSize()), int(reader.GetPixelID()), tags)


def _storage_class(path: Path) -> str:
    """Give the MediaStorageSOPClassUID of a DICOM file, "" of others (DICOM PS3.10, section 7)."""
    try:
        with path.open("rb") as file:
            begin = file.read(1024)
    except OSError:
        return ""
    at = begin.find(b"\x02\x00\x02\x00UI", 132) if begin[128:132] == b"DICM" else -1
    if at < 0:
        return ""
    length = int.from_bytes(begin[at + 6 : at + 8], "little")
    return begin[at + 8 : at + 8 + length].decode("ascii", "replace").strip(" \0")
