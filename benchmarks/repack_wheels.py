"""Writes the wheels of a folder anew, by a third smaller: by LZMA, which pip reads.

python benchmarks/repack_wheels.py FOLDER
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def repack(path: Path) -> None:
    """Compress all that is in a wheel by LZMA."""
    new = path.with_suffix(".new")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w", zipfile.ZIP_LZMA) as smaller:
        for entry in old.infolist():
            smaller.writestr(entry, old.read(entry), zipfile.ZIP_LZMA)
    new.replace(path)


if __name__ == "__main__":
    for wheel in sorted(Path(sys.argv[1]).glob("*.whl")):
        repack(wheel)
