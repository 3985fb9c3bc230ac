"""The derivative for several layers of several models, against finite differences of the value."""

from __future__ import annotations

import pytest

import impact_testing
from helpers.evaluators import (
    DISTANCES_AND_TRANSFORMS,
    RELATIVE_ERROR,
    Evaluator,
    FirstEvaluations,
    SmoothModels,
    images,
    parameters,
    relative_error,
    start,
    transform_options,
)


@pytest.mark.parametrize(("distance", "transform"), DISTANCES_AND_TRANSFORMS)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative_of_four_layers(
    smooth_models: SmoothModels, distance: str, mode: str, dimension: int, transform: str
) -> None:
    """Two models of two layers: of 3D and of 2D images on 3D images, both of 2D images on 2D ones.

    Each has its own voxel size.
    """
    fixed, moving = images(dimension)
    name, options = transform_options(transform, dimension)
    in_planes = mode == "Jacobian" and dimension == 3
    # Every evaluation draws other planes: only the first ones of two metrics have the same. Layers
    # as large as their input make a metric in no time.
    stride = 1 if in_planes else 2
    settings = parameters(
        [smooth_models(dimension, stride=stride), smooth_models(2, stride=stride)],
        [dimension, 2],
        dimension,
        mode,
        distance,
        "11",
    )

    def make() -> impact_testing.MetricEvaluator:
        return impact_testing.MetricEvaluator(
            fixed,
            moving,
            settings,
            name,
            # Many samples average out the kinks of linear interpolation.
            sample_spacing=1 if mode == "Static" else 2,
            **options,
        )

    metric = make()
    position, scale = start(metric, name, dimension)
    evaluator: Evaluator = FirstEvaluations(make) if in_planes else metric
    error = relative_error(evaluator, position, scale, random_directions=1)
    print(f"derivative error {distance} {mode} {dimension}D {transform}: {error:.2e}")
    assert error < RELATIVE_ERROR
    assert evaluator.number_of_valid_samples > 20
