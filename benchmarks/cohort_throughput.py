"""Pairs per minute against workers and threads, of a real pair with several seeds.

    data="$(python cmake/obtain_sources.py --print-data)"
    python benchmarks/cohort_throughput.py "$data" out/throughput --pairs 4 --iterations 100

From when the log says that the run started to when its last pair has ended, so without what a
cohort takes once. ``--shares`` says what is tried, as <workers>x<threads>; each is done
``--repeats`` times, one after the other, and the medians count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from impact_plugin import cohort, datasets


def seconds(folder: Path) -> float:
    """Give the time between a cohort's beginning and the end of its last pair, s."""
    lines = [json.loads(line) for line in (folder / "cohort.jsonl").read_text().splitlines()]
    started = next(line["time"] for line in lines if line["event"] == "started")
    return float(max(line["time"] for line in lines if line["event"] == "ended") - started)


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder `Testing` of elastix's sources")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=None, help="of each level")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--shares", nargs="+", default=["1x1", "1x2", "2x1", "2x2"])
    given = parser.parse_args()
    data = datasets.lung_pair(given.data)
    files = {"fixed": str(data.fixed), "moving": str(data.moving)}
    options = {} if given.iterations is None else {"iterations": given.iterations}
    pairs = [
        cohort.Pair(f"seed{seed}", files, options={"seed": seed, **options})
        for seed in range(given.pairs)
    ]
    stamp = time.strftime("%H%M%S")
    took: dict[str, list[float]] = {share: [] for share in given.shares}
    for number in range(given.repeats):
        for share, found in took.items():
            workers, threads = map(int, share.split("x"))
            folder = given.folder / f"{stamp}-{share}-{number}"
            result = cohort.register_cohort(
                pairs,
                folder,
                variants=[("affine_mind", "mind")],
                workers=workers,
                threads=threads,
                progress=False,
            )
            if result.failed:
                sys.exit(f"a pair failed: {result.table['error'].tolist()}")
            found.append(seconds(folder))
            print(
                f"{share}  {60 * given.pairs / statistics.median(found):5.2f} pairs per minute, "
                f"{result.table['seconds'].median():.1f} s each, {found[-1]:.1f} s in all",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
