"""MutualInformationWeight: against elastix's own metric and differences; in a map."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import impact_testing
from helpers.evaluators import (
    RELATIVE_ERROR,
    SmoothModels,
    images,
    parameters,
    relative_error,
    start,
    transform_options,
)
from helpers.images import Grid, Image, Scene, shift
from helpers.itk_process import ItkProcess
from helpers.parameter_maps import Value, parameter_map
from helpers.registrations import GRIDS, MODES, SHIFTS, impact, pair, translation_error
from impact_plugin import _core

PRINTED_PRECISION = 1e-6  # of elastix's log: six digits after the point


def metric(
    models: SmoothModels,
    dimension: int,
    mode: str = "Static",
    weight: float = 0.3,
    transform: str = "BSpline",
    *,
    features: float = 1.0,
    threads: int = 2,
    as_on_gpu: bool = False,
    scales: list[float] | None = None,
    interval: int = -1,
) -> impact_testing.MetricEvaluator:
    settings = parameters([models(dimension)], [dimension], dimension, mode, "L2", "11") | {
        "MutualInformationWeight": [str(weight)],
        "LayersWeight": [f"{features} {features}"],
        "FeaturesMapUpdateInterval": [str(interval)],
    }
    name, options = transform_options(transform, dimension)
    options |= {"threads": threads, "sample_spacing": 2, "as_on_gpu": as_on_gpu}
    options["derivative_scales"] = scales or []
    return impact_testing.MetricEvaluator(*images(dimension), settings, name, **options)


@pytest.mark.parametrize("transform", ["Translation", "Affine", "BSpline", "AffineThenBSpline"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_derivative(smooth_models: SmoothModels, dimension: int, mode: str, transform: str) -> None:
    """Alone, and of the whole value."""
    for features in (0.0, 1.0):
        evaluator = metric(smooth_models, dimension, mode, 0.3, transform, features=features)
        kind = transform.removeprefix("AffineThen")
        position, scale = start(evaluator, kind, dimension)
        assert relative_error(evaluator, position, scale) < RELATIVE_ERROR
        assert evaluator.number_of_valid_samples > 20


@pytest.mark.parametrize("as_on_gpu", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_is_added_with_its_weight(
    smooth_models: SmoothModels, dimension: int, mode: str, as_on_gpu: bool
) -> None:
    """The same beside features as alone, whoever evaluates those."""
    found = []
    for weight in (0.0, 0.3, 2.0):
        evaluator = metric(smooth_models, dimension, mode, weight, as_on_gpu=as_on_gpu)
        assert evaluator.evaluates_on_device == as_on_gpu
        position, _ = start(evaluator, "BSpline", dimension)
        found.append(evaluator.value_and_derivative(list(position)))
    alone = metric(smooth_models, dimension, mode, 1.0, features=0.0)
    value, derivative = alone.value_and_derivative(list(position))
    assert value < -0.1
    scale = np.abs(derivative).max()
    for weight, (total, ofmap) in zip((0.3, 2.0), found[1:], strict=True):
        assert total - found[0][0] == pytest.approx(weight * value, abs=1e-6)
        np.testing.assert_allclose(ofmap - found[0][1], weight * derivative, atol=1e-6 * scale)


def test_derivative_scales_and_warped_features(smooth_models: SmoothModels) -> None:
    """Both are of the points, whatever compares them."""
    plain = metric(smooth_models, 3, features=0.0)
    position, _ = start(plain, "BSpline", 3)
    value, derivative = plain.value_and_derivative(list(position))
    none = metric(smooth_models, 3, features=0.0, scales=[0.0, 0.0, 0.0])
    assert not none.value_and_derivative(list(position))[1].any()
    warped = metric(smooth_models, 3, features=0.0, interval=5)
    assert warped.value_and_derivative(list(position))[0] == value
    np.testing.assert_array_equal(warped.value_and_derivative(list(position))[1], derivative)


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_for_every_number_of_threads(smooth_models: SmoothModels, mode: str) -> None:
    results = []
    for threads in (1, 2, 4):
        evaluator = metric(smooth_models, 3, mode, threads=threads)
        position, _ = start(evaluator, "BSpline", 3)
        value, derivative = evaluator.value_and_derivative(list(position))
        results.append((value, derivative.tobytes()))
    assert results[0] == results[1] == results[2]


# In a map


def box(grid: Grid) -> Image:
    """A mask that leaves out what is farthest along the last axis."""
    voxels = np.zeros(grid.size[::-1], dtype=np.float32)
    voxels[2:-6, 3:-2] = 1
    return Image(voxels, grid)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dimension", [2, 3])
def test_is_elastix_s(
    itk_process: ItkProcess, layers: dict[int, str], dimension: int, masked: bool
) -> None:
    """Iteration after iteration, as far as the log has digits; with masks, their ranges."""
    scene, grid = Scene(GRIDS[dimension]), GRIDS[dimension]
    # Between voxels, where linear interpolation has one derivative, and all around, since elastix's
    # interpolators differ in what there is between the outermost voxels' centres and the edge.
    corner = grid.origin + grid.direction @ (-7.63 * np.array(grid.spacing))
    around = replace(grid, size=tuple(n + 16 for n in grid.size), origin=tuple(corner))
    fixed, moving = scene.seen(grid), scene.seen(around, shift(*-SHIFTS[dimension]))
    masks = {"fixed": box(fixed.grid), "moving": box(moving.grid)} if masked else None
    common: dict[str, Value] = {
        "ImageSampler": "Full",
        "NewSamplesEveryIteration": "false",
        "MaximumNumberOfIterations": 5,
        "AutomaticParameterEstimation": "false",
        "SP_a": 5.0,
    }
    ours = impact(dimension, "Static", layers[dimension], LayersMask="100", LayersWeight="0")
    ours |= {"MutualInformationWeight": "1"}
    theirs: dict[str, Value] = {"Metric": "AdvancedMattesMutualInformation"}
    values = [
        itk_process.register(
            fixed, moving, parameter_map(dimension, **metric_map, **common), masks=masks
        )
        for metric_map in (theirs, ours)
    ]
    assert len(values[0].values) == len(values[1].values) == 5
    assert values[0].values[0] < -0.1
    assert abs(values[0].values[4] - values[0].values[0]) > 100 * PRINTED_PRECISION
    assert values[1].values == pytest.approx(values[0].values, abs=20 * PRINTED_PRECISION)
    assert np.abs(values[1].parameters - values[0].parameters).max() < 1e-3


@pytest.mark.parametrize("mode", MODES)
def test_finds_a_translation(itk_process: ItkProcess, layers: dict[int, str], mode: str) -> None:
    """At the level that has it; the log and the table of iterations say so."""
    given = parameter_map(
        3,
        **impact(3, mode, layers[3], LayersMask="010", LayersWeight="0"),
        NumberOfResolutions=2,
        ImpactMutualInformationWeight0="0",
        ImpactMutualInformationWeight1="1",
    )
    result = itk_process.register(*pair(3), given)
    assert translation_error(result) < 0.2  # mm, of 3.9; of linear interpolation
    first, second = re.findall(r"  Mode \w+, on the CPU(.*)\n", result.log)
    assert (first, second) == ("", ", MutualInformationWeight 1")
    tables = [line for line in result.log.splitlines() if line.startswith("1:ItNr")]
    assert ["2:Metric0-MutualInformation" in table for table in tables] == [False, True]
    place = tables[1].split("\t").index("2:Metric0-MutualInformation")
    rows = re.findall(r"(?m)^\d+\t-?\d.*$", result.log)
    last = rows[-1].split("\t")
    assert float(last[place]) == pytest.approx(float(last[1]), abs=PRINTED_PRECISION)
    assert float(last[place]) < -0.1
    assert len(re.findall(r"mutual information \S+ ms", result.log)) == 1


def test_the_column_is_of_the_iteration_s_samples(
    itk_process: ItkProcess, layers: dict[int, str]
) -> None:
    """Not of those that elastix asks the exact value of afterwards."""
    given = parameter_map(
        3,
        **impact(3, "Static", layers[3], LayersMask="010", LayersWeight="0"),
        MutualInformationWeight="1",
        MaximumNumberOfIterations=4,
        ShowExactMetricValue="true",
        ExactMetricSampleGridSpacing=3,
    )
    result = itk_process.register(*pair(3), given)
    header = re.search(r"(?m)^1:ItNr.*$", result.log)
    assert header is not None
    names = header.group().split("\t")
    rows = [row.split("\t") for row in re.findall(r"(?m)^\d+\t-?\d.*$", result.log)]
    assert len(rows) == 4
    for row in rows:
        values = {name: float(text) for name, text in zip(names, row, strict=True)}
        part = values["2:Metric0-MutualInformation"]
        assert part == pytest.approx(values["2:Metric"], abs=2 * PRINTED_PRECISION)
        (exact,) = (value for name, value in values.items() if "Exact" in name)
        assert abs(exact - part) > 100 * PRINTED_PRECISION


@pytest.mark.parametrize("label", ["", "Metric0"])
def test_every_dialect(label: str) -> None:
    common = {"ModelsPath": ["a.pt"], "VoxelSize": ["2*2*2"]}
    dialects: list[dict[str, list[str]]] = [
        {"ImpactMutualInformationWeight0": ["0.3"], "ImpactMutualInformationWeight1": ["0.5"]},
        {"ImpactMutualInformationWeight": ["0.3", "0.5"]},
        {"MutualInformationWeight": ["0.3", "0.5"]},
    ]
    for dialect in dialects:
        labelled = {label + name: values for name, values in dialect.items()}
        levels, findings = _core.parse_settings(common | labelled, 2, 3, label)
        assert not findings
        assert [level.mutual_information_weight for level in levels] == [0.3, 0.5]
