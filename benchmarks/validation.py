"""Measures how right the metric is and writes docs/validation.md.

    make validation

Derivatives: the tests' finite differences, combination by combination. Landmarks: registrations of
the lung CT pair of elastix's test data, each kept in out/validation with what it gave, so that a
run that was cut off goes on; `--again` starts anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[1]
for each in (ROOT, ROOT / "tests"):
    sys.path.insert(0, str(each))

from benchmarks.landmarks import Landmarks  # noqa: E402

from helpers.evaluators import DISTANCES, RELATIVE_ERROR, TRANSFORMS  # noqa: E402
from helpers.images import Grid, Image  # noqa: E402
from impact_plugin import datasets, models  # noqa: E402
from impact_plugin.evaluation import LandmarkErrors  # noqa: E402

OUT = ROOT / "out" / "validation"
PAGE = ROOT / "docs" / "validation.md"
PEERS = {
    "elastix's NCC": "AdvancedNormalizedCorrelation",
    "elastix's MI": "AdvancedMattesMutualInformation",
}


@dataclass(frozen=True)
class Case:
    """One registration of the pair."""

    name: str
    text: str  # its parameter file
    fixed: Path
    moving: Path
    affine: Path


class Pair:
    """The pair as it is, and with its voxels stored along other axes."""

    def __init__(self, data: datasets.LungPair) -> None:
        OUT.mkdir(parents=True, exist_ok=True)
        self.data = data
        self.landmarks = Landmarks(data)

    def reoriented(self) -> tuple[Path, Path]:
        """Both images with permuted and mirrored axes, each its own way; the same in space."""
        return (
            _reorient(self.data.fixed, (2, 0, 1), (1, -1, -1), OUT / "fixed_reoriented.mha"),
            _reorient(self.data.moving, (1, 2, 0), (-1, 1, -1), OUT / "moving_reoriented.mha"),
        )


def _reorient(
    path: Path, axes: tuple[int, int, int], signs: tuple[int, int, int], to: Path
) -> Path:
    image = sitk.ReadImage(str(path))
    pixels = sitk.GetArrayFromImage(image)
    voxels = pixels.transpose([2 - axis for axis in axes][::-1])[
        tuple(slice(None, None, sign) for sign in signs[::-1])
    ]
    direction = np.zeros((3, 3))
    index = np.zeros(3)
    for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
        direction[old, new] = sign
        index[old] = 0 if sign > 0 else pixels.shape[2 - old] - 1
    grid = Grid(
        voxels.shape[::-1],
        tuple(np.array(image.GetSpacing())[list(axes)]),
        tuple(np.array(image.GetOrigin()) + index * image.GetSpacing()),
        direction,
    )
    return Image(np.ascontiguousarray(voxels, np.float32), grid).write(to, "MET_SHORT")


def _with(text: str, **values: str) -> str:
    """Give a parameter file's text with other values for some parameters."""
    for name, value in values.items():
        text = re.sub(rf"(?m)^\({name} .*\n", "", text) + f"({name} {value})\n"
    return text


def cases(pair: Pair) -> Iterator[tuple[str, list[Case]]]:
    """Every row of the table of landmarks: its title, and its registrations."""
    data = pair.data
    mind = models.mind(radius=1, dilation=2, dimension=3, path=OUT / "MIND_R1D2_3D.pt")
    as_is = (data.fixed, data.moving)
    turned = pair.reoriented()

    def read(path: Path) -> str:
        text = path.read_text().replace('"MIND_R1D2_3D.pt"', f'"{mind}"')
        text = re.sub(r'"(\./)?M730_1_Layers.pt"', f'"{data.model}"', text)
        assert not re.search(r'ModelsPath\w* "(?!/)', text), f"{path}: a model is missing"
        return _with(text, WriteResultImage='"false"', RandomSeed="42")

    def variants(name: str, text: str) -> list[Case]:
        return [
            Case(f"{name}-42", text, *as_is, data.initial_transform),
            Case(f"{name}-reoriented", text, *turned, data.initial_transform),
            *(
                Case(
                    f"{name}-{seed}",
                    _with(text, RandomSeed=str(seed)),
                    *as_is,
                    data.initial_transform,
                )
                for seed in (1, 2, 3)
            ),
        ]

    test_maps = {
        mode: read(data.fixed.parent / f"parameters.3D.IMPACT.bspline.ASGD.{number}.txt")
        for mode, number in (("Static", "002"), ("Jacobian", "001"))
    }
    for mode, text in test_maps.items():
        text = _with(text, NumberOfSpatialSamples="2000")
        yield f"elastix's {mode} test map, 2000 samples", variants(f"elastix-{mode}", text)
    for path in sorted((ROOT / "ParameterMaps").glob("*.txt")):
        text = path.read_text()
        if path.stem in ("mind", "ct_cbct"):
            yield f"`ParameterMaps/{path.name}`", variants(path.stem, read(path))
    text = _with(test_maps["Static"], NumberOfSpatialSamples="2000")
    for levels in (1, 4):
        yield (
            f"Static, {levels} level{'s' * (levels > 1)} after the affine",
            [Case(f"levels-{levels}", _levels(text, levels), *as_is, data.initial_transform)],
        )
    for title, metric in PEERS.items():
        text = re.sub(r"(?m)^\(Impact.*\n", "", test_maps["Static"])
        text = _with(text, Metric=f'"{metric}"', NumberOfSpatialSamples="2000")
        yield title, [Case(metric, text, *as_is, data.initial_transform)]


def _levels(text: str, levels: int) -> str:
    """The map with so many levels, of 400 iterations in all, down to the voxels of 1.5 mm."""
    ones = " ".join(["1"] * 3 * levels)
    text = re.sub(r"(?m)^\(Impact(\w+?)1 .*\n", "", text)
    spacings = [2.0**level for level in range(levels)][::-1]
    text = _with(
        text,
        NumberOfResolutions=str(levels),
        ImagePyramidRescaleSchedule=ones,
        ImagePyramidSmoothingSchedule=ones,
        ImagePyramidSchedule=ones,
        MaximumNumberOfIterations=str(400 // levels),
        GridSpacingSchedule=" ".join(map(str, spacings)),
    )
    for level in range(levels):
        size = 1.5 * spacings[level] ** 0.5
        text = _with(text, **{f"ImpactVoxelSize{level}": " ".join([f"{size:.3g}"] * 3)})
    return text


def register(pair: Pair, case: Case, again: bool) -> dict[str, float]:
    """Run a case, unless that was done before with the same parameters."""
    folder = OUT / case.name
    folder.mkdir(exist_ok=True)
    record = folder / "result.json"
    if record.exists() and not again:
        known = json.loads(record.read_text())
        if known["parameters"] == case.text:
            return dict(known["result"])
    (folder / "parameters.txt").write_text(case.text)
    print(case.name, flush=True)
    arguments: list[str | Path] = [
        *("-f", case.fixed, "-m", case.moving, "-t0", case.affine),
        *("-p", folder / "parameters.txt", "-out", folder),
    ]
    command = [sys.executable, "-m", "impact_plugin.command_line", "elastix"]
    start = time.perf_counter()
    with (folder / "output.txt").open("w") as output:
        subprocess.run([*command, *map(str, arguments)], stdout=output, stderr=output, check=True)
    seconds = time.perf_counter() - start
    errors = pair.landmarks.errors(folder / "TransformParameters.0.txt")
    result = {**errors.statistics(), "seconds": seconds}
    record.write_text(json.dumps({"parameters": case.text, "result": result}))
    print(f"  {errors.mean:.3f} {errors.median:.3f} mm", flush=True)
    return result


def derivative_errors() -> dict[tuple[str, str], dict[str, float]]:
    """The relative errors: by layers and distance, then by mode, images and transform."""
    errors: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for file, layers in (
        ("test_gradients.py", "one model"),
        ("test_gradients_models.py", "two models"),
    ):
        command = [sys.executable, "-m", "pytest", "-rP", "-q", f"tests/{file}"]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if process.returncode:
            sys.exit(process.stdout[-3000:])
        for match in re.finditer(
            r"derivative error (\w+) (\w+) (\dD) (\w+): (\S+)", process.stdout
        ):
            distance, mode, images, transform, error = match.groups()
            errors[layers, distance][f"{mode} {images} {transform}"] = float(error)
    return errors


def page(
    errors: dict[tuple[str, str], dict[str, float]],
    before: LandmarkErrors,
    rows: list[tuple[str, list[dict[str, float]]]],
) -> str:
    """The text of docs/validation.md."""
    lines = [
        "# Validation",
        "",
        "Made by `make validation` (`benchmarks/validation.py`): do not edit. "
        f"itk-elastix {version('itk-elastix')}, torch {version('torch')}, on the CPU, "
        f"{os.cpu_count()} cores.",
        "",
        "## Landmarks",
        "",
        "The lung CT pair of elastix's test data: distance of the 51 landmarks inside the fixed "
        "image from where they truly are, mean / median in mm. Unregistered: "
        f"{before.mean:.2f} / {before.median:.2f}. All start from the affine transform of the test "
        "data. The re-oriented copy has the voxels of both images stored along other axes, each "
        "its own way. `RandomSeed` is 42 but for the last three columns.",
        "",
        "| Map | as it is | re-oriented | seed 1 | seed 2 | seed 3 |",
        "|---|---|---|---|---|---|",
    ]
    for title, results in rows:
        cells = [f"{r['mean']:.2f} / {r['median']:.2f}" for r in results]
        cells += [""] * (5 - len(cells))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    worst = max(error for of_distance in errors.values() for error in of_distance.values())
    lines += [
        "",
        "## Derivatives",
        "",
        "Largest difference between the derivative and central differences of the value, relative "
        "to the steepest slope; the bound that the tests assert is "
        f"{RELATIVE_ERROR:g}. Largest of all: {worst:.1e}. One model: two layers, strides 1 and 2. "
        "Two models: four layers, two dimensions (2D and 3D on 3D images), two voxel sizes.",
        "",
    ]
    columns = [f"{mode} {images}" for mode in ("Static", "Jacobian") for images in ("2D", "3D")]
    for layers in ("one model", "two models"):
        for transform in TRANSFORMS:
            lines += [
                f"### {transform}, {layers}",
                "",
                f"| Distance | {' | '.join(columns)} |",
                "|---" * (len(columns) + 1) + "|",
            ]
            for distance in DISTANCES:
                of = errors[layers, distance]
                cells = [f"{of[f'{column} {transform}']:.1e}" for column in columns]
                lines.append(f"| {distance} | {' | '.join(cells)} |")
            lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="elastix's Testing folder")
    parser.add_argument("--again", action="store_true", help="measure what is known, too")
    options = parser.parse_args()
    pair = Pair(datasets.lung_pair(options.data))
    rows = [
        (title, [register(pair, case, options.again) for case in row]) for title, row in cases(pair)
    ]
    PAGE.write_text(page(derivative_errors(), pair.landmarks.before, rows))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
