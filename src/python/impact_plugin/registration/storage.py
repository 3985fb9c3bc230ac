"""Results of registrations as folders."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from impact_plugin import _kept, _versions
from impact_plugin._io import expanded, naming
from impact_plugin.elastix.history import History
from impact_plugin.folders import LOG, RECORD, summary
from impact_plugin.folders.elastix_folder import ElastixFolder
from impact_plugin.folders.elastix_log import LogFacts
from impact_plugin.folders.summary import SavedTransform, Summary
from impact_plugin.images import conversion
from impact_plugin.images.files import read_image, write_image
from impact_plugin.registration.data import RegistrationData
from impact_plugin.registration.records import storage as records
from impact_plugin.registration.records.types import Record
from impact_plugin.transforms import apply, itk_files
from impact_plugin.transforms.from_elastix import UnsupportedTransformError
from impact_plugin.transforms.resampling import order_of, outside_of

if TYPE_CHECKING:
    from impact_plugin.registration.result import RegistrationResult

_TRANSFORM = "transform.h5"
_OF_STAGES = re.compile(r"(?:TransformParameters|InitialTransform)\.\d+\.txt|field\d+\.mha")


def save(result: RegistrationResult, folder: Path) -> Path:
    """Write a result; see :meth:`RegistrationResult.save`."""
    paths = _paths(result) or {}
    _kept.check(_kept.matching(folder, _kept.OF_RESULTS), paths.items())
    folder.mkdir(parents=True, exist_ok=True)
    with (
        naming(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as unfinished,
    ):
        write_files(result, Path(unfinished), folder)
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


def write_files(result: RegistrationResult, folder: Path, final: Path) -> None:
    """Write the files of a result.

    Args:
        result: The result.
        folder: Where.
        final: Where they will be moved to.

    Raises:
        OSError: A file cannot be written.
    """
    last = result.chain.write(folder, "TransformParameters", final, result.initial)
    write_image(result.image, folder / "result.mha", compressed=True)
    with contextlib.suppress(UnsupportedTransformError):
        itk_files.write(result.transform, folder / _TRANSFORM)
    result.history.write(folder / "history.csv")
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
    if result.log and result.output_directory != final:
        (folder / LOG).write_text(result.log, encoding="utf-8")
    if result.record is not None:
        _save_record(result, result.record, folder, final, last)


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
    records.write(named, folder / RECORD)


def load(folder: Path) -> RegistrationData:
    """Read a result; see :meth:`RegistrationResult.load`."""
    if not (folder / summary.NAME).is_file():
        if next(folder.glob(".writing-*"), None):
            message = (
                f"{folder} holds no result of a registration: what wrote one there was killed on "
                "the way, and its parts may be of two. Save it again"
            )
            raise FileNotFoundError(message)
        return _load_of_elastix(folder)
    said = Summary.read(folder)
    saved = SavedTransform.of(said, folder)
    return RegistrationData(
        image=read_image(folder / "result.mha"),
        chain=saved.chain,
        fixed=saved.fixed,
        history=History.read(folder / "history.csv"),
        timings=said.timings,
        stages=saved.stages,
        stopped=saved.stopped,
        output_directory=folder,
        log=_log(folder),
        record=_record(folder),
        resampling=said.resampling,
        inputs=(Path(said.images["fixed"]), Path(said.images["moving"])) if said.images else None,
        initial=saved.initial,
    )


def _load_of_elastix(folder: Path) -> RegistrationData:
    """Give what elastix wrote as a result."""
    found = ElastixFolder.read(folder)
    facts = found.facts or LogFacts()
    paths = [Path(name).expanduser() for name in (facts.fixed, facts.moving)]
    known = all(path.is_file() for path in paths)
    image = found.image()
    moving = paths[1]
    if image is None and not moving.is_file():
        where = f"where its log says, at {moving}" if facts.moving else "known: it left no log"
        message = (
            f"{folder} holds a transform and no registered image (elastix was told not to write "
            f"one), and the moving image is not {where}. Give the folder to `impact-plugin "
            f"evaluate` or `report`, or {found.last.name} as initial_transform"
        )
        raise FileNotFoundError(message)
    if image is None:
        last = found.chain.maps[-1]
        source = conversion.to_sitk(moving)
        image = apply.warp(found.chain, source, found.grid, order_of(last), outside_of(last))
    return RegistrationData(
        image=image,
        chain=found.chain,
        fixed=found.grid,
        history=found.history,
        timings=facts.timings,
        stages=found.stages,
        stopped=False,
        output_directory=folder,
        log=_log(folder),
        record=_record(folder),
        inputs=(paths[0], paths[1]) if known else None,
        initial=found.initial,
    )


def _log(folder: Path) -> str:
    log = folder / LOG
    return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""


def _record(folder: Path) -> Record | None:
    return records.read(folder) if (folder / RECORD).is_file() else None


def _paths(result: RegistrationResult) -> dict[str, str] | None:
    """Give the absolute paths of the images that were registered; None where one was no file."""
    if not all(isinstance(image, str | os.PathLike) for image in result.inputs or (None,)):
        return None
    assert result.inputs is not None
    paths = (str(expanded(image).absolute()) for image in result.inputs)
    return dict(zip(("fixed", "moving"), paths, strict=True))
