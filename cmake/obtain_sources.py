"""Provide the headers of elastix and ITK that the plugin compiles against.

Finds or fetches the sources of both (fetch_sources.py), and configures them with CMake, which
generates the headers that the sources lack. Nothing of either is ever built. What is fetched or
configured stays in the cache.

Needs the Python standard library only, and runs on Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from adapt_elastix import obtain_later
from fetch_sources import (
    ELASTIX,
    ITK,
    PROBE_SECONDS,
    SourceError,
    UnavailableError,
    announce,
    cache_directory,
    locked,
    obtain,
    run,
)

CONFIGURE_SECONDS = 1800

# The modules that elastix's own find_package(ITK ... COMPONENTS ...) asks for, and with
# ITKIOTransformInsightLegacy the one that makes its ITKTransformIO exist.
ITK_MODULES = (
    "ITKCommon",
    "ITKDisplacementField",
    "ITKDistanceMap",
    "ITKGDCM",
    "ITKIOImageBase",
    "ITKIOMeshBase",
    "ITKIOMeshOBJ",
    "ITKIOMeta",
    "ITKIOTransformBase",
    "ITKIOTransformInsightLegacy",
    "ITKIOXML",
    "ITKImageCompose",
    "ITKImageFunction",
    "ITKImageGradient",
    "ITKImageGrid",
    "ITKImageIntensity",
    "ITKImageStatistics",
    "ITKMathematicalMorphology",
    "ITKMesh",
    "ITKOptimizers",
    "ITKRegistrationCommon",
    "ITKSmoothing",
    "ITKSpatialObjects",
    "ITKStatistics",
    "ITKTestKernel",
    "ITKThresholding",
    "ITKTransform",
    "ITKTransformFactory",
)

# ITK_LEGACY_REMOVE changes virtual tables. The itk-elastix wheels have it, so we must.
ITK_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_TESTING=OFF",
    "-DBUILD_EXAMPLES=OFF",
    "-DITK_BUILD_DEFAULT_MODULES=OFF",
    "-DITK_FORBID_DOWNLOADS=ON",
    "-DITK_LEGACY_REMOVE=ON",
    *(f"-DModule_{module}=ON" for module in ITK_MODULES),
)
ELASTIX_OPTIONS = ("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF")


def configure(
    elastix: Path, itk: Path, cache: Path, cmake: str, cxx: str, extra: Sequence[str]
) -> Path:
    """Configure ITK and then elastix with CMake, unless the cache holds just that.

    Args:
        elastix: The sources of elastix.
        itk: The sources of ITK.
        cache: The cache directory, locked by the caller.
        cmake: The cmake command.
        cxx: The C++ compiler.
        extra: Arguments for both runs of CMake that change no header: generator, compilers.

    Returns:
        The directory whose subdirectories `itk` and `elastix` are the configured trees.

    Raises:
        SourceError: CMake or the compiler is missing, or CMake fails.
    """
    try:
        versions = [
            run([tool, "--version"], PROBE_SECONDS).partition("\n")[0] for tool in (cmake, cxx)
        ]
    except UnavailableError as reason:
        raise SourceError(f"cannot configure ITK and elastix: {reason}") from None
    identity = [*versions, str(elastix), str(itk), str(cache), *ITK_OPTIONS, *ELASTIX_OPTIONS]
    build = cache / f"configured-{hashlib.sha256(chr(0).join(identity).encode()).hexdigest()[:12]}"
    stamp = build / "complete"
    if stamp.exists():
        announce(f"configured headers from the cache: {build}")
        return build

    shutil.rmtree(build, ignore_errors=True)
    build.mkdir()
    steps = (
        ("itk", itk, ITK_OPTIONS),
        ("elastix", elastix, (*ELASTIX_OPTIONS, f"-DITK_DIR={build / 'itk'}")),
    )
    for name, source, options in steps:
        announce(f"configuring {name}, once, in {build}")
        log = build / f"{name}.log"
        command = [cmake, "-S", str(source), "-B", str(build / name), "-Wno-dev", *extra, *options]
        with log.open("w") as output:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=CONFIGURE_SECONDS,
                check=False,
            )
        if result.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise SourceError(f"cmake cannot configure {name} ({log}):\n{tail}")
    stamp.touch()
    return build


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument(
        "--cmake-output",
        type=Path,
        metavar="FILE",
        help="configure; write the directories for CMake",
    )
    task.add_argument(
        "--print-data", action="store_true", help="print the directory of elastix's test data"
    )
    for source in (ELASTIX, ITK):
        parser.add_argument(
            f"--{source.name.lower()}-source",
            default="",
            metavar="DIR",
            help=f"sources of {source.name} {source.version} (default: ${source.variable})",
        )
    parser.add_argument(
        "--elastix-commit",
        default=ELASTIX.commit,
        metavar="COMMIT",
        help=f"the commit of elastix, one of those in versions.json (default: {ELASTIX.version}'s)",
    )
    parser.add_argument("--cmake", default="cmake", help="the cmake command")
    parser.add_argument("--cxx", default=os.environ.get("CXX", "c++"), help="the C++ compiler")
    parser.add_argument(
        "extra", nargs="*", metavar="CMAKE_ARGUMENT", help="after --: what CMake is told besides"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks; on failure exit with the reason on standard error."""
    options = parse_arguments(arguments)
    cache = cache_directory()
    given_elastix = options.elastix_source or os.environ.get(ELASTIX.variable, "")
    given_itk = options.itk_source or os.environ.get(ITK.variable, "")
    try:
        if options.print_data:
            with contextlib.redirect_stdout(sys.stderr), locked(cache):
                elastix = obtain(ELASTIX, given_elastix, cache)
            print(elastix / "Testing")
            return
        with locked(cache):
            if options.elastix_commit == ELASTIX.commit:
                elastix = obtain(ELASTIX, given_elastix, cache)
            else:
                elastix = obtain_later(options.elastix_commit, given_elastix, cache)
            itk = obtain(ITK, given_itk, cache)
            build = configure(elastix, itk, cache, options.cmake, options.cxx, options.extra)
    except SourceError as error:
        sys.exit(f"impact: {error}")
    variables = {
        "IMPACT_ELASTIX_SOURCE_DIR": elastix,
        "IMPACT_ITK_SOURCE_DIR": itk,
        "IMPACT_ELASTIX_BINARY_DIR": build / "elastix",
        "IMPACT_ITK_BINARY_DIR": build / "itk",
    }
    options.cmake_output.parent.mkdir(parents=True, exist_ok=True)
    options.cmake_output.write_text(
        "".join(f'set({name} "{path}")\n' for name, path in variables.items())
    )


if __name__ == "__main__":
    main()
