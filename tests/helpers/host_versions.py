"""The library of elastix in other versions of the itk-elastix wheel, kept in the build's cache."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from fetch_sources import cache_directory

LIBRARY = "itk/_ElastixPython.abi3.so"


def host_library(version: str) -> Path:
    """Give the path of that version's library; it is downloaded once.

    A test is skipped where pip cannot get it, as without a network.
    """
    folder = cache_directory() / f"itk-elastix-{version}"
    library = folder / LIBRARY
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", temporary, f"itk-elastix=={version}"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if run.returncode != 0 or not wheels:
            pytest.skip(f"pip cannot download itk-elastix {version}: {run.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            unpacked = Path(wheel.extract(LIBRARY, temporary))
        library.parent.mkdir(exist_ok=True)
        unpacked.rename(library)
    return library
