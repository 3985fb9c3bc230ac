"""Registers by ConvexAdam on MIND, with its defaults; run in that rival's environment. 3D only.

Reads job.json in the folder that is given and start.tfm, and writes warp.mha: T(x) =
start(x + warp(x)). Voxels are made cubes, for its regularisation counts in voxels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from convexAdam.convex_adam_MIND import convex_adam_pt


def cubes(image: sitk.Image) -> sitk.Image:
    """Resample an image to cubes of the same volume, unless its voxels nearly are."""
    spacing = np.array(image.GetSpacing())
    if spacing.max() < 1.5 * spacing.min():
        return image
    side = float(np.prod(spacing) ** (1 / 3))
    size = np.maximum(1, np.round(np.array(image.GetSize()) * spacing / side)).astype(int).tolist()
    return sitk.Resample(
        image,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        image.GetOrigin(),
        (side,) * 3,
        image.GetDirection(),
    )


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    fixed = cubes(sitk.ReadImage(job["fixed"], sitk.sitkFloat32))
    moving = sitk.ReadImage(job["moving"], sitk.sitkFloat32)
    lowest = float(sitk.GetArrayViewFromImage(moving).min())
    there = sitk.Resample(
        moving, fixed, sitk.ReadTransform(str(folder / "start.tfm")), sitk.sitkLinear, lowest
    )
    found = convex_adam_pt(fixed, there, device=torch.device("cpu"), dtype=torch.float32)
    voxels = found[..., ::-1]  # along z, y, x; here along x, y, z
    axes = np.reshape(fixed.GetDirection(), (3, 3)) * fixed.GetSpacing()
    warp = sitk.GetImageFromArray((voxels @ axes.T).astype(np.float32), isVector=True)
    warp.CopyInformation(fixed)
    sitk.WriteImage(warp, str(folder / "warp.mha"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
