"""Times whole registrations, from the shell to the written result, beside other programs.

    make bench                                    # after the metric's own figures
    python benchmarks/whole_runs.py --only head   # one of the pairs; what others gave stays
    python benchmarks/whole_runs.py --methods impact,greedy-ncc --repeats 5

Pairs: the lung pair of elastix's test data; a head in T1 and T2 at 256 x 256 x 256; the lung pair
at 512 x 512 x 300; two stains of a tissue at 2000 x 2000. They are made of those of `make
evidence`, which are less finely resolved: times, not errors, are what they are for. Methods take
turns, each in a fresh process. Ours says itself what its time went into (`impact-plugin register
-v`): the default with an empty feature cache, with a full one, and without; greedy and ANTs begin
with greedy's affine, whose time counts. The tables go to docs/performance.md with `--write-docs`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "cmake"):
    sys.path.insert(0, str(folder))

from benchmarks import bench_report, bench_runs  # noqa: E402
from benchmarks.bench_arithmetic import Spread  # noqa: E402
from benchmarks.evidence import methods, rivals, running, scenes  # noqa: E402
from benchmarks.evidence.pairs import Pair  # noqa: E402
from benchmarks.evidence.running import Record  # noqa: E402
from benchmarks.evidence.scenes import Data, Scene  # noqa: E402
from benchmarks.evidence.workers import registered  # noqa: E402

import impact_plugin  # noqa: E402
from impact_plugin.parameters import map_files  # noqa: E402

OUT = ROOT / "out" / "whole"
MARKERS = (
    "<!-- made by benchmarks/whole_runs.py: do not edit -->",
    "<!-- end of what whole_runs.py made -->",
)
START = "greedy-affine"


@dataclass(frozen=True)
class Case:
    """A pair of images.

    Args:
        name: As in tables.
        pair: Of `make evidence`.
        size: Voxels of both images, x, y (, z); none: as they are.
    """

    name: str
    pair: str
    size: tuple[int, ...] = ()

    def scene(self, data: Data) -> Scene:
        """Make the images, and what is known of the truth."""
        scene = scenes.make(Pair.named(self.pair), 1, data)
        if not self.size:
            return scene
        return replace(
            scene,
            fixed=resampled(scene.fixed, self.size),
            moving=resampled(scene.moving, self.size),
            mask=resampled(scene.mask, self.size, sitk.sitkNearestNeighbor),
        )


CASES = (
    Case("lung", "lung/baseline-followup-none"),
    Case("head-256", "mr/p07T1-p07T2-both40", (256, 256, 256)),
    Case("tissue-2000", "histology/HE-proSPC-none", (2000, 2000)),
    Case("lung-512", "lung/baseline-followup-none", (512, 512, 300)),
)

# What of the default's own time is shown: phases by the beginnings of their names.
PHASES = {
    "start": ("start of the program", "start of elastix"),
    "checks, record": ("checks", "record"),
    "reading": ("reading the images", "images for elastix"),
    "first transform": ("initial transform",),
    "pyramids": ("image pyramids",),
    "models, features": ("trying the models", "features"),
    "step size": ("step size estimation",),
    "iterations": ("iterations",),
    "warping": ("warped image",),
    "writing": ("writing the results", "resampling and writing"),
    "rest": ("the rest of elastix", "labels and the rest"),
}
OURS = {"impact": "", "impact-cold": "cold", "impact-warm": "warm"}
"""The default: without a feature cache, with one that is empty, with one that is full."""
ELASTIX = "elastix-mi"
"""elastix's own affine and B-spline maps, mutual information on one thread, as they are stable."""
RIVALS = ("greedy-ncc", ELASTIX, "ants-syn")


def resampled(image: sitk.Image, size: Sequence[int], how: int = sitk.sitkLinear) -> sitk.Image:
    """Give an image other voxels, over the same region."""
    ratios = [old / new for old, new in zip(image.GetSize(), size, strict=True)]
    grid = sitk.Image(list(size), image.GetPixelID())
    grid.SetSpacing([s * ratio for s, ratio in zip(image.GetSpacing(), ratios, strict=True)])
    grid.SetDirection(image.GetDirection())
    first = [0.5 * (ratio - 1) for ratio in ratios]
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first))
    nothing = sitk.Transform(image.GetDimension(), sitk.sitkIdentity)
    # At the border half a voxel lies outside; its nearest value stands there.
    extended = sitk.ZeroFluxNeumannPad(image, [1] * len(size), [1] * len(size))
    return sitk.Resample(extended, grid, nothing, how)


def phases(output: str) -> dict[str, float]:
    """Read what `impact-plugin register -v` said of its time, by what tables show.

    Raises:
        ValueError: It said nothing, or has a phase that is not known here.
    """
    said = re.findall(r"^ +(\d+\.\d\d) s  (.+)$", output, re.MULTILINE)
    if not said or said[-1][1] != "all":
        message = f"no phases in {output[-300:]!r}"
        raise ValueError(message)
    found = dict.fromkeys(PHASES, 0.0)
    for seconds, name in said[:-1]:
        shown = [p for p, names in PHASES.items() if name.startswith(names)]
        if not shown:
            message = f"{name!r} is none of the phases that are known"
            raise ValueError(message)
        found[shown[0]] += float(seconds)
    return found


def ours(name: str, scene: Scene, images: Path, threads: int, cache: Path) -> Record:
    """Run our default from the shell, on images that are written."""
    out = images / "ours"
    shutil.rmtree(out, ignore_errors=True)
    if OURS[name] == "cold":
        shutil.rmtree(cache, ignore_errors=True)
    elif OURS[name] and not cache.is_dir():
        ours("impact-cold", scene, images, threads, cache)
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    environment.pop("IMPACT_FEATURE_CACHE", None)
    if OURS[name]:
        environment["IMPACT_FEATURE_CACHE"] = str(cache)
    command = [str(Path(sys.executable).with_name("impact-plugin")), "register", "-v"]
    command += [str(images / "fixed.mha"), str(images / "moving.mha"), "-o", str(out)]
    log = images / "output.txt"
    ended = bench_runs.run([*command, "--threads", str(threads)], environment, log)
    record: Record = {"wall": ended.seconds, "peak": ended.peak}
    if ended.failure:
        return record | {"failed": ended.failure}
    record["phases"] = phases(log.read_text(errors="replace"))
    return record | of_result(out, scene)


def by_elastix(scene: Scene, images: Path, threads: int) -> Record:
    """Run elastix from the shell with its own maps."""
    out = images / "elastix"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [str(Path(sys.executable).with_name("impact-elastix"))]
    command += ["-f", str(images / "fixed.mha"), "-m", str(images / "moving.mha")]
    command += ["-out", str(out), "-threads", str(threads)]
    for number, values in enumerate(registered.elastix_defaults(methods.METRICS["mi"])):
        file = images / f"elastix.{number}.txt"
        file.write_text(map_files.dump(values))
        command += ["-p", str(file)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    ended = bench_runs.run(command, environment, images / "output.txt")
    record: Record = {"wall": ended.seconds, "peak": ended.peak}
    if ended.failure:
        return record | {"failed": ended.failure}
    return record | of_result(out, scene)


def of_result(out: Path, scene: Scene) -> Record:
    """Measure the transform in a folder, and take the folder away."""
    result = impact_plugin.RegistrationResult.load(out)
    field = sitk.Cast(result.displacement_field(), sitk.sitkVectorFloat64)
    shutil.rmtree(out)
    return running.measured(field, scene)


def rival(
    name: str, scene: Scene, images: Path, threads: int, pythons: Mapping[str, Path]
) -> Record:
    """Run another program, after its linear start where it has one."""
    method = methods.METHODS[name]
    start, before, peak = None, 0.0, 0.0
    if method.starts:
        linear = methods.METHODS[START]
        first = running.run(linear, scene, images, pythons[START], None, 1, threads)
        if "failed" in first:
            return first
        start = running.best_start({START: first})[1]  # type: ignore[index]
        before, peak = first["wall"], first["peak"]
    record = running.run(method, scene, images, pythons[name], start, 1, threads)
    return record | {"wall": record["wall"] + before, "peak": max(record["peak"], peak)}


def installed(names: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Install rivals' programs; give their Pythons, and why some cannot be had."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for name in names:
        program = methods.METHODS[name].rival
        try:
            pythons[name] = (
                Path(sys.executable)
                if program is None
                else program.python(ROOT / "out" / "evidence" / "env")
            )
        except rivals.RivalError as error:
            missing[name] = str(error)
    for name in names:
        if methods.METHODS[name].starts and START in missing:
            missing[name] = missing[START]
    return pythons, missing


def shown(record: Record) -> str:
    """Say in a line what a run gave."""
    error = f", {record['mean']:.2f} mm" if "mean" in record else ""
    return record.get("failed") or (
        f"{record['wall']:.1f} s, {record['peak'] / 2**30:.2f} GiB{error}"
    )


def pages(results: Mapping[str, Mapping[str, list[Record]]], facts: str) -> Iterator[str]:
    """Give the tables."""
    yield f"{facts}. `make bench`, or `python benchmarks/whole_runs.py`."
    rows = []
    for case, by_method in results.items():
        fastest = _median(by_method.get("impact", []), "wall")
        for method, records in by_method.items():
            good = [record for record in records if "failed" not in record]
            if not good:
                rows.append([case, method, "", records[0]["failed"] if records else "not run"])
                continue
            wall = Spread.of([record["wall"] for record in good])
            ratio = fastest / _median(good, "wall") if fastest else None
            error = _median(good, "mean")
            row = [case, method, str(len(good)), str(wall), f"{ratio:.2f}" if ratio else ""]
            row += [f"{_median(good, 'peak') / 2**30:.2f}", f"{error:.2f}" if error else ""]
            rows.append(row)
    head = ["", "", "runs", "s", "ours / this", "peak, GiB", "mean error, mm"]
    yield bench_report.table(head, [row + [""] * (len(head) - len(row)) for row in rows])
    rows = [
        [case, method] + [f"{_median([r['phases'] for r in good], phase):.2f}" for phase in PHASES]
        for case, by_method in results.items()
        for method in OURS
        if (good := [r for r in by_method.get(method, []) if "failed" not in r])
    ]
    yield "Where ours spend it, seconds:"
    yield bench_report.table(["", "", *PHASES], rows)


def _median(records: Sequence[Mapping[str, float]], what: str) -> float:
    """The middle one; 0 where no run has it."""
    found = [record[what] for record in records if what in record and "failed" not in record]
    return statistics.median(found) if found else 0.0


def main() -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, help="folder of the data, as for make evidence")
    parser.add_argument("--only", type=re.compile, help="measure the pairs whose names match")
    parser.add_argument("--methods", type=lambda text: text.split(","), help="of all; see the code")
    parser.add_argument("--threads", type=int, default=2, help="of every run (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of a method (default 3)")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    wanted = options.methods or [*OURS, *RIVALS]
    if unknown := sorted(set(wanted) - {*OURS, *RIVALS}):
        parser.error(f"no method {unknown[0]!r}: one of {', '.join((*OURS, *RIVALS))}")
    others = [name for name in wanted if name not in (*OURS, ELASTIX)]
    starts = [START] if any(methods.METHODS[name].starts for name in others) else []
    pythons, missing = installed([*starts, *others])
    for name, why in missing.items():
        print(f"without {name}: {why}", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    data = Data.of(options.data)
    kept = OUT / "results.json"
    results: dict[str, dict[str, list[Record]]] = {}
    if options.only is not None and kept.is_file():
        results = json.loads(kept.read_text())
    for case in CASES:
        if options.only is not None and not options.only.search(case.name):
            continue
        scene = case.scene(data)
        found = results[case.name] = {name: [] for name in wanted if name not in missing}
        with tempfile.TemporaryDirectory(dir=OUT) as place:
            images = Path(place)
            running.written(scene, images)
            for number in range(options.repeats):
                for name in found:
                    # A second run of what takes a quarter of an hour tells nothing new.
                    if any("failed" in record for record in found[name]):
                        continue
                    if name in OURS:
                        cache = images / "features"
                        record = ours(name, scene, images, options.threads, cache)
                    elif name == ELASTIX:
                        record = by_elastix(scene, images, options.threads)
                    else:
                        record = rival(name, scene, images, options.threads, pythons)
                    found[name].append(record)
                    print(f"{case.name} {name} {number + 1}: {shown(record)}", flush=True)
        kept.write_text(json.dumps(results, indent=1))
    results = {case.name: results[case.name] for case in CASES if case.name in results}
    text = "\n\n".join(pages(results, bench_report.machine_facts(options.threads)))
    print(text)
    if options.write_docs:
        bench_report.write_page(text, markers=MARKERS)


if __name__ == "__main__":
    main()
