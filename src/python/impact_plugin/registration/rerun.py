"""``impact_plugin.rerun``: a registration again, out of its record."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from msgspec import structs

from impact_plugin import _html
from impact_plugin._errors import InputError
from impact_plugin._io import expanded
from impact_plugin._numbers import plain_arguments
from impact_plugin.folders import record_file
from impact_plugin.folders.record import BegunRecord, Record
from impact_plugin.images.files import read_image
from impact_plugin.images.reading import exists
from impact_plugin.models import resolve
from impact_plugin.parameters.names import is_named
from impact_plugin.registration.api import register_images
from impact_plugin.registration.records import comparing, machine
from impact_plugin.registration.records.comparing import RecordMismatchError
from impact_plugin.registration.records.contents import first_maps, transform_sha256
from impact_plugin.registration.records.making import IMAGES
from impact_plugin.registration.stages import Stage
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.resampling import Resampling

if TYPE_CHECKING:
    from impact_plugin.images.colour import Channel
    from impact_plugin.images.conversion import ImageLike
    from impact_plugin.registration.result import RegistrationResult


_WRITES = "WriteFeatureMaps", "FeatureMapOutputDirectory"

_SHOWN = 20
"""Lines about what differs, in a notebook."""


class RecordWarning(UserWarning):
    """What may make the result of a rerun differ from the recorded one."""


@dataclass(frozen=True)
class Rerun:
    """A registration that was run again.

    Args:
        result: What it gave now.
        same: Whether transform and warped image are those of the record, to the bit.
        remarks: What is not as it was then: versions, the machine, files with the same voxels.
        differences: What is not the same in the result, one line each; empty where ``same``.
    """

    result: RegistrationResult
    same: bool
    remarks: tuple[str, ...]
    differences: tuple[str, ...]

    def _repr_html_(self) -> str:
        said = "the same to the bit" if self.same else "not the same"
        lines = [*self.differences, *(f"Not as it was: {each}" for each in self.remarks)]
        return _html.block(
            f"Registration run again: {said}",
            *(functools.partial(_html.paragraph, line) for line in lines[:_SHOWN]),
            self.result._repr_html_,
        )


@plain_arguments
def rerun(
    record: str | os.PathLike[str],
    *,
    fixed: ImageLike | None = None,
    moving: ImageLike | None = None,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    models: Mapping[str, str | os.PathLike[str]] | None = None,
    output_directory: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> Rerun:
    """Run a registration again, and compare its transform with the recorded one.

    On the same machine with the same versions the transform is the same to the bit, whatever the
    number of threads (on the CPU; elastix's own metrics promise that for the same number alone).

    Args:
        record: A ``record.json``, or the folder in which it is.
        fixed: Image in place of the recorded path; needed where it was no file and was not stored.
            It must have the same voxels.
        moving: Replacement for the recorded moving image.
        fixed_mask: Replacement for the recorded fixed mask.
        moving_mask: Replacement for the recorded moving mask.
        models: Paths of models that now lie elsewhere, by the names in the record.
        output_directory: Where to save the result; by default nowhere. Not the record's own folder.
            Feature maps that a recorded ``WriteFeatureMaps`` asks for go into ``FeatureMaps0``, and
            so on, in it, and nowhere without it: never where the record says.
        threads: By default as recorded.
        progress: As in :func:`impact_plugin.register_images`.

    Returns:
        The new result, and whether it is the same.

    Raises:
        FileNotFoundError: There is no such record.
        ValueError: It is no record, it is of a registration that its callback ended early, or
            ``output_directory`` is the folder in which it is.
        RecordMismatchError: Images, models or other files are not there or are not those of the
            record. All are named.
        RegistrationError: elastix failed.
        VersionMismatchError: The installed torch or itk-elastix does not fit.

    Warns:
        RecordWarning: Versions or the machine differ from the record's; one for each.
    """
    given = dict(zip(IMAGES, (fixed, moving, fixed_mask, moving_mask), strict=True))

    def warn(remark: str) -> None:
        # Called by check, that by register_images, that by run, and that by this function; both
        # public functions are called by what makes their numbers Python's.
        warnings.warn(remark, RecordWarning, stacklevel=8)

    return run(
        record, given, dict(models or {}), output_directory, threads, progress=progress, warn=warn
    )


def run(
    path: str | os.PathLike[str],
    given: Mapping[str, ImageLike | None],
    models: Mapping[str, str | os.PathLike[str]],
    output_directory: str | os.PathLike[str] | None,
    threads: int | None,
    *,
    progress: bool | None,
    warn: Callable[[str], None],
) -> Rerun:
    """Do what :func:`rerun` does.

    Args:
        path: Path of the record.
        given: Images in place of the recorded ones, by name.
        models: Paths of models in place of the recorded ones.
        output_directory: Where to save the result.
        threads: By default as recorded.
        progress: Whether to show bars.
        warn: Called with each remark, before elastix is started.
    """
    file = record_file.find(path)
    then = record_file.read(file)
    if then.stopped:
        message = (
            f"{file} is of a registration that its callback ended early, at an iteration that "
            "depends on time: it cannot be run again"
        )
        raise InputError(message)
    out = (
        None
        if output_directory is None
        else expanded(output_directory, "output_directory").absolute()
    )
    if out == file.parent:
        message = (
            f"the folder for the results is {str(out)!r}, that of the record that is run again: "
            "give another one"
        )
        raise InputError(message)
    images, missing = _images(then, given, file.parent)
    places, lost = _places(then, models)
    if missing or lost:
        raise RecordMismatchError([*missing, *lost])
    remarks = [
        *comparing.versions(then, machine.versions("")),
        *comparing.machines(then.machine, machine.describe()),
    ]
    wrong = comparing.files([*then.models, *then.files], places)

    def check(now: BegunRecord) -> None:
        other, same_elsewhere = comparing.images(then, now)
        if wrong or other:
            raise RecordMismatchError([*other, *wrong])
        remarks.extend(same_elsewhere)
        for remark in remarks:
            warn(remark)

    result = register_images(
        images["fixed"],
        images["moving"],
        parameter_maps=_stages(then, out),
        fixed_mask=images["fixed_mask"],
        moving_mask=images["moving_mask"],
        initial_transform=_initial(then, file.parent),
        models={each.name: places[each.name] for each in then.models} or None,
        threads=then.arguments.threads if threads is None else threads,
        channel=cast("Channel | None", then.arguments.channel),
        output_directory=out,
        progress=progress,
        record=check,
    )
    if (said := then.result_image.resampling) and result.record:
        # The stages are maps now, and may have been presets, whose rule is another image's, too.
        image = structs.replace(result.record.result_image, resampling=said)
        result = replace(
            result,
            resampling=Resampling(said.order, said.outside),
            record=structs.replace(result.record, result_image=image),
        )
        if out is not None:
            result.save(out)
    differences = _differences(then, result, file.parent)
    return Rerun(result, not differences, tuple(remarks), tuple(differences))


def _stages(then: Record, out: Path | None) -> list[Stage]:
    """Give the recorded stages, writing into ``out`` alone: see :func:`rerun`."""
    folders: dict[str, str] = {"false": "false"}

    def instead(value: str) -> str:
        if out is None:
            return "false"
        if value == "true":  # FeatureMaps in elastix's output folder, which is out
            return value
        return folders.setdefault(value, str(out / f"FeatureMaps{len(folders) - 1}"))

    return [
        Stage(
            each.name,
            {
                name: [instead(value) for value in values] if is_named(name, *_WRITES) else values
                for name, values in each.parameters.items()
            },
        )
        for each in then.stages
    ]


def _images(
    then: Record, given: Mapping[str, ImageLike | None], folder: Path
) -> tuple[dict[str, ImageLike | None], list[str]]:
    """Find the images: those given, else those stored, else the recorded paths.

    Returns:
        The images, and what is missing.
    """
    found: dict[str, ImageLike | None] = {}
    missing = []
    for name in IMAGES:
        recorded = getattr(then.images, name)
        image = given.get(name)
        if image is None and recorded is not None:
            option = f"--{name.replace('_', '-')}"
            remedy = f"give it with {option} FILE, or {name}=image in Python"
            if recorded.stored is not None:
                file = folder / recorded.stored
                # As an object, which is what it was.
                image = read_image(file) if file.is_file() else None
                if image is None:
                    missing.append(f"{name}: there is no file {str(file)!r}; {remedy}")
            elif recorded.path is None:
                missing.append(
                    f'{name}: it was no file, and was not stored (record="inputs" does); {remedy}'
                )
            elif exists(recorded.path):
                image = recorded.path
            else:
                missing.append(f"{name}: there is no file {recorded.path!r}; {remedy}")
        found[name] = image
    return found, missing


def _places(
    then: Record, models: Mapping[str, str | os.PathLike[str]]
) -> tuple[dict[str, Path], list[str]]:
    """Find the files that the maps name, by the names there.

    Returns:
        Where they lie, and what is missing.

    Raises:
        ValueError: A model is given that the record does not have.
    """
    found: dict[str, Path] = {}
    missing = []
    given = dict(models)
    for each in then.models:
        name = each.name
        key = next((key for key in (name, Path(name).name) if key in given), None)
        path = expanded(given.pop(key) if key else each.path, f"models[{name!r}]").absolute()
        if not path.is_file() and key is None:
            path = resolve.made_anew(path.name) or path
        found[name] = path
        if not path.is_file():
            missing.append(
                f"model: there is no file {str(path)!r}; give it with --model {path.name}=FILE, or "
                f"models={{{path.name!r}: path}} in Python"
            )
    for other in then.files:
        found[other.name] = path = Path(other.path)
        if not path.is_file():
            missing.append(f"{other.parameter}: there is no file {str(path)!r}")
    if given:
        known = ", ".join(sorted({Path(each.name).name for each in then.models})) or "none"
        message = f"models has {', '.join(map(repr, given))}; the models of the record are: {known}"
        raise InputError(message)
    return found, missing


@dataclass(frozen=True)
class _Initial:
    """An initial transform as ``register_images`` takes those of results."""

    chain: Chain


def _initial(then: Record, folder: Path) -> _Initial | None:
    """Give the recorded initial transform.

    Raises:
        RecordMismatchError: It has displacement fields, and they are no longer there.
    """
    recorded = then.initial_transform
    if recorded is None:
        return None
    chain = Chain(recorded.parameters)
    if recorded.fields:
        whole = _beside(then, folder)
        if whole is None:
            file = then.transform.file or "TransformParameters.*.txt"
            problem = (
                f"initial_transform: its displacement fields are part of {folder / file}, which is "
                "not there or has another content"
            )
            raise RecordMismatchError([problem])
        chain = first_maps(whole, len(recorded.parameters))
    if transform_sha256(chain) != recorded.sha256:
        raise RecordMismatchError(["initial_transform: the record was changed, or is damaged"])
    return _Initial(chain)


def _beside(then: Record, folder: Path) -> Chain | None:
    """Read the recorded transform from its file, if that is still there and the same."""
    name = then.transform.file
    if name is None or not (folder / name).is_file():
        return None
    try:
        chain = Chain.read(folder / name)
    except (OSError, ValueError, RuntimeError):
        return None
    return chain if transform_sha256(chain) == then.transform.sha256 else None


def _differences(then: Record, result: RegistrationResult, folder: Path) -> list[str]:
    """Say in what a result differs from the recorded one, one line each."""
    now = result.record
    assert now is not None
    if now.transform.sha256 == then.transform.sha256:
        if now.result_image.voxels_sha256 == then.result_image.voxels_sha256:
            return []
        return ["the transform is the same, and the warped image is not"]
    first = next(
        (
            number
            for number, (before, after) in enumerate(
                zip(then.stages, now.stages, strict=True), start=1
            )
            if before.transform_sha256 != after.transform_sha256
        ),
        len(then.stages),
    )
    text = f"the transform differs, from stage {first} ({then.stages[first - 1].name}) on"
    distance = _distance(then, result, folder)
    if distance is not None:
        text += f", by up to {distance:.3g} mm at points spread over the fixed image"
    return [text]


def _distance(then: Record, result: RegistrationResult, folder: Path) -> float | None:
    """Give the largest distance of the two transforms' points, mm; None where it is not known."""
    recorded = _beside(then, folder)
    if recorded is None:
        return None
    points = result.fixed.points(16)
    before = replace(result, chain=recorded).map_points(points)
    return float(np.linalg.norm(before - result.map_points(points), axis=1).max())
