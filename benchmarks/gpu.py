"""Checks the results of a GPU against those of the CPU, and measures how fast it is.

    benchmarks/gpu.sh            builds and runs this; see there

Value and derivative are compared on small images, for both modes, two and three dimensions and
all transforms that a GPU evaluates itself, and on the lung CT pair. Then the pair is registered, 4
levels of 500 iterations in Static and in Jacobian mode, and cases of `make bench` are timed, each
in a process of its own. The figures go to the screen and into out/gpu/results.json. Where torch
finds no GPU, the operations of one are checked on the CPU, and registrations run there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tests"):
    sys.path.insert(0, str(folder))

from benchmarks import bench_runs  # noqa: E402
from benchmarks.bench_cases import (  # noqa: E402
    CASES,
    M730,
    RANDOM_NETWORKS,
    parameter_map,
    with_values,
)
from benchmarks.bench_report import table  # noqa: E402
from benchmarks.landmarks import Landmarks  # noqa: E402

from impact_plugin import datasets  # noqa: E402

OUT = ROOT / "out" / "gpu"
VALUE_ERROR = 1e-4
GRADIENT_ERROR = 1e-3
GOALS = {"Static": 10.0, "Jacobian": 30.0}  # seconds after start-up
TEST_MAPS = {"Jacobian": "001", "Static": "002"}
TIMED = (
    *("static-2000", "static-20000", "static-1mm-2000", "static-two-models", "static-encoder"),
    *("static-channels-256", "jacobian-5-2000", "jacobian-5-20000", "jacobian-11-2000"),
    *("jacobian-11-20000", "jacobian-two-models", "jacobian-encoder"),
)


def device() -> tuple[int, str]:
    """The index of the GPU to use, -1 without one, and its name."""
    import torch

    if not torch.cuda.is_available():
        return -1, f"no GPU (torch {torch.__version__})"
    properties = torch.cuda.get_device_properties(0)
    return 0, f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {torch.__version__}"


@dataclass(frozen=True)
class Check:
    """A metric whose results are compared."""

    name: str
    images: tuple[Any, Any]
    parameters: dict[str, list[str]]
    transform: str
    options: dict[str, Any]


def checks(data: datasets.LungPair) -> Iterator[Check]:
    """Small images with all that is known, and the lung pair."""
    from helpers.evaluators import TRANSFORMS, SmoothModels, images, parameters, transform_options
    from impact_plugin import _core

    models = SmoothModels(OUT)
    for mode in ("Static", "Jacobian"):
        for dimension in (2, 3):
            for transform in TRANSFORMS:
                name, options = transform_options(transform, dimension)
                yield Check(
                    f"small {mode} {dimension}D {transform}",
                    images(dimension),
                    parameters([models(dimension)], [dimension], dimension, mode, "L2", "11"),
                    name,
                    {**options, "sample_spacing": 2},
                )
    pair = []
    for path in (data.fixed, data.moving):
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
        pixels = sitk.GetArrayFromImage(image)
        pair.append(_core.Image(pixels, image.GetSpacing(), image.GetOrigin(), np.eye(3)))
    for mode in ("Static", "Jacobian"):
        yield Check(
            f"lung pair {mode} BSpline",
            (pair[0], pair[1]),
            parameters([str(data.model)], [3], 3, mode, "L2", "1")
            | {"VoxelSize": ["3*3*3"], "PatchSize": ["0" if mode == "Static" else "5*5*5"]},
            "BSpline",
            {"control_point_spacing": 20.0, "sample_spacing": 12, "threads": 2},
        )


def compare(data: datasets.LungPair, gpu: int) -> list[dict[str, Any]]:
    """Compare the GPU, or its operations on the CPU, with the kernels of the CPU."""
    import impact_testing

    found = []
    for check in checks(data):
        results: list[tuple[float, Any, int]] = []
        for index in (-1, gpu):
            second = len(results) == 1
            evaluator = impact_testing.MetricEvaluator(
                *check.images,
                check.parameters | {"GPU": [str(index)]},
                check.transform,
                as_on_gpu=second,
                **check.options,
            )
            if evaluator.evaluates_on_device != second:
                message = f"{check.name}: evaluations do not stay on the device"
                raise RuntimeError(message)
            identity = np.array(evaluator.identity_parameters)
            steps = np.random.default_rng(3).uniform(-1, 1, identity.size)
            scale = np.where(identity == 0, 1.0, 0.01) if check.transform == "Affine" else 1.0
            scale = 0.02 if check.transform == "Euler" else scale
            value, derivative = evaluator.value_and_derivative(list(identity + steps * scale))
            results.append((value, derivative, evaluator.number_of_valid_samples))
        (value, derivative, count), (other, other_derivative, other_count) = results
        largest = float(np.abs(derivative).max())
        found.append(
            {
                "check": check.name,
                "samples": f"{count}" if count == other_count else f"{count} and {other_count}",
                "value": abs(other - value) / abs(value),
                "gradient": float(np.abs(other_derivative - derivative).max()) / largest,
            }
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def lung_map(data: datasets.LungPair, mode: str, iterations: int, gpu: int) -> str:
    """The parameter file that the goals are for: elastix's test map with 4 levels."""
    file = data.fixed.parent / f"parameters.3D.IMPACT.bspline.ASGD.{TEST_MAPS[mode]}.txt"
    text = file.read_text()
    text = re.sub(r"(?m)^\(Impact\w+1 .*\n", "", text)
    return with_values(
        text,
        NumberOfResolutions="4",
        ImagePyramidRescaleSchedule=" ".join(["1"] * 12),
        ImagePyramidSmoothingSchedule=" ".join(["1"] * 12),
        ImagePyramidSchedule="8 8 8 4 4 4 2 2 2 1 1 1",
        GridSpacingSchedule="8 4 2 1",
        MaximumNumberOfIterations=str(iterations),
        NumberOfSpatialSamples="2000",
        ImpactModelsPath0=f'"{data.model}"',
        ImpactVoxelSize2="1 1 1",
        ImpactVoxelSize3="1 1 1",
        ImpactGPU=str(gpu),
        WriteResultImage='"true"',
        ResultImageFormat='"mha"',
        WriteTransformParametersEachResolution='"false"',
    )


def register(data: datasets.LungPair, name: str, text: str, threads: int) -> dict[str, Any]:
    """Register the lung pair in a process of its own, and give what its log says of the time."""
    folder = OUT / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parameters.txt").write_text(text)
    command = [sys.executable, "-m", "impact_plugin.command_line", "elastix"]
    command += ["-f", str(data.fixed), "-m", str(data.moving), "-t0", str(data.initial_transform)]
    command += ["-p", str(folder / "parameters.txt"), "-out", str(folder)]
    start = time.perf_counter()
    ended = subprocess.run(
        [*command, "-threads", str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    (folder / "run.log").write_text(ended.stdout)
    if ended.returncode != 0:
        return {"failed": f"exit code {ended.returncode}: {bench_runs.reason(ended.stdout)}"}
    tables = sorted(folder.glob("IterationInfo.0.R*.txt"))
    levels = [bench_runs.iteration_times(path.read_text()) for path in tables]
    record = bench_runs.measurements(ended.stdout, levels, seconds)
    record["levels_ms"] = [sorted(times[1:])[len(times[1:]) // 2] for times in levels]
    record["where"] = re.findall(r"resolution level \d+ took: (.*)", ended.stdout)
    record["device"] = re.findall(r"On GPU \d+: .*", ended.stdout)
    record["warnings"] = re.findall(r"The memory of GPU .*", ended.stdout)
    return record


def landmark_error(data: datasets.LungPair, name: str) -> float:
    """The mean error of the landmarks inside the fixed image, mm."""
    transform = OUT / "runs" / name / "TransformParameters.0.txt"
    return Landmarks(data).errors(transform).mean


def registrations(
    data: datasets.LungPair, iterations: int, gpu: int, threads: int
) -> dict[str, Any]:
    """The whole registrations, as a table."""
    records: dict[str, Any] = {}
    rows = []
    for mode, goal in GOALS.items():
        name = f"lung-{mode.lower()}"
        record = register(data, name, lung_map(data, mode, iterations, gpu), threads)
        records[name] = record
        if "failed" in record:
            rows.append([mode, record["failed"], *[""] * 7])
            continue
        record["landmarks"] = landmark_error(data, name)
        per_level = ", ".join(f"{ms:.1f}" for ms in record["levels_ms"])
        after_start = record["estimation"] + record["iterations"] + record["resampling"]
        rows.append(
            [
                mode,
                f"{record['start']:.1f}",
                f"{record['estimation']:.1f}",
                f"{record['iterations']:.1f}",
                f"{record['resampling']:.1f}",
                f"{after_start:.1f}",
                f"{goal:.0f}",
                per_level,
                f"{record['landmarks']:.2f}",
            ]
        )
        print(*record["device"][:1], *record["warnings"], *record["where"], sep="\n", flush=True)
    head = ["mode", "start (s)", "step size (s)", "iterations (s)", "writing (s)"]
    head += ["after start (s)", "goal (s)", "ms per iteration, by level", "landmarks (mm)"]
    print(f"\nLung pair, 4 levels of {iterations} iterations, 2000 samples:\n")
    print(table(head, rows), flush=True)
    return records


def timings(data: datasets.LungPair, gpu: int, threads: int, quick: bool) -> dict[str, Any]:
    """Cases of `make bench`, as a table of absolute times."""
    command = [sys.executable, str(ROOT / "benchmarks/bench_torch.py"), str(OUT), str(threads)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    models = {
        network.name: OUT / f"{network.file or network.name}.pt" for network in RANDOM_NETWORKS
    }
    models[M730.name] = data.model
    records: dict[str, Any] = {}
    rows = []
    for case in CASES:
        if case.name not in TIMED or (quick and not case.quick):
            continue
        file = data.fixed.parent / f"parameters.3D.IMPACT.bspline.ASGD.{TEST_MAPS[case.mode]}.txt"
        text = parameter_map(case, "ours", file.read_text(), models)
        iterations = {"MaximumNumberOfIterations": "4" if quick else "100"}
        text = with_values(text, ImpactGPU=str(gpu), **iterations)
        record = register(data, case.name, text, threads)
        records[case.name] = record
        rows.append(
            [case.name, record["failed"], ""]
            if "failed" in record
            else [case.name, f"{record['iteration_ms']:.2f}", f"{record['start']:.2f}"]
        )
        print(case.name, *rows[-1][1:], flush=True)
    print("\nCases of make bench:\n")
    print(table(["case", "ms per iteration", "start (s)"], rows), flush=True)
    return records


def main() -> int:
    """Check, measure, print the tables; 1 where a result differs or a run fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="elastix's Testing folder")
    parser.add_argument("--iterations", type=int, default=500, help="of each level (default 500)")
    parser.add_argument("--threads", type=int, default=4, help="of elastix (default 4)")
    parser.add_argument("--quick", action="store_true", help="few cases, few iterations of each")
    parser.add_argument("--only-check", action="store_true", help="compare, and measure nothing")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    data = datasets.lung_pair(options.data)
    gpu, name = device()
    print(f"device: {name}")
    if gpu < 0:
        print("The operations of a GPU are checked on the CPU; registrations run on the CPU.")
    compared = compare(data, gpu)
    wrong = [c for c in compared if c["value"] > VALUE_ERROR or c["gradient"] > GRADIENT_ERROR]
    wrong += [c for c in compared if "and" in c["samples"]]
    head = ["check", "samples", "value", "gradient"]
    rows = [
        [c["check"], c["samples"], f"{c['value']:.1e}", f"{c['gradient']:.1e}"] for c in compared
    ]
    print(f"\nRelative differences (allowed: {VALUE_ERROR:g} and {GRADIENT_ERROR:g}):\n")
    print(table(head, rows))
    results: dict[str, Any] = {"device": name, "differences": compared}
    if not options.only_check:
        results["registrations"] = registrations(data, options.iterations, gpu, options.threads)
        results["cases"] = timings(data, gpu, options.threads, options.quick)
    (OUT / "results.json").write_text(json.dumps(results, indent=1))
    print(f"wrote {(OUT / 'results.json').relative_to(ROOT)}")
    if gpu < 0:
        print("Left out, for want of a GPU: its own results, its memory, and all of its times.")
    if wrong:
        print(f"{len(wrong)} of {len(compared)} results differ by more than is allowed.")
    records = [*results.get("registrations", {}).values(), *results.get("cases", {}).values()]
    return 1 if wrong or any("failed" in record for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
