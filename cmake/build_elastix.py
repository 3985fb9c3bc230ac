"""Build a stand-alone elastix 5.3.1 with the metric, from the sources that the headers come from.

ITK and then elastix, in the directory given, which may be used again. The metric joins elastix as
a user component (`src/cpp/elastix/CMakeLists.txt`): as a library of its own, which the executable
opens when a parameter map asks for it (`--component plugin`), as a part of the executable
(`--component builtin`), or not at all (`--component none`).

Hours on two cores with all of elastix's components, half an hour with those that are built without
`--all-components`, which common parameter maps need. Not a part of the package's own build, which
takes both from the itk-elastix wheel.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fetch_sources import ELASTIX, ITK, SourceError, announce, cache_directory, locked, obtain
from obtain_sources import ITK_OPTIONS

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDED = frozenset(
    {
        "AdaptiveStochasticGradientDescent",
        "AdvancedAffineTransformElastix",
        "AdvancedBSplineTransform",
        "AdvancedMattesMutualInformationMetric",
        "AdvancedMeanSquaresMetric",
        "BSplineInterpolator",
        "BSplineResampleInterpolator",
        "DefaultResampler",
        "EulerTransformElastix",
        "FixedSmoothingPyramid",
        "LinearInterpolator",
        "LinearResampleInterpolator",
        "MovingSmoothingPyramid",
        "MultiMetricMultiResolutionRegistration",
        "MultiResolutionRegistration",
        "RandomCoordinateSampler",
        "RecursiveBSplineTransform",
        "StandardGradientDescent",
        "TranslationTransformElastix",
    }
)
"""What is built without `--all-components`, by the names of elastix's options USE_<name>."""


def components(source: Path) -> set[str]:
    """Name the components that elastix would build by itself."""
    names = set()
    for file in source.glob("Components/*/*/CMakeLists.txt"):
        for line in file.read_text().splitlines():
            words = line.replace("(", " ").split("#")[0].split()
            if words[:1] == ["ADD_ELXCOMPONENT"] and words[2:3] != ["OFF"]:
                names.add(words[1])
    return names


def elastix_options(arguments: argparse.Namespace, source: Path, itk: Path) -> list[str]:
    """Say what CMake is told about elastix."""
    unneeded = set() if arguments.all_components else components(source) - NEEDED
    return [
        f"-DITK_DIR={itk}",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        # What the plugin shares with the executable it finds there: the log, ITK's factories.
        "-DCMAKE_ENABLE_EXPORTS=ON",
        # elastix's own Impact component, which would go by the same name.
        "-DUSE_ImpactMetric=OFF",
        *(f"-DUSE_{name}=OFF" for name in sorted(unneeded)),
        *component_options(arguments.component),
    ]


def component_options(component: str) -> list[str]:
    """Say what CMake is told about the metric."""
    return [
        f"-DELASTIX_USER_COMPONENT_DIRS={REPOSITORY / 'src/cpp/elastix'}",
        f"-DUSE_ImpactPluginMetric={'OFF' if component == 'none' else 'ON'}",
        f"-DIMPACT_COMPONENT={'builtin' if component == 'builtin' else 'plugin'}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path, metavar="DIR", help="where to build")
    parser.add_argument("--component", choices=("plugin", "builtin", "none"), default="plugin")
    parser.add_argument(
        "--all-components", action="store_true", help="all that elastix builds by default"
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="compilers side by side")
    parser.add_argument(
        "extra", nargs="*", metavar="CMAKE_ARGUMENT", help="after --: what CMake is told besides"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks; exit with the reason on standard error if it cannot."""
    options = parse_arguments(arguments)
    cache = cache_directory()
    build = options.build.resolve()
    jobs = ["--parallel", str(options.jobs)] if options.jobs else ["--parallel"]
    try:
        with locked(cache):
            elastix = obtain(ELASTIX, "", cache)
            itk = obtain(ITK, "", cache)
    except SourceError as error:
        sys.exit(f"impact: {error}")
    steps = (
        ("itk", itk, list(ITK_OPTIONS), ()),
        (
            "elastix",
            elastix,
            elastix_options(options, elastix, build / "itk"),
            ("elastix_exe", "transformix_exe"),
        ),
    )
    for name, source, cmake, targets in steps:
        place = build / name
        announce(f"{name}: configuring and building in {place}")
        if name == "elastix" and options.component == "plugin":
            targets = (*targets, "ImpactPluginMetric")
        for command in (
            ["cmake", "-S", source, "-B", place, "-G", "Ninja", "-Wno-dev", *options.extra, *cmake],
            ["cmake", "--build", place, *jobs, *(("--target", *targets) if targets else ())],
        ):
            if subprocess.run(command, check=False).returncode != 0:
                sys.exit(f"impact: {name} cannot be built; the reason stands above")
    announce(f"elastix and transformix are in {build / 'elastix/bin'}")


if __name__ == "__main__":
    main()
