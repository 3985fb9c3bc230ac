"""Cohorts of real registrations that take a fraction of a second, and what may happen to these.

Whatever stands here in the place of ``work.register`` ends in it, unless it fails or its process
dies. All that is around it, on the worker and beside it, is what runs elsewhere.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import impact_plugin
from helpers.pairs import squares
from helpers.parameter_maps import as_text
from impact_plugin import cohort
from impact_plugin.cohort import work
from impact_plugin.cohort.plan import Task

VARIANT = "quick"
Result = impact_plugin.RegistrationResult


def quick_map(folder: Path) -> Path:
    """Write a parameter file for one level and one iteration, without a network."""
    path = folder / f"{VARIANT}.txt"
    path.write_text(as_text(squares(MaximumNumberOfIterations=1)))
    return path


def table(folder: Path, images: Path, names: Iterable[str]) -> Path:
    """Write a table of pairs; each has a seed of its own, so that no two are the same."""
    path = folder / "pairs.csv"
    rows = [f"{n},{images / 'f.mha'},{images / 'm.mha'},{i}" for i, n in enumerate(names)]
    path.write_text("\n".join(["pair,fixed,moving,seed", *rows]) + "\n")
    return path


def register(
    pairs: Path | Iterable[cohort.Pair],
    out: Path,
    register: work.Register = work.register,
    **options: Any,  # noqa: ANN401
) -> cohort.CohortResult:
    """Register a cohort with the quick map, which is written beside ``out``.

    Args:
        pairs: The pairs, or their table.
        out: The cohort's folder.
        register: What registers each pair, on the workers.
        options: Of ``register_cohort``.
    """
    return cohort.register_cohort(
        pairs,
        out,
        parameter_files=[quick_map(out.parent)],
        runner=partial(work.run, register=register),
        **{"progress": False, **options},
    )


def as_named(task: Task) -> Result:
    """Do what the pair's name says: ``kills...`` its worker, or ``bad...``."""
    if task.pair.name.startswith("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.pair.name.startswith("bad"):
        message = "bad"
        raise ValueError(message)
    return work.register(task)


def fails_then_dies(task: Task) -> Result:
    """Fail at the first try, kill the worker at the second, be done at the third."""
    if task.attempt == 1:
        message = "first"
        raise ValueError(message)
    if work.starts(task) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return work.register(task)


def segfaults(_: Task) -> Result:
    """Crash as native code does."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def notes(task: Task) -> Result:
    """Note in the cohort's folder when it ran, and with how much memory."""
    begun = time.time()
    result = work.register(task)
    (Path(task.cohort) / f"{task.pair.name}.ran").write_text(f"{begun} {time.time()} {task.memory}")
    return result


def kills_its_job_once(task: Task) -> Result:
    """End the first pair's job, all of it, as a queue does at the end of its time."""
    if task.pair.name == "p0" and work.starts(task) == 1:
        os.killpg(os.getpgid(0), signal.SIGKILL)
    return work.register(task)
