"""Where a cohort runs: workers of this machine, a scheduler elsewhere, or a queue's jobs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from impact_plugin import _versions
from impact_plugin.cohort.preflight import CohortError

_SYSTEMS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
_WAIT, _TIMEOUT = 60, 10


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0))


def divide(
    tasks: int, predicted: int, workers: int | None, threads: int | None
) -> tuple[int, int, str]:
    """Choose the numbers of workers, and of threads of each, for this machine.

    As many workers as there are processors, since several registrations side by side share no
    serial part; fewer where there are fewer pairs or where the memory does not suffice; and the
    processors divided between them.

    Args:
        tasks: How many registrations there are to do.
        predicted: Memory of one, bytes.
        workers: As the caller wants it.
        threads: Of each, as the caller wants it.

    Returns:
        Workers, threads of each, and why, for people.
    """
    import psutil

    have = processors()
    memory = psutil.virtual_memory().available
    fit = max(1, int(0.8 * memory) // predicted)
    wanted = workers or max(1, min(have // (threads or 1), tasks))
    number = min(wanted, fit)
    each = threads or max(1, have // number)
    why = f"{number} workers of {each} threads on {have} processors"
    why += f"; a pair takes some {predicted / 2**30:.1f} GiB of {memory / 2**30:.1f} available"
    if number < wanted:
        why += f", so that {wanted} do not fit"
    return number, each, why


@contextmanager
def local(workers: int) -> Iterator[Any]:
    """Give a client of workers of this machine, each a process that runs one pair at a time."""
    import dask
    from distributed import Client, LocalCluster

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
        try:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,  # the memory is elastix's, which is another process
                    dashboard_address="127.0.0.1:0",
                    silence_logs=50,
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
        except (RuntimeError, OSError) as error:
            message = f"workers of this machine cannot be started: {error}"
            raise CohortError([message]) from error
        yield client


def mend(client: Any, workers: int) -> None:  # noqa: ANN401
    """Start workers of this machine anew whose nannies, too, have ended; else do nothing."""
    from distributed import LocalCluster

    if isinstance(client.cluster, LocalCluster):  # a queue's jobs may still wait to begin
        client.cluster.scale(workers)


@contextmanager
def remote(address: str) -> Iterator[Any]:
    """Give a client of a scheduler by its address.

    Raises:
        CohortError: It does not answer.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        message = (
            f"the scheduler {address!r} cannot be reached: {str(error) or type(error).__name__}"
        )
        raise CohortError([message]) from error
    with client:
        yield client


def read_cluster_file(path: str | os.PathLike[str]) -> tuple[str, int, dict[str, Any]]:
    """Read a file that describes a queue's jobs; ``docs/cohorts.md`` has an example.

    Returns:
        The class of dask-jobqueue, the number of jobs, and the arguments of the class.

    Raises:
        CohortError: It is not there or not right.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = Path(path).expanduser()
    try:
        content = tomlkit.parse(file.read_text(encoding="utf-8")).unwrap()
    except (OSError, ValueError, TOMLKitError) as error:
        raise CohortError([f"{file} cannot be read: {error}"]) from error
    system, jobs = content.pop("system", None), content.pop("jobs", None)
    problems = []
    if system not in _SYSTEMS:
        problems.append(f"{file}: system is {system!r}, expected one of {', '.join(_SYSTEMS)}")
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        problems.append(f"{file}: jobs is {jobs!r}, expected a whole number from 1")
    problems += [
        f"{file}: {name} is missing: of each job"
        for name in ("cores", "memory")
        if name not in content
    ]
    if problems:
        raise CohortError(problems)
    return _SYSTEMS[system], jobs, {"processes": 1, **content}


@contextmanager
def queued(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Give a client of workers that are jobs of Slurm, PBS, LSF or SGE.

    Raises:
        CohortError: The file is not right, dask-jobqueue is missing, or jobs cannot be submitted.
    """
    name, jobs, arguments = read_cluster_file(path)
    try:
        import dask_jobqueue
        from distributed import Client
    except ImportError as error:
        message = 'dask-jobqueue is missing: pip install "impact-plugin[cohort]"'
        raise CohortError([message]) from error
    # One registration at a time in each job; its threads are the cores of the job.
    extra = [*arguments.pop("worker_extra_args", []), "--nthreads", "1"]
    try:
        cluster = getattr(dask_jobqueue, name)(worker_extra_args=extra, **arguments)
        cluster.scale(jobs=jobs)
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        raise CohortError([f"{path}: {name} cannot be started: {error}"]) from error
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


def check_workers(client: Any, folder: Path) -> list[str]:  # noqa: ANN401
    """Tell what is wrong with the workers: none, other versions, or another file system.

    Args:
        client: Of dask.
        folder: The cohort's, which is there.
    """
    try:
        client.wait_for_workers(1, timeout=_WAIT)
    except TimeoutError:
        return [f"the scheduler {client.scheduler.address} has no worker after {_WAIT} s"]
    token = folder / f".token-{uuid.uuid4().hex}"
    token.touch()
    try:
        found = client.run(_look, str(token), on_error="return")
    finally:
        token.unlink()
    problems = []
    ours = _versions.describe()
    for worker, said in sorted(found.items()):
        if isinstance(said, BaseException):
            problems.append(
                f"worker {worker}: impact-plugin cannot be used there: {said!r}; here: {ours}"
            )
        elif said[0] != ours:
            problems.append(f"worker {worker} has {said[0]}, and here are {ours}")
        elif not said[1]:
            problems.append(f"worker {worker} does not see {folder}: the folder must be shared")
    return problems


def _look(token: str) -> tuple[str, bool]:
    from impact_plugin import _versions

    return _versions.describe(), Path(token).is_file()
