"""The derivative of the metric against finite differences of its value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import impact_testing
from helpers.evaluators import (
    DISTANCES_AND_TRANSFORMS,
    RELATIVE_ERROR,
    SmoothModels,
    images,
    parameters,
    relative_error,
    start,
    transform_options,
)
from impact_plugin import _core


@pytest.mark.parametrize(("distance", "transform"), DISTANCES_AND_TRANSFORMS)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative(
    smooth_models: SmoothModels, distance: str, mode: str, dimension: int, transform: str
) -> None:
    name, options = transform_options(transform, dimension)
    evaluator = impact_testing.MetricEvaluator(
        *images(dimension),
        parameters([smooth_models(dimension)], [dimension], dimension, mode, distance, "11"),
        name,
        # A sample that crosses a voxel's face meets a kink of linear interpolation; many samples
        # average them out.
        sample_spacing={"Static": 1, "Jacobian": 2}[mode],
        **options,
    )
    position, scale = start(evaluator, name, dimension)
    error = relative_error(evaluator, position, scale)
    print(f"derivative error {distance} {mode} {dimension}D {transform}: {error:.2e}")
    assert error < RELATIVE_ERROR
    assert evaluator.number_of_valid_samples > 20


@pytest.mark.parametrize("transform", ["Euler", "BSpline"])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative_of_several_models(
    smooth_models: SmoothModels, mode: str, transform: str
) -> None:
    """A 3D model and a 2D one, each at its voxel size, two layers each, in one metric."""
    fixed, moving = images(3)
    evaluator = impact_testing.MetricEvaluator(
        fixed,
        moving,
        parameters([smooth_models(3), smooth_models(2)], [3, 2], 3, "Static", "L2", "11")
        if mode == "Static"
        else parameters(
            [smooth_models(3), smooth_models(3, padding=0)], [3, 3], 3, mode, "L2", "11"
        ),
        transform,
        control_point_spacing=17.0,
        sample_spacing=2,
        threads=2,
    )
    position, scale = start(evaluator, transform, 3)
    assert relative_error(evaluator, position, scale) < RELATIVE_ERROR


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative_and_value_with_principal_components(
    smooth_models: SmoothModels, mode: str
) -> None:
    """All components leave L2 as it is; fewer give less, with an exact derivative."""
    fixed, moving = images(3)
    values = []
    for components in ("0", "5 4", "2"):
        settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
        settings["PCA"] = [components]
        evaluator = impact_testing.MetricEvaluator(
            fixed,
            moving,
            settings,
            "Affine",
            sample_spacing={"Static": 1, "Jacobian": 2}[mode],
            threads=2,
        )
        position, scale = start(evaluator, "Affine", 3)
        values.append(evaluator.value(list(position)))
        assert relative_error(evaluator, position, scale) < RELATIVE_ERROR
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert values[2] != pytest.approx(values[0], rel=1e-3)


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative_of_a_model_of_colours(smooth_models: SmoothModels, mode: str) -> None:
    """Three channels of input, each the grey image, of which all give a gradient."""
    settings = parameters([smooth_models(3, channels=3)], [3], 3, mode, "L2", "11")
    evaluator = impact_testing.MetricEvaluator(
        *images(3),
        settings | {"NumberOfChannels": ["3"]},
        "Affine",
        sample_spacing={"Static": 1, "Jacobian": 2}[mode],
        threads=2,
    )
    position, scale = start(evaluator, "Affine", 3)
    assert relative_error(evaluator, position, scale) < RELATIVE_ERROR


@pytest.mark.parametrize("dimension", [2, 3])
def test_derivative_with_cubic_interpolation(smooth_models: SmoothModels, dimension: int) -> None:
    """BSplineInterpolationOrder 3 in Jacobian mode: another intensity, another gradient."""
    fixed, moving = images(dimension)
    values = []
    for order in (1, 3):
        evaluator = impact_testing.MetricEvaluator(
            fixed,
            moving,
            parameters([smooth_models(dimension)], [dimension], dimension, "Jacobian", "L2", "11"),
            "Affine",
            interpolation_order=order,
            sample_spacing=2,
            threads=2,
        )
        position, scale = start(evaluator, "Affine", dimension)
        assert relative_error(evaluator, position, scale) < RELATIVE_ERROR
        values.append(evaluator.value(list(position)))
    assert values[0] != values[1]


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_samples_outside_the_moving_mask_do_not_count(
    smooth_models: SmoothModels, mode: str
) -> None:
    fixed, moving = images(3)
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
    x = np.arange(26) > 12
    pixels = np.ascontiguousarray(np.broadcast_to(x, (19, 23, 26)).astype(np.float32))
    grid = moving.grid
    mask = _core.Image(pixels, list(grid.spacing), list(grid.origin), np.array(grid.direction))
    counts = []
    for moving_mask in (None, mask):
        evaluator = impact_testing.MetricEvaluator(
            fixed, moving, settings, "Translation", moving_mask=moving_mask, sample_spacing=2
        )
        position = np.array(evaluator.identity_parameters) + np.array([0.6, -0.4, 0.5])
        assert relative_error(evaluator, position, np.ones(3)) < RELATIVE_ERROR
        counts.append(evaluator.number_of_valid_samples)
    assert 0 < counts[1] < 0.8 * counts[0]


def test_a_perfect_match_is_zero(smooth_models: SmoothModels) -> None:
    image = images(3)[0]
    for mode in ("Static", "Jacobian"):
        for distance in ("L1", "L2", "Cosine", "NCC"):
            evaluator = impact_testing.MetricEvaluator(
                image,
                image,
                parameters([smooth_models(3)], [3], 3, mode, distance, "11"),
                "Translation",
            )
            value, derivative = evaluator.value_and_derivative([0.0, 0.0, 0.0])
            assert abs(value) < 1e-12
            assert np.all(np.abs(derivative) < 1e-6)


def test_models_folder_is_not_needed_afterwards(
    tmp_path: Path, smooth_models: SmoothModels
) -> None:
    """The file is read once: it may change or vanish during a registration."""
    path = tmp_path / "model.pt"
    path.write_bytes(Path(smooth_models(3)).read_bytes())
    fixed, moving = images(3)
    evaluator = impact_testing.MetricEvaluator(
        fixed, moving, parameters([str(path)], [3], 3, "Jacobian", "L2", "11"), "Translation"
    )
    path.unlink()
    assert evaluator.value([0.5, 0.0, 0.0]) > 0
