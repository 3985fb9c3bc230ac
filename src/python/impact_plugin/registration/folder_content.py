"""Registrations read from the folders that they were written to."""

from __future__ import annotations

import os
from pathlib import Path

from impact_plugin import _versions
from impact_plugin._errors import MissingFileError
from impact_plugin.folders.data import RegistrationData
from impact_plugin.folders.elastix_log import LogFacts
from impact_plugin.folders.record import Image, Record
from impact_plugin.folders.result_folder import ResultFolder
from impact_plugin.images import conversion
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.images.reading import exists
from impact_plugin.registration import storage
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
        raise MissingFileError(message)
    found = ResultFolder(folder)
    if found.summary is None:
        return _of_elastix(found, fixed, moving)
    return of_result(storage.load(folder), folder.name, fixed, moving)


def of_result(
    result: RegistrationData,
    title: str,
    fixed: ImageLike | None = None,
    moving: ImageLike | None = None,
) -> Content:
    """Tell of a result, and of what lies in its output folder."""
    folder = result.output_directory
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
    known = result.inputs or (None, None)
    if folder is None:
        content.versions = _parsed(_versions.describe())
        _find_images(content, known)
        return content
    found = ResultFolder(folder)
    _add(content, found, result.record)
    try:
        said = found.summary.versions if found.summary else ""
    except ValueError as error:
        said = ""
        content.notes.append(f"result.json was left out: {error}")
    content.versions = _parsed(said or _versions.describe()) | content.versions
    _find_images(content, known, found, result.record)
    return content


def _of_elastix(found: ResultFolder, fixed: ImageLike | None, moving: ImageLike | None) -> Content:
    content = Content(
        title=found.path.name,
        chain=found.chain,
        fixed_geometry=found.fixed,
        stages=found.stages,
        history=found.history,
        timings=found.timings,
        initial=found.initial,
        fixed=fixed,
        moving=moving,
    )
    try:
        content.registered = found.image()
    except (OSError, ValueError) as error:
        content.notes.append(f"The registered image was left out: {error}")
    if found.facts and not found.facts.finished:
        content.notes.append("elastix.log has no regular end: the registration may be unfinished.")
    record = None
    try:
        record = found.record
    except ValueError as error:
        content.notes.append(f"record.json was left out: {error}")
    _add(content, found, record)
    _find_images(content, (None, None), found, record)
    if directions.ignores(found.chain.maps[-1]):
        given = content.moving
        grid = None if given is None else Geometry.of(conversion.to_sitk(given, "moving"))
        source = str(found.path)
        content.chain = directions.in_world(found.chain, content.fixed_geometry, grid, source)
    return content


def _add(content: Content, found: ResultFolder, record: Record | None) -> None:
    """Add what the log and the record say."""
    if found.facts is None:
        content.notes.append(
            f"There is no elastix.log in {found.path.name}: no warnings are known"
            + ("." if content.timings else ", and no timings.")
        )
    facts = found.facts or LogFacts()
    content.record = record
    content.parameters = found.parameters
    content.warnings = facts.warnings
    known = record.versions.items() if record else ()
    content.versions = facts.versions | {name: version for name, version in known if version}


def _find_images(
    content: Content,
    known: tuple[ImageLike | None, ImageLike | None],
    found: ResultFolder | None = None,
    record: Record | None = None,
) -> None:
    """Add the images that are known but were not given: copies that the record kept, paths."""
    for name, image in zip(("fixed", "moving"), known, strict=True):
        if getattr(content, name) is not None:
            continue
        place = image
        if image is None or (isinstance(image, str | os.PathLike) and not exists(image)):
            place = _noted(name, found, record) or image
        if place is None:
            content.notes.append(f"The {name} image is not known: give it (--{name}).")
        elif isinstance(place, str | os.PathLike) and not exists(place):
            # An image that was no file was written for elastix alone, and is gone.
            content.notes.append(f"The {name} image is no longer at {place}: give it (--{name}).")
        else:
            setattr(content, name, place)


def _noted(name: str, found: ResultFolder | None, record: Record | None) -> str | None:
    """Find an image: a copy that the record kept, the path it has, or that of elastix's log."""
    if found is None:
        return None
    if record is not None:
        image: Image = getattr(record.images, name)
        kept = found.path / image.stored if image.stored else None
        if kept is not None and kept.is_file():
            return str(kept)
        if image.path:
            return image.path
    return getattr(found.facts, name, None) or None


def _parsed(versions: str) -> dict[str, str]:
    """Read what _versions.describe() writes."""
    pairs = [part.strip().partition(" ") for part in versions.split(",")]
    return {name: version for name, _, version in pairs if version}
