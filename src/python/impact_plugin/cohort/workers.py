"""Check the workers of a cluster before anything runs there."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from impact_plugin import _versions
from impact_plugin.cohort.clusters import TIMEOUT, WAIT, Cluster
from impact_plugin.cohort.errors import Problems


def check(
    cluster: Cluster, folder: Path | None = None, stopped: Callable[[], bool] = lambda: False
) -> Problems:
    """Tell what is wrong with the workers: none, other versions, several threads, other files.

    Args:
        cluster: The cluster with the workers.
        folder: The cohort's folder, which exists. With None only those workers are checked that
            have come already, and not whether they see the folder.
        stopped: Tells whether to stop waiting.

    Returns:
        What is wrong.
    """
    client, problems = cluster.client, Problems()
    if folder is None:
        found = _looked(client, None)
    else:
        end = time.monotonic() + WAIT
        while not client.nthreads():
            if time.monotonic() > end:
                text = f"the scheduler {client.scheduler.address} has no worker after {WAIT} s"
                problems.add("worker", text)
                return problems
            if stopped():
                return problems
            time.sleep(0.1)
        token = folder / f".token-{uuid.uuid4().hex}"
        token.touch()
        try:
            found = _looked(client, str(token))
        finally:
            token.unlink(missing_ok=True)
    ours = _versions.describe()
    threads = client.nthreads()
    for worker, said in sorted(found.items()):
        front = f"worker {worker}"
        if isinstance(said, TimeoutError):
            text = f"{front} does not answer within {TIMEOUT} s: end it, or wait for it"
            problems.add("worker", text)
        elif isinstance(said, BaseException):
            text = f"{front}: impact-plugin cannot be used there: {said!r}; here: {ours}"
            problems.add("worker", text)
        elif said[0] != ours:
            problems.add("worker", f"{front} has {said[0]}, and here are {ours}")
        elif not said[1]:
            problems.add("worker", f"{front} does not see {folder}: the folder must be shared")
        if threads.get(worker, 1) > 1:
            text = (
                f"{front} has {threads[worker]} threads, expected 1, as each process runs one pair "
                "at a time: dask worker --nthreads 1 --nworkers <pairs at once>"
            )
            problems.add("worker", text)
    return problems


def _looked(client: Any, token: str | None) -> dict[str, Any]:  # noqa: ANN401
    """Run _look() on all workers; of each its answer or an exception."""

    async def ask(worker: str) -> Any:  # noqa: ANN401
        asked = client._run(_look, token, workers=[worker], on_error="return")
        try:
            return (await asyncio.wait_for(asked, TIMEOUT))[worker]
        except (asyncio.TimeoutError, TimeoutError):
            return TimeoutError()
        except (KeyError, OSError) as error:
            return error

    async def ask_all(workers: Sequence[str]) -> list[Any]:
        return await asyncio.gather(*map(ask, workers))

    workers = list(client.nthreads())
    return dict(zip(workers, client.sync(ask_all, workers), strict=True))


def _look(token: str | None) -> tuple[str, bool]:
    from impact_plugin import _versions

    return _versions.describe(), token is None or Path(token).is_file()
