"""Measures how fast the metric is, beside elastix's own component and beside what is possible.

    make bench

Registrations of the lung CT pair of elastix's test data: the peer (elastix's stock Impact
component, built once into the cache), ours, and elastix's mutual information and NCC take turns,
each run in a fresh process. What a run gave is kept in out/bench, so that a bench that was cut off
goes on, and only what failed or changed is measured anew; `--again` measures all. The tables hold
what is known, even if this call does not measure it. The figures go into out/bench/results.json,
the tables to the screen and with `--write-docs` into docs/performance.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import bench_report, bench_runs  # noqa: E402
from benchmarks.bench_cases import (  # noqa: E402
    CASES,
    M730,
    RANDOM_NETWORKS,
    Case,
    parameter_map,
)
from benchmarks.bench_floors import peer_memory, voxels_at  # noqa: E402
from benchmarks.bench_runs import Record  # noqa: E402
from benchmarks.landmarks import Landmarks  # noqa: E402

from impact_plugin import datasets  # noqa: E402
from impact_plugin.check import ImageHeader  # noqa: E402

OUT = ROOT / "out" / "bench"
RESULTS = OUT / "results.json"
TEST_MAPS = {"Jacobian": "001", "Static": "002"}


class Bench:
    """The pair, the peer, and what is asked of the measurements."""

    def __init__(self, data: datasets.LungPair, threads: int) -> None:
        self.data = data
        self.threads = threads
        self.peer = bench_runs.build_peer()
        self.identities = bench_runs.identities(self.peer)
        self.models = {
            network.name: OUT / f"{network.file or network.name}.pt" for network in RANDOM_NETWORKS
        }
        self.models[M730.name] = data.model
        self.maps = {
            mode: (
                data.fixed.parent / f"parameters.3D.IMPACT.bspline.ASGD.{number}.txt"
            ).read_text()
            for mode, number in TEST_MAPS.items()
        }
        images = [ImageHeader.read(path) for path in (data.fixed, data.moving)]
        self._sizes = [image.size for image in images]
        self._spacings = [image.spacing for image in images]
        self._landmarks = Landmarks(data)

    def voxels(self, case: Case) -> float:
        """Voxels of both images as the networks of a case see them."""
        return voxels_at(self._sizes, self._spacings, case.voxel)

    def known(self, case: Case, method: str, number: int, earlier: bool = False) -> Record | None:
        """What a run gave before, if nothing that it depends on has changed since.

        Args:
            case: The case.
            method: One of METRICS.
            number: Of the run, from 0.
            earlier: Take what an earlier build of the plugin gave, too; it is marked so.
        """
        file = self._folder(case, method, number) / "result.json"
        if not file.exists():
            return None
        kept = json.loads(file.read_text())
        record, key = dict(kept["record"]), self._key(case, method)
        if kept["key"] == key:
            return record
        same_but_code = {**kept["key"], "code": ""} == {**key, "code": ""}
        return record | {"earlier": True} if earlier and same_but_code else None

    def measure(self, case: Case, method: str, number: int) -> Record:
        """Run a case by one method."""
        key = self._key(case, method)
        folder = self._folder(case, method, number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record = self._too_large(case, method) or self._run(case, method, key, folder)
        (folder / "result.json").write_text(json.dumps({"key": key, "record": record}))
        shown = record.get("failed") or (
            f"{record['iteration_ms']:.1f} ms per iteration, start {record['start']:.1f} s, "
            f"total {record['total']:.1f} s, {record['peak'] / 2**30:.1f} GiB"
        )
        print(f"{case.name} {method} {number + 1}: {shown}", flush=True)
        return record

    def _folder(self, case: Case, method: str, number: int) -> Path:
        return OUT / case.name / f"{method}-{number + 1}"

    def _key(self, case: Case, method: str) -> dict[str, Any]:
        return {
            "parameters": parameter_map(case, method, self.maps[case.mode], self.models),
            "threads": 1 if case.single_thread else self.threads,
            "code": self.identities[method],
        }

    def _too_large(self, case: Case, method: str) -> Record | None:
        expected = peer_memory(case, self.voxels(case))
        if method != "peer" or expected < bench_runs.available_memory() - bench_runs.SPARE:
            return None
        return {"failed": f"not run: would need about {expected / 2**30:.0f} GiB"}

    def _run(self, case: Case, method: str, key: dict[str, Any], folder: Path) -> Record:
        (folder / "parameters.txt").write_text(key["parameters"])
        arguments: list[str | Path] = [
            *("-f", self.data.fixed, "-m", self.data.moving, "-t0", self.data.initial_transform),
            *("-p", folder / "parameters.txt"),
        ]
        record = bench_runs.register(arguments, method, key["threads"], self.peer, folder)
        if case.whole and "failed" not in record:
            transform = folder / "TransformParameters.0.txt"
            record["landmarks"] = self._landmarks.errors(transform).mean
        for written in folder.glob("result.*.mha"):
            written.unlink()
        return record


def probe(threads: int) -> dict[str, float]:
    """Write the networks and measure what the machine can do, in a process of its own."""
    script = ROOT / "benchmarks" / "bench_torch.py"
    command = [sys.executable, str(script), str(OUT), str(threads)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    machine: dict[str, float] = json.loads(output)
    return machine


def main() -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="elastix's Testing folder")
    parser.add_argument("--threads", type=int, default=2, help="of every run (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of a case (default 3)")
    parser.add_argument("--only", type=re.compile, help="measure the cases whose names match")
    parser.add_argument("--quick", action="store_true", help="measure the most telling cases, once")
    parser.add_argument("--again", action="store_true", help="measure what is known, too")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="take cases that --only leaves out from an earlier build, and say so",
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    machine = probe(options.threads)
    bench = Bench(datasets.lung_pair(options.data), options.threads)
    results: dict[str, dict[str, list[Record]]] = {}
    for case in CASES:
        chosen = case.quick or not options.quick
        chosen = chosen and (options.only is None or options.only.search(case.name) is not None)
        repeats = min(options.repeats, case.repeats)
        found: dict[str, list[Record]] = {method: [] for method in case.methods}
        for number, method in itertools.product(range(repeats), case.methods):
            record = None
            if not (chosen and options.again):
                record = bench.known(case, method, number, options.keep and not chosen)
            wanted = chosen and (number == 0 or not options.quick)
            if wanted and (record is None or "failed" in record):
                record = bench.measure(case, method, number)
            if record:
                found[method].append(record)
        if any(found.values()):
            results[case.name] = found
    facts = bench_report.machine_facts(options.threads)
    voxels = {case.name: bench.voxels(case) for case in CASES}
    report = bench_report.Report(results, machine, voxels, facts)
    RESULTS.write_text(
        json.dumps({"facts": facts, "machine": machine, "results": results}, indent=1)
    )
    text = report.text()
    print(text)
    picture = ROOT / "docs/images/growth.svg" if options.write_docs else OUT / "growth.svg"
    bench_report.draw_growth(report, picture)
    if options.write_docs:
        bench_report.write_page(text)
    print(f"wrote {RESULTS.relative_to(ROOT)} and {picture.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
