"""``impact_plugin.register_cohort``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impact_plugin import _versions
from impact_plugin.cohort import clusters, running, table, work
from impact_plugin.cohort.journal import Journal
from impact_plugin.cohort.pairs import Pair, PairsError, read_pairs
from impact_plugin.cohort.plan import Checksums, Task, Variant, finished
from impact_plugin.cohort.preflight import (
    CohortError,
    Maps,
    check_folder,
    check_pairs,
    describe_cohort,
    make_tasks,
    predict_bytes,
)
from impact_plugin.cohort.work import Row
from impact_plugin.pairwise import presets as known


@dataclass(frozen=True)
class Cohort:
    """What became of a cohort.

    Attributes:
        folder: Where everything is.
        table: pandas.DataFrame, a row for each pair and variant; ``docs/cohorts.md`` has its
            columns.
        interrupted: Empty, or why it ended before all pairs did. The same call goes on.
        report: Its page, ``report.html``; None where it could not be made.
    """

    folder: Path
    table: Any
    interrupted: str = ""
    report: Path | None = None

    @property
    def failed(self) -> int:
        """How many rows are not done."""
        return int((self.table["status"] != "done").sum())


def register_cohort(
    pairs: str | os.PathLike[str] | Sequence[Pair],
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
        workers: Pairs at once on this machine; by default as many as processors and memory allow.
        threads: Of each registration; by default the processors divided by the workers, and with
            a scheduler 1.
        device: Where networks run.
        scheduler: Address of a dask scheduler, in place of workers of this machine.
        cluster_file: A file that describes a queue's jobs, likewise.
        feature_cache: Folder in which feature maps of images are kept and shared.
        retries: How often a pair that failed is tried again.
        progress: Whether to show progress on standard error.
        runner: What registers one pair.

    Raises:
        CohortError: Before anything starts, with all that is wrong.
        ImportError: The extra ``cohort`` is not installed.
    """
    _versions.check()
    _check_installed()
    problems: list[str] = []
    if scheduler and cluster_file:
        problems.append("scheduler and cluster_file exclude each other")
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            problems.append(f"{name} is {value}, expected a whole number from 1")
    if retries < 0:
        problems.append(f"retries is {retries}, expected a whole number from 0")
    variants = _variants(presets, parameter_files, problems)
    found = _pairs(pairs, problems)
    folder = Path(output_directory).expanduser().absolute()
    problems += check_folder(folder, found)
    wrong, headers = check_pairs(found)
    problems += wrong
    checksums = Checksums(folder / ".checksums.json")
    placed = _placed(models)
    maps = Maps(variants, placed)
    sizes = [len(headers[p.files["fixed"]].size) for p in found if p.files["fixed"] in headers]
    problems += maps.load(sizes or [3], checksums)
    if problems:
        raise CohortError(problems)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CohortError([f"{folder} cannot be made: {error}"]) from error
    predicted = predict_bytes(found, variants, maps, headers)
    number, each, why = clusters.divide(len(found) * len(variants), predicted, workers, threads)
    elsewhere = bool(scheduler or cluster_file)
    tasks = make_tasks(
        found,
        variants,
        maps,
        headers,
        checksums,
        cohort=str(folder),
        models=placed,
        threads=(threads or 1) if elsewhere else each,
        device=device,
        feature_cache=str(Path(feature_cache).expanduser().absolute()) if feature_cache else None,
        retries=retries,
    )
    checksums.save()
    rows = {task.name: row for task in tasks if (row := finished(task))}
    todo = [task for task in tasks if task.name not in rows]
    interrupted = ""
    with Journal(folder, len(tasks), len(rows), progress) as journal:
        if todo:
            cluster = _cluster(scheduler, cluster_file, number)
            journal.say("" if elsewhere else why)
            interrupted = _run(cluster, folder, found, variants, todo, runner, journal, rows)
        else:
            describe_cohort(folder, found, variants)
    left = {"status": "not run", "error": ""}
    whole = [
        rows.get(t.name, {"pair": t.pair.name, "variant": t.variant.name, "key": t.key, **left})
        for t in tasks
    ]
    made = table.make(whole)
    table.write(made, folder)
    return Cohort(folder, made, interrupted, _report(folder, progress))


def _report(folder: Path, say: bool) -> Path | None:
    """Write the report, without which a cohort is not lost: a command makes it anew."""
    from impact_plugin.viewing import write_cohort_report

    try:
        return write_cohort_report(folder)
    except Exception as error:
        if say:
            print(f"no report: {error}; see impact-plugin cohort-report", file=sys.stderr)
        return None


def _run(
    cluster: AbstractContextManager[Any],
    folder: Path,
    pairs: Sequence[Pair],
    variants: Sequence[Variant],
    todo: Sequence[Task],
    runner: running.Runner,
    journal: Journal,
    rows: dict[str, Row],
) -> str:
    """Run what is to be done; gives why it ended early, or nothing."""
    try:
        with cluster as client:
            if problems := clusters.check_workers(client, folder):
                raise CohortError(problems)
            running.clear(folder)
            describe_cohort(folder, pairs, variants)
            journal.write("started", tasks=len(todo), dashboard=client.dashboard_link)
            journal.say(f"{len(todo)} registrations to do; dashboard: {client.dashboard_link}")
            for row in running.run(client, todo, runner, journal.tick):
                rows[f"{row['pair']}/{row['variant']}"] = row
                journal.ended(row)
    except KeyboardInterrupt:
        interrupted = "stopped by Ctrl-C"
    except running.SchedulerLostError as error:
        interrupted = str(error)
    else:
        interrupted = ""
    journal.write("ended all", interrupted=interrupted)
    return interrupted


def _cluster(
    scheduler: str | None, file: str | os.PathLike[str] | None, workers: int
) -> AbstractContextManager[Any]:
    if scheduler:
        return clusters.remote(scheduler)
    return clusters.queued(file) if file else clusters.local(workers)


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401
        import pandas  # noqa: F401
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
    stages = [(each,) if isinstance(each, str) else tuple(each) for each in chosen]
    found = [Variant("+".join(names), presets=names) for names in stages]
    if files:
        paths = [Path(file).expanduser().absolute() for file in files]
        found.append(Variant("+".join(p.stem for p in paths), maps=tuple(map(str, paths))))
    names = [each.name for each in found]
    problems += [
        f"{name!r} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    if not found:
        problems.append("there is neither a preset nor a parameter file")
    return found


def _pairs(pairs: str | os.PathLike[str] | Sequence[Pair], problems: list[str]) -> list[Pair]:
    if not isinstance(pairs, str | os.PathLike):
        if not pairs:
            problems.append("there are no pairs")
        return list(pairs)
    try:
        return read_pairs(pairs)
    except PairsError as error:
        problems += error.problems
    except OSError as error:
        problems.append(f"the table of pairs cannot be read: {error}")
    return []


def _placed(
    models: str | os.PathLike[str] | Mapping[str, str] | None,
) -> str | dict[str, str] | None:
    """Make paths absolute: workers have other current folders."""
    if models is None:
        return None
    if isinstance(models, Mapping):
        return {k: str(Path(v).expanduser().absolute()) for k, v in models.items()}
    return str(Path(models).expanduser().absolute())
