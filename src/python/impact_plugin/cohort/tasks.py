"""The registrations of a cohort: each pair in each variant, and what memory it will take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from impact_plugin import _versions
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.maps import Headers, Maps
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Checksums, Task, Variant, content_key
from impact_plugin.cohort.shares import Machine
from impact_plugin.evaluation.api import OutsideLandmarks

_PROCESSES = 600 << 20
"""A worker, and elastix with torch, before there is an image."""
_COPIES = 6
"""Copies of the images, as floats: read, in elastix's pyramids, sampled, warped."""


def make(
    pairs: Sequence[Pair],
    variants: Sequence[Variant],
    maps: Maps,
    headers: Headers,
    checksums: Checksums,
    outside: OutsideLandmarks = "error",
    **options: Any,  # noqa: ANN401
) -> list[Task]:
    """Make the tasks with their keys; reads all files whose checksums are not known.

    Args:
        pairs: The pairs.
        variants: The ways in which each pair is registered.
        maps: The maps of the variants.
        headers: The headers of the images by their names, see :meth:`Pair.image`.
        checksums: The checksums of files, as far as they are known.
        outside: What becomes of landmarks outside the images.
        options: The attributes of :class:`Task` that all tasks share.

    Raises:
        CohortError: A file has disappeared since the pairs were checked.
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
                raise CohortError.of("missing-file", f"pair {pair.name!r}: {error}") from error
            task = Task(pair, variant, key, models=loaded.given, outside=outside, **options)
            memory = predict(pair, variant, maps, headers)
            tasks.append(replace(task, memory=memory, versions=_versions.describe()))
    return tasks


def predict(pair: Pair, variant: Variant, maps: Maps, headers: Headers) -> int:
    """Predict the memory of a registration at its peak, worker and elastix together, bytes.

    The numbers are fitted to registrations of one thread, so that none took more; docs/cohorts.md
    has what was measured and what is predicted of it.
    """
    voxels = sum(math.prod(headers[pair.image(side)].size) for side in ("fixed", "moving"))
    features = maps.feature_bytes(variant, pair, headers)
    return _PROCESSES + 4 * _COPIES * voxels + features


def with_threads(tasks: Sequence[Task], machine: Machine | None, threads: int | None) -> list[Task]:
    """Give each task its threads: on this machine its share, elsewhere what the caller says."""
    if machine is None:
        return [replace(task, threads=threads or 1) for task in tasks]
    return [replace(task, threads=machine.threads_of(task.memory)) for task in tasks]
