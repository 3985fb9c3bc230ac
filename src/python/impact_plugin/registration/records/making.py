"""The record of a registration: begun before elastix starts, finished when its result is there."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from impact_plugin import _devices
from impact_plugin.folders import record as fields
from impact_plugin.folders.record import BegunRecord, Record
from impact_plugin.models import resolve
from impact_plugin.models.files import sha256
from impact_plugin.parameters.names import is_named
from impact_plugin.parameters.values import as_integer
from impact_plugin.registration.records import machine
from impact_plugin.registration.records.contents import (
    describe_image,
    first_maps,
    path_of,
    transform_sha256,
    voxels_sha256,
)
from impact_plugin.transforms.initial import AUTOMATIC

if TYPE_CHECKING:
    from impact_plugin.elastix.log import Level
    from impact_plugin.registration.inputs import Inputs
    from impact_plugin.registration.result import RegistrationResult
    from impact_plugin.registration.stages import Stage
    from impact_plugin.transforms.chain import Chain

DEFAULT_SEED = 121212
"""elastix's own, of maps without RandomSeed (Core/Kernel/elxElastixBase.cxx)."""

IMAGES = ("fixed", "moving", "fixed_mask", "moving_mask")
"""The images of a registration, by the names of the arguments of ``register_images``."""


def begin(
    inputs: Inputs,
    given: Mapping[str, object],
    initial_transform: object,
    before: Chain,
    stages: Sequence[Stage],
    arguments: Mapping[str, object],
) -> BegunRecord:
    """Describe what goes into a registration; reads every file of it.

    Args:
        inputs: The images, converted and checked.
        given: The images as the caller gave them, by name (:data:`IMAGES`).
        initial_transform: As the caller gave it.
        before: The same, as elastix gets it.
        stages: As elastix gets them.
        arguments: Arguments of ``register_images`` that are a number, a list of them, or a text.

    Raises:
        OSError: A file cannot be read.
    """
    images: dict[str, Any] = {
        name: None if image is None else describe_image(image, given[name])
        for name, image in ((name, getattr(inputs, name)) for name in IMAGES)
    }
    plain: dict[str, Any] = {name: _plain(value) for name, value in arguments.items()}
    return BegunRecord(
        record_version=1,
        started=_now(),
        command=fields.Command(arguments=list(sys.argv), folder=str(Path.cwd())),
        arguments=fields.Arguments(**plain),
        images=fields.Images(**images),
        initial_transform=_describe_initial(initial_transform, before),
        stages=tuple(_describe_stage(stage) for stage in stages),
        models=_describe_models(stages),
        files=_describe_files(stages),
    )


def finish(
    begun: BegunRecord,
    result: RegistrationResult,
    before: Chain,
    levels: Sequence[Level],
    log: str,
) -> Record:
    """Add to what :func:`begin` gave what came out.

    Args:
        begun: What it gave.
        result: The registration's result.
        before: The initial transform.
        levels: The resolution levels that elastix reported.
        log: elastix's, in full.
    """
    stages = []
    for number, stage in enumerate(begun.stages):
        maps = len(before.maps) + number + 1
        reached = maps <= len(result.chain.maps)
        stages.append(
            fields.Stage(
                **msgspec.structs.asdict(stage),
                levels=tuple(_describe_level(each) for each in levels if each.stage == number),
                transform_sha256=(
                    transform_sha256(first_maps(result.chain, maps)) if reached else None
                ),
            )
        )
    by = result.resampling
    return Record(
        **{**msgspec.structs.asdict(begun), "stages": tuple(stages)},
        finished=_now(),
        stopped=result.stopped,
        transform=fields.Transform(file=None, sha256=transform_sha256(result.chain)),
        result_image=fields.ResultImage(
            file=None,
            voxels_sha256=voxels_sha256(result.image),
            resampling=fields.ResampledBy(order=by.order, outside=by.outside) if by else None,
        ),
        timings=dict(result.timings),
        versions=machine.versions(log),
        machine=machine.describe(device for stage in stages for device in stage.devices),
        log=None,
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> int | float | str | list[int] | None:
    """Give a value as JSON has it, whichever library's number it is."""
    if isinstance(value, list):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return None if value is None else str(value)


def _describe_initial(given: object, before: Chain) -> fields.InitialTransform | None:
    if given is None:
        return None
    path = None if _is_word(given) else path_of(given)
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    return fields.InitialTransform(
        given=str(given) if _is_word(given) else "file" if path else kind,
        path=None if path is None else str(path),
        file_sha256=None if path is None else sha256(path.resolve()),
        parameters=before.maps,
        fields=sorted(before.fields),
        sha256=transform_sha256(before),
    )


def _is_word(given: object) -> bool:
    return isinstance(given, str) and given in AUTOMATIC


def _describe_stage(stage: Stage) -> fields.BegunStage:
    seed = stage.parameters.get("RandomSeed", [str(DEFAULT_SEED)])[0]
    return fields.BegunStage(
        name=stage.name,
        parameters=stage.parameters,
        seed=as_integer(seed),
        devices=_devices_of(stage),
    )


def _devices_of(stage: Stage) -> list[str]:
    """Name the devices on which a stage's networks run, as torch does; none without networks."""
    if not stage.has_impact:
        return []
    numbers = [
        value
        for name, values in stage.parameters.items()
        if is_named(name, "GPU")
        for text in values
        for value in text.split()
    ]
    whole = [int(text) for text in numbers or ["-1"] if re.fullmatch(r"-?\d+", text)]
    return list(dict.fromkeys(_devices.name_of(each) for each in whole))


def _describe_models(stages: Sequence[Stage]) -> tuple[fields.Model, ...]:
    names = (name for stage in stages for name in resolve.named(stage.parameters))
    return tuple(
        fields.Model(name=name, **_describe_file(Path(name)))
        for name in dict.fromkeys(names)
        if Path(name).is_file()
    )


def _describe_files(stages: Sequence[Stage]) -> tuple[fields.OtherFile, ...]:
    """Describe other files that parameters name, such as images of a rigidity penalty."""
    found = {}
    for stage in stages:
        models = set(resolve.named(stage.parameters))
        for parameter, values in stage.parameters.items():
            for value in values:
                if value and value not in models and Path(value).is_file():
                    found[parameter, value] = fields.OtherFile(
                        parameter=parameter, name=value, **_describe_file(Path(value))
                    )
    return tuple(found.values())


def _describe_file(path: Path) -> dict[str, Any]:
    """Give the path of a file, links resolved, how large it is and what is in it."""
    path = path.resolve()
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)}


def _describe_level(level: Level) -> fields.Level:
    metric = level.values[-1] if level.values else math.nan
    return fields.Level(
        iterations=len(level.iterations),
        metric=metric if math.isfinite(metric) else None,
        seconds=round(level.seconds, 6),
    )
