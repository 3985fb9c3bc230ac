"""Workers that are jobs of a queue, and the file that describes these."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from impact_plugin._arguments import check_integer
from impact_plugin._io import expanded
from impact_plugin._optional import require
from impact_plugin.cohort.clusters import MEMORY, Cluster, submit, without_interrupts
from impact_plugin.cohort.errors import CohortError, Problems

_SYSTEMS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}


def read(path: str | os.PathLike[str]) -> tuple[str, int, dict[str, Any]]:
    """Read a file that describes a queue's jobs; ``docs/cohorts.md`` has an example.

    Returns:
        The class of dask-jobqueue, the number of jobs, and the arguments of the class.

    Raises:
        CohortError: The file is missing, or not right.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    problems = Problems()
    with problems.noted("argument"):
        file = expanded(path, "cluster_file")
    if problems:
        raise CohortError(problems)
    try:
        content = tomlkit.parse(file.read_text(encoding="utf-8")).unwrap()
    except (OSError, ValueError, TOMLKitError) as error:
        raise CohortError.of("cluster-file", f"{file} cannot be read: {error}") from error
    system, jobs = content.pop("system", None), content.pop("jobs", None)
    said = []
    if system not in _SYSTEMS:
        said.append(f"system is {system!r}, expected one of {', '.join(_SYSTEMS)}")
    if jobs is None:
        said.append("jobs is missing: how many there are to be")
    extra = content.get("worker_extra_args", [])
    if not isinstance(extra, list):
        said.append(f"worker_extra_args is {extra!r}, expected a list of texts")
    said += [
        f"{name} is missing: of each job" for name in ("cores", "memory") if name not in content
    ]
    for text in said:
        problems.add("cluster-file", f"{file}: {text}")
    for name, value in (("jobs", jobs), ("processes", content.setdefault("processes", 1))):
        with problems.noted("cluster-file", f"{file}: "):
            check_integer(name, value, 1)
    if problems:
        raise CohortError(problems)
    return _SYSTEMS[system], jobs, content


def check(path: str | os.PathLike[str]) -> tuple[Any, int, dict[str, Any]]:
    """Check what a file says, as far as that goes without submitting jobs.

    Returns:
        The class of dask-jobqueue, the number of jobs, and arguments that the class accepts.

    Raises:
        CohortError: The file is not right, or dask-jobqueue is missing.
    """
    name, jobs, given = read(path)
    try:
        require("clusters with a queue", "cohort", "dask_jobqueue")
    except ImportError as error:
        raise CohortError.of("cluster-file", str(error)) from error
    import dask_jobqueue
    from dask.utils import parse_bytes
    from dask_jobqueue.core import JobQueueCluster

    cluster_class = getattr(dask_jobqueue, name)
    of_cluster = inspect.signature(JobQueueCluster.__init__).parameters
    try:
        share = parse_bytes(given["memory"]) // given["processes"]
        # One registration at a time in each process; its threads are the cores of the job.
        extra = [*given.get("worker_extra_args", []), "--nthreads", "1"]
        extra += ["--resources", f"{MEMORY}={share}"]
        options = {"dashboard_address": ":0", **given.get("scheduler_options", {})}
        arguments = {**given, "worker_extra_args": extra, "scheduler_options": options}
        of_job = {k: v for k, v in arguments.items() if k not in of_cluster}
        # A cluster would say the same, and be left half open.
        cluster_class.job_cls("tcp://127.0.0.1:0", name="check", **of_job)
    except (TypeError, ValueError, RuntimeError) as error:
        text = f"{path}: {name} does not take it: {error}"
        raise CohortError.of("cluster-file", text) from error
    return cluster_class, jobs, arguments


@contextmanager
def queued(path: str | os.PathLike[str]) -> Iterator[Cluster]:
    """Give workers that are jobs of Slurm, PBS, LSF or SGE.

    Raises:
        CohortError: The file is not right, dask-jobqueue is missing, or jobs cannot be submitted.
    """
    from dask.utils import parse_bytes
    from distributed import Client

    cluster_class, jobs, arguments = check(path)
    with ExitStack() as stack:
        try:
            with without_interrupts():
                job = _job_that_fails(cluster_class.job_cls)
                cluster = stack.enter_context(cluster_class(job_cls=job, **arguments))
                client = stack.enter_context(Client(cluster, set_as_default=False))
            submit(cluster, jobs)
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            text = f"{path}: jobs cannot be submitted: {error}"
            raise CohortError.of("cluster-file", text) from error
        memory = parse_bytes(arguments["memory"]) / arguments["processes"]
        yield Cluster(client, jobs=jobs, memory=memory)


def _job_that_fails(job_class: type[Any]) -> type[Any]:
    """Make a class of jobs that know when they were refused; without it no cluster can close."""
    from distributed.core import Status

    class Job(job_class):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except BaseException:
                self.status = Status.failed
                raise

    return Job
