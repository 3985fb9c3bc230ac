"""Print, as CMake code, where this Python's torch, itk and pybind11 are and their versions.

Nothing is imported: importing itk takes seconds, and torch and itk are only linked against.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path


def directory(package: str) -> Path | str:
    """Return the directory of a package, or nothing where it is not installed."""
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))).resolve() if locations else ""


def version(distribution: str) -> str:
    """Return the version of an installed distribution without its local part, or nothing."""
    try:
        return importlib.metadata.version(distribution).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


for name, value in {
    "torch_dir": directory("torch"),
    "torch_version": version("torch"),
    "itk_dir": directory("itk"),
    "itk_elastix_version": version("itk-elastix"),
    "pybind11_dir": directory("pybind11"),
}.items():
    print(f'set(_impact_{name} "{value}")')
