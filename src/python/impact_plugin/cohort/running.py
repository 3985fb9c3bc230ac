"""Tasks through a client of dask: few at a time, each tried again once, none lost."""

from __future__ import annotations

import queue
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from impact_plugin.cohort import clusters, work
from impact_plugin.cohort.plan import Task
from impact_plugin.cohort.work import Row

Runner = Callable[[Task], Row]

_WITHOUT_START = 20
"""Of a task whose workers die before it starts: then the workers are at fault, not the pair."""


class SchedulerLostError(RuntimeError):
    """The scheduler went away; what is finished is kept."""


def clear(folder: Path) -> None:
    """Take away what an earlier run left when it was killed."""
    shutil.rmtree(folder / ".started", ignore_errors=True)
    for pattern in ("pairs/*/.unfinished-*", "pairs/*/.old-*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def run(
    client: Any,  # noqa: ANN401  (a client of dask, which has no types)
    tasks: Sequence[Task],
    runner: Runner = work.run,
    tick: Callable[[int], None] = lambda running: None,
) -> Iterator[Row]:
    """Run tasks, and give the row of each when it has ended for good.

    No more are with the scheduler than twice the workers, so that neither it nor this process has
    to keep thousands of them; and results are only rows.

    Args:
        client: Of the cluster.
        tasks: What to do.
        runner: What does one, on a worker.
        tick: Called about twice a second, and after each row, with the number that are there.

    Raises:
        SchedulerLostError: The connection to the scheduler has ended.
    """
    waiting = deque((task, 1) for task in tasks)
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    there: dict[Any, tuple[Task, int]] = {}
    lost: dict[str, int] = {}
    number = 0
    window, looked = _window(client), time.monotonic()
    workers = window // 2
    try:
        while waiting or there:
            if client.status != "running":
                message = "the connection to the scheduler has ended"
                raise SchedulerLostError(message)
            if time.monotonic() - looked > 2:
                window, looked = _window(client), time.monotonic()
                clusters.mend(client, workers)
            while waiting and len(there) < window:
                task, attempt = waiting.popleft()
                number += 1
                future = client.submit(
                    runner, task, key=f"{task.name}-{number}-{task.key[:8]}", pure=False
                )
                there[future.key] = (task, attempt)
                future.add_done_callback(ended.put)
            try:
                future = ended.get(timeout=0.5)
            except queue.Empty:
                tick(len(there))
                continue
            task, attempt = there.pop(future.key)
            row = _result(future, task, lost)
            future.release()
            if row is None:  # its worker died: whether it was its fault, the next start decides
                waiting.append((task, attempt))
            elif row["status"] == "failed" and attempt <= task.retries and "attempts" not in row:
                waiting.append((task, attempt + 1))
            else:
                yield {"attempts": attempt, **row}
            tick(len(there))
    finally:
        if there and client.status == "running":
            client.cancel([_future(client, key) for key in there], force=True)


def _window(client: Any) -> int:  # noqa: ANN401
    threads: int = sum(client.nthreads().values())
    return 2 * max(1, threads)


def _future(client: Any, key: str) -> Any:  # noqa: ANN401
    from distributed import Future

    return Future(key, client)


def _result(future: Any, task: Task, lost: dict[str, int]) -> Row | None:  # noqa: ANN401
    """Give the row of a task; None where its worker died and it is to be tried again."""
    from distributed import KilledWorker

    if future.status == "finished":
        row: Row = future.result()
        return row
    error = future.exception() if future.status == "error" else None
    failed: Row = {
        "pair": task.pair.name,
        "variant": task.variant.name,
        "key": task.key,
        "status": "failed",
    }
    if error is not None and not isinstance(error, KilledWorker):
        return failed | {"error": f"{type(error).__name__}: {error}"}
    died = work.starts(task)
    if died > task.retries:
        return failed | work.died_row(died)
    lost[task.name] = lost.get(task.name, 0) + 1
    if lost[task.name] > _WITHOUT_START + task.retries:
        text = f"workers died {lost[task.name]} times before the pair started: see their logs"
        return failed | {"error": f"WorkerDied: {text}", "attempts": lost[task.name]}
    return None
