"""Register the lung CT pair of elastix's test data with IMPACT, in both of its modes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from impact_plugin import datasets
from impact_plugin._optional import require
from impact_plugin.demo.lung_pair import RUNS, LungPair
from impact_plugin.elastix.errors import RegistrationError
from impact_plugin.evaluation import LandmarkErrors


def run(
    data_folder: Path | None,
    out: Path,
    maps: Path,
    iterations: int | None = None,
    threads: int | None = None,
    bound: float = 1.60,
) -> int:
    """Run the demo: print the errors before and after, and where the time went.

    Args:
        data_folder: The folder ``Testing`` of elastix's sources; None: as
            :func:`impact_plugin.datasets.lung_pair` finds it.
        out: Folder to write to: results, a table (results.json) and a picture of each.
        maps: Folder of the parameter maps.
        iterations: Iterations of each level; None: as the maps say.
        threads: Threads of elastix; None: all.
        bound: Largest mean error, mm.

    Returns:
        0 where both registrations are as good as expected, else 1.
    """
    data, problem = _data(data_folder, maps)
    if data is None:
        print(f"impact-plugin demo: {problem}", file=sys.stderr)
        return 1

    out = out.resolve()
    pair = LungPair(data, out, maps, iterations, threads)
    table = {name: pair.errors_before(name) for name in ("unregistered", "affine")}
    times: dict[str, dict[str, float]] = {}
    try:
        for each in RUNS:
            print(f"{each.title} ({each.parameter_map})", flush=True)
            table[each.title], times[each.title] = pair.register(each)
    except RegistrationError as error:
        print(f"impact-plugin demo: {error}", file=sys.stderr)
        return 1

    _print_errors(table, pair.number_of_points)
    _print_times(times)
    results = {
        "landmarks": pair.number_of_points,
        "errors_mm": {name: errors.statistics() for name, errors in table.items()},
        "seconds": times,
    }
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nResults, pictures and logs: {out}")

    worse = [each.title for each in RUNS if not table[each.title].mean <= bound]
    for title in worse:
        print(
            f"{title}: mean error {table[title].mean:.2f} mm, expected at most {bound:.2f}",
            file=sys.stderr,
        )
    return 1 if worse else 0


def _data(folder: Path | None, maps: Path) -> tuple[datasets.LungPair | None, str]:
    """Give the images, or None and what is missing, before minutes are spent."""
    missing = [maps / run.parameter_map for run in RUNS]
    missing = [path for path in missing if not path.is_file()]
    data = None
    try:
        data = datasets.lung_pair(folder)
    except datasets.DatasetError as error:
        if not error.missing:
            return None, f"{error} (--data)"
        missing = [*error.missing, *missing]
    if missing:
        files = "\n".join(f"  {path}" for path in missing)
        return None, f"these files are missing (see --data and --maps):\n{files}"
    try:
        require("the pictures", "demo", "matplotlib")
    except ImportError as error:
        return None, str(error)
    return data, ""


def _print_errors(table: dict[str, LandmarkErrors], number_of_points: int) -> None:
    print(
        f"\n{f'Error of {number_of_points} landmarks, mm':40} {'mean':>8} {'median':>8} {'max':>8}"
    )
    for name, errors in table.items():
        print(f"{name:40} {errors.mean:8.2f} {errors.median:8.2f} {errors.max:8.2f}")


def _print_times(times: dict[str, dict[str, float]]) -> None:
    for name, stages in times.items():
        total = sum(stages.values())
        print(f"\n{f'{name}: seconds':48} {total:8.1f}")
        for stage, seconds in stages.items():
            print(f"  {stage:46} {seconds:8.1f} {100 * seconds / total:6.0f} %")
