"""What differs between a record and what is there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from impact_plugin._errors import InputError
from impact_plugin.folders.record import (
    BegunRecord,
    Image,
    Machine,
    Model,
    OtherFile,
    Record,
)
from impact_plugin.models.files import sha256
from impact_plugin.registration.records import machine

_GRID = ("size", "spacing", "origin", "direction", "pixel_type")


class RecordMismatchError(InputError):
    """What a record names is not there, or is not what it was.

    Attributes:
        problems: Each of them, with the file's name.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n  ".join(["This is not what was registered then:", *problems]))

    def __reduce__(self) -> tuple[type[RecordMismatchError], tuple[list[str]]]:
        return type(self), (self.problems,)


def versions(then: Record, now: Mapping[str, str | None]) -> list[str]:
    """Say which versions differ from those of a record, one line each.

    Args:
        then: The record.
        now: As :func:`.machine.versions` gives them, from any log.
    """
    recorded = then.versions
    return [
        f"{name} was {recorded[name]} and is {value}"
        for name, value in now.items()
        if name in recorded and value is not None and recorded[name] != value
    ]


def machines(then: Machine, now: Machine) -> list[str]:
    """Say in what else that may change the result this machine differs from a record's.

    Args:
        then: What the record has of the machine.
        now: As :func:`impact_plugin.registration.records.machine.describe` gives it.
    """
    found = []
    if then.processor != now.processor:
        found.append(f"the processor was {then.processor} and is {now.processor}")
    if changed := {*then.instructions} ^ {*now.instructions}:
        found.append(f"one of the two processors lacks {', '.join(sorted(changed))}")
    if then.plugin_sha256 != now.plugin_sha256:
        found.append("the plugin's binary (libimpact_*.so) is another build")
    for name in sorted({*then.variables, *now.variables}):
        before, after = then.variables.get(name), now.variables.get(name)
        if before != after:
            found.append(f"the variable {name} was {before or 'unset'} and is {after or 'unset'}")
    for device, before in then.gpus.items():
        after = machine.gpu_name(device)
        if before != after:
            found.append(f"{device} was {before} and is {after}")
    return found


def images(then: BegunRecord, now: BegunRecord) -> tuple[list[str], list[str]]:
    """Compare the images of two records.

    Returns:
        Which are others, and which are the same in another file; one line each.
    """
    other, remarks = [], []
    for name, before in then.images.items():
        after = getattr(now.images, name)
        if before is None or after is None:
            if before is not after:
                other.append(f"{name}: there was {_some(before)}, and now there is {_some(after)}")
            continue
        where = f"{name} ({after.path or 'given as an object'})"
        differences = [
            f"{key} was {getattr(before, key)} and is {getattr(after, key)}"
            for key in _GRID
            if getattr(before, key) != getattr(after, key)
        ]
        if not differences and before.voxels_sha256 != after.voxels_sha256:
            differences = ["its voxels have other values"]
        if differences:
            other.append(f"{where}: {'; '.join(differences)}")
        elif before.file_sha256 != after.file_sha256 and before.file_sha256:
            remarks.append(f"{where} has the same voxels in another file than then")
    return other, remarks


def _some(image: Image | None) -> str:
    return "none" if image is None else "one"


def files(entries: Iterable[Model | OtherFile], places: Mapping[str, Path]) -> list[str]:
    """Say which files are others than in a record, one line each.

    Args:
        entries: The record's ``models`` or ``files``.
        places: Where they lie now, by their names in the maps; they are there.
    """
    return [
        f"{places[each.name]} (for {each.name}) has another content: its SHA-256 was "
        f"{each.sha256} and is {found}"
        for each in entries
        if (found := sha256(places[each.name])) != each.sha256
    ]
