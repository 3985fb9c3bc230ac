"""Results of registrations as folders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from impact_plugin import _versions
from impact_plugin.images.geometry import Geometry
from impact_plugin.pairwise.history import History
from impact_plugin.pairwise.result import RegistrationResult
from impact_plugin.records import storage as records
from impact_plugin.records.contents import Record
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.from_elastix import UnsupportedTransformError


def save(result: RegistrationResult, folder: Path) -> Path:
    """Write a result; see :meth:`RegistrationResult.save`."""
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    (folder / records.NAME).unlink(missing_ok=True)  # it comes last: what it stands for is there
    last = result.chain.write(folder, "TransformParameters")
    sitk.WriteImage(result.image, str(folder / "result.mha"), useCompression=True)
    try:
        sitk.WriteTransform(result.transform, str(folder / "transform.h5"))
    except UnsupportedTransformError:
        (folder / "transform.h5").unlink(missing_ok=True)  # of an earlier result
    result.history.write(folder / "history.csv")
    summary = {
        "transform": last.name if last else None,
        "fixed": asdict(result.fixed),
        "stages": result.stages,
        "stopped": result.stopped,
        "timings": result.timings,
        "versions": _versions.describe(),
    }
    (folder / "result.json").write_text(json.dumps(summary, indent=2) + "\n")
    if result.log and result.output_directory != folder:
        (folder / records.LOG).write_text(result.log, encoding="utf-8")
    if result.record is not None:
        _save_record(result, result.record, folder, last)
    return folder


def _save_record(
    result: RegistrationResult, record: Record, folder: Path, transform: Path | None
) -> None:
    """Write the record, with the names of the files beside it."""
    named = record | {
        "transform": record["transform"] | {"file": transform.name if transform else None},
        "result_image": record["result_image"] | {"file": "result.mha"},
        "log": records.LOG,
    }
    if result.output_directory != folder:  # stored inputs are where they were stored
        named["images"] = {
            name: image and image | {"stored": _elsewhere(image["stored"], result.output_directory)}
            for name, image in record["images"].items()
        }
    records.write(named, folder / records.NAME)


def _elsewhere(stored: str | None, folder: Path | None) -> str | None:
    return None if stored is None or folder is None else str(folder / stored)


def load(folder: Path) -> RegistrationResult:
    """Read a result; see :meth:`RegistrationResult.load`."""
    import SimpleITK as sitk

    path = folder / "result.json"
    if not path.is_file():
        message = f"{folder} holds no result of a registration: there is no result.json"
        raise FileNotFoundError(message)
    summary = _read_summary(path)
    last = summary["transform"]
    log = folder / records.LOG
    return RegistrationResult(
        image=sitk.ReadImage(str(folder / "result.mha")),
        chain=Chain.read(folder / last) if last else Chain(),
        fixed=Geometry(**{name: tuple(values) for name, values in summary["fixed"].items()}),
        history=History.read(folder / "history.csv"),
        timings=summary["timings"],
        stages=tuple(summary["stages"]),
        stopped=summary["stopped"],
        output_directory=folder,
        log=log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "",
        record=records.read(folder) if (folder / records.NAME).is_file() else None,
    )


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
