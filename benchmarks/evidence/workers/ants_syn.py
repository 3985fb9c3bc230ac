"""Registers by ANTs' SyN (antspyx), with its defaults; run in that rival's environment.

Reads job.json in the folder that is given and start_itk.mat, and writes warp.nii.gz: T(x) =
start(x + warp(x)).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import ants


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    found = ants.registration(
        ants.image_read(job["fixed"]),
        ants.image_read(job["moving"]),
        type_of_transform="SyNOnly",
        initial_transform=str(folder / "start_itk.mat"),
        syn_metric=job["metric"],
        random_seed=job["seed"] + 1,  # 0 is none
        outprefix=str(folder / "ants"),
    )
    warps = [name for name in found["fwdtransforms"] if name.endswith("Warp.nii.gz")]
    shutil.copy(warps[0], folder / "warp.nii.gz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
