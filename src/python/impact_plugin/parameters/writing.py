"""Levels written as a parameter map, in each of the dialects that the metric reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from impact_plugin import _devices
from impact_plugin._arguments import check_choice
from impact_plugin._errors import InputError
from impact_plugin.parameters.level import Level
from impact_plugin.parameters.names import Dialect, level_of
from impact_plugin.parameters.network import Layer, Network
from impact_plugin.parameters.values import format_number

# What the parser takes for the end of a path (src/cpp/impact/settings/parameter_reader.cpp).
_MODEL_ENDINGS = (".pt", ".pth", ".ts", ".jit")

Words = list[str]


def write_levels(
    levels: Sequence[Level], dialect: Dialect = "numbered", label: str = ""
) -> dict[str, list[str]]:
    """Write levels as parameters of the metric.

    Args:
        levels: Those of the registration, each with all of its patch sizes.
        dialect: How names and values are written.
        label: The metric's label, in front of each name: "Metric1" in a map of several metrics.

    Raises:
        ValueError: The dialect is unknown, or has no way to write a path or a voxel size.
    """
    check_choice("dialect", dialect, get_args(Dialect))
    result: dict[str, list[str]] = {}
    prefix = label + ("" if dialect == "plain" else "Impact")

    def per_level(name: str, values: Words, default: str | None = None) -> None:
        if default is None or set(values) != {default}:
            result[prefix + name] = values

    def lists(name: str, values: Sequence[Sequence[Words]]) -> None:
        if dialect == "numbered":
            for number, words in enumerate(values):
                result[f"{prefix}{name}{number}"] = [part for word in words for part in word]
        else:
            result[prefix + name] = [" ".join("*".join(word) for word in words) for words in values]

    def per_model(name: str, of: Callable[[Network], Words], default: Words | None = None) -> None:
        def side(place: int) -> list[list[Words]]:
            return [[of(model.networks[place]) for model in level.pairs] for level in levels]

        fixed, moving = side(0), side(1)
        if all(words == default for level in (*fixed, *moving) for words in level):
            return
        if fixed == moving:
            lists(name, fixed)
        else:
            lists("Fixed" + name, fixed)
            lists("Moving" + name, moving)

    def per_layer(name: str, of: Callable[[Layer], str]) -> None:
        lists(
            name,
            [
                [[of(layer)] for model in level.pairs for layer in model.selected]
                for level in levels
            ],
        )

    for level in levels:
        _check_voxel_sizes(level)
        if dialect != "numbered":
            for place in (0, 1):
                _check_paths([str(model.networks[place].path) for model in level.pairs])

    per_level("Mode", [level.mode for level in levels])
    per_level("GPU", [str(_devices.number_of(level.device)) for level in levels])
    per_level("UseMixedPrecision", [_boolean(level.mixed_precision) for level in levels], "false")
    # Other components divide where a map with several layers does not say: what we write, says.
    several = any(sum(len(model.selected) for model in level.pairs) > 1 for level in levels)
    per_level(
        "NormalizeLosses",
        [_boolean(level.normalize_losses) for level in levels],
        None if several else "false",
    )
    for name, numbers in {
        "MutualInformationWeight": [level.mutual_information_weight for level in levels],
        "BendingEnergyWeight": [level.bending_energy_weight for level in levels],
        "BendingEnergyLimit": [level.bending_energy_limit for level in levels],
    }.items():
        per_level(name, [format_number(number) for number in numbers], "0")
    per_level(
        "FeaturesMapUpdateInterval", [str(level.update_interval or -1) for level in levels], "-1"
    )
    per_level("WriteFeatureMaps", [str(level.feature_maps or "false") for level in levels], "false")
    per_model("ModelsPath", lambda network: [str(network.path)])
    per_model("Dimension", lambda network: [str(network.dimension)])
    per_model("NumberOfChannels", lambda network: [str(network.channels)])
    per_model("VoxelSize", _voxel_size)
    per_model("PatchSize", _patch_size)
    per_model("LayersMask", lambda network: [network.layers_mask])
    per_model("FeatureNormalization", lambda network: [network.feature_normalization], ["none"])
    per_layer("LayersWeight", lambda layer: format_number(layer.weight))
    per_layer("SubsetFeatures", lambda layer: str(layer.subset_features))
    per_layer("PCA", lambda layer: str(layer.pca))
    per_layer("Distance", lambda layer: layer.distance)
    if dialect == "numbered":  # level by level, as people write it
        levels_first = {name: -1 if (n := level_of(name)) is None else n for name in result}
        return {name: result[name] for name in sorted(result, key=levels_first.__getitem__)}
    return result


def _voxel_size(network: Network) -> Words:
    return [format_number(value) for value in network.voxel_sizes]


def _patch_size(network: Network) -> Words:
    if network.patch_voxels is None:
        message = (
            f"patch_size of {network.path!r} is not decided: see Parameters.with_patch_sizes()."
        )
        raise InputError(message)
    return [str(value) for value in network.patch_voxels]


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _check_voxel_sizes(level: Level) -> None:
    """The parser deals out as many numbers as models have axes, or as the images have."""
    for place in (0, 1):
        counts = [
            (len(_voxel_size(model.networks[place])), model.dimension)
            for model in level.pairs
            if model.dimension == 2
        ]
        if len({count for count, _ in counts}) > 1:
            message = (
                "some of a level's 2D models have a voxel_size of two numbers and others of three, "
                "which no parameter map can say. Give all as many."
            )
            raise InputError(message)


def _check_paths(paths: Sequence[str]) -> None:
    """In an entry of several paths, a space ends one only after the name of a model file."""

    def ends(text: str) -> bool:
        return text.endswith(_MODEL_ENDINGS) and text not in _MODEL_ENDINGS

    any_ends = any(ends(path) for path in paths)
    for i, path in enumerate(paths):
        words = path.split(" ")
        spaced = " " in path or "\t" in path
        whole = ends(path) if spaced or (any_ends and i + 1 < len(paths)) else True
        inside = any(ends(" ".join(words[:n])) for n in range(1, len(words)))
        if path.strip() != path or not whole or inside or "\t" in path:
            message = (
                f"path {path!r} cannot be written in this dialect, in which spaces separate paths "
                f'that end in {", ".join(_MODEL_ENDINGS)}. Use dialect "numbered", or rename '
                "the file."
            )
            raise InputError(message)
