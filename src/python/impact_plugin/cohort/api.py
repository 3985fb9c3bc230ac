"""``impact_plugin.register_cohort``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from impact_plugin import _arguments, _devices, _html, _versions
from impact_plugin._deprecated import renamed_arguments
from impact_plugin._equality import EqualByValue
from impact_plugin._numbers import plain_arguments
from impact_plugin._optional import require
from impact_plugin.cohort import clusters, preflight, queues, running, shares, table, work
from impact_plugin.cohort import folder as output
from impact_plugin.cohort import workers as checks
from impact_plugin.cohort.errors import CohortError, Problems
from impact_plugin.cohort.journal import Journal
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.pairs import Pair, whole_path
from impact_plugin.cohort.plan import Checksums, Task, Variant, finished
from impact_plugin.cohort.stopping import Stopping
from impact_plugin.cohort.tasks import make, with_threads
from impact_plugin.evaluation.api import OutsideLandmarks
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.registration import presets as known

_SHOWN = ("pair", "variant", "status", "error", "seconds", "metric", "tre_mean_mm", "dice_mean")
_MOST = 20
"""Columns and rows that a notebook shows."""


@dataclass(frozen=True, eq=False)
class CohortResult(EqualByValue):
    """The result of a cohort.

    Attributes:
        folder: The output folder, which has everything.
        table: A pandas.DataFrame with a row for each pair and variant; ``docs/cohorts.md`` lists
            its columns.
        interrupted: Why the run ended before all pairs did, or empty. The same call goes on.
        unwritten: Why the table is not in the folder, or empty. The same call writes it.
        report: The page ``report.html``, or None where it could not be made.
    """

    folder: Path
    table: Any
    interrupted: str = ""
    unwritten: str = ""
    report: Path | None = None

    @property
    def failed(self) -> int:
        """Number of unfinished registrations."""
        return int((self.table["status"] != "done").sum())

    def _repr_html_(self) -> str:
        names = [name for name in _SHOWN if name in self.table]
        page = f"Page: {self.report}" if self.report else "It has no page."
        why = f", interrupted: {self.interrupted}" if self.interrupted else ""
        return _html.block(
            f"Cohort of {len(self.table)} registrations, {self.failed} not done{why}",
            lambda: _html.table(names, self.table[names].head(_MOST).itertuples(index=False)),
            lambda: _html.paragraph(f"All of the table: {self.folder / table.CSV}. {page}"),
        )


@renamed_arguments(presets="variants")
@plain_arguments
def register_cohort(
    pairs: str | os.PathLike[str] | Iterable[Pair],
    output_directory: str | os.PathLike[str],
    *,
    preset: str | Sequence[str] | None = None,
    variants: str | Sequence[str | Sequence[str]] = (),
    parameter_files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    models: str | os.PathLike[str] | Mapping[str, str] | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    scheduler: str | None = None,
    cluster_file: str | os.PathLike[str] | None = None,
    feature_cache: str | os.PathLike[str] | None = None,
    outside: OutsideLandmarks = "error",
    retries: int = 1,
    progress: bool = True,
    runner: running.Runner = work.run,
) -> CohortResult:
    """Register many pairs through dask, so that nothing is lost; see ``docs/cohorts.md``.

    The result of every finished pair is in ``pairs/<pair>/<variant>/`` of the output folder, as
    :meth:`RegistrationResult.save` writes it, with its record. If you make the same call again, it
    does the registrations that are missing, that failed, or whose images, parameters, models or
    versions have changed.

    Args:
        pairs: A table (CSV or TSV), or pairs.
        output_directory: The folder for all results. It is made if needed.
        preset: Name of a preset, or several that run one after the other, as in
            :func:`impact_plugin.register_images`. Where neither this nor ``variants`` nor
            ``parameter_files`` is given: ``["affine_mi", "mind_mi"]``.
        variants: Several ways to register each pair, to be compared: each a preset, or several
            that run one after the other. ``["mind", ["rigid_mind", "mind"]]`` are two.
        parameter_files: elastix's parameter file, or several, which run one after the other and
            are one more variant.
        models: Where model files lie, as in :func:`impact_plugin.register_images`.
        workers: Processes of this machine, each with one pair at a time; by default one for each
            GPU, or else for each processor, as far as the memory suffices.
        threads: Threads per registration; by default the processors divided by those that run at
            once, and with a scheduler 1.
        device: Where networks run; by default on this machine's GPUs, if there are any, and
            otherwise as the maps say.
        scheduler: Address of a dask scheduler, whose workers take the place of this machine's.
        cluster_file: A file that describes the jobs of a queue, which take their place as well.
        feature_cache: Folder in which feature maps of images are kept and shared.
        outside: What becomes of landmarks outside the images: an error before anything starts, or
            ``"leave out"``.
        retries: How often a pair that failed is tried again.
        progress: Whether to show progress on standard error.
        runner: What does one pair on a worker, which imports it; for another way to register the
            images, ``functools.partial(impact_plugin.cohort.work.run, register=...)``.

    Raises:
        CohortError: Before anything starts, with all that is wrong.
        ImportError: The extra ``cohort`` is not installed.

    Warns:
        ColourWarning: Images have colours, and no ``channel`` was given for their pairs.
    """
    _versions.check()
    clusters.leave_if_started_by_workers()
    stopping = Stopping()
    with stopping.heard(), ExitStack() as stack:
        with stopping.put_off():  # half an import is worse than none
            require("cohorts", "cohort", "distributed", "pandas", "psutil", "pyarrow", "rich")
        problems = Problems()
        with problems.noted("argument"):
            _arguments.check_integer("workers", workers, 1)
        with problems.noted("argument"):
            _arguments.check_integer("threads", threads, 1)
        with problems.noted("argument"):
            _arguments.check_integer("retries", retries, 0)
        with problems.noted("argument"):
            _arguments.check_flag("progress", progress)
        with problems.noted("argument"):
            _arguments.check_choice("outside", outside, get_args(OutsideLandmarks))
        if scheduler and cluster_file is not None:
            problems.add("argument", "scheduler and cluster_file exclude each other")
        gpus = _gpus(device, bool(scheduler) or cluster_file is not None, problems)
        chosen = _variants(preset, variants, parameter_files, problems)
        found = preflight.collect_pairs(pairs, problems)
        whole_path(tempfile.gettempdir(), problems)
        place = whole_path(output_directory, problems, "output_directory")
        folder = Path(place)
        if place:
            # With wrong rows, those that are left may have none that is the folder's.
            problems += output.check(folder, [] if problems else found)
        cache = _cache(feature_cache, problems)
        lost: list[OutsideError] = []
        wrong, headers = preflight.check_pairs(found, outside, lost)
        problems += wrong + preflight.check_kept(found, chosen, folder)
        readable = [p for p in found if all(p.image(s) in headers for s in ("fixed", "moving"))]
        maps = stack.enter_context(Maps(chosen, _placed(models, problems)))
        problems += maps.check(readable, headers)
        where = _elsewhere(scheduler, cluster_file, stack, problems)
        if where is None:
            clusters.check_script(problems)
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
                chosen,
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
        others = output.describe(folder, found, chosen, checksums)
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
                for row in running.run(cluster, todo, journal, runner):
                    rows[f"{row.pair}/{row.variant}"] = row
                    journal.ended(row)
            except (KeyboardInterrupt, running.EndedEarlyError) as error:
                interrupted = stopping.why or str(error) or "stopped by Ctrl-C"
        else:
            journal.begin(len(tasks), len(rows))
        # What ended on a worker while this process was told to end is done, too.
        for task in tasks:
            if task.name not in rows:
                rows[task.name] = finished(task) or work.row_of(task, "not run", error="")
        made = table.make([rows[task.name] for task in tasks])
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
        return CohortResult(folder, made, interrupted, unwritten, report)


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
    problems: Problems,
) -> AbstractContextManager[clusters.Cluster] | None:
    """Give workers that are not this machine's; None where they are to be."""
    try:
        if scheduler:
            cluster = stack.enter_context(clusters.remote(scheduler))
            problems += checks.check(cluster)
            return nullcontext(cluster)
        if file is not None:
            queues.check(file)
            return queues.queued(file)
    except CohortError as error:
        problems += error.problems
    return None


def _gpus(device: str | None, elsewhere: bool, problems: Problems) -> tuple[str, ...]:
    """Give the GPUs that workers of this machine are to have, each one."""
    try:
        if device is not None:
            _devices.number_of(device)
    except ValueError as error:
        problems.add("device", str(error))
        return ()
    if elsewhere:
        return ()
    found = shares.gpus_of(device)
    if not found and device not in (None, "cpu"):
        problems.add(
            "device",
            f'device is {device!r}, and torch sees no such GPU. Give "cpu", or let '
            "`impact-plugin doctor` tell why",
        )
    return found


def _variants(
    preset: str | Sequence[str] | None,
    variants: str | Sequence[str | Sequence[str]],
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    problems: Problems,
) -> list[Variant]:
    wrong = Problems()
    several = _listed("variants", variants, "the name of a preset, or several", wrong)
    listed = _listed("parameter_files", files, "the path of a parameter file, or several", wrong)
    found = []
    with wrong.noted("argument"):
        _arguments.check_preset(preset)
        if preset is not None:
            several.insert(0, preset)
        elif not (several or listed or wrong):
            several = [known.DEFAULT]
    for each in several:
        names: tuple[Any, ...] = (each,)
        if not isinstance(each, str) and hasattr(each, "__iter__"):
            names = tuple(each)
        if names and all(isinstance(name, str) for name in names):
            found.append(Variant("+".join(names), presets=names))
        else:
            text = f"variants has {each!r}, expected the name of a preset, or several"
            wrong.add("argument", text)
    paths = [path for file in listed if (path := whole_path(file, wrong, "parameter_files"))]
    if paths:
        found.append(Variant("+".join(Path(path).stem for path in paths), maps=tuple(paths)))
    problems += wrong
    if found or not wrong:
        problems += preflight.check_variants(found)
    return found


def _listed(name: str, given: Any, expected: str, problems: Problems) -> list[Any]:  # noqa: ANN401
    """Give an argument that is one thing or several as a list."""
    if isinstance(given, str | os.PathLike):
        return [given]
    if not isinstance(given, Iterable):
        problems.add("argument", f"{name} is {given!r}, expected {expected}")
        return []
    return list(given)


def _placed(
    models: str | os.PathLike[str] | Mapping[str, str] | None, problems: Problems
) -> str | dict[str, str] | None:
    """Make paths absolute: workers have other current folders."""
    if isinstance(models, Mapping):
        return {n: whole_path(path, problems, f"models[{n!r}]") for n, path in models.items()}
    if models is None:
        return None
    return whole_path(models, problems, "models", "a dict of files by name, or ") or None


def _cache(path: str | os.PathLike[str] | None, problems: Problems) -> str | None:
    """Look at the folder of features, which workers make."""
    if path is None:
        return None
    if not (place := whole_path(path, problems, "feature_cache")):
        return None
    folder = Path(place)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        text = f"feature_cache is {str(folder)!r}, and {there} is no folder to write into"
        problems.add("feature-cache", text)
    return str(folder)
