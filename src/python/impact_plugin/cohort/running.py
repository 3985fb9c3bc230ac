"""Run tasks through a client of dask: few at a time, those that fail again, and none is lost."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from msgspec import structs

from impact_plugin import _json
from impact_plugin.cohort import work
from impact_plugin.cohort.clusters import Cluster
from impact_plugin.cohort.journal import Journal
from impact_plugin.cohort.plan import Task, finished
from impact_plugin.cohort.table import Row

Runner = Callable[[Task], Row]

_WITHOUT_START = 20
"""How often workers may die before a task starts there: they are at fault, not the pair."""

_GATHER = 30
"""Seconds for a row to come from its worker."""


class EndedEarlyError(RuntimeError):
    """Not all tasks were done: somebody stopped it, or the scheduler went away."""


def run(
    cluster: Cluster, tasks: Sequence[Task], journal: Journal, runner: Runner = work.run
) -> Iterator[Row]:
    """Run tasks, and give the row of each when it has ended for good.

    The largest start first, since small ones fill what is left beside them and at the end. On this
    machine the scheduler has no more tasks than fit side by side; elsewhere it has twice as many as
    there are workers, so that these need not wait, and neither the scheduler nor this process has
    to keep thousands.

    Args:
        cluster: The workers.
        tasks: What to do.
        journal: It is told how the run goes, and asked whether to stop.
        runner: What does one task, on a worker.

    Raises:
        EndedEarlyError: The run was stopped, or the connection to the scheduler has ended.
    """
    client = cluster.client
    waiting = sorted(tasks, key=lambda task: -task.memory)
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    there: dict[str, tuple[Any, Task]] = {}  # futures and tasks by the keys of the futures
    lost: dict[str, int] = {}
    number, before = 0, ""
    workers, looked = cluster.workers(), time.monotonic()
    try:
        while waiting or there:
            if client.status != "running":
                message = "the connection to the scheduler has ended"
                raise EndedEarlyError(message)
            if why := journal.stopped():
                raise EndedEarlyError(why)
            if time.monotonic() - looked > 2:
                workers, looked = cluster.workers(), time.monotonic()
                if (trouble := cluster.mend()) != before:
                    journal.say(trouble)
                    before = trouble
            while waiting and (place := _next(cluster, waiting, there, workers)) is not None:
                task = waiting.pop(place)
                number += 1
                future = client.submit(
                    runner,
                    task,
                    key=f"{task.name}-{number}-{task.key[:8]}",
                    pure=False,
                    resources=cluster.asked(task),
                )
                there[future.key] = future, task
                future.add_done_callback(ended.put)
            try:
                future = ended.get(timeout=0.5)
            except queue.Empty:
                journal.tick(len(there), workers)
                continue
            _, task = there.pop(future.key)
            row = _result(future, task, lost, cluster)
            future.release()
            if row is None:  # its worker died: whether it was its fault, the next start decides
                started = work.starts(task) > 0
                journal.again(task, f"its worker died{'' if started else ' before it started'}")
                waiting.append(task)
            elif (attempts := _attempts_of(row)) is not None and attempts <= task.retries:
                journal.again(task, row.error)
                waiting.append(replace(task, attempt=attempts + 1))
            else:
                yield row
            journal.tick(len(there), workers)
    finally:
        if there and client.status == "running":
            client.cancel([future for future, _ in there.values()], force=True)


def _next(
    cluster: Cluster, waiting: Sequence[Task], there: dict[str, tuple[Any, Task]], workers: int
) -> int | None:
    """Give the place of the task that can be sent next, or None."""
    if cluster.machine is None:
        return 0 if len(there) < 2 * max(1, workers) else None
    fits, running = cluster.machine.fits, [task for _, task in there.values()]
    return next((i for i, task in enumerate(waiting) if fits(task, running)), None)


def _result(future: Any, task: Task, lost: dict[str, int], cluster: Cluster) -> Row | None:  # noqa: ANN401
    """Give the row of a task; None where its worker died and it is to be tried again."""
    from distributed import KilledWorker

    failed = partial(work.row_of, task, "failed")
    if future.status == "finished":
        try:
            row = future.result(timeout=_GATHER)
        except Exception:  # its worker ended before the row was fetched
            return finished(task)
        try:
            row = _json.typed(row, Row) if isinstance(row, dict) else row  # of runners of before
            return structs.replace(row, attempts=row.attempts or task.attempt)
        except (TypeError, ValueError, AttributeError) as wrong:
            return failed(attempts=task.attempt, error=f"the runner gives no row: {wrong}")
    error = future.exception() if future.status == "error" else None
    if error is not None and not isinstance(error, KilledWorker):
        text = f"{type(error).__name__}: {error}"
        return failed(attempts=task.attempt, error=text)
    if (done := finished(task)) is not None:  # it died after the pair had ended
        return done
    died = work.starts(task)
    if died and task.attempt - 1 + died > task.retries:
        return work.died_row(task, died, cluster.cause_of_death(work.last_worker(task)))
    lost[task.name] = lost.get(task.name, 0) + 1
    if lost[task.name] > _WITHOUT_START + task.retries:
        text = f"workers died {lost[task.name]} times before the pair started: see their logs"
        return failed(attempts=0, error=f"{work.DIED}: {text}")
    return None


def _attempts_of(row: Row) -> int | None:
    """Give the attempts of a row that may be tried again; None of what ended or died for good."""
    died = row.error.startswith(work.DIED)
    return row.attempts if row.status == "failed" and not died else None
