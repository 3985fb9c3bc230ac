"""Registrations read from the folders that they were written to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from impact_plugin import _versions
from impact_plugin.folders import elastix_log
from impact_plugin.folders.elastix_folder import ElastixFolder
from impact_plugin.folders.elastix_log import LogFacts
from impact_plugin.images import conversion
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.images.reading import exists
from impact_plugin.registration import storage
from impact_plugin.registration.data import RegistrationData
from impact_plugin.report.registration.content import Content
from impact_plugin.transforms import directions


def read(folder: Path, fixed: ImageLike | None = None, moving: ImageLike | None = None) -> Content:
    """Read what ``result.save(folder)``, ``impact-plugin register`` or elastix itself wrote.

    Args:
        folder: The folder.
        fixed: The fixed image; None: where the folder's files say.
        moving: The moving image likewise.

    Raises:
        FileNotFoundError: The folder does not exist, or holds no registration.
        ValueError: A file in it is of another kind.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else f"does not exist (in {Path.cwd()})"
        message = f"{folder} {what}, expected the output folder of a registration"
        raise FileNotFoundError(message)
    if (folder / "result.json").is_file():
        return of_result(storage.load(folder), folder.name, fixed, moving)
    return _of_elastix(folder, fixed, moving)


def of_result(
    result: RegistrationData,
    title: str,
    fixed: ImageLike | None = None,
    moving: ImageLike | None = None,
) -> Content:
    """Tell of a result, and of what lies in its output folder."""
    folder = result.output_directory
    facts, record, said = LogFacts(), {}, _versions.describe()
    content = Content(
        title=title,
        chain=result.chain,
        fixed_geometry=result.fixed,
        stages=result.stages,
        history=result.history,
        timings=result.timings,
        stopped=result.stopped,
        initial=result.initial,
        registered=result.image,
        fixed=fixed,
        moving=moving,
    )
    if folder is not None:
        log = folder / "elastix.log"
        facts = elastix_log.read(log) if log.is_file() else _no_log(folder, content)
        record = _json(folder / "record.json", content)
        said = str(_json(folder / "result.json", content).get("versions") or said)
        files = sorted(folder.glob("Parameters.*.txt"))
        content.parameters = [(path.name, path.read_text(errors="replace")) for path in files]
    _complete(content, facts, record, result.inputs or (None, None), folder)
    content.versions = _parsed(said) | content.versions
    return content


def _of_elastix(folder: Path, fixed: ImageLike | None, moving: ImageLike | None) -> Content:
    found = ElastixFolder.read(folder)
    content = Content(
        title=folder.name,
        chain=found.chain,
        fixed_geometry=found.grid,
        stages=found.stages,
        history=found.history,
        timings=found.facts.timings if found.facts else {},
        initial=found.initial,
        fixed=fixed,
        moving=moving,
    )
    try:
        content.registered = found.image()
    except (OSError, ValueError) as error:
        content.notes.append(f"The registered image was left out: {error}")
    facts = found.facts or _no_log(folder, content)
    if found.facts and not facts.finished:
        content.notes.append("elastix.log has no regular end: the registration may be unfinished.")
    _complete(content, facts, _json(folder / "record.json", content), folder=folder)
    if directions.ignores(found.chain.maps[-1]):
        given = content.moving
        grid = None if given is None else Geometry.of(conversion.to_sitk(given, "moving"))
        content.chain = directions.in_world(found.chain, content.fixed_geometry, grid, str(folder))
    return content


def _no_log(folder: Path, content: Content) -> LogFacts:
    content.notes.append(
        f"There is no elastix.log in {folder.name}: no warnings are known"
        + ("." if content.timings else ", and no timings.")
    )
    return LogFacts()


def _complete(
    content: Content,
    facts: LogFacts,
    record: dict[str, Any],
    known: tuple[ImageLike | None, ImageLike | None] = (None, None),
    folder: Path | None = None,
) -> None:
    """Add what the log and the record say, and the images that are known but were not given."""
    content.record = record
    content.parameters = content.parameters or facts.parameters
    content.warnings = facts.warnings
    content.versions = facts.versions
    if isinstance(record.get("versions"), dict):
        content.versions |= {str(k): str(v) for k, v in record["versions"].items() if v}
    for name, image in zip(("fixed", "moving"), known, strict=True):
        if getattr(content, name) is not None:
            continue
        found = image
        if image is None or (isinstance(image, str | os.PathLike) and not exists(image)):
            found = _in_record(folder, record, name, facts) or image
        if found is None:
            content.notes.append(f"The {name} image is not known: give it (--{name}).")
        elif isinstance(found, str | os.PathLike) and not exists(found):
            # An image that was no file was written for elastix alone, and is gone.
            content.notes.append(f"The {name} image is no longer at {found}: give it (--{name}).")
        else:
            setattr(content, name, found)


def _in_record(
    folder: Path | None, record: dict[str, Any], name: str, facts: LogFacts
) -> str | None:
    """Find an image: a copy that the record kept, the path it has, or that of elastix's log."""
    images = record.get("images", record)
    entry = images.get(name) if isinstance(images, dict) else None
    if folder and isinstance(entry, dict) and entry.get("stored"):
        kept = folder / str(entry["stored"])
        if kept.is_file():
            return str(kept)
    path = entry.get("path") if isinstance(entry, dict) else entry
    return path if isinstance(path, str) and path else getattr(facts, name) or None


def _json(path: Path, content: Content) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        content.notes.append(f"{path.name} was left out: it is no JSON file ({error}).")
        return {}
    return found if isinstance(found, dict) else {}


def _parsed(versions: str) -> dict[str, str]:
    """Read what _versions.describe() writes."""
    pairs = [part.strip().partition(" ") for part in versions.split(",")]
    return {name: version for name, _, version in pairs if version}
