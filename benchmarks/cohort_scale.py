"""A cohort of ten thousand pairs on a hundred workers, whose registrations are naps.

    python benchmarks/cohort_scale.py out/scale

The scheduler is a process of its own. The workers are a hundred of dask's, each with an address,
a thread and a connection of its own, of which 25 each share a process: a hundred processes would
not fit into a small machine. Pairs, images, checks, the log, the table and the report are real.
Measured are the memory of the client and of the scheduler, and the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import SimpleITK as sitk
from msgspec import structs

from impact_plugin import cohort
from impact_plugin.cohort import Row, work
from impact_plugin.cohort.plan import TASK, Task

PROCESSES, SECONDS = 4, 1.0
"""Of workers; of a nap, on average."""


def nap(task: Task) -> Row:
    """Sleep, and leave a row as a registration does; one in a hundred fails."""
    import zlib

    chance = zlib.crc32(task.pair.name.encode()) % 100
    time.sleep(SECONDS * (0.5 + chance / 99))
    row = work.row_of(task, "failed", attempts=task.attempt, error="")
    if chance == 13:
        return structs.replace(row, error=f"RuntimeError: {task.pair.name} would not")
    row = structs.replace(
        row,
        status="done",
        seconds=SECONDS,
        peak_memory_mb=900.0,
        metric=0.01 * chance,
        folding=0.0,
        jacobian_min=0.5,
        worker="a:1",
        before_dice_mean=0.5,
        dice_mean=0.99 - 0.001 * chance,
    )
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / TASK).write_text(json.dumps(row.as_dict()))
    return row


async def serve(address: str, number: int) -> None:
    """Be so many workers until the scheduler ends."""
    from distributed import Worker

    workers = [Worker(address, nthreads=1, memory_limit=0, dashboard=False) for _ in range(number)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


def serving(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start a process that runs until it is told to end, and says nothing."""
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def write_pairs(folder: Path, number: int) -> Path:
    """Write an atlas and as many small images, each another, and the table of the pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows = ["pair,fixed,moving"]
    for index in range(number + 1):
        path = folder / f"m{index}.mha"
        if not path.exists():
            image = sitk.GetImageFromArray(generator.normal(size=(8, 8, 8)).astype(np.float32))
            sitk.WriteImage(image, str(path))
        rows += [f"pair{index},m0.mha,m{index}.mha"] * bool(index)
    table = folder / "pairs.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


class Memory(threading.Thread):
    """The most memory of processes, MB."""

    def __init__(self, **processes: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self.first = self._now()
        self.most = dict(self.first)

    def _now(self) -> dict[str, float]:
        return {name: each.memory_info().rss / 1e6 for name, each in self._processes.items()}

    def run(self) -> None:
        """Look at them four times a second until they end."""
        while True:
            time.sleep(0.25)
            try:
                self.most = {name: max(self.most[name], mb) for name, mb in self._now().items()}
            except psutil.Error:
                return


def check(out: Path, result: cohort.CohortResult, number: int) -> None:
    """Check that table, log and report hold each pair once."""
    assert len(result.table) == result.table["pair"].nunique() == number
    for read in (pd.read_csv(out / "cohort.csv"), pd.read_parquet(out / "cohort.parquet")):
        assert list(read["pair"]) == list(result.table["pair"])
        assert list(read["status"]) == list(result.table["status"])
    lines = [json.loads(line) for line in (out / "cohort.jsonl").read_text().splitlines()]
    ended = Counter(line["pair"] for line in lines if line["event"] == "ended")
    assert len(ended) == number
    assert set(ended.values()) == {1}
    assert result.report is not None
    kinds = Counter(line["event"] for line in lines)
    print(f"log: {(out / 'cohort.jsonl').stat().st_size / 1e6:.1f} MB, {dict(kinds)}")
    print(f"report: {result.report.stat().st_size / 1e6:.2f} MB")
    started, stopped = (
        next(line["time"] for line in lines if line["event"] == event)
        for event in ("started", "ended all")
    )
    took = stopped - started
    print(f"pairs: {took:.1f} s, {1000 * took / number:.2f} ms each")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve, given.workers))
        return 0
    table = write_pairs(given.folder / "images", given.pairs)
    out = given.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    where = given.folder / "scheduler.json"
    where.unlink(missing_ok=True)
    options = ["--scheduler-file", str(where), "--port", "0", "--host", "127.0.0.1"]
    started = [serving(["-m", "distributed.cli.dask_scheduler", *options, "--no-dashboard"])]
    try:
        while not where.is_file():
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        for _ in range(PROCESSES):
            number = str(given.workers // PROCESSES)
            options = ["--serve", address, "--workers", number]
            started.append(serving([__file__, str(given.folder), *options]))
        memory = Memory(client=psutil.Process(), scheduler=psutil.Process(started[0].pid))
        memory.start()

        def run() -> tuple[float, cohort.CohortResult]:
            begun = time.monotonic()
            result = cohort.register_cohort(
                table, out, preset="mind", scheduler=address, progress=False, runner=nap
            )
            done = int((result.table["status"] == "done").sum())
            took = time.monotonic() - begun
            print(f"{done} done, {result.failed} failed, {took:.1f} s in all", flush=True)
            for name, most in memory.most.items():
                first = memory.first[name]
                print(f"memory, {name}: {first:.0f} MB first, {most:.0f} MB at most", flush=True)
            return took, result

        _, result = run()
        check(out, result, given.pairs)
        print("the same again:")
        run()
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
