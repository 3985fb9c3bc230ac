"""The registrations of a cohort: each pair in each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from impact_plugin import _versions
from impact_plugin.check import ImageHeader
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.memory import predict
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Checksums, Task, Variant, content_key
from impact_plugin.cohort.shares import Machine
from impact_plugin.evaluation.api import OutsideLandmarks


def make(
    pairs: Sequence[Pair],
    variants: Sequence[Variant],
    maps: Maps,
    headers: Mapping[str, ImageHeader],
    checksums: Checksums,
    outside: OutsideLandmarks = "error",
    **options: Any,  # noqa: ANN401
) -> list[Task]:
    """Make the tasks with their keys; reads all files whose checksums are not known.

    Args:
        pairs: The pairs.
        variants: How each is registered.
        maps: The variants' maps.
        headers: Of the images.
        checksums: Of files.
        outside: What becomes of landmarks outside the images.
        options: Those of :class:`Task` that are the same for all.

    Raises:
        CohortError: A file that was there is there no more.
    """
    tasks = []
    for pair in pairs:
        for variant in variants:
            loaded = maps.of(variant, pair, headers)
            try:
                models = maps.checksums(loaded, checksums)
                key = content_key(
                    pair, loaded.raw, models, checksums, options.get("device"), outside
                )
            except OSError as error:
                raise CohortError([f"pair {pair.name!r}: {error}"]) from error
            task = Task(pair, variant, key, models=loaded.given, outside=outside, **options)
            memory = predict(pair, variant, maps, headers)
            tasks.append(replace(task, memory=memory, versions=_versions.describe()))
    return tasks


def with_threads(tasks: Sequence[Task], machine: Machine | None, threads: int | None) -> list[Task]:
    """Give each task its threads: on this machine its share, elsewhere what the caller says."""
    if machine is None:
        return [replace(task, threads=threads or 1) for task in tasks]
    return [replace(task, threads=machine.threads_of(task.memory)) for task in tasks]
