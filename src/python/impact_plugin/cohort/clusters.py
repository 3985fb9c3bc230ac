"""The workers of a cohort: of this machine or of a scheduler elsewhere; `queues` has jobs."""

from __future__ import annotations

import logging
import multiprocessing.process
import multiprocessing.resource_tracker
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impact_plugin._errors import InputError
from impact_plugin.cohort.errors import CohortError, Problems
from impact_plugin.cohort.plan import Task
from impact_plugin.cohort.shares import Machine

WAIT, TIMEOUT = 60, 10
"""Seconds that workers have to come, and to answer."""

MEMORY = "memory"
"""The resource of dask that workers may declare: ``dask worker --resources memory=16e9``."""


@dataclass(frozen=True)
class Cluster:
    """A client of dask, and what is known of its workers.

    Attributes:
        client: The dask.distributed.Client.
        machine: What registrations share; None where the workers are not this machine's.
        jobs: How many jobs of a queue, or workers of this machine, there are to be.
        memory: The most memory that a worker declares to have, bytes; None where none does.
        deaths: How processes of workers ended, by process number; None where that is not known.
    """

    client: Any
    machine: Machine | None = None
    jobs: int | None = None
    memory: float | None = None
    deaths: dict[int, str] | None = None

    def workers(self) -> int:
        """Count the workers that there are."""
        return len(self.client.nthreads())

    def asked(self, task: Task) -> dict[str, float] | None:
        """Give what dask is to reserve for a task: no more than the largest worker has."""
        return {MEMORY: min(float(task.memory), self.memory)} if self.memory else None

    def said_of_memory(self, tasks: Sequence[Task]) -> str:
        """Tell people how memory bounds what runs on workers elsewhere."""
        most = max(task.memory for task in tasks)
        if self.memory is None:
            return (
                "the workers declare no memory (dask worker --resources memory=16e9), so that "
                f"nothing bounds what runs at once; a pair takes up to {most / 2**30:.1f} GiB"
            )
        if most > self.memory:
            return (
                f"pairs are predicted to take up to {most / 2**30:.1f} GiB, and the largest worker "
                f"has {self.memory / 2**30:.1f}: such pairs may be killed"
            )
        return ""

    def mend(self) -> str:
        """Start workers of this machine, or jobs of a queue, in place of those that are lost.

        Returns:
            Why that failed, or an empty text.
        """
        cluster = self.client.cluster
        if self.machine is not None:
            cluster.scale(self.jobs)
        elif self.jobs is not None and len(cluster.workers) < self.jobs:
            try:
                submit(cluster, self.jobs)
            except (RuntimeError, ValueError, OSError) as error:
                return f"jobs cannot be submitted: {error}"
        return ""

    def cause_of_death(self, worker: str) -> str:
        """Tell how a worker ended, ``host:process``; empty where nothing is known."""
        process = worker.rpartition(":")[2]
        for _ in range(20):  # the message comes when the process is gone
            said = (self.deaths or {}).get(int(process), "") if process.isdecimal() else ""
            if said or self.deaths is None:
                break
            time.sleep(0.1)
        return said


@contextmanager
def local(machine: Machine) -> Iterator[Cluster]:
    """Give workers of this machine, each a process that runs one pair at a time."""
    import dask
    from distributed import Client

    settings = {
        # A pair whose worker died comes back to us, who know whether it ran or only waited.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.logging.distributed": "error",
        # A busy machine takes long to start a worker anew; until then it is no lost one.
        "distributed.deploy.lost-worker-timeout": "120s",
    }
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        deaths = stack.enter_context(_deaths())
        try:
            with without_interrupts():
                cluster = stack.enter_context(_local_cluster(machine))
                client = stack.enter_context(Client(cluster, set_as_default=False))
                client.wait_for_workers(machine.workers, timeout=WAIT)
        except (TimeoutError, RuntimeError, OSError) as error:
            message = f"workers of this machine cannot be started: {str(error).rstrip('.')}{_GUARD}"
            raise CohortError.of("worker", message) from error
        yield Cluster(client, machine, machine.workers, deaths=deaths)


_GUARD = (
    '. A script that workers import needs `if __name__ == "__main__":` before what it does: '
    "docs/cohorts.md"
)


def leave_if_started_by_workers() -> None:
    """End this process where it is one that starts to be a worker, and imports a script for that.

    The script's call is without a guard then, which the process that made the call says.
    """
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        sys.exit(1)


def check_script(problems: Problems) -> None:
    """Tell whether workers, which import the script that is running, could not."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and file and not Path(file).exists():
        text = "which workers of this machine cannot import: write it to a file"
        problems.add("script", f"the script is {file}, {text}")


def _local_cluster(machine: Machine) -> Any:  # noqa: ANN401
    from distributed import LocalCluster

    class Cluster(LocalCluster):  # type: ignore[misc]
        """Gives each worker a GPU, if there are any."""

        def new_worker_spec(self) -> dict[Any, Any]:
            used = [each["options"]["env"][_GPU] for each in self.worker_spec.values()]
            env = {_GPU: min(machine.gpus, key=used.count)}
            return {  # one description serves all workers: a copy of it
                name: {**each, "options": {**each["options"], "env": env}}
                for name, each in super().new_worker_spec().items()
            }

    options = {
        "threads_per_worker": 1,
        "processes": True,
        "memory_limit": 0,  # the memory is elastix's, which is another process
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": 50,
    }
    if machine.gpus:  # workers that are there from the start all get the same environment
        cluster = Cluster(n_workers=0, **options)
        cluster.scale(machine.workers)
        return cluster
    return LocalCluster(n_workers=machine.workers, **options)


_GPU = "CUDA_VISIBLE_DEVICES"


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes that a terminal's Ctrl-C does not reach: this one ends them.

    A blocked signal stays blocked in the threads and processes that are started meanwhile, which
    are those of workers, also of such as are started anew. Otherwise each would print a traceback.
    """
    # Python's helper for shared memory lets the signal through again where it is started.
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deaths() -> Iterator[dict[int, str]]:
    """Listen to what dask logs of workers' processes that end."""
    found: dict[int, str] = {}

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = re.match(
                r"Worker process (\d+) (was killed by signal|exited with)(.*)", record.getMessage()
            )
            if said and "signal" in said[2]:
                number = int(said[3])
                try:
                    name = signal.Signals(number).name
                except ValueError:
                    name = str(number)
                what = "as the system does where memory runs out" if number == 9 else "a crash"
                found[int(said[1])] = f"it was killed by signal {number} ({name}), {what}"
            elif said:
                found[int(said[1])] = f"it {said[2]}{said[3]}"

    logger, listener = logging.getLogger("distributed.nanny"), Listener()
    logger.addHandler(listener)
    try:
        yield found
    finally:
        logger.removeHandler(listener)


@contextmanager
def remote(address: str) -> Iterator[Cluster]:
    """Give a scheduler by its address.

    Raises:
        CohortError: The scheduler does not answer.
    """
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    try:
        _listens(address)
        client = Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        message = f"the scheduler {address!r} cannot be reached: {reason}"
        raise CohortError.of("scheduler", message) from error
    # A connection that ends is told in our words, not in tracebacks.
    with silence_logging_cmgr(logging.CRITICAL), client:
        yield Cluster(client, memory=declared_memory(client))


def _listens(address: str) -> None:
    """Check that somebody listens: a client of dask that finds nobody cannot be ended.

    Raises:
        ValueError: The text is no address of a scheduler.
        OSError: Nobody listens there.
    """
    from distributed.comm.addressing import get_address_host_port, parse_address
    from distributed.comm.registry import backends

    scheme, _ = parse_address(address)
    if scheme not in backends:
        message = f"expected an address like tcp://host:8786; {scheme!r} is none of dask's kinds"
        raise InputError(message)
    if scheme in ("tcp", "tls"):
        host, port = get_address_host_port(address, strict=True)
        socket.create_connection((host, port), timeout=TIMEOUT).close()


def declared_memory(client: Any) -> float | None:  # noqa: ANN401
    """Give the most memory that a worker declares as a resource, bytes."""
    found = client.scheduler_info(n_workers=-1)["workers"].values()
    declared = [each["resources"][MEMORY] for each in found if MEMORY in each["resources"]]
    return max(declared, default=None)


def submit(cluster: Any, jobs: int) -> None:  # noqa: ANN401  (of dask-jobqueue)
    """Submit the jobs that are missing, and wait until the queue has them.

    ``cluster.scale`` does so in the background, where nobody hears what the queue says.

    Raises:
        RuntimeError: The queue refuses.
        OSError: The commands of the queue are not installed.
    """
    while len(cluster.worker_spec) < jobs:
        cluster.worker_spec.update(cluster.new_worker_spec())

    async def submitted() -> None:
        await cluster

    cluster.sync(submitted)
