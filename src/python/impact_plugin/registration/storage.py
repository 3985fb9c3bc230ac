"""Results of registrations as folders."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from impact_plugin import _kept, _versions
from impact_plugin._errors import MissingFileError
from impact_plugin._io import expanded, naming
from impact_plugin.folders import LOG, RECORD, record_file, summary
from impact_plugin.folders.data import RegistrationData
from impact_plugin.folders.record import Record
from impact_plugin.folders.result_folder import ResultFolder
from impact_plugin.folders.summary import Images, Summary
from impact_plugin.images import conversion
from impact_plugin.images.files import write_image
from impact_plugin.transforms import apply, itk_files
from impact_plugin.transforms.from_elastix import UnsupportedTransformError
from impact_plugin.transforms.resampling import order_of, outside_of

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.registration.result import RegistrationResult
    from impact_plugin.registration.stopwatch import Stopwatch

_TRANSFORM = "transform.h5"
_OF_STAGES = re.compile(r"(?:TransformParameters|InitialTransform)\.\d+\.txt|field\d+\.mha")


def save(result: RegistrationResult, folder: Path, watch: Stopwatch | None = None) -> Path:
    """Write a result; see :meth:`RegistrationResult.save`.

    Args:
        result: The result.
        folder: Where.
        watch: Of a registration that is just ending: what is written last, the timings, has the
            time that the rest took to write.
    """
    paths = _paths(result)
    read = (("fixed", paths.fixed), ("moving", paths.moving)) if paths else ()
    _kept.check(_kept.matching(folder, _kept.OF_RESULTS), read)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        naming(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as unfinished,
    ):
        write_files(result, Path(unfinished), folder, watch)
        # What load() asks for first is taken away first and comes last: no half result is taken for
        # one, nor the parts of two.
        _discard(folder, {path.name for path in Path(unfinished).iterdir()})
        for path in sorted(Path(unfinished).iterdir(), key=lambda each: each.name == summary.NAME):
            path.replace(folder / path.name)
    return folder


def _discard(folder: Path, new: Collection[str]) -> None:
    """Take away what an earlier result in a folder has, and a new one has not, or not before."""
    for name in (summary.NAME, RECORD, _TRANSFORM):
        (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir():
        if _OF_STAGES.fullmatch(path.name) and path.name not in new:
            path.unlink()


def clear(folder: Path) -> None:
    """Take away all that an earlier run left in a folder, before another one begins.

    Of stages that the new run has not, files would stay that build on those of the new ones.
    """
    for path in list(_kept.matching(folder, _kept.OF_RESULTS)):
        if path.is_file():
            path.unlink()


def write_files(
    result: RegistrationResult, folder: Path, final: Path, watch: Stopwatch | None = None
) -> None:
    """Write the files of a result.

    Args:
        result: The result.
        folder: Where.
        final: Where they will be moved to.
        watch: As for :func:`save`.

    Raises:
        OSError: A file cannot be written.
    """
    last = result.chain.write(folder, "TransformParameters", final, result.initial)
    write_image(result.image, folder / "result.mha", compressed=True)
    with contextlib.suppress(UnsupportedTransformError):
        itk_files.write(result.transform, folder / _TRANSFORM)
    result.history.write(folder / "history.csv")
    if result.log and result.output_directory != final:
        (folder / LOG).write_text(result.log, encoding="utf-8")
    if watch is not None:
        result = timed(result, watch.ended("writing the results"))
    Summary(
        transform=last.name if last else None,
        fixed=result.fixed,
        stages=result.stages,
        initial=result.initial,
        stopped=result.stopped,
        resampling=result.resampling,
        images=_paths(result),
        timings=result.timings,
        versions=_versions.describe(),
    ).write(folder)
    if result.record is not None:
        _save_record(result, result.record, folder, final, last)


def timed(result: RegistrationResult, timings: dict[str, float]) -> RegistrationResult:
    """Give a result, and its record, other timings."""
    record = result.record and structs.replace(result.record, timings=timings)
    return replace(result, timings=timings, record=record)


def _save_record(
    result: RegistrationResult, record: Record, folder: Path, final: Path, transform: Path | None
) -> None:
    """Write the record, with the names of the files beside it.

    Args:
        result: The result.
        record: Its record.
        folder: Where.
        final: Where it will be moved to.
        transform: The file of the transform.
    """
    named = structs.replace(
        record,
        transform=structs.replace(record.transform, file=transform.name if transform else None),
        result_image=structs.replace(record.result_image, file="result.mha"),
        log=LOG,
    )
    before = result.output_directory
    if before != final:  # stored inputs are where they were stored
        images = {
            name: structs.replace(image, stored=str(before / image.stored) if before else None)
            for name, image in record.images.items()
            if image is not None and image.stored is not None
        }
        named = structs.replace(named, images=structs.replace(record.images, **images))
    record_file.write(named, folder / RECORD)


def load(folder: Path) -> RegistrationData:
    """Read a result; see :meth:`RegistrationResult.load`."""
    found = ResultFolder(folder)
    said = found.summary
    if said is None and next(folder.glob(".writing-*"), None):
        message = (
            f"{folder} holds no result of a registration: what wrote one there was killed on the "
            "way, and its parts may be of two. Save it again"
        )
        raise MissingFileError(message)
    image = found.image()
    return RegistrationData(
        image=_warped(found) if image is None else image,
        chain=found.chain,
        fixed=found.fixed,
        history=found.history,
        timings=found.timings,
        stages=found.stages,
        stopped=found.stopped,
        output_directory=folder,
        log=found.log,
        record=found.record,
        resampling=said.resampling if said else None,
        inputs=found.inputs,
        initial=found.initial,
    )


def _warped(found: ResultFolder) -> sitk.Image:
    """Make the image that elastix was told not to write."""
    facts = found.facts
    moving = Path(facts.moving if facts else "").expanduser()
    if not moving.is_file():
        where = (
            f"where its log says, at {moving}"
            if facts and facts.moving
            else "known: it left no log"
        )
        message = (
            f"{found.path} holds a transform and no registered image (elastix was told not to "
            f"write one), and the moving image is not {where}. Give the folder to `impact-plugin "
            f"evaluate` or `report`, or {found.last.name} as initial_transform"
        )
        raise MissingFileError(message)
    last = found.chain.maps[-1]
    source = conversion.to_sitk(moving)
    return apply.warp(found.chain, source, found.fixed, order_of(last), outside_of(last))


def _paths(result: RegistrationResult) -> Images | None:
    """Give the absolute paths of the images that were registered; None where one was no file."""
    if not all(isinstance(image, str | os.PathLike) for image in result.inputs or (None,)):
        return None
    assert result.inputs is not None
    fixed, moving = (str(expanded(image).absolute()) for image in result.inputs)
    return Images(fixed=fixed, moving=moving)
