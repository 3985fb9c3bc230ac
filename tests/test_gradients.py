"""The derivative of the metric against finite differences of its value.

Images have three different sizes, anisotropic voxels, an oblique direction and an offset origin,
and the two images differ in all of them. The networks are small and smooth, so that a central
difference is exact to far below the bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from impact_plugin import _core, _metric

# The bound of the project. Values are computed from features in single precision: with the step
# below, their rounding contributes some 1e-4, and the kinks of linear interpolation as much.
RELATIVE_ERROR = 1e-3

Array = NDArray[np.float64]


class ModelFactory(Protocol):
    """Gives the path of a model with two layers, made where it is missing."""

    def __call__(self, dimension: int, channels: int = 1, padding: int = 1) -> str: ...


class Smooth(torch.nn.Module):
    """Two convolutions, features in (0, 1): layer 1 at stride 1, layer 2 at stride 2."""

    def __init__(self, dimension: int, channels: int, padding: int) -> None:
        super().__init__()
        convolution = torch.nn.Conv2d if dimension == 2 else torch.nn.Conv3d
        self.first = convolution(channels, 5, 3, padding=padding)
        self.second = convolution(5, 4, 3, padding=padding, stride=2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        a = torch.sigmoid(5.0 * self.first(x / 100.0))
        return [a, torch.sigmoid(5.0 * self.second(a))]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFactory:
    folder = tmp_path_factory.mktemp("models")

    def make(dimension: int, channels: int = 1, padding: int = 1) -> str:
        path = folder / f"smooth{dimension}_{channels}_{padding}.pt"
        if not path.exists():
            torch.manual_seed(3)
            scripted = torch.jit.trace(  # type: ignore[no-untyped-call]
                Smooth(dimension, channels, padding).eval(),
                torch.zeros([1, channels] + [9] * dimension),
                strict=False,
            )
            torch.jit.save(scripted, str(path))
        return str(path)

    return make


def rotation(dimension: int, angle: float) -> Array:
    """An oblique direction; in 3D about an axis along none of the image's."""
    if dimension == 2:
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axis = np.array([0.3, -0.5, 0.8])
    axis /= np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


def smooth_volume(
    size: list[int], spacing: list[float], angle: float, shift: float
) -> tuple[NDArray[np.float32], list[float], list[float], Array]:
    """Waves in physical space, about the origin of space, displaced by `shift` mm."""
    dimension = len(size)
    direction = rotation(dimension, angle)
    centre = (np.array(size) - 1) / 2 * np.array(spacing)
    origin = np.array([12.0, -7.0, 31.0][:dimension]) - direction @ centre
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1)
    points = indices * np.array(spacing) @ direction.T + origin + shift
    waves = np.sin(points[..., 0] / 9.0) + np.cos(points[..., 1] / 7.0 + 0.3 * points[..., 0] / 9.0)
    if dimension == 3:
        waves = waves + np.sin(points[..., 2] / 8.0 + points[..., 1] / 15.0)
    pixels: NDArray[np.float32] = np.ascontiguousarray((100.0 * waves).T.astype(np.float32))
    return pixels, spacing, list(origin), direction


def smooth_image(size: list[int], spacing: list[float], angle: float, shift: float) -> _core.Image:
    return _core.Image(*smooth_volume(size, spacing, angle, shift))


FIXED: dict[int, tuple[list[int], list[float], float, float]] = {
    2: ([34, 27], [1.7, 2.3], 0.35, 0.0),
    3: ([22, 17, 14], [1.7, 2.3, 2.9], 0.35, 0.0),
}
MOVING: dict[int, tuple[list[int], list[float], float, float]] = {
    2: ([41, 36], [1.5, 1.9], -0.2, 1.2),
    3: ([26, 23, 19], [1.5, 1.9, 2.5], -0.2, 1.2),
}


def images(dimension: int) -> tuple[_core.Image, _core.Image]:
    """A fixed and a moving image that differ in size, spacing, direction and origin."""
    return smooth_image(*FIXED[dimension]), smooth_image(*MOVING[dimension])


def parameters(
    paths: list[str],
    dimensions: list[int],
    image_dimension: int,
    mode: str,
    distance: str,
    mask: str,
) -> dict[str, list[str]]:
    """A parameter map of one level."""
    patch = {"Static": "0", "Jacobian": "7"}[mode]
    voxel_sizes = ["2.5*2.1*2.7", "3.1*2.6*2.2"]
    return {
        "Metric": ["Impact"],
        "Mode": [mode],
        "ModelsPath": [" ".join(paths)],
        "Dimension": [" ".join(str(d) for d in dimensions)],
        "PatchSize": [" ".join("*".join([patch] * d) for d in dimensions)],
        "VoxelSize": [
            " ".join("*".join(v.split("*")[:image_dimension]) for v in voxel_sizes[: len(paths)])
        ],
        "LayersMask": [" ".join([mask] * len(paths))],
        "Distance": [distance],
    }


def relative_error(evaluator: _metric.MetricEvaluator, position: Array, scale: Array) -> float:
    """Compare the derivative along random directions with central differences.

    `scale`: the change of each parameter that moves points by about a millimetre.
    """
    random = np.random.default_rng(5)
    _, derivative = evaluator.value_and_derivative(list(position))
    # Along the derivative itself and along random directions; relative to the steepest slope.
    directions = [derivative * scale**2] + [
        random.standard_normal(position.size) * scale for _ in range(3)
    ]
    steepest = abs(derivative @ (directions[0] / np.max(np.abs(directions[0] / scale))))
    assert steepest > 0
    errors = []
    for direction in directions:
        direction = direction / np.max(np.abs(direction / scale))
        of_steps = []
        # Rounding spoils a short step, the kinks of interpolation a long one: the better counts.
        for step in (5e-4, 4e-3):
            forward = evaluator.value(list(position + step * direction))
            count = evaluator.number_of_valid_samples
            backward = evaluator.value(list(position - step * direction))
            if evaluator.number_of_valid_samples == count:  # else a sample has left the image
                expected = (forward - backward) / (2 * step)
                of_steps.append(abs(derivative @ direction - expected))
        assert of_steps, "samples leave the image: choose other images"
        errors.append(min(of_steps))
    return float(max(errors) / steepest)


def start(
    evaluator: _metric.MetricEvaluator, transform: str, dimension: int
) -> tuple[Array, Array]:
    """A position away from the identity, and the scale of each parameter."""
    identity = np.array(evaluator.identity_parameters)
    random = np.random.default_rng(11)
    scale = np.ones_like(identity)
    if transform == "Euler":
        scale[: 1 if dimension == 2 else 3] = 1 / 30.0
    elif transform == "Affine":
        scale[: dimension**2] = 1 / 30.0
    if transform != "Translation":
        return identity + random.uniform(-1, 1, identity.size) * scale, scale
    # The steepest of some: where the value hardly changes, its rounding drowns the slope.
    places = [identity + random.uniform(-2, 2, identity.size) for _ in range(12)]
    slopes = [np.linalg.norm(evaluator.value_and_derivative(list(p))[1]) for p in places]
    return places[int(np.argmax(slopes))], scale


@pytest.mark.parametrize(
    "transform", ["Translation", "Euler", "Affine", "BSpline", "AffineThenBSpline"]
)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
@pytest.mark.parametrize(
    "distance", ["L1", "L2", "Cosine", "L1Cosine", "Dice", "NCC", "DotProduct"]
)
def test_derivative(
    model: ModelFactory, distance: str, mode: str, dimension: int, transform: str
) -> None:
    path = model(dimension)
    fixed, moving = images(dimension)
    # A sample that crosses a voxel's face meets a kink of linear interpolation; many samples
    # average them out.
    sample_spacing = {"Static": 1, "Jacobian": 2}[mode]
    options: dict[str, Any] = {
        "control_point_spacing": 17.0,
        "sample_spacing": sample_spacing,
        "threads": 2,
    }
    name = transform
    if transform == "AffineThenBSpline":
        name = "BSpline"
        matrix = (
            np.eye(dimension)
            + 0.04 * np.arange(dimension**2).reshape(dimension, dimension) / dimension
        )
        options["initial_affine"] = [*matrix.ravel(), *[0.7, -1.1, 0.4][:dimension]]
    evaluator = _metric.MetricEvaluator(
        fixed,
        moving,
        parameters([path], [dimension], dimension, mode, distance, "11"),
        name,
        **options,
    )
    position, scale = start(evaluator, name, dimension)
    error = relative_error(evaluator, position, scale)
    print(f"derivative error {distance} {mode} {dimension}D {transform}: {error:.2e}")
    assert error < RELATIVE_ERROR
    assert evaluator.number_of_valid_samples > 20


@pytest.mark.parametrize("transform", ["Euler", "BSpline"])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative_of_several_models(model: ModelFactory, mode: str, transform: str) -> None:
    """A 3D model and a 2D one, each at its voxel size, two layers each, in one metric."""
    fixed, moving = images(3)
    evaluator = _metric.MetricEvaluator(
        fixed,
        moving,
        parameters([model(3), model(2)], [3, 2], 3, "Static", "L2", "11")
        if mode == "Static"
        else parameters([model(3), model(3, padding=0)], [3, 3], 3, mode, "L2", "11"),
        transform,
        control_point_spacing=17.0,
        sample_spacing=2,
        threads=2,
    )
    position, scale = start(evaluator, transform, 3)
    assert relative_error(evaluator, position, scale) < RELATIVE_ERROR


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_derivative_and_value_with_principal_components(model: ModelFactory, mode: str) -> None:
    """All components leave L2 as it is; fewer give less, with an exact derivative."""
    fixed, moving = images(3)
    values = []
    for components in ("0", "5 4", "2"):
        settings = parameters([model(3)], [3], 3, mode, "L2", "11")
        settings["PCA"] = [components]
        evaluator = _metric.MetricEvaluator(
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


@pytest.mark.parametrize("dimension", [2, 3])
def test_derivative_with_cubic_interpolation(model: ModelFactory, dimension: int) -> None:
    """BSplineInterpolationOrder 3 in Jacobian mode: another intensity, another gradient."""
    fixed, moving = images(dimension)
    values = []
    for order in (1, 3):
        evaluator = _metric.MetricEvaluator(
            fixed,
            moving,
            parameters([model(dimension)], [dimension], dimension, "Jacobian", "L2", "11"),
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
def test_samples_outside_the_moving_mask_do_not_count(model: ModelFactory, mode: str) -> None:
    fixed, moving = images(3)
    settings = parameters([model(3)], [3], 3, mode, "L2", "11")
    x = np.arange(26) > 12
    pixels = np.ascontiguousarray(np.broadcast_to(x, (19, 23, 26)).astype(np.float32))
    grid = moving.grid
    mask = _core.Image(pixels, list(grid.spacing), list(grid.origin), np.array(grid.direction))
    counts = []
    for moving_mask in (None, mask):
        evaluator = _metric.MetricEvaluator(
            fixed, moving, settings, "Translation", moving_mask=moving_mask, sample_spacing=2
        )
        position = np.array(evaluator.identity_parameters) + np.array([0.6, -0.4, 0.5])
        assert relative_error(evaluator, position, np.ones(3)) < RELATIVE_ERROR
        counts.append(evaluator.number_of_valid_samples)
    assert 0 < counts[1] < 0.8 * counts[0]


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_same_result_to_the_bit_for_every_number_of_threads(model: ModelFactory, mode: str) -> None:
    fixed, moving = images(3)
    settings = parameters([model(3)], [3], 3, mode, "Cosine", "11")
    results = []
    for threads in (1, 2, 4):
        evaluator = _metric.MetricEvaluator(
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


def test_a_perfect_match_is_zero(model: ModelFactory) -> None:
    image = images(3)[0]
    for mode in ("Static", "Jacobian"):
        for distance in ("L1", "L2", "Cosine", "NCC"):
            evaluator = _metric.MetricEvaluator(
                image, image, parameters([model(3)], [3], 3, mode, distance, "11"), "Translation"
            )
            value, derivative = evaluator.value_and_derivative([0.0, 0.0, 0.0])
            assert abs(value) < 1e-12
            assert np.all(np.abs(derivative) < 1e-6)


def test_models_folder_is_not_needed_afterwards(tmp_path: Path, model: ModelFactory) -> None:
    """The file is read once: it may change or vanish during a registration."""
    path = tmp_path / "model.pt"
    path.write_bytes(Path(model(3)).read_bytes())
    fixed, moving = images(3)
    evaluator = _metric.MetricEvaluator(
        fixed, moving, parameters([str(path)], [3], 3, "Jacobian", "L2", "11"), "Translation"
    )
    path.unlink()
    assert evaluator.value([0.5, 0.0, 0.0]) > 0


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_how_the_moving_image_is_stored_does_not_matter(
    model: ModelFactory, mode: str, dimension: int
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
    settings = parameters([model(dimension)], [dimension], dimension, mode, "L2", "11")
    results = []
    for image in (moving, flipped, exchanged):
        evaluator = _metric.MetricEvaluator(fixed, image, settings, "Translation", threads=2)
        results.append(evaluator.value_and_derivative([0.8, -0.5, 0.6][:dimension]))
    for value, derivative in results[1:]:
        assert value == pytest.approx(results[0][0], rel=1e-4)
        np.testing.assert_allclose(derivative, results[0][1], rtol=1e-2, atol=1e-6)


def test_static_features_of_a_rotated_image_match(model: ModelFactory) -> None:
    """Two images of one object along different axes: at the match the value is nearly nothing."""
    for dimension in (2, 3):
        size = [60, 52, 44][:dimension]
        spacing = [1.0, 1.1, 0.9][:dimension]
        fixed = smooth_image(size, spacing, 0.35, 0.0)
        moving = smooth_image(size, spacing, -0.2, 0.0)
        # Without padding, so that zeros at the border do not tell the two images apart.
        path = model(dimension, padding=0)
        settings = parameters([path], [dimension], dimension, "Static", "L2", "10")
        evaluator = _metric.MetricEvaluator(fixed, moving, settings, "Translation")
        at_match = evaluator.value([0.0] * dimension)
        assert at_match < 0.05 * evaluator.value([2.0] * dimension)
