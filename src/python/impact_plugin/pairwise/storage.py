"""Results of registrations as folders."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from impact_plugin import _versions
from impact_plugin.images.geometry import Geometry
from impact_plugin.pairwise.history import History
from impact_plugin.pairwise.result import RegistrationResult
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.from_elastix import UnsupportedTransformError


def save(result: RegistrationResult, folder: Path) -> Path:
    """Write a result; see :meth:`RegistrationResult.save`."""
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
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
        "images": _paths(result),
        "timings": result.timings,
        "versions": _versions.describe(),
    }
    (folder / "result.json").write_text(json.dumps(summary, indent=2) + "\n")
    return folder


def load(folder: Path) -> RegistrationResult:
    """Read a result; see :meth:`RegistrationResult.load`."""
    import SimpleITK as sitk

    path = folder / "result.json"
    if not path.is_file():
        message = f"{folder} holds no result of a registration: there is no result.json"
        raise FileNotFoundError(message)
    summary = _read_summary(path)
    last = summary["transform"]
    return RegistrationResult(
        image=sitk.ReadImage(str(folder / "result.mha")),
        chain=Chain.read(folder / last) if last else Chain(),
        fixed=Geometry(**{name: tuple(values) for name, values in summary["fixed"].items()}),
        history=History.read(folder / "history.csv"),
        timings=summary["timings"],
        stages=tuple(summary["stages"]),
        stopped=summary["stopped"],
        output_directory=folder,
        inputs=_inputs(summary),
    )


def _paths(result: RegistrationResult) -> dict[str, str] | None:
    """Give the absolute paths of the images that were registered; None where one was no file."""
    if not all(isinstance(image, str | os.PathLike) for image in result.inputs or (None,)):
        return None
    assert result.inputs is not None
    paths = (str(Path(image).expanduser().absolute()) for image in result.inputs)
    return dict(zip(("fixed", "moving"), paths, strict=True))


def _inputs(summary: dict[str, Any]) -> tuple[Path, Path] | None:
    images = summary.get("images")
    return (Path(images["fixed"]), Path(images["moving"])) if images else None


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
