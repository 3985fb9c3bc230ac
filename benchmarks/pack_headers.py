"""Packs the headers of elastix and ITK that a build has read, for a machine that cannot fetch them.

    python benchmarks/pack_headers.py BUILD_FOLDER OUTPUT_FOLDER

A build reads a small part of the two projects' files. Which ones, ninja knows: it keeps what the
compiler said that each object depends on. They are written into OUTPUT_FOLDER with a file
impact_host.cmake: there, CMake is given -DIMPACT_HEADERS_DIR=OUTPUT_FOLDER.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

MADE_BY_CMAKE = "impact_host.cmake"


def files_read(build: Path, ninja: str) -> set[Path]:
    """The files that the objects of a build depend on, absolute."""
    listing = subprocess.run(
        [ninja, "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(r"(?m)^ +(\S.*)$", listing)
    return {Path(os.path.normpath(build / name)) for name in names}


def settings_of(build: Path) -> dict[str, list[str]]:
    """The lists that an impact_host.cmake sets, by name.

    Args:
        build: The folder with that file: of a host, in the build folder.

    Raises:
        FileNotFoundError: The build has been configured from packed headers, or not at all.
    """
    text = (build / MADE_BY_CMAKE).read_text()
    return {name: value.split(";") for name, value in re.findall(r'set\((\w+) "(.*)"\)', text)}


def pack(build: Path, output: Path, ninja: str, host: str) -> int:
    """Pack what a build has read.

    Args:
        build: The build folder, with all built.
        output: The folder to write; what it held is deleted.
        ninja: The program.
        host: The folder of one elastix that was built for, such as elastix-0.25.2.

    Returns:
        The number of files.

    Raises:
        ValueError: The build has read none of its headers.
    """
    settings = settings_of(build / host)
    folders = [Path(folder) for folder in settings["_impact_include_dirs"]]
    elastix = Path(settings["IMPACT_ELASTIX_SOURCE_DIR"][0])
    root = Path(os.path.commonpath([*folders, elastix]))
    files = sorted(file for file in files_read(build, ninja) if file.is_relative_to(root))
    if not files:
        message = f"{build} has read no file below {root}: build it first"
        raise ValueError(message)
    shutil.rmtree(output, ignore_errors=True)
    for file in files:
        target = output / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)

    def packed(folder: Path) -> str:
        return f"${{CMAKE_CURRENT_LIST_DIR}}/{folder.relative_to(root)}"

    wanted = [folder for folder in folders if (output / folder.relative_to(root)).exists()]
    lines = {
        "_impact_flags": settings["_impact_flags"],
        "_impact_include_dirs": list(map(packed, wanted)),
        "IMPACT_ELASTIX_SOURCE_DIR": [packed(elastix)],
    }
    text = "".join(f'set({name} "{";".join(values)}")\n' for name, values in lines.items())
    (output / MADE_BY_CMAKE).write_text(text)
    return len(files)


def main() -> None:
    """Pack, and say how much."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("build", type=Path, help="the build folder, e.g. build/cp311-...")
    parser.add_argument("output", type=Path, help="the folder to write")
    parser.add_argument("--ninja", default="ninja")
    parser.add_argument("--host", default="elastix-0.25.2", help="an elastix that was built for")
    options = parser.parse_args()
    count = pack(options.build.resolve(), options.output, options.ninja, options.host)
    size = sum(file.stat().st_size for file in options.output.rglob("*") if file.is_file())
    print(f"packed {count} files, {size / 2**20:.1f} MiB, into {options.output}")


if __name__ == "__main__":
    main()
