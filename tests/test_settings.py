"""Reading parameter maps in every dialect, and what wrong ones are told."""

from __future__ import annotations

from typing import Any

import pytest

from impact_plugin import _core

Map = dict[str, list[str]]


def parse(parameter_map: Map, levels: int = 2, dimension: int = 3, label: str = "") -> list[Any]:
    result, findings = _core.parse_settings(parameter_map, levels, dimension, label)
    assert [f.message for f in findings if f.is_error] == []
    return list(result)


def errors(parameter_map: Map, levels: int = 1, dimension: int = 3) -> list[str]:
    _, findings = _core.parse_settings(parameter_map, levels, dimension)
    return [f.message for f in findings if f.is_error]


def summary(levels: list[Any]) -> list[str]:
    return [level.describe() for level in levels]


NUMBERED: Map = {  # elastix 5.3.1
    "ImpactModelsPath0": ["a.pt", "b.pt"],
    "ImpactDimension0": ["3", "2"],
    "ImpactNumberOfChannels0": ["1", "3"],
    "ImpactPatchSize0": ["5", "5", "5", "7", "9"],
    "ImpactVoxelSize0": ["6", "6", "6", "3", "3", "2"],
    "ImpactLayersMask0": ["011", "1"],
    "ImpactSubsetFeatures0": ["64", "32", "16"],
    "ImpactLayersWeight0": ["1", "0.5", "2"],
    "ImpactDistance0": ["L1", "L2", "Cosine"],
    "ImpactModelsPath1": ["a.pt"],
    "ImpactDimension1": ["3"],
    "ImpactNumberOfChannels1": ["1"],
    "ImpactPatchSize1": ["0", "0", "0"],
    "ImpactVoxelSize1": ["1.5", "1.5", "1"],
    "ImpactLayersMask1": ["1"],
    "ImpactSubsetFeatures1": ["8"],
    "ImpactLayersWeight1": ["1"],
    "ImpactDistance1": ["L2"],
    "ImpactMode": ["Jacobian", "Static"],
    "ImpactGPU": ["-1", "-1"],
}

PER_LEVEL: Map = {
    "ModelsPath": ["a.pt b.pt", "a.pt"],
    "Dimension": ["3 2", "3"],
    "NumberOfChannels": ["1 3", "1"],
    "PatchSize": ["5*5*5 7*9", "0*0*0"],
    "VoxelSize": ["6*6*6 3*3*2", "1.5*1.5*1"],
    "LayersMask": ["011 1", "1"],
    "SubsetFeatures": ["64 32 16", "8"],
    "LayersWeight": ["1 0.5 2", "1"],
    "Distance": ["L1 L2 Cosine", "L2"],
    "Mode": ["Jacobian", "Static"],
    "GPU": ["-1"],
}


def prefixed(prefix: str, parameter_map: Map) -> Map:
    return {prefix + name: values for name, values in parameter_map.items()}


def test_all_dialects_mean_the_same() -> None:
    expected = parse(NUMBERED)
    first, second = expected
    assert (first.mode, second.mode) == ("Jacobian", "Static")
    a, b = first.fixed_models
    assert (a.path, a.dimension, a.number_of_channels) == ("a.pt", 3, 1)
    assert (a.patch_size, a.voxel_size, a.layers_mask) == (
        [5, 5, 5],
        [6, 6, 6],
        [False, True, True],
    )
    assert (b.path, b.dimension, b.number_of_channels) == ("b.pt", 2, 3)
    assert (b.patch_size, b.voxel_size, b.layers_mask) == ([7, 9], [3, 3, 2], [True])
    assert [(x.subset_features, x.weight, x.distance) for x in first.layers] == [
        (64, 1.0, "L1"),
        (32, 0.5, "L2"),
        (16, 2.0, "Cosine"),
    ]
    for other in (PER_LEVEL, prefixed("Impact", PER_LEVEL), prefixed("Metric1", PER_LEVEL)):
        assert summary(parse(other, label="Metric1")) == summary(expected)


def test_numbered_wins_over_prefixed_wins_over_plain() -> None:
    plain = {"ModelsPath": ["plain.pt"], "VoxelSize": ["1"]}
    assert parse(plain, 1)[0].fixed_models[0].path == "plain.pt"
    both = {**plain, "ImpactModelsPath": ["prefixed.pt"]}
    assert parse(both, 1)[0].fixed_models[0].path == "prefixed.pt"
    assert parse({**both, "ImpactModelsPath0": ["n.pt"]}, 1)[0].fixed_models[0].path == "n.pt"


def test_metric_label_wins() -> None:
    parameter_map = {
        "ModelsPath": ["shared.pt"],
        "Metric1ModelsPath": ["second.pt"],
        "VoxelSize": ["2"],
    }
    assert parse(parameter_map, 1, label="Metric0")[0].fixed_models[0].path == "shared.pt"
    assert parse(parameter_map, 1, label="Metric1")[0].fixed_models[0].path == "second.pt"


def test_metric_label_wins_in_every_dialect() -> None:
    parameter_map = {
        "ImpactModelsPath0": ["shared.pt"],
        "ImpactModelsPath1": ["shared.pt"],
        "Metric1ModelsPath": ["second.pt"],
        "VoxelSize": ["2"],
    }
    levels = parse(parameter_map, 2, label="Metric1")
    assert [level.fixed_models[0].path for level in levels] == ["second.pt", "second.pt"]


def test_a_level_without_its_own_value_uses_the_first_level_s() -> None:
    numbered = {"ImpactModelsPath0": ["a.pt"], "ImpactVoxelSize0": ["3", "2", "1"]}
    plain = {"ModelsPath": ["a.pt"], "VoxelSize": ["3*2*1"]}
    for parameter_map in (numbered, plain):
        assert [level.fixed_models[0].voxel_size for level in parse(parameter_map, 3)] == [
            [3, 2, 1]
        ] * 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["6", "6", "6", "3", "3", "3"], [[6, 6, 6], [3, 3, 3]]),
        (["6", "5", "4"], [[6, 5, 4], [6, 5, 4]]),  # axes
        (["6", "3"], [[6, 6, 6], [3, 3, 3]]),
        (["2"], [[2, 2, 2], [2, 2, 2]]),
        (["6*5*4", "3"], [[6, 5, 4], [3, 3, 3]]),
        (["6 5 4", "3 3 1"], [[6, 5, 4], [3, 3, 1]]),
    ],
)
def test_sizes_in_a_row(values: list[str], expected: list[list[float]]) -> None:
    levels = parse({"ModelsPath": ["a.pt"], "VoxelSize": values})
    assert [level.fixed_models[0].voxel_size for level in levels] == expected


def test_fixed_and_moving_models() -> None:
    levels = parse(
        {
            "ImpactFixedModelsPath0": ["f.pt"],
            "ImpactMovingModelsPath0": ["m.pt"],
            "ImpactMovingVoxelSize0": ["4", "4", "4"],
            "ImpactVoxelSize0": ["2", "2", "2"],
        },
        1,
    )
    assert (levels[0].fixed_models[0].path, levels[0].fixed_models[0].voxel_size) == (
        "f.pt",
        [2, 2, 2],
    )
    assert (levels[0].moving_models[0].path, levels[0].moving_models[0].voxel_size) == (
        "m.pt",
        [4, 4, 4],
    )


def test_defaults() -> None:
    level = parse({"ModelsPath": ["a.pt"], "VoxelSize": ["2"]}, 1, 2)[0]
    model = level.fixed_models[0]
    assert (level.mode, level.gpu) == ("Jacobian", -1)
    assert (model.dimension, model.number_of_channels, model.patch_size) == (2, 1, [5, 5])
    assert model.layers_mask == [True]
    assert [(x.subset_features, x.weight, x.distance) for x in level.layers] == [(0, 1.0, "L2")]


def test_one_value_or_one_per_model_is_broadcast_over_layers() -> None:
    base = {"ModelsPath": ["a.pt b.pt"], "VoxelSize": ["2"], "LayersMask": ["11 1"]}
    assert [x.weight for x in parse({**base, "LayersWeight": ["3"]}, 1)[0].layers] == [3, 3, 3]
    assert [x.weight for x in parse({**base, "LayersWeight": ["3 4"]}, 1)[0].layers] == [3, 3, 4]
    assert [x.weight for x in parse({**base, "LayersWeight": ["3 4 5"]}, 1)[0].layers] == [3, 4, 5]


DISTANCES = '"L1", "L2", "Cosine", "L1Cosine", "Dice", "NCC", "DotProduct"'
VALID: Map = {"ModelsPath": ["a.pt"], "VoxelSize": ["2*2*2"]}


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"Mode": ["static"]}, ["Mode (resolution level 0)", '"static"', '"Static" or "Jacobian"']),
        (
            {"Distance": ["L3"]},
            ["Distance", '"L3"', DISTANCES],
        ),
        ({"Distance": ["L1 L2"]}, ["Distance", "2 values", "1 selected layers"]),
        ({"Dimension": ["4"]}, ["Dimension", '"4"', "2 or 3"]),
        ({"NumberOfChannels": ["0"]}, ["NumberOfChannels", '"0"', "from 1 up"]),
        ({"NumberOfChannels": ["one"]}, ["NumberOfChannels", '"one"']),
        ({"PatchSize": ["0*0*0"], "Mode": ["Jacobian"]}, ["PatchSize", "Static mode only"]),
        (
            {"PatchSize": ["5*0*5"], "Mode": ["Static"]},
            ["PatchSize", "some axes are 0"],
        ),
        ({"PatchSize": ["5*5"]}, ["PatchSize", "2 numbers", "3 are needed"]),
        ({"PatchSize": ["-5*5*5"]}, ["PatchSize", '"-5"']),
        ({"VoxelSize": ["0*1*1"]}, ["VoxelSize", '"0"', "greater than 0"]),
        ({"VoxelSize": ["nan*1*1"]}, ["VoxelSize", '"nan"']),
        ({"VoxelSize": ["1", "2", "3", "4"]}, ["VoxelSize", "4 numbers", "3 are needed"]),
        ({"VoxelSize": ["1", "2"]}, ["VoxelSize", "2 numbers", "3 are needed"]),
        ({"MovingDimension": ["2"]}, ["Dimension", "has dimension 3", "has 2"]),
        ({"VoxelSize": ["1mm"]}, ["VoxelSize", '"1mm"']),
        ({"LayersMask": ["012"]}, ["LayersMask", '"012"', "one 0 or 1"]),
        ({"LayersMask": ["000"]}, ["LayersMask", '"000"', "at least one 1"]),
        ({"LayersWeight": ["-1"]}, ["LayersWeight", '"-1"', "from 0 up"]),
        ({"LayersWeight": ["inf"]}, ["LayersWeight", '"inf"']),
        ({"SubsetFeatures": ["2.5"]}, ["SubsetFeatures", '"2.5"', "whole number"]),
        ({"GPU": ["cuda"]}, ["GPU", '"cuda"', "-1 for the CPU"]),
        ({"ImpactGPU": ["-2"]}, ["ImpactGPU", '"-2"']),
        (
            {"ImpactMode0": ["Static", "Jacobian"]},
            ["ImpactMode0", '2 values ("Static" "Jacobian") for one resolution level'],
        ),
        ({"WriteFeatureMaps": ["True"], "Mode": ["Static"]}, ["WriteFeatureMaps", '"True"']),
        ({"PCA": ["-3"]}, ["PCA", '"-3"', "whole number"]),
        ({"FeaturesMapUpdateInterval": ["-2"]}, ["FeaturesMapUpdateInterval", '"-2"', "-1, to"]),
        ({"FeaturesMapUpdateInterval": ["often"]}, ["FeaturesMapUpdateInterval", '"often"']),
        ({"ImpactWriteFeatureMaps": [""]}, ["ImpactWriteFeatureMaps", '""', "the folder"]),
        ({"UseMixedPrecision": ["yes"]}, ["UseMixedPrecision", '"yes"', '"true" or "false"']),
        (
            {"ModelsPath": ["a.pt b.pt"], "Dimension": ["3 3 3"]},
            ["Dimension", "3 values", "2 models"],
        ),
        ({"FixedLayersMask": ["11"]}, ["LayersMask", "2 layers", "select as many"]),
        ({"FixedModelsPath": ["a.pt b.pt"]}, ["FixedModelsPath", "2 fixed and 1 moving models"]),
    ],
)
def test_wrong_values(change: Map, texts: list[str]) -> None:
    messages = errors({**VALID, **change})
    assert len(messages) == 1, messages
    for text in texts:
        assert text in messages[0]


def test_missing_parameters() -> None:
    messages = "\n".join(errors({}))
    assert "ModelsPath (resolution level 0): no model is given for the fixed image" in messages
    assert "VoxelSize (resolution level 0): missing" in "\n".join(errors({"ModelsPath": ["a.pt"]}))


def test_3d_model_on_2d_images() -> None:
    messages = errors({"ModelsPath": ["a.pt"], "VoxelSize": ["1"], "Dimension": ["3"]}, dimension=2)
    assert len(messages) == 1
    assert "a model of dimension 3 cannot be used on images of dimension 2" in messages[0]


def test_all_findings_at_once() -> None:
    messages = errors({**VALID, "Mode": ["X"], "Distance": ["Y"], "LayersWeight": ["Z"]}, levels=2)
    assert messages == [
        'Mode (resolution levels 0 and 1): "X" is not allowed. Allowed: "Static" or "Jacobian".',
        'LayersWeight (resolution levels 0 and 1): "Z" is not allowed. Allowed: a number from 0 '
        "up.",
        f'Distance (resolution levels 0 and 1): "Y" is not allowed. Allowed: {DISTANCES}.',
    ]
