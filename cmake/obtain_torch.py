"""Obtain what a build needs of a torch that is not installed: its headers and libraries.

pip downloads the wheel, as it is configured on this machine; what is kept of it, in the cache, are
the headers and the three libraries that are linked (some 0.6 GB a version, most of it code that
is never run here). Prints the folder of the package, as an installed torch has it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from fetch_sources import SourceError, cache_directory, locked

LIBRARIES = ("libc10.so", "libtorch.so", "libtorch_cpu.so")
_KEPT = re.compile(rf"torch/(include/.*|lib/({'|'.join(map(re.escape, LIBRARIES))})|version\.py)")


def obtain(series: str, cache: Path) -> Path:
    """Give the folder of a torch's headers and libraries; download them where the cache lacks them.

    Args:
        series: The minor version, ``"2.8"``.
        cache: The cache directory, locked by the caller.

    Raises:
        SourceError: The version is none, or pip does not find or fetch it.
    """
    if not re.fullmatch(r"\d+\.\d+", series):
        raise SourceError(
            f"IMPACT_TORCH_SERIES has {series!r}; allowed: minor versions, as in 2.13"
        )
    kept = cache / f"torch-{series}"
    if (kept / "torch" / "version.py").is_file():
        return kept / "torch"
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache) as incoming:
        folder = Path(incoming)
        _download(series, folder)
        (wheel,) = folder.glob("torch-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if _KEPT.fullmatch(name)]
            archive.extractall(folder / "kept", members)
        if missing := [n for n in LIBRARIES if not (folder / "kept/torch/lib" / n).is_file()]:
            raise SourceError(f"{wheel.name} has no {', '.join(missing)}: it is no torch for Linux")
        shutil.rmtree(kept, ignore_errors=True)
        (folder / "kept").rename(kept)
    return kept / "torch"


def _download(series: str, folder: Path) -> None:
    """Let pip download the wheel: as this machine has pip configured, else as pip comes.

    The constraints of a development environment, and of some machines, name one version alone.

    Raises:
        SourceError: pip does not.
    """
    # -I: an isolated build hides pip from its own Python by PYTHONPATH.
    command = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), f"torch=={series}.*"]
    said = ""
    for others in ({}, {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}):
        environment = {**os.environ, "PIP_CONSTRAINT": "", **others}
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        if run.returncode == 0:
            return
        said += run.stdout + run.stderr
    raise SourceError(f"{said}\npip does not give torch {series}, which IMPACT_TORCH_SERIES names.")


def main() -> int:
    """Print the folder for the version that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("series", help="minor version of torch, as in 2.8")
    options = parser.parse_args()
    cache = cache_directory()
    try:
        with locked(cache):
            print(obtain(options.series, cache))
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
