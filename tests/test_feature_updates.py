"""FeaturesMapUpdateInterval: the moving features of the warped image, made anew on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import impact_testing
from helpers import tiny_models
from helpers.images import Grid, Image, Scene, mean_distance
from helpers.itk_process import ItkProcess
from helpers.parameter_maps import parameter_map, to_map
from helpers.registrations import OBLIQUE, impact
from impact_plugin import _core

Array = NDArray[np.float64]

# Samples 6 voxels apart, some voxels from every border: there both modes see the same patches.
FIXED = Grid((12, 10, 11), (1.2, 1.5, 1.0), (-3.0, 5.0, 8.0), OBLIQUE)
MOVING = Grid((40, 36, 38), (1.0, 1.1, 0.9), (-20.0, -12.0, -8.0))


def core_image(image: Image) -> _core.Image:
    grid = image.grid
    return _core.Image(image.voxels, grid.spacing, grid.origin, grid.direction)


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One layer that sees one voxel to each side."""
    torch.manual_seed(1)
    convolution = torch.nn.Conv3d(1, 4, 3, padding=1)
    with torch.no_grad():
        convolution.weight /= 100.0
    model = torch.nn.Sequential(convolution, torch.nn.Tanh())
    return str(tiny_models.save(model, tmp_path_factory.mktemp("model") / "smooth.pt"))


AFFINE = [1.05, 0.1, -0.05, -0.12, 0.93, 0.06, 0.02, -0.04, 1.04, 0.8, -0.6, 0.7]


def evaluator(model: str, transform: str, **parameters: str) -> impact_testing.MetricEvaluator:
    scene = Scene(MOVING)
    return impact_testing.MetricEvaluator(
        core_image(scene.seen(FIXED)),
        core_image(scene.seen(MOVING)),
        {
            "ModelsPath": [model],
            "VoxelSize": ["1.2*1.5*1"],
            **{name: [value] for name, value in parameters.items()},
        },
        transform,
        initial_affine=AFFINE,
        sample_spacing=6,
        control_point_spacing=8.0,
    )


def some_parameters(metric: impact_testing.MetricEvaluator, size: float, seed: int) -> Array:
    start = np.array(metric.identity_parameters)
    return start + size * np.random.default_rng(seed).standard_normal(len(start))


def value_at(metric: impact_testing.MetricEvaluator, parameters: Array) -> float:
    return metric.value(parameters.tolist())


@pytest.mark.parametrize("transform", ["BSpline", "Affine"])
def test_right_after_an_update_the_value_is_that_of_jacobian_mode(
    smooth: str, transform: str
) -> None:
    size = 0.5 if transform == "BSpline" else 0.03
    static = evaluator(smooth, transform, Mode="Static", FeaturesMapUpdateInterval="10")
    jacobian = evaluator(smooth, transform, Mode="Jacobian", PatchSize="3*3*3")
    never = evaluator(smooth, transform, Mode="Static")
    for seed in (1, 2):
        parameters = some_parameters(static, size, seed)
        static.request_moving_features()
        value = value_at(static, parameters)
        assert value == pytest.approx(value_at(jacobian, parameters), rel=1e-5)
        assert static.number_of_valid_samples == jacobian.number_of_valid_samples == 8
        # Features of the image as it is are others: the test would see if nothing was updated.
        assert abs(value_at(never, parameters) - value) > 1e-3 * value
        # Without another request the features stay; near by they are right but for their turning.
        _, slope = jacobian.value_and_derivative(parameters.tolist())
        near = parameters - 0.1 * size * slope / np.abs(slope).max()
        expected = value_at(jacobian, near)
        assert value_at(static, near) == pytest.approx(expected, abs=0.3 * abs(expected - value))


@pytest.mark.parametrize("distance", ["L2", "NCC", "Cosine"])
@pytest.mark.parametrize("transform", ["Translation", "Euler", "Affine", "BSpline"])
def test_derivative(smooth: str, transform: str, distance: str) -> None:
    """Away from the update, where the way back through the warp counts."""
    metric = evaluator(
        smooth, transform, Mode="Static", FeaturesMapUpdateInterval="10", Distance=distance
    )
    size = {"Translation": 1.0, "BSpline": 0.5}.get(transform, 0.03)
    value_at(metric, some_parameters(metric, size, 3))
    parameters = some_parameters(metric, size, 4)
    _, derivative = metric.value_and_derivative(parameters.tolist())
    random = np.random.default_rng(5)
    for _ in range(3):
        direction = random.standard_normal(len(parameters)) * (derivative != 0)
        step = 1e-3 * size  # above the rounding of single precision
        difference = value_at(metric, parameters + step * direction) - value_at(
            metric, parameters - step * direction
        )
        expected = difference / (2 * step)
        assert direction @ derivative == pytest.approx(
            expected, abs=1e-3 * np.linalg.norm(derivative) * np.linalg.norm(direction)
        )


def test_derivative_of_a_transform_that_shrinks(smooth: str) -> None:
    """What counts is whether space is folded, not how small it has become."""
    metric = evaluator(smooth, "Affine", Mode="Static", FeaturesMapUpdateInterval="10")
    parameters = np.array(metric.identity_parameters)
    parameters[:9] *= 0.05
    assert np.linalg.norm(metric.value_and_derivative(parameters.tolist())[1]) > 0


def test_equal_images_agree_with_splines_too(smooth: str) -> None:
    image = core_image(Scene(FIXED).seen(FIXED))
    metric = impact_testing.MetricEvaluator(
        image,
        image,
        {
            "ModelsPath": [smooth],
            "VoxelSize": ["1.3"],
            "Mode": ["Static"],
            "FeaturesMapUpdateInterval": ["5"],
        },
        "Translation",
        interpolation_order=3,
        sample_spacing=1,
    )
    assert metric.value([0.0] * 3) < 1e-9


def test_features_follow_a_large_rotation(
    itk_process: ItkProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Slopes along the axes are other features in a turned image: only updates bring them right."""
    model = str(
        tiny_models.save(tiny_models.Slopes(), tmp_path_factory.mktemp("slopes") / "slopes.pt")
    )
    grid = Grid((60, 52), (1.0, 1.1), (-29.5, -28.0))
    angle = np.deg2rad(40.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scene = Scene(grid, widths=(4.0, 7.0), count=40)
    # The moving image shows at y what the fixed one shows at turn^-1 y: T(x) = turn x.
    images = scene.seen(grid), scene.seen(grid, lambda points: points @ turn)
    start = to_map(
        {
            "Transform": "EulerTransform",
            "NumberOfParameters": 3,
            "TransformParameters": [np.deg2rad(36.0), 1.0, -1.0],
            "CenterOfRotationPoint": [0, 0],
            "InitialTransformParametersFileName": "NoInitialTransform",
            "HowToCombineTransforms": "Compose",
            "FixedImageDimension": 2,
            "MovingImageDimension": 2,
        }
    )
    errors = {}
    for interval in (-1, 5):
        parameters = impact(
            2,
            "Static",
            model,
            FeaturesMapUpdateInterval=interval,
            Transform="EulerTransform",
            AutomaticScalesEstimation="true",
            MaximumNumberOfIterations=150,
            NumberOfSpatialSamples=800,
        )
        result = itk_process.register(*images, parameter_map(2, **parameters), initial=[start])
        points = grid.random_points(100, margin=0.2)
        found = itk_process.transform_points(result, points)
        errors[interval] = mean_distance(found, points @ turn.T)
    assert errors[5] < 0.3, errors
    assert errors[5] < 0.5 * errors[-1], errors


def test_intervals_are_counted_in_iterations(
    itk_process: ItkProcess, layers: dict[int, str], tmp_path: Path
) -> None:
    """Features made anew are written anew: their file tells at which iteration."""
    scene = Scene(Grid((40, 30), (1.0, 1.0), (0.0, 0.0)))
    grid = Grid((40, 30), (1.0, 1.0), (0.0, 0.0))
    images = scene.seen(grid), scene.seen(grid, lambda points: points + np.array([1.5, -1.0]))
    contents = {}
    for interval, iterations in [(4, 4), (4, 5), (4, 8), (3, 4), (2, 4)]:
        folder = tmp_path / f"{interval}-{iterations}"
        parameters = impact(
            2,
            "Static",
            layers[2],
            LayersMask="010",
            FeaturesMapUpdateInterval=interval,
            WriteFeatureMaps=str(folder),
            MaximumNumberOfIterations=iterations,
            AutomaticParameterEstimation="false",
            SP_a=400.0,
        )
        itk_process.register(*images, parameter_map(2, **parameters))
        contents[interval, iterations] = (folder / "Moving_0_2.mha").read_bytes()
    # At iterations 0, 4: the last update of 4 iterations is at 0, of 5 and 8 at 4.
    assert contents[4, 5] == contents[4, 8] != contents[4, 4]
    # Every 3: at 3. Every 2: at 2.
    assert len({contents[4, 4], contents[3, 4], contents[2, 4]}) == 3
