"""How often a start is found: known pairs, turned and shifted at random, whole and halved.

    python benchmarks/evidence/starts.py --count 5
    python benchmarks/evidence/starts.py --methods search,center,mass,ants,convex-adam

The moving image is turned by its header alone, so nothing is interpolated. Each method's start is
followed by the preset affine_mi; ConvexAdam, which starts from the images' middles, is followed by
nothing, and takes no pictures. A start counts as found where the error is then at most a tenth and
0.2 mm more than from the true start. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from numpy.random import Generator, default_rng

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.evidence import running, scenes  # noqa: E402
from benchmarks.evidence.measures import errors  # noqa: E402
from benchmarks.evidence.methods import DEFORMABLE, WORKERS  # noqa: E402
from benchmarks.evidence.motions import affine, middle  # noqa: E402
from benchmarks.evidence.pairs import Pair  # noqa: E402
from benchmarks.evidence.rivals import RIVALS  # noqa: E402
from benchmarks.evidence.scenes import Data, Scene  # noqa: E402

import impact_plugin  # noqa: E402

PAIRS = {
    "choose": (
        "mr/p07T2-p07FLAIR-both40-coarse",
        "mr/p19T1-p19FLAIR-both40-bias",
        "native/FLAIR-T2W-both40",
        "lung/followup-baseline-none",
        "histology/HE-proSPC-none",
        "slices/T1-PD-none",
    ),
    "report": (
        "mr/p07T1-p07FLAIR-both40",
        "mr/p19T2-p19FLAIR-both40",
        "native/FLAIR-T1W-none",
        "lung/baseline-followup-none",
        "histology/proSPC-HE-none",
        "slices/T1-PD-both40",
    ),
}
METHODS = ("search", "center", "mass", "ants", "convex-adam")
THREADS = 2
CONVEX_ADAM = next(method for method in DEFORMABLE if method.name == "convex-adam")


@dataclass(frozen=True)
class Setting:
    """How far images are moved, and how much of the moving one is left.

    Args:
        degrees: At most.
        shift: At most; a picture counts three times as much.
        share: Of the moving image, along one axis.
    """

    degrees: float
    shift: float
    share: float


SETTINGS = {
    "0 to 90 degrees, 100 mm": Setting(90, 100, 1.0),
    "0 to 180 degrees, 150 mm": Setting(180, 150, 1.0),
    "0 to 90 degrees, 100 mm, half": Setting(90, 100, 0.5),
}


def placed(scene: Scene, setting: Setting, random: Generator) -> tuple[sitk.Image, sitk.Transform]:
    """Put the moving image elsewhere; give it, and the transform back to where it was."""
    dimension = scene.moving.GetDimension()
    angle = np.radians(random.uniform(0, setting.degrees))
    if dimension == 2:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        x, y, z = axis = random.normal(size=3)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / np.linalg.norm(axis)
        turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    way = random.normal(size=dimension)
    way *= random.uniform(0, setting.shift) * scene.scale / np.linalg.norm(way)
    centre = np.array(middle(scene.moving))
    moved = sitk.Image(scene.moving)
    axes = turn @ np.reshape(moved.GetDirection(), (dimension, dimension))
    moved.SetDirection(axes.ravel().tolist())
    moved.SetOrigin((turn @ (np.array(moved.GetOrigin()) - centre) + centre + way).tolist())
    if setting.share < 1:
        size, first = list(moved.GetSize()), [0] * dimension
        along = int(random.integers(dimension))
        kept = round(size[along] * setting.share)
        first[along] = int(random.choice([0, size[along] - kept]))
        size[along] = kept
        moved = sitk.RegionOfInterest(moved, size, first)
    return moved, affine(turn.T, centre - turn.T @ (centre + way))


def error_after(scene: Scene, moved: sitk.Image, back: sitk.Transform, start: object) -> float:
    """Register from a start by affine_mi; give the mean error, mm."""
    result = impact_plugin.register_images(
        scene.fixed,
        moved,
        preset="affine_mi",
        initial_transform=start,
        seed=1,
        progress=False,
        record=False,
    )
    field = result.displacement_field()
    truth = truth_of(scene, back)
    return float(errors(field, truth, scene.points, scene.places).mean())


def truth_of(scene: Scene, back: sitk.Transform) -> sitk.Transform:
    """Give the true transform to where the moving image was put."""
    return sitk.CompositeTransform([scene.truth, back])  # the last is applied first


def by_ants(images: Path, python: Path) -> sitk.Transform:
    """Let ANTs' affine initializer look for a start."""
    job = {"fixed": str(images / "fixed.mha"), "moving": str(images / "moving.mha")}
    (images / "job.json").write_text(json.dumps(job))
    command = [str(python), str(WORKERS / "ants_initializer.py"), str(images)]
    subprocess.run(command, check=True, capture_output=True)
    return sitk.ReadTransform(str(images / "start_found.mat"))


def by_convex_adam(scene: Scene, images: Path, python: Path) -> float:
    """Register by ConvexAdam from the images' middles; give the mean error, mm."""
    dimension = scene.fixed.GetDimension()
    if dimension not in CONVEX_ADAM.dimensions:
        return np.nan
    way = np.array(middle(scene.moving)) - np.array(middle(scene.fixed))
    start = (np.eye(dimension), way)
    found = running.run(CONVEX_ADAM, scene, images, python, start, 1, THREADS)
    return float(found.get("mean", np.inf))


def measure(
    name: str, setting: Setting, number: int, data: Data, pythons: Mapping[str, Path]
) -> dict[str, float]:
    """Give each method's error, that from the true start, and how long and sure the search was.

    Args:
        name: Of the pair.
        setting: How far it is moved.
        number: Which of the random places.
        data: Where the images are.
        pythons: The methods, and for each the Python that it runs in.
    """
    scene = scenes.make(Pair.named(name), 1, data)
    moved, back = placed(scene, setting, default_rng([number, *name.encode()]))
    began = time.perf_counter()
    found = impact_plugin.find_start(scene.fixed, moved)
    taken = time.perf_counter() - began
    row = {"seconds": taken, "sure": float(found.is_sure)}
    row["truth"] = error_after(scene, moved, back, back.GetInverse())
    elsewhere = replace(scene, moving=moved, truth=truth_of(scene, back))
    for method, python in pythons.items():
        with TemporaryDirectory() as folder:
            running.written(elsewhere, Path(folder))
            try:
                if method == "convex-adam":
                    row[method] = by_convex_adam(elsewhere, Path(folder), python)
                    continue
                start = found.transform if method == "search" else method
                if method == "ants":
                    start = by_ants(Path(folder), python)
                row[method] = error_after(scene, moved, back, start)
            except (ValueError, subprocess.SubprocessError, impact_plugin.RegistrationError):
                row[method] = np.inf
    return row


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3, help="starts of each pair and setting")
    parser.add_argument("--split", choices=[*PAIRS], default="report")
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--methods",
        type=lambda text: text.split(","),
        default=METHODS[:3],
        help=f"of {', '.join(METHODS)} (default: the first three)",
    )
    given = parser.parse_args()
    if unknown := set(given.methods) - set(METHODS):
        parser.error(f"--methods: {', '.join(sorted(unknown))}; allowed: {', '.join(METHODS)}")
    data = Data.of(given.data)
    pythons = {
        method: RIVALS[method].python(ROOT / "out/evidence/env")
        if method in RIVALS
        else Path(sys.executable)
        for method in ["search", *(name for name in given.methods if name != "search")]
    }
    heads = ("Moved by", "pairs x starts", *pythons, "sure", "wrong, and sure", "search, s")
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads))
    for title, setting in SETTINGS.items():
        rows = []
        for name in PAIRS[given.split]:
            for number in range(given.count):
                row = measure(name, setting, number, data, pythons)
                rows.append(row)
                said = ", ".join(f"{key} {value:.2f}" for key, value in row.items())
                print(f"{name} {title} {number}: {said}", file=sys.stderr, flush=True)
        table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        allowed = 1.1 * table["truth"] + 0.2
        right = {method: table[method] <= allowed for method in pythons}
        shares = " | ".join(
            f"{100 * right[method][~np.isnan(table[method])].mean():.0f} %" for method in pythons
        )
        sure = table["sure"] > 0
        print(
            f"| {title} | {len(PAIRS[given.split])} x {given.count} | {shares} "
            f"| {100 * sure.mean():.0f} % | {int((sure & ~right['search']).sum())} "
            f"| {np.median(table['seconds']):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
