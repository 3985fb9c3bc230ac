"""One registration of one pair: in a process of its own, and what it gave."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from benchmarks import bench_runs
from benchmarks.evidence import measures
from benchmarks.evidence.methods import WORKERS, Method
from benchmarks.evidence.motions import Points, affine
from benchmarks.evidence.scenes import LABELS, Scene

Record = dict[str, Any]
"""What one run gave: numbers by name, or the reason of its failure under `failed`."""

Linear = tuple[Points, Points]
"""A and b of x -> A x + b, fixed to moving, mm in LPS."""


def written(scene: Scene, folder: Path) -> None:
    """Write both images of a scene for all its methods."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("fixed", scene.fixed), ("moving", scene.moving)):
        sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), str(folder / f"{name}.mha"))


def run(
    method: Method,
    scene: Scene,
    images: Path,
    python: Path,
    start: Linear | None,
    seed: int,
    threads: int,
) -> Record:
    """Register a scene.

    Args:
        method: How.
        scene: The pair.
        images: The folder in which it is written.
        python: Of the method's environment.
        start: The linear start; None for methods that have none.
        seed: Of methods that draw something.
        threads: Of all methods.

    Returns:
        The figures: errors in mm, shares, seconds, bytes. Of a linear method also `linear`, A and
        b, and `information`, the mutual information that it leaves.
    """
    folder = images / method.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    dimension = scene.fixed.GetDimension()
    job = {
        "fixed": str(images / "fixed.mha"),
        "moving": str(images / "moving.mha"),
        "dimension": dimension,
        "seed": seed,
        "threads": threads,
        **method.job,
    }
    (folder / "job.json").write_text(json.dumps(job, indent=1))
    if start is not None:
        _write_start(start, folder)
    counts = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), str(threads)
    )
    ended = bench_runs.run(
        [str(python), str(WORKERS / method.worker), str(folder)],
        {**os.environ, **counts, "OMP_WAIT_POLICY": "passive"},
        folder / "output.txt",
    )
    record: Record = {"wall": ended.seconds, "cpu": ended.cpu, "peak": ended.peak}
    if ended.failure:
        return {"failed": ended.failure, **record}
    field = _field(folder, scene.fixed, start)
    record |= measured(field, scene)
    if method.linear:
        found = measures.fitted_affine(field)
        record["linear"] = [part.tolist() for part in found]
        record["information"] = measures.information(scene.fixed, scene.moving, found)
    shutil.rmtree(folder)
    return record


def measured(field: sitk.Image, scene: Scene) -> Record:
    """Measure a field of T(x) - x on the fixed image's grid against a scene's truth."""
    record: Record = {"folding": measures.folding(field, scene.mask)}
    if len(scene.points):
        errors = measures.errors(field, scene.truth, scene.points, scene.places)
        record["mean"], record["p95"] = float(errors.mean()), float(np.percentile(errors, 95))
    if scene.labels is not None:
        fixed, moving = scene.labels
        there = measures.warped_labels(field, scene.truth, moving, fixed)
        one, other = map(sitk.GetArrayViewFromImage, (fixed, there))
        record["dice"] = measures.dice(one, other, LABELS)
    return record


def before(scene: Scene) -> Record:
    """Measure what there is to find: the identity's errors."""
    nothing = sitk.Transform(scene.fixed.GetDimension(), sitk.sitkIdentity)
    found = measured(measures.composed(None, nothing, scene.fixed), scene)
    spacing = scene.fixed.GetSpacing()
    return found | {"voxel": float(np.prod(spacing) ** (1 / len(spacing)))}


def best_start(records: Mapping[str, Record]) -> tuple[str, Linear] | None:
    """Give the linear start with the most mutual information: its name, A and b; None of none."""
    known = {name: record for name, record in records.items() if "linear" in record}
    if not known:
        return None
    name = max(known, key=lambda each: known[each]["information"])
    matrix, offset = known[name]["linear"]
    return name, (np.array(matrix), np.array(offset))


def in_ras(linear: Linear) -> Points:
    """Give A and b as a matrix (d + 1, d + 1) from RAS to RAS: two axes point the other way."""
    matrix, offset = linear
    turned = np.ones(len(offset))
    turned[:2] = -1
    found = np.eye(len(offset) + 1)
    found[:-1, :-1] = turned[:, None] * matrix * turned
    found[:-1, -1] = turned * offset
    return found


def of_ras(found: Points) -> Linear:
    """Give A and b in LPS of a matrix from RAS to RAS."""
    turned = np.ones(len(found) - 1)
    turned[:2] = -1
    return turned[:, None] * found[:-1, :-1] * turned, turned * found[:-1, -1]


def _write_start(start: Linear, folder: Path) -> None:
    """Write a linear start as each program wants it: start.tfm, and start.mat of its own kind."""
    transform = affine(*start)
    sitk.WriteTransform(transform, str(folder / "start.tfm"))
    sitk.WriteTransform(transform, str(folder / "start_itk.mat"))
    np.savetxt(folder / "start_ras.mat", in_ras(start), fmt="%.12g")


def _field(folder: Path, grid: sitk.Image, start: Linear | None) -> sitk.Image:
    """Read what a method wrote, as T(x) - x on the fixed image's grid."""
    nothing = sitk.Transform(grid.GetDimension(), sitk.sitkIdentity)
    if (matrix := folder / "affine.mat").exists():
        return measures.composed(None, affine(*of_ras(np.loadtxt(matrix))), grid)
    files = [folder / name for name in ("warp.mha", "warp.nii.gz") if (folder / name).exists()]
    warp = sitk.ReadImage(str(files[0]), sitk.sitkVectorFloat64)
    return measures.composed(warp, nothing if start is None else affine(*start), grid)
