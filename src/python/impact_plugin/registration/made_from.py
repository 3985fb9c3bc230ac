"""What a registration that is there consists of, and what it was made from: not to be lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from impact_plugin import _kept
from impact_plugin._io import expanded
from impact_plugin.folders import LOG, RECORD, elastix_log, summary
from impact_plugin.folders.data import RegistrationData
from impact_plugin.transforms import initial

_OWN = (*_kept.OF_RESULTS, "result.*", "inputs/*.mha", "*_warped.mha")


def files_read(
    images: Mapping[str, object],
    initial_transform: object = None,
    parameter_maps: object = None,
    models: object = None,
) -> Iterator[_kept.Input]:
    """Give the files among the arguments of a registration, with the names of the arguments.

    What is wrong with them is found where they are read.
    """
    for name, image in images.items():
        if isinstance(image, str | os.PathLike):
            yield name, image
    if isinstance(initial_transform, str | os.PathLike):
        with suppress(OSError, ValueError, RuntimeError):
            files = initial.files_of(Path(initial_transform).expanduser())
            yield from (("initial_transform", each) for each in files)
    maps = parameter_maps if isinstance(parameter_maps, list | tuple) else [parameter_maps]
    yield from (("parameter_maps", each) for each in maps if isinstance(each, str | os.PathLike))
    if isinstance(models, Mapping):
        yield from (("models", path) for path in models.values())


def files_of(registration: object) -> Iterator[_kept.Input]:
    """Give the files of a registration, and those that these name, with what messages call them.

    Args:
        registration: A result, its folder, elastix's, or a transform file; of others there are
            none. What is wrong with it is found where it is read.
    """
    if isinstance(registration, RegistrationData):
        for which, image in zip(("fixed", "moving"), registration.inputs or (), strict=False):
            if isinstance(image, str | os.PathLike):
                yield f"the {which} image of the registration", image
        registration = registration.output_directory
    if not isinstance(registration, str | os.PathLike):
        return
    path = expanded(registration).absolute()
    if not path.is_dir():
        with suppress(OSError, ValueError, RuntimeError):
            yield from (("the registration", each) for each in initial.files_of(path))
        return
    for own in _kept.matching(path, _OWN):
        yield "a file of the registration", own
        if own.name.startswith("TransformParameters.") and own.suffix == ".txt":
            with suppress(OSError, ValueError, RuntimeError):
                yield from (("a transform of the registration", e) for e in initial.files_of(own))
    for name in (summary.NAME, RECORD):
        with suppress(OSError, ValueError, RecursionError):
            for named in _paths(json.loads((path / name).read_text(encoding="utf-8"))):
                yield f"a file that the registration was made from ({name} names it)", named
    with suppress(OSError):
        facts = elastix_log.read(path / LOG)
        for which, image in (("fixed", facts.fixed), ("moving", facts.moving)):
            if image:
                yield f"the {which} image of the registration", image


def _paths(found: Any) -> Iterator[str]:  # noqa: ANN401  (whatever JSON has)
    """Give the absolute paths anywhere in what a file of JSON has."""
    if isinstance(found, str) and Path(found).is_absolute():
        yield found
    elif isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from _paths(each)
