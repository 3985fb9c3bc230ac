"""The metric as an object, on smooth images that suit finite differences of its value.

Images have three different sizes, anisotropic voxels, an oblique direction and an offset origin,
and the two images differ in all of them. The networks are small and smooth, so that a central
difference is exact to far below the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

import impact_testing
from helpers import pretended
from impact_plugin import _core

# The bound of the project. Values are computed from features in single precision: with the step
# below, their rounding contributes some 1e-4, and the kinks of linear interpolation as much.
RELATIVE_ERROR = 1e-3

Array = NDArray[np.float64]
# The parameter GPU where a test says no other: the pretended device in processes that have it.
GPU = "0" if pretended.IS_WANTED else "-1"
DISTANCES = ("L1", "L2", "Cosine", "L1Cosine", "Dice", "NCC", "DotProduct")
TRANSFORMS = ("Translation", "Euler", "Affine", "BSpline", "AffineThenBSpline")
# Whose derivatives are checked: each distance with each transform. On the pretended device, where
# evaluations take several times as long, each distance with one transform and each transform with
# one distance: the two meet in the gradients of points alone.
DISTANCES_AND_TRANSFORMS = tuple(
    (distance, transform)
    for distance in DISTANCES
    for transform in TRANSFORMS
    if not pretended.IS_WANTED or distance == "L2" or transform == "Affine"
)
# In which a derivative is checked, besides its own direction.
RANDOM_DIRECTIONS = 1 if pretended.IS_WANTED else 3


class Smooth(torch.nn.Module):
    """Two convolutions, features in (0, 1): layer 1 at stride 1, layer 2 at ``stride``."""

    def __init__(self, dimension: int, channels: int, padding: int, stride: int) -> None:
        super().__init__()
        convolution = torch.nn.Conv2d if dimension == 2 else torch.nn.Conv3d
        self.first = convolution(channels, 5, 3, padding=padding)
        self.second = convolution(5, 4, 3, padding=padding, stride=stride)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        a = torch.sigmoid(5.0 * self.first(x / 100.0))
        return [a, torch.sigmoid(5.0 * self.second(a))]


class SmoothModels:
    """Files of models with two layers (Smooth), each written where it is missing.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, dimension: int, channels: int = 1, padding: int = 1, stride: int = 2) -> str:
        path = self._folder / f"smooth{dimension}_{channels}_{padding}_{stride}.pt"
        if not path.exists():
            torch.manual_seed(3)
            scripted = torch.jit.trace(  # type: ignore[no-untyped-call]
                Smooth(dimension, channels, padding, stride).eval(),
                torch.zeros([1, channels] + [9] * dimension),
                strict=False,
            )
            torch.jit.save(scripted, str(path))
        return str(path)


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
        "GPU": [GPU],
    }


class Evaluator(Protocol):
    """What a MetricEvaluator can do."""

    @property
    def identity_parameters(self) -> list[float]: ...
    @property
    def number_of_valid_samples(self) -> int: ...
    def value(self, parameters: Sequence[float]) -> float: ...
    def value_and_derivative(self, parameters: Sequence[float]) -> tuple[float, Array]: ...


class FirstEvaluations:
    """A metric of which every evaluation is the first, so that it draws the same again.

    Args:
        make: Makes the metric.
    """

    def __init__(self, make: Callable[[], impact_testing.MetricEvaluator]) -> None:
        self._make = make
        self._last = make()

    @property
    def identity_parameters(self) -> list[float]:
        return self._last.identity_parameters

    @property
    def number_of_valid_samples(self) -> int:
        return self._last.number_of_valid_samples

    def value(self, parameters: Sequence[float]) -> float:
        self._last = self._make()
        return self._last.value(parameters)

    def value_and_derivative(self, parameters: Sequence[float]) -> tuple[float, Array]:
        self._last = self._make()
        return self._last.value_and_derivative(parameters)


def transform_options(transform: str, dimension: int) -> tuple[str, dict[str, Any]]:
    """Give the transform's name and the options with which to make a MetricEvaluator."""
    options: dict[str, Any] = {"control_point_spacing": 17.0, "threads": 2}
    if transform != "AffineThenBSpline":
        return transform, options
    numbers = np.arange(dimension**2).reshape(dimension, dimension)
    matrix = np.eye(dimension) + 0.04 * numbers / dimension
    options["initial_affine"] = [*matrix.ravel(), *[0.7, -1.1, 0.4][:dimension]]
    return "BSpline", options


def relative_error(
    evaluator: Evaluator, position: Array, scale: Array, random_directions: int = RANDOM_DIRECTIONS
) -> float:
    """Compare the derivative along itself and random directions with central differences.

    `scale`: the change of each parameter that moves points by about a millimetre.
    """
    random = np.random.default_rng(5)
    _, derivative = evaluator.value_and_derivative(list(position))
    # Along the derivative itself and along random directions; relative to the steepest slope.
    directions = [derivative * scale**2] + [
        random.standard_normal(position.size) * scale for _ in range(random_directions)
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


def start(evaluator: Evaluator, transform: str, dimension: int) -> tuple[Array, Array]:
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
