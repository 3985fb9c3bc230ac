"""Provide the library of elastix out of the wheels of other versions of itk-elastix.

What is built for several versions links each one's own. The wheels come from where pip gets
packages; they are unpacked into the cache, not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from fetch_sources import SourceError, cache_directory, locked

LIBRARY = "itk/_ElastixPython.abi3.so"


def host_library(version: str) -> Path:
    """Give the path of a version's library; it is downloaded once.

    Raises:
        SourceError: pip cannot download that version; the message has pip's reason.
    """
    folder = cache_directory() / f"itk-elastix-{version}"
    return (folder if (folder / LIBRARY).exists() else host_wheel(version)) / LIBRARY


def host_wheel(version: str) -> Path:
    """Give the folder of all that is in a version's wheel, unpacked; it is downloaded once.

    Raises:
        SourceError: pip cannot download that version; the message has pip's reason.
    """
    return unpacked_wheel("itk-elastix", version)


def unpacked_wheel(package: str, version: str) -> Path:
    """Give the folder of all that is in a package's wheel, and nothing that it depends on.

    It is downloaded once.

    Raises:
        SourceError: pip cannot download that version; the message has pip's reason.
    """
    cache = cache_directory()
    folder = cache / f"{package}-{version}"
    if any(folder.glob("*.dist-info")):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache) as temporary:
        # -I: an isolated build hides pip from its own Python by PYTHONPATH.
        command = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", temporary, f"{package}=={version}"]
        # Constraints say what to build and test with: make's, in the environment, and those of
        # pip's own files, which an empty value would leave standing.
        environment = {**os.environ, "PIP_CONSTRAINT": os.devnull}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        wheels = list(Path(temporary).glob("*.whl"))
        if run.returncode != 0 or not wheels:
            reason = (run.stderr or run.stdout).strip()[-300:]
            raise SourceError(f"pip cannot download {package} {version}: {reason}")
        unpacked = Path(temporary) / "unpacked"
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(unpacked)
        # What an older build has left there, the library alone, may be in use: it goes last.
        if folder.exists():
            folder.rename(Path(temporary) / "older")
        unpacked.rename(folder)
    return folder


def main() -> None:
    """Print the folder of a version's library; on failure exit with the reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version", help="of itk-elastix, such as 0.25.4")
    version: str = parser.parse_args().version
    try:
        with contextlib.redirect_stdout(sys.stderr), locked(cache_directory()):
            library = host_library(version)
    except SourceError as error:
        sys.exit(f"impact: {error}")
    print(library.parent)


if __name__ == "__main__":
    main()
