"""The library of elastix in other versions of the itk-elastix wheel, kept in the build's cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from fetch_sources import cache_directory
from helpers import skips

LIBRARY = "itk/_ElastixPython.abi3.so"


def host_library(version: str) -> Path:
    """Give the path of that version's library; it is downloaded once, from where pip gets packages.

    Where pip cannot get it, as without a network, the test is skipped, or fails with
    IMPACT_REQUIRE_DOWNLOADS=1.
    """
    folder = cache_directory() / f"itk-elastix-{version}"
    library = folder / LIBRARY
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", temporary, f"itk-elastix=={version}"]
        # Constraints say what to test with: make's, in the environment, and those of pip's own
        # files, which an empty value would leave standing.
        environment = {**os.environ, "PIP_CONSTRAINT": os.devnull}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        wheels = list(Path(temporary).glob("*.whl"))
        if run.returncode != 0 or not wheels:
            reason = f"pip cannot download itk-elastix {version}: {run.stderr.strip()[-300:]}"
            skips.skip_or_fail("IMPACT_REQUIRE_DOWNLOADS", reason)
        with zipfile.ZipFile(wheels[0]) as wheel:
            unpacked = Path(wheel.extract(LIBRARY, temporary))
        library.parent.mkdir(exist_ok=True)
        unpacked.rename(library)
    return library
