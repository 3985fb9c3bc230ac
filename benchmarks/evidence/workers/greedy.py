"""Registers by greedy (picsl_greedy); run in that rival's environment.

Reads job.json in the folder that is given. Affine: writes affine.mat, fixed to moving, RAS.
Deformable: reads start_ras.mat, and writes warp.nii.gz, T(x) = start(x + warp(x)), LPS.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import picsl_greedy


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    greedy = picsl_greedy.Greedy2D() if job["dimension"] == 2 else picsl_greedy.Greedy3D()
    common = f"-i {job['fixed']} {job['moving']} -m {job['metric']} -n 100x100x50"
    common += f" -threads {job['threads']}"
    if job["what"] == "affine":
        greedy.execute(f"-a -dof 12 {common} -ia-image-centers -o {folder / 'affine.mat'}")
    else:
        greedy.execute(f"{common} -it {folder / 'start_ras.mat'} -o {folder / 'warp.nii.gz'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
