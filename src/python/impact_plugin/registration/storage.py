"""Results of registrations as folders."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from impact_plugin import _kept, _versions
from impact_plugin._io import expanded, naming, read_image, write_image
from impact_plugin.elastix.history import History
from impact_plugin.images.grid import Geometry
from impact_plugin.registration import elastix_folders
from impact_plugin.registration.records import storage as records
from impact_plugin.registration.records.contents import Record
from impact_plugin.registration.result import RegistrationResult
from impact_plugin.transforms import itk_files
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.from_elastix import UnsupportedTransformError
from impact_plugin.transforms.resampling import Resampling

_SUMMARY = "result.json"
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
        for path in sorted(Path(unfinished).iterdir(), key=lambda each: each.name == _SUMMARY):
            path.replace(folder / path.name)
    return folder


def _discard(folder: Path, new: Collection[str]) -> None:
    """Take away what an earlier result in a folder has, and a new one has not, or not before."""
    for name in (_SUMMARY, records.NAME, _TRANSFORM):
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
    summary = {
        "transform": last.name if last else None,
        "fixed": asdict(result.fixed),
        "stages": result.stages,
        "initial": result.initial,
        "stopped": result.stopped,
        "resampling": result.resampling and asdict(result.resampling),
        "images": _paths(result),
        "timings": result.timings,
        "versions": _versions.describe(),
    }
    (folder / _SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    if result.log and result.output_directory != final:
        (folder / records.LOG).write_text(result.log, encoding="utf-8")
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
    named = record | {
        "transform": record["transform"] | {"file": transform.name if transform else None},
        "result_image": record["result_image"] | {"file": "result.mha"},
        "log": records.LOG,
    }
    if result.output_directory != final:  # stored inputs are where they were stored
        named["images"] = {
            name: image and image | {"stored": _elsewhere(image["stored"], result.output_directory)}
            for name, image in record["images"].items()
        }
    records.write(named, folder / records.NAME)


def _elsewhere(stored: str | None, folder: Path | None) -> str | None:
    return None if stored is None or folder is None else str(folder / stored)


def load(folder: Path) -> RegistrationResult:
    """Read a result; see :meth:`RegistrationResult.load`."""
    path = folder / _SUMMARY
    if not path.is_file():
        if next(folder.glob(".writing-*"), None):
            message = (
                f"{folder} holds no result of a registration: what wrote one there was killed on "
                "the way, and its parts may be of two. Save it again"
            )
            raise FileNotFoundError(message)
        return elastix_folders.load(folder)
    summary = _read_summary(path)
    last = summary["transform"]
    log = folder / records.LOG
    chain = Chain.read(folder / last) if last else Chain()
    return RegistrationResult(
        image=read_image(folder / "result.mha"),
        chain=chain,
        fixed=Geometry(**{name: tuple(values) for name, values in summary["fixed"].items()}),
        history=History.read(folder / "history.csv"),
        timings=summary["timings"],
        stages=tuple(summary["stages"]),
        stopped=summary["stopped"],
        output_directory=folder,
        log=log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "",
        record=records.read(folder) if (folder / records.NAME).is_file() else None,
        resampling=_resampling(summary),
        inputs=_inputs(summary),
        initial=_initial(summary, len(chain.maps)),
    )


def _paths(result: RegistrationResult) -> dict[str, str] | None:
    """Give the absolute paths of the images that were registered; None where one was no file."""
    if not all(isinstance(image, str | os.PathLike) for image in result.inputs or (None,)):
        return None
    assert result.inputs is not None
    paths = (str(expanded(image).absolute()) for image in result.inputs)
    return dict(zip(("fixed", "moving"), paths, strict=True))


def _inputs(summary: dict[str, Any]) -> tuple[Path, Path] | None:
    images = summary.get("images")
    return (Path(images["fixed"]), Path(images["moving"])) if images else None


def _resampling(summary: dict[str, Any]) -> Resampling | None:
    """Give what is there; results of before 2026-12 do not say it, their transforms do."""
    said = summary.get("resampling")
    return Resampling(**said) if said else None


def _initial(summary: dict[str, Any], transforms: int) -> int:
    """Give how many transforms were there before; results of before 2026-12 do not say it."""
    known = 0 if summary["stopped"] else max(0, transforms - len(summary["stages"]))
    return int(summary.get("initial", known))


_KEYS = ("transform", "fixed", "timings", "stages", "stopped")


def _read_summary(path: Path) -> dict[str, Any]:
    """Read result.json.

    Raises:
        ValueError: It is another file of that name.
    """
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{path} is no JSON file: {error}"
        raise ValueError(message) from error
    missing = [key for key in _KEYS if not isinstance(summary, dict) or key not in summary]
    if missing:
        message = f"{path} is not of a saved registration: it has no {', '.join(missing)}"
        raise ValueError(message)
    found: dict[str, Any] = summary
    return found
