"""Looks for a start by ANTs' affine initializer (antspyx), with its defaults.

Run in that rival's environment: reads job.json in the folder that is given, and writes
start_found.mat, a transform of ITK's.
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
    found = ants.affine_initializer(ants.image_read(job["fixed"]), ants.image_read(job["moving"]))
    shutil.copy(found, folder / "start_found.mat")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
