"""``impact_plugin.register_cohort``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impact_plugin import _arguments, _devices, _io, _versions
from impact_plugin._equality import EqualByValue
from impact_plugin._numbers import plain_arguments
from impact_plugin.cohort import clusters, preflight, queues, running, shares, table, work
from impact_plugin.cohort import folder as output
from impact_plugin.cohort import workers as checks
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.journal import Journal
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Checksums, Task, Variant, finished
from impact_plugin.cohort.stopping import Stopping
from impact_plugin.cohort.tasks import make, with_threads
from impact_plugin.cohort.work import Row
from impact_plugin.evaluation.api import Outside
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.registration import presets as known


@dataclass(frozen=True, eq=False)
class Cohort(EqualByValue):
    """What became of a cohort.

    Attributes:
        folder: Where everything is.
        table: pandas.DataFrame, a row for each pair and variant; ``docs/cohorts.md`` has its
            columns.
        interrupted: Empty, or why it ended before all pairs did. The same call goes on.
        unwritten: Empty, or why its table is not in the folder. The same call writes it.
        report: Its page, ``report.html``; None where it could not be made.
    """

    folder: Path
    table: Any
    interrupted: str = ""
    unwritten: str = ""
    report: Path | None = None

    @property
    def failed(self) -> int:
        """How many rows are not done."""
        return int((self.table["status"] != "done").sum())


@plain_arguments
def register_cohort(
    pairs: str | os.PathLike[str] | Iterable[Pair],
    output_directory: str | os.PathLike[str],
    *,
    presets: str | Sequence[str | Sequence[str]] = (known.DEFAULT,),
    parameter_files: Sequence[str | os.PathLike[str]] = (),
    models: str | os.PathLike[str] | Mapping[str, str] | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    scheduler: str | None = None,
    cluster_file: str | os.PathLike[str] | None = None,
    feature_cache: str | os.PathLike[str] | None = None,
    outside: Outside = "error",
    retries: int = 1,
    progress: bool = True,
    runner: running.Runner = work.run,
) -> Cohort:
    """Register many pairs through dask, so that nothing is lost; see ``docs/cohorts.md``.

    Every finished pair is in ``pairs/<pair>/<variant>/`` of the output folder, as
    :meth:`RegistrationResult.save` writes it, with its record. The same call again does what is not
    there yet, failed, or changed: images, parameters, models or versions.

    Args:
        pairs: A table (CSV or TSV), or pairs.
        output_directory: Made if needed.
        presets: The variants, each a preset or several that run one after the other:
            ``["mind", ["rigid_mind", "mind"]]`` are two.
        parameter_files: One more variant: elastix's parameter files, one after the other.
            In place of presets, unless these are given, too.
        models: Where model files lie, as in :func:`impact_plugin.register_images`.
        workers: Processes of this machine, each with one pair at a time; by default one for each
            GPU, or else for each processor, as far as the memory suffices.
        threads: Of each registration; by default the processors divided by those that run at
            once, and with a scheduler 1.
        device: Where networks run; by default on this machine's GPUs, if there are any, and
            otherwise as the maps say.
        scheduler: Address of a dask scheduler, in place of workers of this machine.
        cluster_file: A file that describes a queue's jobs, likewise.
        feature_cache: Folder in which feature maps of images are kept and shared.
        outside: What becomes of landmarks outside the images: an error before anything starts, or
            ``"leave out"``.
        retries: How often a pair that failed is tried again.
        progress: Whether to show progress on standard error.
        runner: What registers one pair.

    Raises:
        CohortError: Before anything starts, with all that is wrong.
        ImportError: The extra ``cohort`` is not installed.
    """
    _versions.check()
    clusters.leave_if_started_by_workers()
    stopping = Stopping()
    with stopping.heard(), ExitStack() as stack:
        with stopping.put_off():  # half an import is worse than none
            _check_installed()
        problems = _check_numbers(workers, threads, retries)
        if outside not in ("error", "leave out"):
            problems.append(f"outside is {outside!r}, expected 'error' or 'leave out'")
        if scheduler and cluster_file:
            problems.append("scheduler and cluster_file exclude each other")
        gpus = _gpus(device, bool(scheduler or cluster_file), problems)
        variants = _variants(presets, parameter_files, problems)
        found = preflight.collect_pairs(pairs, problems)
        _absolute(tempfile.gettempdir(), problems)
        folder = Path(_absolute(output_directory, problems) or ".")
        # With wrong rows, those that are left may have none that is the folder's.
        problems += output.check(folder, [] if problems else found)
        cache = _cache(feature_cache, problems)
        lost: list[OutsideError] = []
        wrong, headers = preflight.check_pairs(found, outside, lost)
        problems += wrong + preflight.check_kept(found, variants, folder)
        readable = [p for p in found if all(p.files[s] in headers for s in ("fixed", "moving"))]
        maps = stack.enter_context(Maps(variants, _placed(models, problems)))
        problems += maps.check(readable, headers)
        where = _elsewhere(scheduler, cluster_file, stack, problems)
        if where is None:
            problems += clusters.check_script()
        if problems:
            raise CohortError(problems, lost)

        note = stack.enter_context(output.claimed(folder))
        journal = stack.enter_context(Journal(folder, progress, lambda: stopping.why))
        journal.say(note)
        if unknown := maps.unknown(found, headers):
            journal.say(f"in no map, so that elastix may ignore it: {', '.join(unknown)}")
        checksums = Checksums(folder / output.CHECKSUMS)
        try:
            tasks = make(
                found,
                variants,
                maps,
                headers,
                checksums,
                outside,
                cohort=str(folder),
                device="cuda" if gpus else device,
                feature_cache=cache,
                retries=retries,
            )
        finally:
            checksums.save()
        rows = {task.name: row for task in tasks if (row := finished(task))}
        todo = [task for task in tasks if task.name not in rows]
        others = output.describe(folder, found, variants, checksums)
        if others:
            journal.say(f"{others} pairs of earlier runs are in {folder}, and not in this table")
        closing = stack.enter_context(ExitStack())
        interrupted = ""
        if todo:
            machine = None
            if where is None:
                machine, why = shares.divide([t.memory for t in todo], workers, threads, gpus)
                journal.say(why)
                where = clusters.local(machine)
            todo = with_threads(todo, machine, threads)
            try:
                stopping.polled = True  # workers that half started cannot be ended
                cluster = closing.enter_context(where)
                _start(cluster, folder, journal, len(tasks), todo, stopping)
                for row in running.run(cluster, todo, runner, journal):
                    rows[f"{row['pair']}/{row['variant']}"] = row
                    journal.ended(row)
            except (KeyboardInterrupt, running.EndedEarlyError) as error:
                interrupted = stopping.why or str(error) or "stopped by Ctrl-C"
        else:
            journal.begin(len(tasks), len(rows))
        # What ended on a worker while this was told to end is done, too.
        made = table.make([rows.get(t.name) or finished(t) or _not_run(t) for t in tasks])
        unwritten = ""
        try:
            table.write(made, folder)
        except OSError as error:
            unwritten = f"the table cannot be written: {error}"
            journal.say(unwritten)
        journal.end(interrupted)
        output.tidy(folder)
        try:
            closing.close()
        except Exception as error:  # all is written
            journal.say(f"the workers did not end well: {error}")
        report = None if unwritten else _report(folder, journal)
        return Cohort(folder, made, interrupted, unwritten, report)


def _report(folder: Path, journal: Journal) -> Path | None:
    """Write the report, without which a cohort is not lost: a command makes it anew."""
    from impact_plugin.cohort.report import write_cohort_report

    try:
        return write_cohort_report(folder)
    except Exception as error:
        journal.say(f"no report: {error}; see impact-plugin cohort-report")
        return None


def _start(
    cluster: clusters.Cluster,
    folder: Path,
    journal: Journal,
    total: int,
    todo: Sequence[Task],
    stopping: Stopping,
) -> None:
    """Look at the workers, and take away what an earlier run has left."""
    problems = checks.check(cluster, folder, lambda: bool(stopping.why))
    if stopping.why:
        raise running.EndedEarlyError(stopping.why)
    if problems:
        raise CohortError(problems)
    output.clear(folder)
    link = cluster.client.dashboard_link
    journal.begin(total, total - len(todo), dashboard=link, versions=todo[0].versions)
    number = "1 registration" if len(todo) == 1 else f"{len(todo)} registrations"
    journal.say(f"{number} to do; dashboard: {link}")
    if cluster.machine is None:
        journal.say(cluster.said_of_memory(todo))


def _elsewhere(
    scheduler: str | None,
    file: str | os.PathLike[str] | None,
    stack: ExitStack,
    problems: list[str],
) -> AbstractContextManager[clusters.Cluster] | None:
    """Give workers that are not this machine's; None where they are to be."""
    try:
        if scheduler:
            cluster = stack.enter_context(clusters.remote(scheduler))
            problems += checks.check(cluster)
            return nullcontext(cluster)
        if file:
            queues.check(file)
            return queues.queued(file)
    except CohortError as error:
        problems += error.problems
    return None


def _not_run(task: Task) -> Row:
    names = {"pair": task.pair.name, "variant": task.variant.name, "key": task.key}
    return {**names, "status": "not run", "error": ""}


def _check_numbers(workers: int | None, threads: int | None, retries: int) -> list[str]:
    problems = []
    given = (("workers", workers, 1), ("threads", threads, 1), ("retries", retries, 0))
    for name, value, least in given:
        try:
            _arguments.check_whole(name, value, least)
        except ValueError as error:
            problems.append(str(error))
    return problems


def _gpus(device: str | None, elsewhere: bool, problems: list[str]) -> tuple[str, ...]:
    """Give the GPUs that workers of this machine are to have, each one."""
    try:
        if device is not None:
            _devices.number_of(device)
    except ValueError as error:
        problems.append(str(error))
        return ()
    if elsewhere:
        return ()
    found = shares.gpus_of(device)
    if not found and device not in (None, "cpu"):
        problems.append(
            f'device is {device!r}, and torch sees no such GPU. Give "cpu", or let '
            "`impact-plugin doctor` tell why"
        )
    return found


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401
        import pandas  # noqa: F401
        import psutil  # noqa: F401
        import pyarrow  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        message = f'cohorts need {error.name}: pip install "impact-plugin[cohort]"'
        raise ImportError(message) from error


def _variants(
    presets: str | Sequence[str | Sequence[str]],
    files: Sequence[str | os.PathLike[str]],
    problems: list[str],
) -> list[Variant]:
    chosen = [presets] if isinstance(presets, str) else list(presets)
    if files and chosen == [known.DEFAULT]:
        chosen = []
    found = []
    for each in chosen:
        names: tuple[Any, ...] = (each,)
        if not isinstance(each, str) and hasattr(each, "__iter__"):
            names = tuple(each)
        if names and all(isinstance(name, str) for name in names):
            found.append(Variant("+".join(names), presets=names))
        else:
            problems.append(f"presets has {each!r}, expected the name of a preset, or several")
    if files:
        paths = [path for file in files if (path := _absolute(file, problems))]
        found.append(Variant("+".join(Path(path).stem for path in paths), maps=tuple(paths)))
    problems += preflight.check_variants(found)
    return found


def _placed(
    models: str | os.PathLike[str] | Mapping[str, str] | None, problems: list[str]
) -> str | dict[str, str] | None:
    """Make paths absolute: workers have other current folders."""
    try:
        if isinstance(models, Mapping):
            return {name: str(_absolute(path, problems)) for name, path in models.items()}
        return _absolute(models, problems)
    except TypeError:
        problems.append(f"models is {models!r}, expected a folder, or a dict of files by name")
        return None


def _cache(path: str | os.PathLike[str] | None, problems: list[str]) -> str | None:
    """Look at the folder of features, which workers make."""
    if path is None:
        return None
    if not os.fspath(path):
        problems.append("feature_cache is empty, expected a folder")
        return None
    folder = Path(_absolute(path, problems) or ".")
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        problems.append(f"feature_cache is {str(folder)!r}, and {there} is no folder to write into")
    return str(folder)


def _absolute(path: str | os.PathLike[str] | None, problems: list[str]) -> str | None:
    if path is None:
        return None
    try:
        return str(_io.expanded(path).absolute())
    except (OSError, ValueError) as error:
        problems.append(str(error))
        return None
