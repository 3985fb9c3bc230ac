"""The IMPACT registration metric for the stock ``itk-elastix``.

Installing this package is enough: a parameter map that says ``(Metric "Impact")`` then runs in any
program that uses the stock ``itk`` module, with no import of this package. What is here is the
rest:

- :func:`register_images`, a registration in one call, and what it takes and gives;
- :func:`find_start`, where the fixed image is in the moving one, from anywhere;
- :func:`apply_transform`, a transform of elastix, ITK or a registration on images or points;
- :func:`register_cohort`, many pairs on one machine or a cluster;
- :func:`rerun`, which does one again out of its record and compares the results to the bit;
- :func:`load_plugin`, for the installations in which elastix cannot find the plugin by itself;
- :mod:`impact_plugin.parameters`, parameter maps as typed objects, read and written in any dialect;
- :mod:`impact_plugin.check`, which finds what is wrong or doubtful about a map beforehand;
- :mod:`impact_plugin.evaluation`, figures that say how good a registration is;
- :mod:`impact_plugin.models`: feature extractors, to make, inspect, export and download;
- :mod:`impact_plugin.command_line`, the programs ``impact-elastix`` and ``impact-transformix``;
- :func:`write_report`, a registration as a page, :func:`write_cohort_report`, a cohort, and
  :func:`view_features`, what networks see;
- :mod:`impact_plugin.datasets`, images to try things with, fetched where they are not here;
- :mod:`impact_plugin.demo`, a registration of real CT images.

Importing the package loads neither torch nor itk. Submodules are loaded at their first use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from impact_plugin import _versions
from impact_plugin._deprecated import warn_of_old_name
from impact_plugin._plugin import load_plugin

if TYPE_CHECKING:
    from impact_plugin import (
        check,
        cohort,
        command_line,
        datasets,
        demo,
        evaluation,
        models,
        parameters,
        records,
        types,
    )
    from impact_plugin._errors import (
        FileError,
        ImpactError,
        InputError,
        MissingFileError,
        MissingLibraryError,
    )
    from impact_plugin._io import PathNameError
    from impact_plugin._kept import OverwrittenInputError
    from impact_plugin._versions import VersionMismatchError
    from impact_plugin.check.images import ImageError
    from impact_plugin.cohort.api import CohortResult, register_cohort
    from impact_plugin.cohort.errors import CohortError, PairsError
    from impact_plugin.cohort.report import write_cohort_report
    from impact_plugin.datasets import DatasetError
    from impact_plugin.elastix.errors import RegistrationError
    from impact_plugin.elastix.history import History
    from impact_plugin.elastix.log import Iteration
    from impact_plugin.evaluation.errors import OutsideError
    from impact_plugin.images.array import ImageArray
    from impact_plugin.images.colour import ColourWarning
    from impact_plugin.images.integrity import DamagedImageError
    from impact_plugin.images.nifti_frames import FrameWarning
    from impact_plugin.models.archive import ModelFileError
    from impact_plugin.models.catalogue import UnknownModelError
    from impact_plugin.models.downloading import DownloadError
    from impact_plugin.models.errors import ExportError
    from impact_plugin.models.resolve import MissingModelError
    from impact_plugin.models.trial_process import ModelRefusedError, ModelStoppedError
    from impact_plugin.parameters.errors import ParameterError
    from impact_plugin.registration.api import preset_map, preset_names, register_images
    from impact_plugin.registration.applying import apply_transform
    from impact_plugin.registration.follower import StopRegistration
    from impact_plugin.registration.records.comparing import RecordMismatchError
    from impact_plugin.registration.reporting import write_report
    from impact_plugin.registration.rerun import RecordWarning, Rerun, rerun
    from impact_plugin.registration.result import RegistrationResult
    from impact_plugin.registration.starting import Start, find_start
    from impact_plugin.report.features import view_features
    from impact_plugin.search.process import SearchError
    from impact_plugin.transforms.fixed_grid import MissingGridError
    from impact_plugin.transforms.from_elastix import UnsupportedTransformError
    from impact_plugin.transforms.inverse import InverseWarning

__all__ = [
    "CohortError",
    "CohortResult",
    "ColourWarning",
    "DamagedImageError",
    "DatasetError",
    "DownloadError",
    "ExportError",
    "FileError",
    "FrameWarning",
    "History",
    "ImageArray",
    "ImageError",
    "ImpactError",
    "InputError",
    "InverseWarning",
    "Iteration",
    "MissingFileError",
    "MissingGridError",
    "MissingLibraryError",
    "MissingModelError",
    "ModelFileError",
    "ModelRefusedError",
    "ModelStoppedError",
    "OutsideError",
    "OverwrittenInputError",
    "PairsError",
    "ParameterError",
    "PathNameError",
    "RecordMismatchError",
    "RecordWarning",
    "RegistrationError",
    "RegistrationResult",
    "Rerun",
    "SearchError",
    "Start",
    "StopRegistration",
    "UnknownModelError",
    "UnsupportedTransformError",
    "VersionMismatchError",
    "__version__",
    "apply_transform",
    "check",
    "cohort",
    "command_line",
    "datasets",
    "demo",
    "evaluation",
    "find_start",
    "load_plugin",
    "models",
    "parameters",
    "preset_map",
    "preset_names",
    "records",
    "register_cohort",
    "register_images",
    "rerun",
    "types",
    "view_features",
    "write_cohort_report",
    "write_report",
]

_SUBMODULES = (
    *("_core", "_networks", "check", "cohort", "command_line", "datasets", "demo", "evaluation"),
    *("models", "parameters", "records", "types"),
)
_HOMES = {
    "CohortError": "cohort.errors",
    "CohortResult": "cohort.api",
    "ColourWarning": "images.colour",
    "DamagedImageError": "images.integrity",
    "DatasetError": "datasets",
    "DownloadError": "models.downloading",
    "ExportError": "models.errors",
    "FileError": "_errors",
    "FrameWarning": "images.nifti_frames",
    "History": "elastix.history",
    "ImageArray": "images.array",
    "ImageError": "check.images",
    "ImpactError": "_errors",
    "InputError": "_errors",
    "InverseWarning": "transforms.inverse",
    "Iteration": "elastix.log",
    "MissingFileError": "_errors",
    "MissingGridError": "transforms.fixed_grid",
    "MissingLibraryError": "_errors",
    "MissingModelError": "models.resolve",
    "ModelFileError": "models.archive",
    "ModelRefusedError": "models.trial_process",
    "ModelStoppedError": "models.trial_process",
    "OutsideError": "evaluation.errors",
    "OverwrittenInputError": "_kept",
    "PairsError": "cohort.errors",
    "ParameterError": "parameters.errors",
    "PathNameError": "_io",
    "RecordMismatchError": "registration.records.comparing",
    "RecordWarning": "registration.rerun",
    "RegistrationError": "elastix.errors",
    "RegistrationResult": "registration.result",
    "Rerun": "registration.rerun",
    "SearchError": "search.process",
    "Start": "registration.starting",
    "StopRegistration": "registration.follower",
    "UnknownModelError": "models.catalogue",
    "UnsupportedTransformError": "transforms.from_elastix",
    "VersionMismatchError": "_versions",
    "apply_transform": "registration.applying",
    "find_start": "registration.starting",
    "preset_map": "registration.api",
    "preset_names": "registration.api",
    "register_cohort": "cohort.api",
    "register_images": "registration.api",
    "rerun": "registration.rerun",
    "view_features": "report.features",
    "write_cohort_report": "cohort.report",
    "write_report": "registration.reporting",
}
"""In which module each name is defined that is not imported before its first use."""
_RENAMED = {"Cohort": "CohortResult", "register": "load_plugin"}
"""Names of the last release, which work with a warning."""

try:
    __version__ = importlib.metadata.version("impact-plugin")
except importlib.metadata.PackageNotFoundError:  # a source tree on PYTHONPATH, not installed
    __version__ = "0+uninstalled"


# Compiled modules that link elastix are in a folder of that elastix: found as if they lay here.
if _folder := _versions.host_folder():
    __path__.append(str(_folder))


def __getattr__(name: str) -> Any:  # noqa: ANN401  (a module, or AttributeError)
    if name in _SUBMODULES:
        return importlib.import_module(f"impact_plugin.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"impact_plugin.{_HOMES[name]}"), name)
    if name in _RENAMED:
        warn_of_old_name(f"impact_plugin.{name}", f"impact_plugin.{_RENAMED[name]}")
        return getattr(importlib.import_module("impact_plugin"), _RENAMED[name])
    message = f"module 'impact_plugin' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_HOMES})
