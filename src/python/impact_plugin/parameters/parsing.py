"""Parameter maps read by the metric's own parser, in C++."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast

from impact_plugin import _core, _devices
from impact_plugin.parameters.defaults import DEFAULT_LEVELS
from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.level import Level
from impact_plugin.parameters.names import METRIC, impact_labels, own_names
from impact_plugin.parameters.network import Distance, Layer, Model, Network
from impact_plugin.parameters.values import as_integer

if TYPE_CHECKING:
    from impact_plugin.parameters.elastix_text import ElastixFile
    from impact_plugin.parameters.toml_text import TomlFile


@dataclass(frozen=True)
class Parsed:
    """What :class:`impact_plugin.parameters.Parameters` are made of."""

    levels: list[Level]
    elastix: dict[str, list[str]]
    image_dimension: int
    label: str


def parse(
    parameter_map: Mapping[str, Sequence[str]],
    image_dimension: int | None,
    label: str | None,
    file: ElastixFile | TomlFile | None = None,
) -> Parsed:
    """Read a map, see :meth:`impact_plugin.parameters.Parameters.from_parameter_map`.

    Args:
        parameter_map: As itk has it.
        image_dimension: None: what the map says, or 3.
        label: None: that of the map's only Impact metric.
        file: The file that the map comes from, for messages.

    Raises:
        ParameterError: The parser refuses it.
    """
    given = {name: list(values) for name, values in parameter_map.items()}
    source = file.source if file else ""

    def refuse(text: str, name: str, remedy: str = "") -> ParameterError:
        line = file.line_of(name) if file else None
        return ParameterError([Problem(text, line, name, remedy)], source)

    labels = impact_labels(given)
    if label is not None and label not in labels:
        raise refuse(f"there is no Impact metric {label}; there are {labels or 'none'}.", "Metric")
    if not labels:
        found = " ".join(f'"{metric}"' for metric in given.get("Metric", [])) or "missing"
        raise refuse(f"Metric: {found}.", "Metric", 'Expected (Metric "Impact").')
    if label is None and len(labels) > 1:
        text = "there are several Impact metrics."
        raise refuse(text, "Metric", f"Choose one by label: {labels}.")
    chosen = label or labels[0]
    try:
        levels = count_of(given, "NumberOfResolutions", DEFAULT_LEVELS)
        dimension = image_dimension or count_of(given, "FixedImageDimension", 3)
    except ParameterError as error:
        (wrong,) = error.problems
        text = f"{wrong.parameter}: {wrong.text}"
        raise refuse(text, wrong.parameter, wrong.remedy) from None
    if dimension not in (2, 3):
        text = f"FixedImageDimension: {dimension} is not allowed."
        raise refuse(text, "FixedImageDimension", "Allowed: 2 or 3.")
    settings, findings = _core.parse_settings(given, levels, dimension, chosen)
    problems = [
        Problem(
            f.front + f.text, file.line_of(f.parameter) if file else None, f.parameter, f.remedy
        )
        for f in findings
        if f.is_error
    ]
    problems.sort(key=lambda problem: problem.line or float("inf"))
    if problems:
        raise ParameterError(problems, source)
    own = set(own_names(given, chosen, alone=len(labels) == 1)) | {"NumberOfResolutions"}
    if given.get("Metric") == [METRIC]:
        own.add("Metric")
    own |= {
        name
        for name in ("FixedImageDimension", "MovingImageDimension")
        if given.get(name) == [str(dimension)]
    }
    try:
        resolution_levels = [_level(level) for level in settings]
    except ValueError as error:
        raise ParameterError([Problem(str(error))], source) from None
    return Parsed(
        resolution_levels,
        {name: values for name, values in given.items() if name not in own},
        dimension,
        chosen if len(labels) > 1 else "",
    )


def count_of(parameter_map: Mapping[str, Sequence[str]], name: str, default: int) -> int:
    """Read a number from 1 up; beyond a hundred it is a slip, and would only take time.

    Raises:
        ParameterError: It is none. The problem's text does not name the parameter.
    """
    value = (parameter_map.get(name) or [str(default)])[0]
    number = as_integer(value)
    if number is None or not 1 <= number <= 100:
        remedy = "Allowed: whole numbers from 1 to 100."
        raise ParameterError([Problem(f'"{value}" is not allowed.', None, name, remedy)])
    return number


def _level(settings: _core.LevelSettings) -> Level:
    layers = iter(settings.layers)
    models = []
    for fixed, moving in zip(settings.fixed_models, settings.moving_models, strict=True):
        network = _network(fixed)
        of_model = [_layer(next(layers)) for _ in network.selected_layers]
        models.append(
            Model(
                **{each.name: getattr(network, each.name) for each in fields(network)},
                layers=of_model,
                moving=_network(moving),
            )
        )
    return Level(
        models=models,
        mode=settings.mode,
        device=_devices.name_of(settings.gpu),
        mixed_precision=settings.use_mixed_precision,
        normalize_losses=settings.normalize_losses,
        mutual_information_weight=settings.mutual_information_weight,
        bending_energy_weight=settings.bending_energy_weight,
        bending_energy_limit=settings.bending_energy_limit,
        update_interval=settings.features_map_update_interval,
        feature_maps=settings.feature_maps_folder,
    )


def _network(settings: _core.ModelSettings) -> Network:
    return Network(
        path=settings.path,
        # The parser fills up with zeros for axes whose spacing is kept.
        voxel_size=[size for size in settings.voxel_size if size > 0],
        dimension=settings.dimension,
        channels=settings.number_of_channels,
        patch_size=settings.patch_size,
        layers_mask="".join("1" if selected else "0" for selected in settings.layers_mask),
        feature_normalization=settings.feature_normalization,
    )


def _layer(settings: _core.LayerSettings) -> Layer:
    return Layer(
        distance=cast("Distance", settings.distance),
        weight=settings.weight,
        pca=settings.pca,
        subset_features=settings.subset_features,
    )
