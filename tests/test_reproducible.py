"""Same seed, same result to the bit: whatever the threads, the run, the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import impact_testing
from helpers.evaluators import SmoothModels, images, parameters, start
from helpers.itk_process import ItkProcess
from helpers.parameter_maps import Value, parameter_map
from helpers.programs import run_elastix
from helpers.registrations import MODES, first_value, impact, pair
from impact_plugin import _core

# Elastix samples at the same places whatever the seed, so that only the metric draws.
ON_A_GRID: dict[str, Value] = {"ImageSampler": "Grid", "SampleGridSpacing": 4}


def all_that_is_drawn(mode: str, layers: dict[int, str]) -> dict[str, Value]:
    """Give a metric with subsets of channels, 2D models on 3D images, components, correlation.

    And with its features and its layers' distances normalised.
    """
    return impact(
        3,
        mode,
        f"{layers[3]} {layers[2]}",
        Dimension="3 2",
        VoxelSize="1*1*1 1*1.5*1",
        PatchSize="0*0*0 0*0" if mode == "Static" else "5*5*5 5*5",
        LayersMask="011 011",
        Distance="NCC L2 Cosine NCC",
        PCA="0 4 3 0",
        SubsetFeatures="3 2 0 4",
        FeatureNormalization="l2 standardized",
        NormalizeLosses="true",
    )


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_same_result_to_the_bit_for_every_number_of_threads(
    smooth_models: SmoothModels, mode: str
) -> None:
    fixed, moving = images(3)
    settings = parameters([smooth_models(3)], [3], 3, mode, "Cosine", "11")
    results = []
    for threads in (1, 2, 4):
        evaluator = impact_testing.MetricEvaluator(
            fixed,
            moving,
            settings,
            "BSpline",
            control_point_spacing=17.0,
            sample_spacing=2,
            threads=threads,
        )
        position, _ = start(evaluator, "BSpline", 3)
        value, derivative = evaluator.value_and_derivative(list(position))
        results.append((value, derivative.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("mode", MODES)
def test_same_result_to_the_bit_in_every_process(
    layers: dict[int, str], tmp_path: Path, mode: str
) -> None:
    """Whatever the number of threads in it."""
    parameters = parameter_map(
        3,
        **all_that_is_drawn(mode, layers),
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=12,
        MaximumNumberOfIterations=10,
        NumberOfResolutions=2,
    )
    found = [
        run_elastix(tmp_path, *pair(3), parameters, threads=threads)["TransformParameters"]
        for threads in (1, 2, 4, 2)
    ]
    assert found == [found[0]] * 4
    assert len(set(found[0])) > 100
    assert np.abs(np.array(found[0], float)).max() > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_without_a_seed(itk_process: ItkProcess, layers: dict[int, str], mode: str) -> None:
    """It is as with the one of the documentation."""
    parameters = parameter_map(3, **all_that_is_drawn(mode, layers), MaximumNumberOfIterations=3)
    del parameters["RandomSeed"]
    found = [
        itk_process.register(*pair(3), parameters | seed).maps[0]["TransformParameters"]
        for seed in ({}, {"RandomSeed": ["121212"]}, {"RandomSeed": ["121213"]})
    ]
    assert found[0] == found[1] != found[2]


def test_planes_are_drawn_by_the_seed(itk_process: ItkProcess, layers: dict[int, str]) -> None:
    """Those in which a model of 2D images sees the patches of 3D images."""
    values = [
        first_value(
            itk_process,
            pair(3),
            **impact(2, "Jacobian", layers[2], LayersMask="010"),
            **ON_A_GRID,
            RandomSeed=seed,
        )
        for seed in (1, 2, 3, 1)
    ]
    assert len(set(values)) == 3
    assert values[0] == values[3]


def test_channels_are_drawn_at_each_evaluation(smooth_models: SmoothModels) -> None:
    """In an order that the seed decides."""
    fixed, moving = images(3)
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "11")
    settings["SubsetFeatures"] = ["2 1"]
    levels, findings = _core.parse_settings(settings, 1, 3)
    assert not findings
    points = np.array([fixed.grid.origin]) + np.random.default_rng(1).uniform(0, 20, (50, 3))
    series = []
    for seed in (5, 5, 6):
        similarity = impact_testing.StaticSimilarity(fixed, moving, levels[0], seed=seed)
        series.append([similarity.evaluate(points, points)[0] for _ in range(400)])
    assert series[0] == series[1] != series[2]
    # 10 pairs of the first layer's 5 channels, each with one of the second layer's 4.
    assert len({round(value, 10) for value in series[0]}) == 10 * 4
