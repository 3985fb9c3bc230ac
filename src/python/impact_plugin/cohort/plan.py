"""What is to be done: presets times pairs, each with a key that changes when its result would."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from impact_plugin import _io, _json, _versions
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.table import Row
from impact_plugin.evaluation.api import OutsideLandmarks
from impact_plugin.folders.result_folder import transform_in
from impact_plugin.images import reading
from impact_plugin.models.files import sha256
from impact_plugin.transforms import initial
from impact_plugin.transforms.initial import AUTOMATIC

TASK = "task.json"
"""A finished pair's row, in its folder: the whole folder is there, or nothing of it."""

_SAVED_EVERY = 30
"""Seconds after which checksums are kept: of a large study they take hours."""


@dataclass(frozen=True)
class Variant:
    """One way to register every pair: stages of presets, or parameter files.

    Attributes:
        name: Name of the folder.
        presets: Names of presets, in the order in which they run; empty with ``maps``.
        maps: Absolute paths of parameter files, in the order in which they run.
    """

    name: str
    presets: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One registration, as it is sent to a worker: everything in it can be pickled and is small.

    Attributes:
        pair: The pair.
        variant: How to register it.
        key: SHA-256 of contents of inputs, of parameters and of versions.
        cohort: The cohort's output folder.
        models: Where model files lie.
        threads: Threads of the registration.
        device: Where networks run.
        feature_cache: Folder for feature maps that are shared.
        retries: How often a pair is tried again.
        outside: What becomes of landmarks outside the images.
        memory: What it is predicted to take, bytes.
        versions: Versions of impact-plugin, torch and itk-elastix that the worker must have.
        attempt: Which try this is, from 1, but for those in which its worker died: these the
            worker counts.
    """

    pair: Pair
    variant: Variant
    key: str
    cohort: str
    models: str | dict[str, str] | None = None
    threads: int = 1
    device: str | None = None
    feature_cache: str | None = None
    retries: int = 1
    outside: OutsideLandmarks = "error"
    memory: int = 0
    versions: str = ""
    attempt: int = 1

    @property
    def name(self) -> str:
        """Name among the cohort's tasks."""
        return f"{self.pair.name}/{self.variant.name}"

    @property
    def folder(self) -> Path:
        """Where its result is."""
        return Path(self.cohort) / "pairs" / self.pair.name / self.variant.name


class Checksums:
    """SHA-256 of files, remembered by path, size, number on the disk and times of change."""

    def __init__(self, store: Path) -> None:
        self._store, self._saved = store, time.monotonic()
        self._known: dict[str, tuple[int, int, int, int, str]] = {}
        with suppress(OSError, ValueError):  # they are computed again
            read = json.loads(store.read_text(encoding="utf-8"))
            self._known = _json.typed(read, dict[str, tuple[int, int, int, int, str]])

    def of(self, path: str) -> str:
        """Give the checksum of a file, or of the files of a DICOM series, whatever their names.

        Raises:
            OSError, ValueError: It cannot be read.
        """
        return reading.checksum(path, self._of)

    def _of(self, file: Path) -> str:
        path, state = str(file), file.stat()
        # The time of the last change may be set back, that of the change of anything cannot.
        stamp = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        known = self._known.get(path)
        if not known or known[:-1] != stamp:
            self._known[path] = known = (*stamp, sha256(file))
            if time.monotonic() - self._saved > _SAVED_EVERY:
                self.save()
        return known[-1]

    def save(self) -> None:
        """Remember them for the next run."""
        _io.write_text(self._store, json.dumps(self._known))
        self._saved = time.monotonic()


def content_key(
    pair: Pair,
    parameters: Sequence[Mapping[str, Sequence[str]]],
    models: Mapping[str, str],
    checksums: Checksums,
    device: str | None = None,
    outside: OutsideLandmarks = "error",
) -> str:
    """Compute the key of a registration.

    Neither names and places of files matter nor threads, of which results do not depend on.

    Args:
        pair: The pair.
        parameters: The maps, before anything is resolved.
        models: Checksums of the model files by the names in the maps.
        checksums: Checksums of the inputs.
        device: Where networks run.
        outside: What becomes of landmarks outside the images.
    """
    files = {name: checksums.of(path) for name, path in sorted(pair.files.items())}
    start: str | list[str] | None = pair.initial_transform
    if pair.initial_transform not in (None, *AUTOMATIC):
        file = transform_in(str(pair.initial_transform))  # None: the identity, of a folder
        files_of_it = [] if file is None else initial.files_of(Path(file))
        start = [checksums.of(str(path)) for path in files_of_it]
    content = {
        "files": files,
        "initial_transform": start,
        "options": dict(pair.options),
        "overrides": dict(pair.overrides),
        "parameters": [dict(each) for each in parameters],
        "models": dict(models),
        "device": None if device == "cpu" and not _names_gpu(parameters) else device,
        "versions": _versions.describe(),
    }
    if outside != "error":
        content["outside"] = outside
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _names_gpu(parameters: Sequence[Mapping[str, Sequence[str]]]) -> bool:
    """Whether any map asks for a GPU, so that without a device the networks run there."""
    given = [values for each in parameters for name, values in each.items() if "GPU" in name]
    return any(value != "-1" for values in given for value in values)


def finished(task: Task) -> Row | None:
    """Give the row of a task whose result is there already; None where it is another's or none."""
    try:
        row = _json.typed(json.loads((task.folder / TASK).read_text(encoding="utf-8")), Row)
    except (OSError, ValueError):
        return None
    return row if row.key == task.key and row.status == "done" else None
