"""Checks the results of a GPU against those of the CPU, and measures how fast it is.

    benchmarks/gpu.sh            builds and runs this; see there

Value and derivative are compared on small images, for both modes, two and three dimensions and
all transforms that a GPU evaluates itself, and on the lung CT pair, with the memory that each takes
there. Then the pair is registered, 4 levels of 500 iterations in Static and in Jacobian mode; pairs
of docs/evidence.md by our default, on the GPU and on the CPU; and cases of `make bench` are timed:
each in a process of its own. The figures go to the screen, into out/gpu/results.json and, as a
page, into out/gpu/results.md. Where torch finds no GPU, the operations of one are checked on the
CPU, and registrations run there.

With --pretended the pretended device of the tests is in the GPU's place, and there are only a few
iterations of each: it shows that all of this runs, and nothing of speed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from benchmarks.bench_report import machine_facts, table  # noqa: E402
from benchmarks.landmarks import Landmarks  # noqa: E402

from impact_plugin import _devices, datasets  # noqa: E402

OUT = ROOT / "out" / "gpu"
DATA = (
    Path(os.environ.get("IMPACT_GPU_KIT", ROOT / "out" / "gpu-kit")) / "data",
    ROOT / "../shared/data",
)
EVIDENCE = ("mr/p07T1-p07T2-both40", "mr/p07T1-p07FLAIR-both40")
VALUE_ERROR = 1e-4
GRADIENT_ERROR = 1e-3
PRETENDED_MEMORY = 8 << 30  # the lung pair's features at 1 mm take more than 4 GiB
GOALS = {"Static": 10.0, "Jacobian": 30.0}  # seconds after start-up
TEST_MAPS = {"Jacobian": "001", "Static": "002"}
TIMED = (
    *("static-2000", "static-20000", "static-1mm-2000", "static-two-models", "static-encoder"),
    *("static-channels-256", "jacobian-5-2000", "jacobian-5-20000", "jacobian-11-2000"),
    *("jacobian-11-20000", "jacobian-two-models", "jacobian-encoder"),
)


class Page:
    """What goes to the screen and, as a page, into a file.

    Args:
        device: What was measured.
    """

    def __init__(self, device: str) -> None:
        facts = machine_facts(0).replace(" 0 threads;", "")
        self._parts = ["# What benchmarks/gpu.sh measured", f"Device: {device}. {facts}."]
        print(f"device: {device}")

    def say(self, text: str) -> None:
        """Add a line of text."""
        self._parts.append(text)
        print(text, flush=True)

    def table(self, title: str, head: list[str], rows: list[list[Any]]) -> None:
        """Add a table under a heading of its own."""
        self._parts += [f"## {title}", table(head, rows)]
        print(f"\n{title}\n\n{table(head, rows)}\n", flush=True)

    def write(self, path: Path) -> None:
        """Write the page."""
        path.write_text("\n\n".join(self._parts) + "\n")


def pretend() -> None:
    """Give this process, and those that it starts, the pretended device."""
    from helpers import pretended

    os.environ["IMPACT_PRETENDED_BYTES"] = str(PRETENDED_MEMORY)
    pretended.open_here()
    os.environ.update(pretended.variables())


def device() -> tuple[int, str]:
    """The index of the GPU to use, -1 without one, and its name."""
    import torch

    from helpers import pretended

    if pretended.is_open():
        return 0, f"NO GPU: the pretended device of the tests (torch {torch.__version__})"
    if _devices.number_of_gpus() == 0:
        return -1, f"no GPU (torch {torch.__version__})"
    _, memory = torch.accelerator.get_memory_info(0)
    return 0, f"{_devices.model_of(0)}, {memory / 2**30:.0f} GiB, torch {torch.__version__}"


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
    import torch

    import impact_testing

    found = []
    for check in checks(data):
        results: list[tuple[float, Any, int]] = []
        for index in (-1, gpu):
            second = len(results) == 1
            if index >= 0:
                torch.accelerator.reset_peak_memory_stats(index)
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
                "memory": torch.accelerator.max_memory_allocated(gpu) if gpu >= 0 else None,
            }
        )
        print(json.dumps(found[-1]), flush=True)
    return found


def lung_map(data: datasets.LungPair, mode: str, iterations: int, gpu: int, short: bool) -> str:
    """The parameter file that the goals are for: elastix's test map with 4 levels.

    Short: the step size is estimated from fewer samples.
    """
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
        **({"NumberOfSamplesForExactGradient": "4000"} if short else {}),
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
    data: datasets.LungPair, iterations: int, gpu: int, threads: int, short: bool, page: Page
) -> dict[str, Any]:
    """The whole registrations, as a table."""
    records: dict[str, Any] = {}
    rows = []
    for mode, goal in GOALS.items():
        name = f"lung-{mode.lower()}"
        record = register(data, name, lung_map(data, mode, iterations, gpu, short), threads)
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
    page.table(f"Lung pair, 4 levels of {iterations} iterations, 2000 samples", head, rows)
    return records


def evidence(gpu: int, threads: int, quick: bool, short: bool, page: Page) -> dict[str, Any]:
    """Register pairs of docs/evidence.md by our default, on the CPU and on the GPU.

    Quickly: one of them. Short: four iterations of each level.
    """
    from benchmarks.evidence import running, scenes
    from benchmarks.evidence.methods import DEFAULT
    from benchmarks.evidence.pairs import Pair

    folder = next((path for path in DATA if path.is_dir()), None)
    if folder is None:
        page.say("Pairs of docs/evidence.md are left out: their images are not there.")
        return {}
    records: dict[str, Any] = {}
    rows = []
    for name in EVIDENCE[: 1 if quick else None]:
        scene = scenes.make(Pair.named(name), 1, scenes.Data.of(folder))
        images = OUT / "runs" / name.replace("/", "-")
        running.written(scene, images)
        row = [name, f"{running.before(scene)['mean']:.2f}"]
        for where in ("cpu", "cuda:0")[: 1 if gpu < 0 else 2]:
            job = {**DEFAULT.job, "device": where, "iterations": 4 if short else None}
            method = replace(DEFAULT, name=where.replace(":", ""), job=job)
            record = running.run(method, scene, images, Path(sys.executable), None, 1, threads)
            records[f"{name} {where}"] = record
            print(name, where, record, flush=True)
            if "failed" in record:
                row += [record["failed"], ""]
            else:
                row += [f"{record['mean']:.2f}", f"{record['wall']:.1f}"]
        rows.append(row)
    head = ["pair", "before (mm)", "CPU (mm)", "CPU (s)", "GPU (mm)", "GPU (s)"]
    title = "Pairs of docs/evidence.md, by our default"
    title += ", four iterations of each level: mean error" if short else ": mean error"
    page.table(title, head[: 4 if gpu < 0 else 6], rows)
    return records


def timings(
    data: datasets.LungPair, gpu: int, threads: int, quick: bool, short: bool, page: Page
) -> dict[str, Any]:
    """Cases of `make bench`, as a table of absolute times.

    On the pretended device with few samples: thousands take it minutes.
    """
    from helpers import pretended

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
        values = {"MaximumNumberOfIterations": "4" if short else "100"}
        if pretended.is_open():
            values["NumberOfSpatialSamples"] = "100"
        text = with_values(text, ImpactGPU=str(gpu), **values)
        record = register(data, case.name, text, threads)
        records[case.name] = record
        rows.append(
            [case.name, record["failed"], ""]
            if "failed" in record
            else [case.name, f"{record['iteration_ms']:.2f}", f"{record['start']:.2f}"]
        )
        print(case.name, *rows[-1][1:], flush=True)
    page.table("Cases of make bench", ["case", "ms per iteration", "start (s)"], rows)
    return records


def main() -> int:
    """Check, measure, print the tables; 1 where a result differs or a run fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="elastix's Testing folder")
    parser.add_argument(
        "--iterations", type=int, help="of each level (default 500; --pretended: 2)"
    )
    parser.add_argument("--threads", type=int, default=4, help="of elastix (default 4)")
    parser.add_argument("--quick", action="store_true", help="few cases, few iterations of each")
    parser.add_argument("--only-check", action="store_true", help="compare, and measure nothing")
    parser.add_argument(
        "--pretended",
        action="store_true",
        help="on the pretended device of the tests, not on a GPU; few iterations",
    )
    options = parser.parse_args()
    short = options.quick or options.pretended
    OUT.mkdir(parents=True, exist_ok=True)
    data = datasets.lung_pair(options.data)
    if options.pretended:
        pretend()
    gpu, name = device()
    page = Page(name)
    if options.pretended:
        page.say(
            "**No GPU was there.** This shows that everything runs: no time here means anything."
        )
    if gpu < 0:
        page.say("The operations of a GPU are checked on the CPU; registrations run on the CPU.")
    compared = compare(data, gpu)
    wrong = [c for c in compared if c["value"] > VALUE_ERROR or c["gradient"] > GRADIENT_ERROR]
    wrong += [c for c in compared if "and" in c["samples"]]
    head = ["check", "samples", "value", "gradient", "memory (MiB)"]
    rows = [
        [
            *(c["check"], c["samples"], f"{c['value']:.1e}", f"{c['gradient']:.1e}"),
            None if c["memory"] is None else f"{c['memory'] / 2**20:.1f}",
        ]
        for c in compared
    ]
    allowed = f"allowed: {VALUE_ERROR:g} and {GRADIENT_ERROR:g}"
    page.table(f"Relative differences to the CPU ({allowed})", head, rows)
    results: dict[str, Any] = {"device": name, "differences": compared}
    threads = options.threads
    if not options.only_check:
        results["registrations"] = registrations(
            data,
            options.iterations or (2 if options.pretended else 500),
            gpu,
            threads,
            short,
            page,
        )
        results["evidence"] = evidence(gpu, threads, options.quick, short, page)
        results["cases"] = timings(data, gpu, threads, options.quick, short, page)
    if gpu < 0:
        page.say("Left out, for want of a GPU: its own results, its memory, and all of its times.")
    if wrong:
        page.say(f"{len(wrong)} of {len(compared)} results differ by more than is allowed.")
    (OUT / "results.json").write_text(json.dumps(results, indent=1))
    page.write(OUT / "results.md")
    print(f"wrote {OUT.relative_to(ROOT)}/results.json and results.md")
    kinds = ("registrations", "evidence", "cases")
    records = [record for kind in kinds for record in results.get(kind, {}).values()]
    return 1 if wrong or any("failed" in record for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
