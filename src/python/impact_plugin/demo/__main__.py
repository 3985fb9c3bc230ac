"""Register the lung CT pair of elastix's test data with IMPACT, in both of its modes.

The images show one lung, breathed in and breathed out. 51 of the 100 landmarks lie inside the fixed
image. For each mode the program prints the errors of these before and after, says where the time
went, and writes the results, a table (results.json) and a picture under the output folder. It ends
with an error where a mean is too large.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from impact_plugin.demo.landmarks import Errors
from impact_plugin.demo.lung_pair import RUNS, Data, LungPair
from impact_plugin.demo.runs import RunError

_PACKAGE = Path(__file__).resolve().parents[1]
_MAP_FOLDERS = (_PACKAGE / "parameter_maps", _PACKAGE.parents[2] / "ParameterMaps")
"""Where the parameter maps lie: in an installed package, and in a source tree."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo.

    Args:
        arguments: The command line without the program's name; by default the one of this process.

    Returns:
        0 where both registrations are as good as expected, else 1.
    """
    options = _options(arguments)
    data = Data(options.data.resolve())
    if problem := _problem(data, options.maps):
        print(f"impact_plugin.demo: {problem}", file=sys.stderr)
        return 1

    pair = LungPair(data, options.out.resolve(), options.maps, options.iterations, options.threads)
    table = {"unregistered": pair.unregistered}
    times: dict[str, dict[str, float]] = {}
    try:
        table["affine"] = pair.prepare()
        for run in RUNS:
            print(f"{run.title} ({run.parameter_map})", flush=True)
            table[run.title], times[run.title] = pair.register(run)
    except RunError as error:
        print(f"impact_plugin.demo: {error}", file=sys.stderr)
        return 1

    _print_errors(table, pair.number_of_points)
    _print_times(times)
    results = {
        "landmarks": pair.number_of_points,
        "errors_mm": {name: errors.as_dict() for name, errors in table.items()},
        "seconds": times,
    }
    (options.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nResults, pictures and logs: {options.out}")

    worse = [run.title for run in RUNS if not table[run.title].mean <= options.bound]
    for title in worse:
        print(
            f"{title}: mean error {table[title].mean:.2f} mm, expected at most {options.bound:.2f}",
            file=sys.stderr,
        )
    return 1 if worse else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m impact_plugin.demo", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder Testing of the elastix 5.3.1 sources"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/demo"),
        help="folder to write to (default: %(default)s)",
    )
    parser.add_argument(
        "--maps", type=Path, help="folder of the parameter maps (default: those of the package)"
    )
    parser.add_argument(
        "--iterations", type=int, help="iterations of each level (default: as the maps say)"
    )
    parser.add_argument("--threads", type=int, help="threads of elastix (default: all)")
    parser.add_argument(
        "--bound", type=float, default=1.60, help="largest mean error in mm (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.maps is None:
        options.maps = next((folder for folder in _MAP_FOLDERS if folder.is_dir()), _MAP_FOLDERS[0])
    return options


def _problem(data: Data, maps: Path) -> str | None:
    """Say what is missing, before minutes are spent; None where nothing is."""
    missing = [
        *data.missing(),
        *(maps / run.parameter_map for run in RUNS if not (maps / run.parameter_map).is_file()),
    ]
    if missing:
        return "these files are missing (see --data and --maps):\n" + "\n".join(
            f"  {path}" for path in missing
        )
    if importlib.util.find_spec("matplotlib") is None:
        return (
            "matplotlib, which draws the pictures, is missing. Install it with:\n"
            f"  {sys.executable} -m pip install matplotlib"
        )
    return None


def _print_errors(table: dict[str, Errors], number_of_points: int) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
