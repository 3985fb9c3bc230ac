"""How often a start is found: known pairs, turned and shifted at random, whole and halved.

    python benchmarks/evidence/starts.py --count 5

The moving image is turned by its header alone, so nothing is interpolated. Each method's start is
followed by the preset affine_mi. A start counts as found where the error is then at most a tenth
and 0.2 mm more than from the true start. Prints a table.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.random import Generator, default_rng

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.evidence import scenes  # noqa: E402
from benchmarks.evidence.measures import errors  # noqa: E402
from benchmarks.evidence.motions import affine, middle  # noqa: E402
from benchmarks.evidence.pairs import Pair  # noqa: E402
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
METHODS = ("search", "center", "mass")


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
    truth = sitk.CompositeTransform([scene.truth, back])  # the last is applied first
    field = result.displacement_field()
    return float(errors(field, truth, scene.points, scene.places).mean())


def measure(name: str, setting: Setting, number: int, data: Data) -> dict[str, float]:
    """Give each method's error, that from the true start, and how long and sure the search was."""
    scene = scenes.make(Pair.named(name), 1, data)
    moved, back = placed(scene, setting, default_rng([number, *name.encode()]))
    began = time.perf_counter()
    found = impact_plugin.find_start(scene.fixed, moved)
    taken = time.perf_counter() - began
    row = {"seconds": taken, "sure": float(found.is_sure)}
    row["truth"] = error_after(scene, moved, back, back.GetInverse())
    for method in METHODS:
        start = found.transform if method == "search" else method
        try:
            row[method] = error_after(scene, moved, back, start)
        except (ValueError, impact_plugin.RegistrationError):
            row[method] = np.inf
    return row


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3, help="starts of each pair and setting")
    parser.add_argument("--split", choices=[*PAIRS], default="report")
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    data = Data.of(given.data)
    heads = ("Moved by", "pairs x starts", *METHODS, "sure", "wrong, and sure", "search, s")
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads))
    for title, setting in SETTINGS.items():
        rows = []
        for name in PAIRS[given.split]:
            for number in range(given.count):
                row = measure(name, setting, number, data)
                rows.append(row)
                said = ", ".join(f"{key} {value:.2f}" for key, value in row.items())
                print(f"{name} {title} {number}: {said}", file=sys.stderr, flush=True)
        table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        allowed = 1.1 * table["truth"] + 0.2
        right = {method: table[method] <= allowed for method in METHODS}
        shares = " | ".join(f"{100 * right[method].mean():.0f} %" for method in METHODS)
        sure = table["sure"] > 0
        print(
            f"| {title} | {len(PAIRS[given.split])} x {given.count} | {shares} "
            f"| {100 * sure.mean():.0f} % | {int((sure & ~right['search']).sum())} "
            f"| {np.median(table['seconds']):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
