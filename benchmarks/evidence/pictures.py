"""Draws the best, the median and the worst case of each kind of pair, for docs/evidence.md.

    python benchmarks/evidence/pictures.py [KIND ...]

Cases are those of the half `report`, ordered by our error over the best rival's, of the first seed
that is known (benchmarks/evidence/results.jsonl), and registered anew by the default. The
pictures go to docs/images/evidence_KIND.png.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
for each in (ROOT, ROOT / "cmake"):
    sys.path.insert(0, str(each))

from benchmarks.evidence import measures, methods, pairs, report, running, scenes  # noqa: E402
from benchmarks.evidence.pairs import Pair  # noqa: E402
from benchmarks.evidence.results import Record, Results, Run  # noqa: E402
from benchmarks.evidence.run import OUT, PUBLISHED  # noqa: E402
from benchmarks.evidence.scenes import Data, Scene  # noqa: E402

import impact_plugin  # noqa: E402
from impact_plugin.images.grid import Geometry  # noqa: E402

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

IMAGES = ROOT / "docs/images"
SQUARES = 7  # along the longer side
NEAR = 3.0  # mm: points so near to the plane are shown

Array = NDArray[np.float64]


def cases(records: Mapping[Run, Record], kind: str) -> list[tuple[Pair, int, float]]:
    """Give the best, median and worst pair of a kind's half `report`, with seed and ratio."""
    rivals = [m for m in methods.METHODS.values() if not m.ours and not m.linear]
    of_kind = [pair for pair in pairs.PAIRS if (pair.kind, pair.split) == (kind, "report")]
    for seed in sorted({run[2] for run in records}):
        found = report.ratios(records, of_kind, methods.DEFAULT, rivals, seed)
        ordered = sorted((pair for pair in of_kind if pair.name in found), key=_by(found))
        if ordered:
            places = dict.fromkeys((0, len(ordered) // 2, len(ordered) - 1))
            return [(ordered[place], seed, found[ordered[place].name]) for place in places]
    return []


def _by(ratios: Mapping[str, float]) -> Any:  # noqa: ANN401  (a key for sorted)
    return lambda pair: ratios[pair.name]


def drawn(kind: str, found: Sequence[tuple[Pair, int, float]], data: Data) -> None:
    """Register the cases of a kind and draw them, a row each."""
    figure, axes = plt.subplots(
        len(found), 3, figsize=(9.6, 3.1 * len(found)), layout="constrained", squeeze=False
    )
    for row, (pair, seed, ratio) in zip(axes, found, strict=True):
        scene = scenes.make(pair, seed, data)
        result = impact_plugin.register_images(
            sitk.Cast(scene.fixed, sitk.sitkFloat32),
            sitk.Cast(scene.moving, sitk.sitkFloat32),
            seed=seed,
            threads=2,
            progress=False,
            record=False,
        )
        field = sitk.Cast(result.displacement_field(), sitk.sitkVectorFloat64)
        unit = "pixels" if pair.dimension == 2 else "mm"
        before = _said(running.before(scene), unit)
        after = _said(running.measured(field, scene), unit)
        _chequers(row[0], scene, _unmoved(scene))
        _chequers(row[1], scene, result.image)
        row[0].set_title(f"{pair.name.split('/')[1]}\nbefore: {before}", fontsize=9)
        row[1].set_title(f"after: {after}\n{ratio:.2f} of the best rival's", fontsize=9)
        if scene.labels is None:
            _errors(row[2], scene, field, unit)
        else:
            _outlines(row[2], scene, field)
        print(f"{pair.name}: {before} -> {after}", flush=True)
    path = IMAGES / f"evidence_{kind}.png"
    figure.savefig(path, dpi=80)
    plt.close(figure)
    with Image.open(path) as image:
        image.convert("RGB").quantize(128).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


def _said(record: Record, unit: str) -> str:
    return f"{record['mean']:.2f} {unit}" if "mean" in record else f"Dice {record['dice']:.3f}"


def _unmoved(scene: Scene) -> sitk.Image:
    least = float(sitk.GetArrayViewFromImage(scene.moving).min())
    identity = sitk.Transform(scene.fixed.GetDimension(), sitk.sitkIdentity)
    return sitk.Resample(scene.moving, scene.fixed, identity, sitk.sitkLinear, least)


def _plane(image: sitk.Image) -> Array:
    """Give a picture as it is, or the middle plane across the third axis, in grey from 0 to 1."""
    values: Array = sitk.GetArrayFromImage(image).astype(np.float64)
    low, high = np.percentile(values, (2, 99.5))
    shown = values[len(values) // 2] if values.ndim == 3 else values
    grey: Array = np.clip((shown - low) / max(high - low, 1e-9), 0, 1)
    return grey


def _show(axes: Any, scene: Scene, picture: Array) -> None:  # noqa: ANN401  (matplotlib's)
    spacing = scene.fixed.GetSpacing()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect=spacing[1] / spacing[0])
    axes.set(xticks=[], yticks=[])


def _chequers(axes: Any, scene: Scene, moving: sitk.Image) -> None:  # noqa: ANN401
    one, other = _plane(scene.fixed), _plane(sitk.Cast(moving, sitk.sitkFloat32))
    rows, columns = np.indices(one.shape) // (max(one.shape) // SQUARES)
    _show(axes, scene, np.where((rows + columns) % 2 == 0, one, other))


def _errors(axes: Any, scene: Scene, field: sitk.Image, unit: str) -> None:  # noqa: ANN401
    """Show the errors of the points near the plane, as colours on the fixed image."""
    grid = Geometry.of(scene.fixed)
    index = (scene.points - np.array(grid.origin)) @ np.linalg.inv(grid.matrix).T
    errors = measures.errors(field, scene.truth, scene.points, scene.places)
    near = np.ones(len(index), bool)
    if grid.dimension == 3:
        near = np.abs(index[:, 2] - grid.size[2] // 2) * grid.spacing[2] <= NEAR
    if len(index) < 200:  # landmarks, few of which lie in any one plane
        near[:] = True
    _show(axes, scene, 0.6 * _plane(scene.fixed))
    size = 60 if len(index) < 200 else 5
    top = max(float(np.percentile(errors, 99)), 1e-3)
    shown = axes.scatter(
        *index[near, :2].T, c=errors[near], s=size, cmap="inferno", vmin=0, vmax=top, linewidths=0
    )
    plt.colorbar(shown, ax=axes, label=f"error, {unit}", shrink=0.8)


def _outlines(axes: Any, scene: Scene, field: sitk.Image) -> None:  # noqa: ANN401
    """Show the borders of labels: the fixed image's magenta, the moving image's, warped, green."""
    assert scene.labels is not None
    fixed, moving = scene.labels
    warped = measures.warped_labels(field, scene.truth, moving, scene.fixed)
    nearest = sitk.Resample(
        fixed, scene.fixed, sitk.Transform(), sitk.sitkNearestNeighbor, 0, fixed.GetPixelID()
    )
    _show(axes, scene, 0.6 * _plane(scene.fixed))
    for image, colour in ((nearest, "magenta"), (warped, "lime")):
        voxels = sitk.GetArrayViewFromImage(image)
        plane = np.array(voxels[len(voxels) // 2])
        edge = (plane != np.roll(plane, 1, 0)) | (plane != np.roll(plane, 1, 1))
        overlay = np.zeros((*plane.shape, 4))
        overlay[edge] = (*mpl.colors.to_rgb(colour), 0.7)
        axes.imshow(overlay, aspect=axes.get_aspect())
    axes.set_title("borders of labels: fixed magenta,\nmoving, warped, green", fontsize=9)


def main() -> None:
    """Draw the kinds that are asked for, or all."""
    records = Results(OUT / "results.jsonl", PUBLISHED).records
    data = Data.of(None)
    for kind in sys.argv[1:] or pairs.KINDS:
        if found := cases(records, kind):
            drawn(kind, found, data)
        else:
            print(f"no results of {kind}: make evidence first")


if __name__ == "__main__":
    main()
