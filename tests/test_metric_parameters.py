"""What the metric's parameters do in a registration: values, levels, dialects."""

from __future__ import annotations

import re

import numpy as np
import pytest

from helpers.itk_process import ItkProcess
from helpers.parameter_maps import Value, parameter_map
from helpers.registrations import MODES, first_value, impact, pair, translation_error

PRINTED_PRECISION = 1e-6  # of elastix's log: six digits after the point


@pytest.mark.parametrize("mode", MODES)
def test_value_is_the_weighted_sum_over_models_and_layers(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str], mode: str
) -> None:
    """Two models, three layers: with the same samples the value is a sum to all printed digits."""
    images = pair(3)
    parameters = impact(3, mode, f"{mind[3]} {layers[3]}", LayersMask="1 011", Distance="L2 L1 L2")
    single = [
        first_value(itk_process, images, **parameters, LayersWeight=weights)
        for weights in ("100 0 0", "0 100 0", "0 0 100")
    ]
    assert len({round(value, 3) for value in single}) == 3
    value = first_value(itk_process, images, **parameters, LayersWeight="20 300 7")
    assert value == pytest.approx(np.dot(single, [0.2, 3, 0.07]), abs=4 * PRINTED_PRECISION)


@pytest.mark.parametrize("mode", MODES)
def test_two_models_and_layers_with_subsets_of_features(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str], mode: str
) -> None:
    images = pair(3)
    parameters = parameter_map(
        3,
        MaximumNumberOfIterations=40,
        **impact(
            3,
            mode,
            f"{mind[3]} {layers[3]}",
            voxel=1.5,
            Dimension="3 3",
            LayersMask="1 101",
            Distance="L2 Cosine L1",
            LayersWeight="1 0.1 0.5",
            SubsetFeatures="4 1 2",
        ),
    )
    result = itk_process.register(*images, parameters)
    assert translation_error(result) < 0.2
    # As many as there are, or more, are all of them.
    parameters["MaximumNumberOfIterations"] = ["3"]
    values = [
        itk_process.register(*images, parameters | {"SubsetFeatures": [subset]}).values
        for subset in ("12 1 6", "99 99 99", "0 0 0", "4 1 2")
    ]
    assert values[0] == values[1] == values[2] != values[3]


def test_every_level_has_its_own_values(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str]
) -> None:
    """And a level without its own takes those of the first."""
    images = pair(3)
    parameters = parameter_map(
        3,
        NumberOfResolutions=3,
        MaximumNumberOfIterations=[20, 10, 15],
        Metric="Impact",
        Mode=["Static", "Jacobian"],
        ModelsPath=[mind[3], f"{layers[3]} {layers[3]}"],
        Dimension=["3", "3 3"],
        VoxelSize=["3*3*3", "2*2*2*1*1.5*2", "1.5*1.5*1.5"],
        PatchSize=["0*0*0", "3*3*3*5*3*3"],
        LayersMask=["1", "010 100"],
        LayersWeight=["2", "1 0.25"],
        SubsetFeatures=["6", "3 1"],
        PCA=["0", "2 0"],
        Distance=["L1", "Cosine L2", "L2"],
    )
    result = itk_process.register(*images, parameters)
    assert translation_error(result) < 0.2
    described = re.findall(r'(Metric "Impact", resolution level \d:\n(?:  .*\n)+)', result.log)
    static = """\
Metric "Impact", resolution level {0}:
  Mode Static, on the CPU
  Model  Image  Dimension  NumberOfChannels  PatchSize  VoxelSize  LayersMask  ModelsPath
  0      both   3          1                 0*0*0      {1}  1           MIND
  Layer  Model  Distance  LayersWeight  PCA  SubsetFeatures
  0      0      {2}  2             0    6
"""
    jacobian = """\
Metric "Impact", resolution level 1:
  Mode Jacobian, on the CPU
  Model  Image  Dimension  NumberOfChannels  PatchSize  VoxelSize  LayersMask  ModelsPath
  0      both   3          1                 3*3*3      2*2*2      010         LAYERS
  1      both   3          1                 5*3*3      1*1.5*2    100         LAYERS
  Layer  Model  Distance  LayersWeight  PCA  SubsetFeatures
  0      0      Cosine    1             2    3
  1      1      L2        0.25          0    1
  "LAYERS": patches of 1 x 1 x 1 voxels give what those of 5 x 3 x 3 would.
"""
    # What the features came to follows the tables. How wide a column is does not matter here.
    described = [re.sub(r"(?m)^  Layer \d+: .*\n", "", text) for text in described]
    described = [text.replace(mind[3], "MIND").replace(layers[3], "LAYERS") for text in described]
    expected = [
        static.format(0, "3*3*3", "L1"),
        jacobian,
        static.format(2, "1.5*1.5*1.5", "L2"),
    ]
    assert [text.split() for text in described] == [text.split() for text in expected]
    assert described[1] == jacobian


@pytest.mark.parametrize("mode", MODES)
def test_dialects_give_the_same_to_the_bit(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str], mode: str
) -> None:
    patch = "0" if mode == "Static" else "5"
    common: dict[str, Value] = {
        "NumberOfResolutions": 2,
        "MaximumNumberOfIterations": 15,
        "NumberOfSpatialSamples": 100,
        "Metric": "Impact",
    }
    plain = {
        "Mode": [mode],
        "GPU": -1,
        "ModelsPath": [mind[3], f"{layers[3]} {mind[3]}"],
        "Dimension": ["3", "3 3"],
        "NumberOfChannels": ["1", "1 1"],
        "VoxelSize": ["3*3*3", "1*1.5*2*2*2*2"],
        "PatchSize": ["*".join([patch] * 3), "*".join([patch] * 6)],
        "LayersMask": ["1", "011 1"],
        "FeatureNormalization": ["l2", "none standardized"],
        "NormalizeLosses": ["false", "true"],
        "MutualInformationWeight": ["0.3", "0.5"],
        "BendingEnergyWeight": ["0", "2.5"],
        "BendingEnergyLimit": ["0", "0.002"],
        "LayersWeight": ["1", "1 2 0.5"],
        "SubsetFeatures": ["8", "3 2 12"],
        "PCA": ["0", "0 0 0"],
        "Distance": ["L2", "L1 Cosine L2"],
    }
    numbered: dict[str, Value] = {"ImpactMode": [mode, mode], "ImpactGPU": [-1, -1]}
    for name, value in plain.items():
        if f"Impact{name}" not in numbered:
            assert isinstance(value, list)
            for level, entry in enumerate(value):
                numbered[f"Impact{name}{level}"] = re.split(r"[ *]", entry)
    images = pair(3)
    results = [
        itk_process.register(*images, parameter_map(3, **common, **dialect))
        for dialect in (plain, numbered)
    ]
    assert results[0].maps[0]["TransformParameters"] == results[1].maps[0]["TransformParameters"]
    assert results[0].values == results[1].values
    assert len(results[0].values) == 30
