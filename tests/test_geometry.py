"""Where images and features lie in space: strides, directions, sizes, voxels."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.evaluators import (
    MOVING,
    SmoothModels,
    images,
    parameters,
    smooth_image,
    smooth_volume,
)
from impact_plugin import _core, _metric


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_how_the_moving_image_is_stored_does_not_matter(
    smooth_models: SmoothModels, mode: str, dimension: int
) -> None:
    """Flipped or with its axes exchanged, the same image in space gives the same value."""
    fixed, moving = images(dimension)
    grid = moving.grid
    direction = np.array(grid.direction)[:dimension, :dimension]
    spacing = np.array(grid.spacing[:dimension])
    size = np.array(grid.size[:dimension])
    origin = np.array(grid.origin[:dimension])
    pixels = smooth_volume(*MOVING[dimension])[0]
    flipped = _core.Image(
        pixels[..., ::-1].copy(),
        list(spacing),
        list(origin + direction[:, 0] * spacing[0] * (size[0] - 1)),
        direction * np.array([-1, 1, 1][:dimension]),
    )
    order = list(range(dimension))[::-1]
    exchanged = _core.Image(
        np.ascontiguousarray(pixels.T), list(spacing[order]), list(origin), direction[:, order]
    )
    settings = parameters([smooth_models(dimension)], [dimension], dimension, mode, "L2", "11")
    results = []
    for image in (moving, flipped, exchanged):
        evaluator = _metric.MetricEvaluator(fixed, image, settings, "Translation", threads=2)
        results.append(evaluator.value_and_derivative([0.8, -0.5, 0.6][:dimension]))
    for value, derivative in results[1:]:
        assert value == pytest.approx(results[0][0], rel=1e-4)
        np.testing.assert_allclose(derivative, results[0][1], rtol=1e-2, atol=1e-6)


def test_static_features_of_a_rotated_image_match(smooth_models: SmoothModels) -> None:
    """Two images of one object along different axes: at the match the value is nearly nothing."""
    for dimension in (2, 3):
        size = [60, 52, 44][:dimension]
        spacing = [1.0, 1.1, 0.9][:dimension]
        fixed = smooth_image(size, spacing, 0.35, 0.0)
        moving = smooth_image(size, spacing, -0.2, 0.0)
        # Without padding, so that zeros at the border do not tell the two images apart.
        path = smooth_models(dimension, padding=0)
        settings = parameters([path], [dimension], dimension, "Static", "L2", "10")
        evaluator = _metric.MetricEvaluator(fixed, moving, settings, "Translation")
        at_match = evaluator.value([0.0] * dimension)
        assert at_match < 0.05 * evaluator.value([2.0] * dimension)
