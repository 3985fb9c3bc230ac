"""Print, as CMake code, where torch, itk and pybind11 are and their versions.

pip builds in an environment of its own, with the newest versions that fit. What is wanted is a
plugin for those where it will be installed: of this Python's own folder of packages, hidden as it
is, comes first what it has.

Nothing is imported: importing itk takes seconds, and torch and itk are only linked against.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def places(package: str) -> Iterator[Path]:
    """Give the folders of packages that may have one: where it will be installed, where it is."""
    for kind in ("platlib", "purelib"):
        if (Path(sysconfig.get_path(kind)) / package).is_dir():
            yield Path(sysconfig.get_path(kind)).resolve()
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        yield Path(location).resolve().parent


def located(package: str, distribution: str) -> tuple[Path | str, str]:
    """Return the directory of a package and its version without local part; nothing without it."""
    for place in places(package):
        for found in importlib.metadata.distributions(name=distribution, path=[str(place)]):
            return place / package, found.version.partition("+")[0]
    return "", ""


WANTED = {"torch": "torch", "itk": "itk-elastix", "pybind11": "pybind11"}

for package, distribution in WANTED.items():
    directory, version = located(package, distribution)
    print(f'set(_impact_{package}_dir "{directory}")')
    print(f'set(_impact_{distribution.replace("-", "_")}_version "{version}")')
