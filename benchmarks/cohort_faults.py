"""A cohort of small synthetic pairs, while a worker is killed at random every few seconds.

    python benchmarks/cohort_faults.py out/cohort-faults --pairs 200 --seconds 4

First without that, then with it, and with the retries that are the default: workers are killed
whatever the pair, so that some pairs' workers die each time and these are reported; the same call,
again and under the same conditions, goes on with them. Ends with 0 if every pair is done, and to
the bit as in the run without kills.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import SimpleITK as sitk

from impact_plugin import cohort
from impact_plugin.registration.result import RegistrationResult

SIZE = 16
CALLS = 20
"""At most."""


def write_pairs(folder: Path, number: int) -> Path:
    """Write images of a blob, each shifted by other voxels, and their table."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows = ["pair,fixed,moving,iterations,seed"]
    for index in range(number):
        for name, shift in (("f", np.zeros(3)), ("m", generator.uniform(-1.5, 1.5, 3))):
            axes = np.indices((SIZE, SIZE, SIZE)) - (SIZE / 2 + shift)[:, None, None, None]
            blob = 1000 * np.exp(-(axes**2).sum(0) / 18) + generator.normal(0, 5, axes.shape[1:])
            sitk.WriteImage(
                sitk.GetImageFromArray(blob.astype(np.float32)), str(folder / f"{name}{index}.mha")
            )
        rows.append(f"pair{index},f{index}.mha,m{index}.mha,3,0")
    table = folder / "pairs.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def kill_workers(
    log: Path, call: int, seconds: float, end: threading.Event, killed: list[float]
) -> None:
    """Kill one of the workers at random, again and again, from when the pairs of a call run."""
    generator = random.Random(call)
    while not log.is_file() or log.read_text().count('"event": "started"') < call:
        if end.wait(0.2):
            return
    while not end.wait(generator.uniform(0.5, 1.5) * seconds):
        workers = []
        for child in psutil.Process().children():
            try:
                if "spawn_main" in " ".join(child.cmdline()):
                    workers.append(child)
            except psutil.Error:
                continue
        if workers:
            generator.choice(workers).kill()
            killed.append(time.monotonic())


def differing(calm: Path, disturbed: Path) -> list[str]:
    """Give the pairs whose transform or registered image is not the same to the bit."""
    found = []
    for folder in sorted(calm.glob("pairs/*/*")):
        other = disturbed / folder.relative_to(calm)
        ours, theirs = (RegistrationResult.load(each) for each in (folder, other))
        maps = [[m["TransformParameters"] for m in each.chain.maps] for each in (ours, theirs)]
        images = [(each / "result.mha").read_bytes() for each in (folder, other)]
        if maps[0] != maps[1] or images[0] != images[1]:
            found.append(folder.parent.name)
    return found


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4, help="between two kills, on average")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    table = write_pairs(given.folder / "images", given.pairs)

    def run(name: str) -> cohort.CohortResult:
        start = time.monotonic()
        result = cohort.register_cohort(
            table,
            given.folder / name,
            preset="rigid_mind",
            workers=given.workers,
            threads=1,
            progress=False,
        )
        print(
            f"{name}: {len(result.table) - result.failed} of {len(result.table)} done after "
            f"{time.monotonic() - start:.0f} s",
            flush=True,
        )
        return result

    if run("calm").failed:
        return 1
    log = given.folder / "disturbed/cohort.jsonl"
    for call in range(1, CALLS + 1):
        end, killed = threading.Event(), list[float]()
        killer = threading.Thread(target=kill_workers, args=(log, call, given.seconds, end, killed))
        killer.start()
        try:
            result = run("disturbed")
        finally:
            end.set()
            killer.join()
        failed = result.table[result.table["status"] == "failed"]
        died = failed["error"].str.startswith("WorkerDied").sum()
        print(
            f"call {call}: {len(killed)} workers killed; {len(failed)} pairs reported as failed, "
            f"{died} of them since their worker died. {result.interrupted}",
            flush=True,
        )
        if not result.failed:
            break
    different = differing(given.folder / "calm", given.folder / "disturbed")
    print(f"{len(different)} pairs differ from the run without kills {different[:5]}")
    return int(bool(result.failed or different))


if __name__ == "__main__":
    sys.exit(main())
