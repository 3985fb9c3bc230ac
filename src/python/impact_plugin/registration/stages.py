"""The parameter maps that one registration runs, one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from impact_plugin import _devices
from impact_plugin._arguments import Iterations
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.elastix import components
from impact_plugin.models import resolve
from impact_plugin.parameters import map_files
from impact_plugin.parameters.names import has_impact, is_named
from impact_plugin.parameters.values import (
    ParameterMap,
    as_integer,
    as_map,
    is_parameter_object,
    maps_of,
)
from impact_plugin.registration import outputs, presets
from impact_plugin.registration.fitting import Fit

ParameterMaps: TypeAlias = Any
"""A dict, a path, an itk.ParameterObject, anything with to_parameter_map(), or several of them."""

Models: TypeAlias = Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]


@dataclass(frozen=True)
class Stage:
    """One parameter map and its name."""

    name: str
    parameters: ParameterMap

    @property
    def has_impact(self) -> bool:
        """Whether IMPACT is (one of) its metrics."""
        return has_impact(self.parameters)

    @property
    def levels(self) -> int:
        """How many resolution levels it has; elastix's default is 3.

        Raises:
            ValueError: Its NumberOfResolutions is no whole number of at least 1.
        """
        said = self.parameters.get("NumberOfResolutions") or ["3"]
        found = as_integer(said[0])
        if found is None or found < 1:
            message = (
                f"the map {self.name!r} has (NumberOfResolutions {said[0]}), expected a whole "
                "number of at least 1"
            )
            raise InputError(message)
        return found

    @property
    def schedules(self) -> list[str]:
        """Its parameters that say how much smaller and smoother the images are at each level."""
        return [name for name in self.parameters if re.search(r"Pyramid\w*Schedule$", name)]

    @property
    def is_laid_by_elastix(self) -> bool:
        """Whether elastix begins by putting the images on each other."""
        return self.parameters.get("AutomaticTransformInitialization") == ["true"]


def make_stages(
    preset: str | Sequence[str] | None,
    parameter_maps: ParameterMaps,
    models: Models | None,
    dimension: int,
    links: Path,
    fit: Fit | None = None,
) -> list[Stage]:
    """Collect the maps and the files of their models.

    Args:
        preset: Names of presets.
        parameter_maps: Maps of the caller's own.
        models: Where model files lie.
        dimension: Dimension of the images.
        links: Folder for links to model files, which are to be there as long as elastix runs.
        fit: How presets are fitted to the images.

    Raises:
        ValueError: Both are given; a preset does not exist; a map is wrong, empty or for images of
            another dimension; no map names one of the models.
        OSError: A map or a model cannot be read.
        TypeError: A map is of none of the known kinds.
    """
    if preset is not None and parameter_maps is not None:
        message = (
            "preset and parameter_maps exclude each other: give one of them. (A preset's map, to "
            f"change and pass as parameter_maps: impact_plugin.preset_map({_first(preset)!r}))"
        )
        raise InputError(message)
    if parameter_maps is None:
        names = [preset] if isinstance(preset, str) else list(preset or presets.DEFAULT)
        stages = [Stage(name, presets.load(name, dimension, fit)) for name in names]
    else:
        stages = _own(parameter_maps)
    if not stages:
        message = "parameter_maps is empty, expected at least one parameter map"
        raise InputError(message)
    resolve.check(models, [stage.parameters for stage in stages])
    folder = models if isinstance(models, Mapping) or models is None else expanded(models)
    found = []
    for stage in stages:
        if not stage.parameters:
            message = f"the map {stage.name!r} is empty, expected elastix's parameters"
            raise InputError(message)
        components.check_names(stage.parameters, f"the map {stage.name!r}")
        if stage.has_impact:
            components.check_fit(stage.parameters, f"the map {stage.name!r}")
        outputs.check(stage.parameters, f"the map {stage.name!r}", dimension)
        _check_dimension(stage, dimension)
        parameters = resolve.resolve(stage.parameters, folder, f"the map {stage.name!r}", links)
        found.append(Stage(stage.name, parameters))
    return found


def with_changes(stage: Stage, changes: ParameterMap, device: str | None) -> Stage:
    """Give a stage with other values of some parameters, and with another device.

    Args:
        stage: The stage.
        changes: The values.
        device: Where its networks run; None: as the map says.
    """
    parameters = stage.parameters | changes
    if device is not None and stage.has_impact:
        number = str(_devices.number_of(device))
        said = [name for name in parameters if is_named(name, "GPU")]
        parameters |= {name: [number] for name in said or ["ImpactGPU"]}
    return Stage(stage.name, parameters)


def iterations_of(chosen: Sequence[Stage], iterations: Iterations | None) -> list[ParameterMap]:
    """Give the parameter of each stage that says how many iterations its levels have.

    Args:
        chosen: The stages.
        iterations: Iterations of every level; or a list with one number for each level, stage
            after stage; None: as the maps say.

    Raises:
        ValueError: The list does not have as many numbers as the stages have levels.
    """
    if iterations is None:
        return [{} for _ in chosen]
    if isinstance(iterations, int):
        return [{"MaximumNumberOfIterations": [str(iterations)]} for _ in chosen]
    levels = [stage.levels for stage in chosen]
    if len(iterations) != sum(levels):
        each = ", ".join(f"{n} of {s.name!r}" for s, n in zip(chosen, levels, strict=True))
        message = (
            f"iterations is {list(iterations)}, of {len(iterations)} numbers, expected one number "
            f"for all levels, or {sum(levels)}, one for each level: {each}"
        )
        raise InputError(message)
    left = iter(iterations)
    return [
        {"MaximumNumberOfIterations": [str(next(left)) for _ in range(number)]} for number in levels
    ]


def _own(parameter_maps: ParameterMaps) -> list[Stage]:
    """Read the caller's maps; each is named by its file or its number."""
    if isinstance(parameter_maps, Stage):
        return [parameter_maps]
    if isinstance(parameter_maps, str | os.PathLike):
        path = expanded(parameter_maps, "parameter_maps")
        if not path.is_file():
            message = f"parameter_maps: there is no file {str(path)!r} (in {Path.cwd()})"
            raise MissingFileError(message)
        return [Stage(path.stem, map_files.read(path))]
    if isinstance(parameter_maps, Mapping):
        return [Stage("map 0", as_map(parameter_maps, "parameter_maps"))]
    if hasattr(parameter_maps, "to_parameter_map"):
        return [Stage("map 0", as_map(parameter_maps.to_parameter_map()))]
    if is_parameter_object(parameter_maps):
        parameter_maps = maps_of(parameter_maps)
    if not isinstance(parameter_maps, list | tuple):
        message = (
            f"parameter_maps is a {type(parameter_maps).__qualname__}, expected a dict, a path, an "
            "itk.ParameterObject, or a list of them"
        )
        raise TypeError(message)
    stages = [stage for each in parameter_maps for stage in _own(each)]
    return [
        Stage(f"map {number}", stage.parameters) if stage.name == "map 0" else stage
        for number, stage in enumerate(stages)
    ]


def _check_dimension(stage: Stage, dimension: int) -> None:
    for name in ("FixedImageDimension", "MovingImageDimension"):
        said = stage.parameters.get(name, [str(dimension)])
        if [as_integer(each) for each in said] != [dimension]:
            message = (
                f"the map {stage.name!r} has ({name} {' '.join(said)}), and the images have "
                f"{dimension} dimensions"
            )
            raise InputError(message)


def _first(preset: str | Sequence[str]) -> str:
    return preset if isinstance(preset, str) else next(iter(preset), presets.DEFAULT[0])
