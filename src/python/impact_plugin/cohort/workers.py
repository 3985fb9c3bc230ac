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


def check(
    cluster: Cluster, folder: Path | None = None, stopped: Callable[[], bool] = lambda: False
) -> list[str]:
    """Tell what is wrong with the workers: none, other versions, several threads, other files.

    Args:
        cluster: The cluster with the workers.
        folder: The cohort's folder, which exists. With None only those workers are checked that
            have come already, and not whether they see the folder.
        stopped: Tells whether to stop waiting.

    Returns:
        A sentence for each problem.
    """
    client = cluster.client
    if folder is None:
        found = _looked(client, None)
    else:
        end = time.monotonic() + WAIT
        while not client.nthreads():
            if time.monotonic() > end:
                return [f"the scheduler {client.scheduler.address} has no worker after {WAIT} s"]
            if stopped():
                return []
            time.sleep(0.1)
        token = folder / f".token-{uuid.uuid4().hex}"
        token.touch()
        try:
            found = _looked(client, str(token))
        finally:
            token.unlink(missing_ok=True)
    problems = []
    ours = _versions.describe()
    threads = client.nthreads()
    for worker, said in sorted(found.items()):
        if isinstance(said, TimeoutError):
            problems.append(
                f"worker {worker} does not answer within {TIMEOUT} s: end it, or wait for it"
            )
        elif isinstance(said, BaseException):
            problems.append(
                f"worker {worker}: impact-plugin cannot be used there: {said!r}; here: {ours}"
            )
        elif said[0] != ours:
            problems.append(f"worker {worker} has {said[0]}, and here are {ours}")
        elif not said[1]:
            problems.append(f"worker {worker} does not see {folder}: the folder must be shared")
        if threads.get(worker, 1) > 1:
            problems.append(
                f"worker {worker} has {threads[worker]} threads, expected 1, as each process runs "
                "one pair at a time: dask worker --nthreads 1 --nworkers <pairs at once>"
            )
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
