"""What a pair of a cohort takes beside what a call of register_images takes, of a real pair.

    data="$(python cmake/obtain_sources.py --print-data)"
    python benchmarks/cohort_overhead.py "$data" out/overhead --iterations 120

A worker that has done a pair already, and bare calls, take turns; each has all threads. A pair's
time is from when its cohort's log says that it started to when it says that it has ended, with
sending, measuring and writing. Registrations of the same pair differ by more than what is looked
for, where other programs run: both are therefore also measured without what the result itself
says that its stages took. Apart from that: what a cohort takes once, and what measuring and writing
alone take.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from distributed import LocalCluster

import impact_plugin
from impact_plugin import cohort, datasets
from impact_plugin.cohort import measuring

PRESETS = ("affine_mind", "mind")


def known(timings: dict[str, float]) -> float:
    """Sum what a registration itself takes; its checksums and files are overhead here."""
    beside = ("record", "writing the results")
    return sum(seconds for phase, seconds in timings.items() if phase not in beside)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Give how long a call took, s, and what it gave."""
    begun = time.perf_counter()
    found = function()
    return time.perf_counter() - begun, found


def from_log(folder: Path) -> float:
    """Give the time between a cohort's beginning and the end of its only pair, s."""
    lines = [json.loads(line) for line in (folder / "cohort.jsonl").read_text().splitlines()]
    times = {line["event"]: line["time"] for line in lines}
    return float(times["ended"] - times["started"])


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder `Testing` of elastix's sources")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=None, help="of each level")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    data = datasets.lung_pair(given.data)
    options: dict[str, Any] = {"seed": 0}
    if given.iterations is not None:
        options["iterations"] = given.iterations
    pair = cohort.Pair(
        "lung", {"fixed": str(data.fixed), "moving": str(data.moving)}, options=options
    )
    took: dict[str, list[float]] = {
        name: []
        for name in ("bare", "beside", "cohort", "its beside", "once", "measuring", "writing")
    }

    def bare() -> None:
        seconds, result = timed(
            lambda: impact_plugin.register_images(
                data.fixed, data.moving, preset=list(PRESETS), threads=given.threads, **options
            )
        )
        took["bare"].append(seconds)
        took["beside"].append(seconds - known(result.timings))
        took["measuring"].append(timed(lambda: measuring.figures(pair, result))[0])
        took["writing"].append(timed(lambda: result.save(given.folder / "bare"))[0])

    def one(folder: Path, scheduler: str) -> None:
        seconds, found = timed(
            lambda: cohort.register_cohort(
                [pair],
                folder,
                variants=[PRESETS],
                threads=given.threads,
                scheduler=scheduler,
                progress=False,
            )
        )
        if found.failed:
            sys.exit(f"the pair failed: {found.table['error'][0]}")
        took["cohort"].append(from_log(folder))
        took["once"].append(seconds - took["cohort"][-1])
        place = folder / "pairs" / pair.name / "+".join(PRESETS)
        stages = json.loads((place / "result.json").read_text())["timings"]
        took["its beside"].append(took["cohort"][-1] - known(stages))

    with LocalCluster(
        n_workers=1, threads_per_worker=1, memory_limit=0, dashboard_address=None
    ) as cluster:
        stamp = time.strftime("%H%M%S")
        for number in range(given.repeats + 1):
            folder = given.folder / f"{stamp}-{number}"
            turns: list[Callable[[], None]] = [
                bare,
                partial(one, folder, cluster.scheduler_address),
            ]
            if not number:  # the worker imports
                turns[1]()
                for each in took.values():
                    each.clear()
                continue
            for turn in turns if number % 2 else reversed(turns):
                turn()
            print(f"{number}: {took['bare'][-1]:.2f} {took['cohort'][-1]:.2f} s", flush=True)
    middle = {name: statistics.median(each) for name, each in took.items()}
    for name, each in took.items():
        print(f"{name:10} {middle[name]:7.2f} s  of", " ".join(f"{x:.2f}" for x in each))
    more = middle["its beside"] - middle["beside"]
    print(f"overhead   {100 * (middle['cohort'] / middle['bare'] - 1):.1f} % of all a pair takes")
    print(f"           {more:.2f} s, {100 * more / middle['bare']:.1f} %, beside the registration")
    return 0


if __name__ == "__main__":
    sys.exit(main())
