"""What `make bench` reads out of elastix's output, and its arithmetic; no registration is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks import bench_arithmetic, bench_cases, bench_report, bench_runs, whole_runs

ROOT = Path(__file__).resolve().parents[1]

TABLE = """1:ItNr\t2:Metric\t3a:Time\t3b:StepSize\t4:||Gradient||\tTime[ms]
0\t0.1\t0\t1\t0.1\t5600.0
1\t0.1\t1\t1\t0.1\t100.0
2\t0.1\t2\t1\t0.1\t140.0
3\t0.1\t3\t1\t0.1\t120.0
"""
LOG = f"""Lazy-loaded IMPACT plugin 'ImpactMetric'.
Initialization of all components (before registration) took: 500 ms.
Resolution: 0
Elastix initialization of all components (for this resolution) took: 30 ms.
Initialization of Impact metric took: 2000 ms.
Automatic parameter estimation took 3.25s
{TABLE}
Time spent on saving the results, applying the final transform etc. : 400 ms.
"""


def test_iteration_times() -> None:
    assert bench_runs.iteration_times(TABLE) == [5600, 100, 140, 120]


def test_a_table_without_times_is_refused() -> None:
    with pytest.raises(ValueError, match=r"last column is Time\[ms\]"):
        bench_runs.iteration_times("1:ItNr\t2:Metric\n0\t0.1\n")


@pytest.mark.parametrize("end", ["ms.", "ms with "], ids=["ours", "peer"])
def test_measurements_leave_preparations_out_of_the_iterations(end: str) -> None:
    log = LOG.replace("took: 2000 ms.", f"took: 2000 {end}")
    found = bench_runs.measurements(log, [bench_runs.iteration_times(TABLE)], 9.5)
    assert found == pytest.approx(
        {
            "iteration_ms": 120,
            "start": 0.5 + 0.03 + 5.6 - 3.25 - 0.12,  # what of the first iteration was neither
            "estimation": 3.25,
            "iterations": 0.48,
            "resampling": 0.4,
            "total": 9.5,
        }
    )


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("a\nterminate called: std::bad_alloc\n", "terminate called: std::bad_alloc"),
        ("Error: \nWhat message: no such file\n", "no such file"),
        ("first\nsecond\n", "first"),
        ("", "no output"),
    ],
)
def test_reason_of_a_failure(log: str, reason: str) -> None:
    assert bench_runs.reason(log) == reason


def test_a_run_that_is_killed_says_so(tmp_path: Path) -> None:
    kill = "import os; os.kill(os.getpid(), 9)"
    ended = bench_runs.run([sys.executable, "-c", kill], {}, tmp_path / "log")
    assert ended.failure == "killed by SIGKILL"


def test_peak_memory_is_that_of_the_process(tmp_path: Path) -> None:
    """Measured by a small process, as the bench is: a large one hands its own peak on to others."""
    held = 300 * 2**20
    program = f"""
import sys
from pathlib import Path
from benchmarks import bench_runs
command = [sys.executable, "-c", "x = b'x' * {held}"]
ended = bench_runs.run(command, {{}}, Path(sys.argv[1]))
assert not ended.failure, ended.failure
print(int(ended.peak))
"""
    output = subprocess.check_output(
        [sys.executable, "-c", program, tmp_path / "log"],
        cwd=ROOT,
        text=True,
    )
    assert held < int(output) < held + 100 * 2**20


def test_ratios_are_taken_run_by_run() -> None:
    peer: list[bench_runs.Record] = [{"total": 10.0}, {"total": 30.0}, {"failed": "killed"}]
    ours: list[bench_runs.Record] = [{"total": 2.0}, {"total": 3.0}, {"total": 4.0}]
    assert bench_arithmetic.ratio(peer, ours, "total") == bench_arithmetic.Spread(7.5, 5, 10)
    assert str(bench_arithmetic.ratio(peer, ours, "total")) == "7.5 (5..10)"
    assert bench_arithmetic.ratio(peer[2:], ours[2:], "total") is None


def test_exponents_of_growth() -> None:
    points = {10: 5.0, 100: 50.0, 1000: 5000.0}
    assert bench_arithmetic.slope({n: 3.0 * n**2 for n in (1, 2, 8)}) == pytest.approx(2)
    assert bench_arithmetic.slope(points) == pytest.approx(1.5)
    assert bench_arithmetic.steepest(points) == pytest.approx(2)


def test_a_patch_has_fewer_products_than_its_voxels_of_a_whole_image() -> None:
    network = bench_cases.plain(1)
    assert network.flops() == 2 * 27 * 2
    assert network.patch_flops(1) == 2 * 2  # every other tap lies outside
    assert network.patch_flops(5) == 2 * 2 * 13**3
    strided = bench_cases.Network("strided", ((1, 1, 2),), (0,))
    assert strided.patch_flops(4) == 2 * 5**3
    assert strided.patch_flops(5) == 2 * 7**3


def test_every_case_of_a_sweep_is_there() -> None:
    names = [case.name for case in bench_cases.CASES]
    assert len(names) == len(set(names))
    assert {name for sweep in bench_cases.SWEEPS for name in sweep.cases.values()} <= set(names)


@pytest.mark.parametrize("case", bench_cases.CASES, ids=lambda case: case.name)
def test_parameter_maps(case: bench_cases.Case) -> None:
    test_map = '(Metric "Impact")\n(ImpactVoxelSize1 1 1 1)\n(ImpactModelsPath1 "x.pt")\n'
    models = {network.name: Path(f"/{network.name}.pt") for network in bench_cases.RANDOM_NETWORKS}
    models[bench_cases.M730.name] = Path("/M730_1_Layers.pt")
    for method in case.methods:
        text = bench_cases.parameter_map(case, method, test_map, models)
        names = re.findall(r"(?m)^\((\w+) ", text)
        assert len(names) == len(set(names))
        assert f'(Metric "{bench_cases.METRICS[method]}")' in text
        if not case.whole and method in bench_cases.BOTH:
            layers = sum(len(network.outputs) for network in case.networks)
            assert re.search(rf"\(ImpactDistance0( \"L2\"){{{layers}}}\)", text)


def test_tables_go_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    first, last = bench_report.MARKERS
    page.write_text(f"before\n{first}\nold\n{last}\nafter\n")
    bench_report.write_page("new", page)
    bench_report.write_page("newer", page)
    assert page.read_text() == f"before\n{first}\n\nnewer\n\n{last}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="should hold the lines"):
        bench_report.write_page("new", page)


def test_phases_of_a_whole_run() -> None:
    """By what tables show; all the time is somewhere, and what is unknown is not passed over."""
    said = "   0.21 s  start of the program\n   1.50 s  iterations, level 1 (500)\n"
    said += "   0.50 s  iterations, level 2 (500)\n   0.30 s  start of elastix\n   2.51 s  all\n"
    found = whole_runs.phases(f"elastix's log\n{said}<RegistrationResult of mind>")
    assert found == dict.fromkeys(whole_runs.PHASES, 0.0) | {"start": 0.51, "iterations": 2.0}
    with pytest.raises(ValueError, match="no phases in 'Killed'"):
        whole_runs.phases("Killed")
    with pytest.raises(ValueError, match="'magic' is none of the phases that are known"):
        whole_runs.phases(said.replace("start of elastix", "magic"))


def test_images_of_whole_runs_lie_where_they_lay() -> None:
    """Finer voxels over the same region, along oblique axes, values as between the old voxels."""
    image = sitk.Image((5, 7, 4), sitk.sitkFloat32)
    image.SetSpacing((1.5, 1.0, 3.0))
    image.SetOrigin((-4.0, 9.0, 2.5))
    image.SetDirection((0.0, -1.0, 0.0, 0.6, 0.0, -0.8, 0.8, 0.0, 0.6))
    ramp = [2.0, -1.0, 0.5]
    for index in np.ndindex(image.GetSize()):
        place = image.TransformIndexToPhysicalPoint(index)
        image[index] = float(np.dot(ramp, place))
    finer = whole_runs.resampled(image, (20, 21, 8))
    assert finer.GetSize() == (20, 21, 8)
    for corner in ((-0.5, -0.5, -0.5), (4.5, 6.5, 3.5)):
        place = image.TransformContinuousIndexToPhysicalPoint(corner)
        ends = [(c + 0.5) / n for c, n in zip(corner, image.GetSize(), strict=True)]
        index = [end * n - 0.5 for end, n in zip(ends, finer.GetSize(), strict=True)]
        assert finer.TransformContinuousIndexToPhysicalPoint(index) == pytest.approx(place)
    inside = (9, 10, 4)
    expected = np.dot(ramp, finer.TransformIndexToPhysicalPoint(inside))
    assert finer[inside] == pytest.approx(expected, abs=1e-4)


def test_tables_of_whole_runs() -> None:
    """Medians, ratios to the default, and what failed, by name."""
    run: dict[str, Any] = {"wall": 10.0, "peak": 2.0**30, "mean": 1.25}
    phases = dict.fromkeys(whole_runs.PHASES, 0.5)
    results = {
        "lung": {
            "impact": [run | {"phases": phases}, run | {"wall": 12.0, "phases": phases}] * 2,
            "greedy-ncc": [run | {"wall": 24.0}],
            "ants-syn": [run | {"failed": "stopped after 900 s"}],
        }
    }
    text = "\n".join(whole_runs.pages(results, "some machine"))
    assert "| lung | greedy-ncc | 1 | 24 | 0.46 | 1.00 | 1.25 |" in text
    assert "| lung | ants-syn |  | stopped after 900 s |" in text
    assert re.search(r"\| lung \| impact \| 0\.50 \| 0\.50 \|", text)


def test_bench_of_no_method() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "whole_runs.py"), "--methods", "magic"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no method 'magic': one of impact, impact-cold, impact-warm, greedy-ncc" in done.stderr
