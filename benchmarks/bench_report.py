"""The tables and the picture of `make bench`, out of what its runs gave."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench_arithmetic import Spread, digits, ratio, slope, steepest
from benchmarks.bench_cases import CASES, SWEEPS, Case, Sweep
from benchmarks.bench_floors import Work, growth, iteration, static_start
from benchmarks.bench_runs import Record

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
MARKERS = ("<!-- made by make bench: do not edit -->", "<!-- end of what make bench made -->")
UNITS = {"iteration_ms": 1.0, "peak": 2.0**-30}  # others: seconds
LANDMARK_TOLERANCE = 0.05  # mm: what another seed changes, see docs/validation.md


def machine_facts(threads: int) -> str:
    """One line on where this was measured, with what, and when."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in ("itk-elastix", "torch"))
    return (
        f"{found[1] if found else 'unknown CPU'}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{threads} threads; {versions}; {date.today().isoformat()}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table in Markdown; None is an empty cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines
    )


class Report:
    """What all runs gave.

    Args:
        results: Runs by case and method.
        machine: What the machine can do: `bandwidth` and `rate`.
        voxels: Voxels of both images, by case.
        facts: Where this was measured.
    """

    def __init__(
        self,
        results: dict[str, dict[str, list[Record]]],
        machine: dict[str, float],
        voxels: dict[str, float],
        facts: str,
    ) -> None:
        self.results = results
        self._machine = machine
        self._voxels = voxels
        self._facts = facts
        self._cases = {case.name: case for case in CASES}

    def runs(self, case: str, method: str) -> list[Record]:
        """The runs of a case by a method; none where it was not measured."""
        return self.results.get(case, {}).get(method, [])

    def spread(self, case: str, method: str, quantity: str) -> Spread | None:
        """A quantity over the runs that gave it, in ms, GiB or seconds."""
        runs = [run for run in self.runs(case, method) if "failed" not in run]
        unit = UNITS.get(quantity, 1.0)
        return Spread.of([run[quantity] * unit for run in runs if quantity in run])

    def cell(self, case: str, method: str, quantity: str) -> str | None:
        """The same for a table, or why there is none."""
        failures = [run["failed"] for run in self.runs(case, method) if "failed" in run]
        found = self.spread(case, method, quantity)
        parts = [str(found)] if found else []
        return "; ".join([*parts, *sorted(set(failures))]) or None

    def ratio(self, case: str, above: str, below: str, quantity: str) -> Spread | None:
        """How many times as much of a quantity one method took as another."""
        return ratio(self.runs(case, above), self.runs(case, below), quantity)

    def text(self) -> str:
        """All tables."""
        machine = (
            f"Measured on {self._facts}. In one copy with so many threads the memory gives "
            f"{self._machine['bandwidth'] / 1e9:.1f} GB/s, a float32 matrix product reaches "
            f"{self._machine['rate'] / 1e9:.0f} GFLOP/s. Median (smallest..largest) of the runs; a "
            "ratio is taken run by run."
        )
        if earlier := self._earlier():
            machine += f" Measured with an earlier build of the plugin: {earlier}."
        parts = (
            ("Targets", self._targets()),
            ("Time per iteration", self._iterations()),
            ("Start of a level, and memory", self._starts()),
            ("Whole registrations", self._whole()),
            ("What our own convolutions bring", self._chains()),
            ("Floors", self._floors()),
            ("Growth", self._growth()),
            ("Threads", self._threads()),
        )
        return "\n\n".join([machine, *(f"## {title}\n\n{part}" for title, part in parts)])

    def _earlier(self) -> str:
        """Name the cases of which the runs of ours are those of an earlier build."""
        names = [
            name
            for name, runs in self.results.items()
            if any(run.get("earlier") for run in runs.get("ours", []))
        ]
        return ", ".join(names)

    def _targets(self) -> str:
        rows: list[list[object]] = []

        def add(title: str, target: float, found: Spread | None, more: bool = True) -> None:
            met = found and (found.median >= target if more else found.median <= target)
            answer = "" if met is None else "yes" if met else "no"
            rows.append([title, f"{'≥' if more else '≤'} {target:g}", found, answer])

        for size, case in (("3 mm", "static-2000"), ("1 mm", "static-1mm-2000")):
            title = f"Static iteration, {size}, 2000 samples, 32 channels: "
            add(title + "stock / ours", 35, self.ratio(case, "peer", "ours", "iteration_ms"))
            add(title + "ours / MI", 2, self.ratio(case, "ours", "mi", "iteration_ms"), more=False)
        start = "static-1mm-2000"
        add("Static start at 1 mm: stock / ours", 5, self.ratio(start, "peer", "ours", "start"))
        peak = self.ratio(start, "ours", "peer", "peak")
        add("Static peak memory at 1 mm: ours / stock", 0.6, peak, more=False)
        for patch, target in ((5, 8), (11, 5)):
            found = self.ratio(f"jacobian-{patch}-2000", "peer", "ours", "iteration_ms")
            cube = "x".join([str(patch)] * 3)
            add(f"Jacobian iteration, {cube}, 2000 samples: stock / ours", target, found)
        name, file = "jacobian-5-field-1", "a file as the field's"
        found = self.ratio(name, "peer", "ours", "iteration_ms")
        add(f"Jacobian iteration, 5x5x5, layer 1 of {file}: stock / ours", 8, found)
        more = ratio(self.runs(name, "ours"), self.runs("jacobian-5-2000", "ours"), "iteration_ms")
        add("the same: ours / ours with the test file", 1.1, more, more=False)
        found = self.ratio("jacobian-11-field-2", "peer", "ours", "iteration_ms")
        add(f"Jacobian iteration, 11x11x11, layer 2 of {file}: stock / ours", 5, found)
        for size, name in (("3 mm", "static-field-7"), ("1.5 mm", "static-field-7-1.5mm")):
            title = f"Static, {size}, layer 7 of {file}: "
            add(title + "start, stock / ours", 2, self.ratio(name, "peer", "ours", "start"))
            peak = self.ratio(name, "ours", "peer", "peak")
            add(title + "peak memory, ours / stock", 0.5, peak, more=False)
        for mode, target in (("static", 10), ("jacobian", 6)):
            name = f"whole-{mode}"
            title = f"Whole registration, {mode.capitalize()}: "
            add(title + "stock / ours", target, self.ratio(name, "peer", "ours", "total"))
            ours, stock = (self.spread(name, method, "landmarks") for method in ("ours", "peer"))
            more = Spread.of([ours.median - stock.median]) if ours and stock else None
            title += "landmark error, ours - stock, mm"
            add(title, LANDMARK_TOLERANCE, more, more=False)
        return table(["", "target", "reached", "met"], rows)

    def _measured(self) -> list[Case]:
        return [case for case in CASES if case.name in self.results and not case.single_thread]

    def _iterations(self) -> str:
        rows = []
        for case in self._measured():
            if case.whole:
                continue
            cells = [
                self.cell(case.name, method, "iteration_ms")
                for method in ("peer", "ours", "mi", "ncc")
            ]
            faster = self.ratio(case.name, "peer", "ours", "iteration_ms")
            rows.append([case.name, case.samples, case.channels, *cells[:2], faster, *cells[2:]])
        head = ["case", "samples", "channels", "stock, ms", "ours, ms", "stock / ours"]
        return table([*head, "MI, ms", "NCC, ms"], rows)

    def _starts(self) -> str:
        rows = []
        for case in self._measured():
            cells: list[object] = []
            for quantity in ("start", "peak"):
                cells += [self.cell(case.name, method, quantity) for method in ("peer", "ours")]
                cells.append(self.ratio(case.name, "peer", "ours", quantity))
            if not case.whole:
                rows.append([case.name, *cells])
        head = ["case", "stock, s", "ours, s", "stock / ours"]
        return table([*head, "stock, GiB", "ours, GiB", "stock / ours"], rows)

    def _chains(self) -> str:
        rows = []
        for case in self._measured():
            quantity = "start" if case.mode == "Static" and not case.whole else "iteration_ms"
            cells = [self.cell(case.name, method, quantity) for method in ("torch", "ours")]
            if all(cells):
                brings = self.ratio(case.name, "torch", "ours", quantity)
                what = "start, s" if quantity == "start" else "iteration, ms"
                rows.append([case.name, what, *cells, brings])
        return "Networks by torch alone (`IMPACT_CHAINS=off`), and as they are:\n\n" + table(
            ["case", "", "by torch", "ours", "by torch / ours"], rows
        )

    def _whole(self) -> str:
        stages = ["start", "estimation", "iterations", "resampling", "total", "peak", "landmarks"]
        rows = [
            [f"{case.mode}, {name}", *(self.cell(case.name, method, stage) for stage in stages)]
            for case in self._measured()
            if case.whole
            for method, name in (("peer", "stock"), ("ours", "ours"))
        ]
        head = ["", "models and features, s", "step size, s", "iterations, s"]
        return table([*head, "resampling, s", "total, s", "peak, GiB", "landmarks, mm"], rows)

    def _floors(self) -> str:
        rows = []
        for name, quantity in (
            ("static-2000", "iteration_ms"),
            ("static-1mm-2000", "iteration_ms"),
            ("static-1mm-2000", "start"),
            ("jacobian-5-2000", "iteration_ms"),
            ("jacobian-11-2000", "iteration_ms"),
        ):
            work, scale = self._work(self._cases[name], quantity)
            floor = work.seconds(self._machine) * scale
            found = self.spread(name, "ours", quantity)
            title = f"{name}, {'start, s' if quantity == 'start' else 'iteration, ms'}"
            above = f"{found.median / floor:.1f}" if found else None
            amounts = map(digits, (work.flops / 1e9, work.bytes / 1e6, floor))
            rows.append([title, *amounts, found, above])
        return table(["", "GFLOP", "MB", "floor", "ours", "ours / floor"], rows)

    def _work(self, case: Case, quantity: str) -> tuple[Work, float]:
        if quantity == "start":
            return static_start(case, self._voxels[case.name]), 1.0
        return iteration(case), 1e3

    def points(self, sweep: Sweep, method: str) -> dict[int, float]:
        """Milliseconds of an iteration along a sweep, where there are any."""
        found = {
            amount: self.spread(case, method, "iteration_ms")
            for amount, case in sweep.cases.items()
        }
        return {amount: spread.median for amount, spread in found.items() if spread}

    def _growth(self) -> str:
        rows = []
        for sweep in SWEEPS:
            work = growth(sweep)
            for method, name in (("ours", "ours"), ("peer", "stock")):
                points = self.points(sweep, method)
                if len(points) < 2:
                    continue
                least = slope({amount: work[amount] for amount in points})
                rows.append(
                    [f"{sweep.title}, {name}", sweep.along, f"{min(points)} to {max(points)}"]
                    + [f"{number:.2f}" for number in (slope(points), steepest(points), least)]
                )
        head = ["", "along", "from, to", "exponent", "steepest part", "of the least work"]
        return "![Time per iteration](images/growth.svg)\n\n" + table(head, rows)

    def _threads(self) -> str:
        rows = []
        for name in ("static-2000", "jacobian-5-2000"):
            one = self.spread(f"{name}-one-thread", "ours", "iteration_ms")
            runs = self.runs(f"{name}-one-thread", "ours"), self.runs(name, "ours")
            more = self.spread(name, "ours", "iteration_ms")
            rows.append([name, one, more, ratio(*runs, "iteration_ms")])
        return table(["ours", "1 thread, ms", "all threads, ms", "gain"], rows)


def draw_growth(report: Report, path: Path) -> None:
    """Draw time per iteration against samples, channels and patch voxels, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "growth"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 6), layout="constrained", sharey=True)
    for axis, along in zip(axes, ("samples", "channels", "patch voxels"), strict=True):
        for number, sweep in enumerate(sweep for sweep in SWEEPS if sweep.along == along):
            for method, style in (("ours", "o-"), ("peer", "x--")):
                points = report.points(sweep, method)
                label = f"{sweep.title}{', stock' if method == 'peer' else ''}"
                if points:
                    axis.loglog(
                        *zip(*points.items(), strict=True), style, c=f"C{number}", label=label
                    )
        axis.set_xlabel(along)
        axis.grid(visible=True, which="major", alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15))
    axes[0].set_ylabel("ms per iteration")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write_page(text: str, page: Path = PAGE, markers: tuple[str, str] = MARKERS) -> None:
    """Put tables between two markers of the page.

    Raises:
        ValueError: The page lacks a marker.
    """
    before, begin, rest = page.read_text().partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not begin or not end:
        message = f"{page} should hold the lines {markers[0]} and {markers[1]}"
        raise ValueError(message)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
