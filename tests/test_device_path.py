"""The way of an evaluation on a GPU against our own kernels.

On the CPU; `make pretended` runs the same on the pretended device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import impact_testing
from helpers.evaluators import (
    DISTANCES,
    GPU,
    TRANSFORMS,
    Array,
    SmoothModels,
    images,
    parameters,
    start,
    transform_options,
)
from impact_plugin import _core


@dataclass
class Evaluated:
    value: float
    derivative: Array
    count: int


def metric(
    settings: Mapping[str, list[str]],
    pair: tuple[_core.Image, _core.Image],
    transform: str,
    as_on_gpu: bool,
    **options: Any,  # noqa: ANN401  (of MetricEvaluator)
) -> impact_testing.MetricEvaluator:
    """Make a metric that evaluates by the kernels of the CPU, or by the operations of a device."""
    gpu = {"GPU": [GPU if as_on_gpu else "-1"]}
    return impact_testing.MetricEvaluator(
        *pair, {**settings, **gpu}, transform, as_on_gpu=as_on_gpu, **options
    )


def evaluate(
    settings: dict[str, list[str]],
    pair: tuple[_core.Image, _core.Image],
    transform: str,
    options: Mapping[str, Any],
    position: Array | None = None,
) -> tuple[Evaluated, Evaluated, Array]:
    """Evaluate by the kernels of the CPU and by the operations of a device, at the same place."""
    dimension = pair[0].grid.dimension
    found = []
    for as_on_gpu in (False, True):
        evaluator = metric(settings, pair, transform, as_on_gpu, **options)
        assert evaluator.evaluates_on_device == as_on_gpu
        if position is None:
            position, _ = start(evaluator, transform, dimension)
            evaluator = metric(settings, pair, transform, as_on_gpu, **options)
        value, derivative = evaluator.value_and_derivative(list(position))
        found.append(Evaluated(value, derivative, evaluator.number_of_valid_samples))
    assert position is not None
    return found[0], found[1], position


def assert_alike(by_kernels: Evaluated, as_on_gpu: Evaluated) -> None:
    assert as_on_gpu.count == by_kernels.count > 0
    assert as_on_gpu.value == pytest.approx(by_kernels.value, rel=1e-5)
    scale = np.abs(by_kernels.derivative).max()
    assert scale > 0
    assert np.abs(as_on_gpu.derivative - by_kernels.derivative).max() < 1e-4 * scale


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_same_as_the_kernels(
    smooth_models: SmoothModels, mode: str, dimension: int, transform: str
) -> None:
    """Oblique directions, three different sizes, voxels of three lengths, strided layers."""
    name, options = transform_options(transform, dimension)
    found = evaluate(
        parameters([smooth_models(dimension)], [dimension], dimension, mode, "L2", "11"),
        images(dimension),
        name,
        {**options, "sample_spacing": 2},
    )
    assert_alike(*found[:2])


@pytest.mark.parametrize("dimension", [2, 3])
def test_feature_maps_in_half_precision(smooth_models: SmoothModels, dimension: int) -> None:
    settings = parameters([smooth_models(dimension)], [dimension], dimension, "Static", "L2", "11")
    options = {"sample_spacing": 2}
    by_kernels, as_on_gpu, position = evaluate(
        settings | {"UseMixedPrecision": ["true"]}, images(dimension), "Affine", options
    )
    if GPU == "-1":
        assert_alike(by_kernels, as_on_gpu)
    else:  # where networks compute in half precision, too
        assert as_on_gpu.value == pytest.approx(by_kernels.value, rel=2e-2)
    full, _, _ = evaluate(settings, images(dimension), "Affine", options, position)
    assert 0 < abs(by_kernels.value - full.value) < 2e-3 * abs(full.value)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_points_outside_the_grid_and_the_image(
    smooth_models: SmoothModels, mode: str, dimension: int
) -> None:
    """An affine transform takes some samples out of the spline's grid, some out of the image."""
    affine = np.eye(dimension) * 1.4
    affine[0, 1] = 0.2
    spacing = 4.0  # the grid reaches as far beyond the image; the image's corners are taken further
    grid = images(dimension)[0].grid
    assert 0.4 * 0.5 * grid.size[0] * grid.spacing[0] > spacing
    by_kernels, as_on_gpu, _ = evaluate(
        parameters([smooth_models(dimension)], [dimension], dimension, mode, "L2", "11"),
        images(dimension),
        "BSpline",
        {
            "initial_affine": [*affine.ravel(), *[3.0, -2.0, 1.0][:dimension]],
            "control_point_spacing": spacing,
            "sample_spacing": 2,
        },
    )
    assert by_kernels.count < 0.8 * np.prod([-(-n // 2) for n in grid.size[:dimension]])
    assert_alike(by_kernels, as_on_gpu)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_all_distances(smooth_models: SmoothModels, mode: str, distance: str) -> None:
    settings = parameters([smooth_models(3)], [3], 3, mode, distance, "11")
    settings |= {"SubsetFeatures": ["3 2"]}
    if distance != "Dice":  # whose divisor is a sum of components, of either sign
        settings |= {"PCA": ["4 3"]}
    found = evaluate(settings, images(3), "Affine", {"sample_spacing": 3})
    assert_alike(*found[:2])


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_several_models(smooth_models: SmoothModels, mode: str) -> None:
    """A 2D model sees a random plane per sample in Jacobian mode: the same one on every device."""
    settings = parameters([smooth_models(3), smooth_models(2)], [3, 2], 3, mode, "NCC", "11")
    assert_alike(*evaluate(settings, images(3), "BSpline", {"sample_spacing": 3})[:2])


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_masks_and_scales(smooth_models: SmoothModels, mode: str) -> None:
    """A moving mask on a grid of its own, and MovingImageDerivativeScales."""
    fixed, moving = images(3)
    grid = moving.grid
    pixels = (np.arange(13) > 5)[None, None, :] * np.ones((19, 23, 1), np.float32)
    spacing = [2 * grid.spacing[0], *grid.spacing[1:]]
    mask = _core.Image(
        np.ascontiguousarray(pixels, np.float32),
        spacing,
        list(grid.origin),
        np.array(grid.direction),
    )
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
    options: dict[str, Any] = {"sample_spacing": 2, "derivative_scales": [1.0, 0.0, 2.0]}
    everywhere, _, position = evaluate(settings, (fixed, moving), "Affine", options)
    by_kernels, as_on_gpu, _ = evaluate(
        settings, (fixed, moving), "Affine", {**options, "moving_mask": mask}, position
    )
    assert by_kernels.count < 0.8 * everywhere.count
    assert_alike(by_kernels, as_on_gpu)


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_many_samples_of_many_channels_in_parts(smooth_models: SmoothModels, mode: str) -> None:
    """More points than the device maps at once: the parts meet without a seam."""
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "10")
    settings["PatchSize"] = ["0" if mode == "Static" else "11*11*11"]
    settings["VoxelSize"] = ["2*2*2"]
    assert_alike(*evaluate(settings, images(3), "BSpline", {"sample_spacing": 3})[:2])


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_no_samples_in_the_moving_image(smooth_models: SmoothModels, mode: str) -> None:
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
    evaluator = metric(settings, images(3), "Translation", True)
    with pytest.raises(Exception, match="Too many samples map outside"):
        evaluator.value([1000.0, 0.0, 0.0])
    assert evaluator.value([0.5, 0.0, 0.0]) > 0  # goes on afterwards


def test_evaluations_follow_the_transform(smooth_models: SmoothModels) -> None:
    """Points stay on the device between evaluations, parameters do not."""
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "11")
    evaluators = [metric(settings, images(3), "Affine", flag) for flag in (False, True)]
    identity = np.array(evaluators[0].identity_parameters)
    values = []
    for shift in (0.0, 1.5, -0.7, 1.5):
        position = identity + shift * (np.arange(12) >= 9)
        by_kernels, as_on_gpu = (e.value(list(position)) for e in evaluators)
        assert as_on_gpu == pytest.approx(by_kernels, rel=1e-5)
        values.append(as_on_gpu)
    assert values[1] == values[3] != values[2]


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"FeaturesMapUpdateInterval": ["5"]}, {}),
        ({"Mode": ["Jacobian"], "PatchSize": ["7*7*7"]}, {"interpolation_order": 3}),
    ],
)
def test_falls_back_to_the_cpu(
    smooth_models: SmoothModels, changes: dict[str, list[str]], options: dict[str, Any]
) -> None:
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "11") | changes
    values = []
    for as_on_gpu in (False, True):
        evaluator = metric(settings, images(3), "Affine", as_on_gpu, **options)
        assert not evaluator.evaluates_on_device
        values.append(evaluator.value(evaluator.identity_parameters))
    assert values[1] == pytest.approx(values[0], rel=1e-5)
