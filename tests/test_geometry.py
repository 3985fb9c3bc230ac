"""Where images and features lie in space: strides, directions, sizes, voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import impact_testing
from helpers import tiny_models
from helpers.coordinates import (
    Array,
    AveragePool,
    EverySecondVoxel,
    StridedConvolution,
    coordinate_image,
    coordinates,
    physical_points,
    save,
)
from helpers.evaluators import (
    MOVING,
    SmoothModels,
    images,
    parameters,
    rotation,
    smooth_image,
    smooth_volume,
)
from impact_plugin import _core

NETWORKS: dict[str, Callable[[int], torch.nn.Module]] = {
    "pooling": lambda dimension: AveragePool(),
    "convolution": StridedConvolution,
    "convolution without padding": lambda dimension: StridedConvolution(dimension, padding=0),
    "single voxels": lambda dimension: EverySecondVoxel(),
}


def around(image: _core.Image, axis: int) -> _core.Image:
    """Make the same coordinate on a larger grid along other axes, with other voxels."""
    d = image.grid.dimension
    inside = physical_points(image.grid).reshape(-1, 3)[:, :d]
    direction = rotation(d, -0.4)
    size, spacing = [72, 77, 80][:d], [1.5, 1.4, 1.35][:d]
    half = direction @ ((np.array(size) - 1) * spacing / 2)
    origin = inside.mean(axis=0) - half
    return coordinates(axis, size, spacing, list(origin), direction)


def two_models(
    folder: Path, network: torch.nn.Module, layer: int, dimension: int, mode: str, patch: int
) -> dict[str, list[str]]:
    """Compare the fixed image itself with one layer of a network on the moving image."""
    identity = tiny_models.save(tiny_models.Identity(), folder / "identity.pt")
    voxel_size = "*".join(["1.1", "1.7", "2.0"][:dimension])
    return {
        "Mode": [mode],
        "FixedModelsPath": [str(identity)],
        "MovingModelsPath": [save(network, folder / "network.pt")],
        "FixedLayersMask": ["1"],
        "MovingLayersMask": ["".join("1" if i == layer else "0" for i in range(3))],
        "Dimension": [str(dimension)],
        "VoxelSize": [voxel_size],
        "FixedPatchSize": ["*".join(["0" if mode == "Static" else "1"] * dimension)],
        "MovingPatchSize": ["*".join(["0" if mode == "Static" else str(patch)] * dimension)],
        "Distance": ["L1"],
    }


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_features_in_static_mode_lie_where_they_are_sampled(
    tmp_path: Path, dimension: int, network: str, layer: int
) -> None:
    """Of strides 1, 2 and 4: the difference of coordinates is that of the points compared."""
    settings = two_models(tmp_path, NETWORKS[network](dimension), layer, dimension, "Static", 0)
    levels, findings = _core.parse_settings(settings, 1, dimension)
    assert not findings
    random = np.random.default_rng(3)
    for axis in range(dimension):
        fixed = coordinate_image(axis, dimension)
        similarity = impact_testing.StaticSimilarity(fixed, around(fixed, axis), levels[0])
        places = physical_points(fixed.grid)
        inner = places[2:-2, 2:-2, 2:-2] if dimension == 3 else places[:, 2:-2, 2:-2]
        points = inner.reshape(-1, 3)[::5]
        shift = random.uniform(-4.0, 4.0, 3)
        shift[dimension:] = 0.0
        value, gradient = similarity.evaluate(points, points + shift)
        # Coordinates of some 300 mm in single precision, and sums of them, are good to 1e-4 mm.
        assert value == pytest.approx(abs(shift[axis]), abs=1e-3)
        expected = np.eye(3)[axis] * np.sign(shift[axis]) / len(points)
        np.testing.assert_allclose(gradient, np.tile(expected, (len(points), 1)), atol=1e-3 / 300)


@pytest.mark.parametrize("patch", [13, 16])
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dimension", [2, 3])
def test_features_in_jacobian_mode_are_those_of_the_patch_s_centre(
    tmp_path: Path, dimension: int, network: str, layer: int, patch: int
) -> None:
    """Patches of odd and of even numbers of voxels, layers of strides 1, 2 and 4."""
    settings = two_models(
        tmp_path, NETWORKS[network](dimension), layer, dimension, "Jacobian", patch
    )
    shift = np.array([0.8, -1.3, 2.1][:dimension])
    for axis in range(dimension):
        fixed = coordinate_image(axis, dimension)
        evaluator = impact_testing.MetricEvaluator(
            fixed, around(fixed, axis), settings, "Translation", sample_spacing=7
        )
        value, derivative = evaluator.value_and_derivative(list(shift))
        assert evaluator.number_of_valid_samples >= 6
        assert value == pytest.approx(abs(shift[axis]), abs=1e-3)
        np.testing.assert_allclose(
            derivative, np.eye(dimension)[axis] * np.sign(shift[axis]), atol=1e-3
        )


class Isotropic(torch.nn.Module):
    """Two layers that turn and flip with the image: differences from two means around."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        means = []
        for width in (3, 5):
            if x.dim() == 4:
                means.append(torch.nn.functional.avg_pool2d(x, width, 1, width // 2))
            else:
                means.append(torch.nn.functional.avg_pool3d(x, width, 1, width // 2))
        return [torch.sin((x - means[0]) / 5.0), torch.cat([x - means[1], means[0]], 1) / 100.0]


def stored(
    volume: tuple[NDArray[np.float32], list[float], list[float], Array],
    order: Sequence[int],
    flips: Sequence[int],
) -> _core.Image:
    """Store an image with its axes in another order, and the new ones in ``flips`` reversed."""
    pixels, spacing, origin, direction = volume
    d = pixels.ndim
    pixels = pixels.transpose([d - 1 - order[d - 1 - i] for i in range(d)])
    spacing, direction = [spacing[i] for i in order], direction[:, list(order)]
    place = np.array(origin)
    for axis in flips:
        extent = spacing[axis] * (pixels.shape[d - 1 - axis] - 1)
        place = place + direction[:, axis] * extent
        direction = direction * np.where(np.arange(d) == axis, -1, 1)
        pixels = np.flip(pixels, d - 1 - axis)
    return _core.Image(np.ascontiguousarray(pixels), spacing, list(place), direction)


STORAGES: dict[int, list[tuple[list[int], list[int]]]] = {
    2: [([0, 1], [0]), ([0, 1], [0, 1]), ([1, 0], []), ([1, 0], [1])],
    # NIfTI files of axial (LAS, RAS), sagittal and coronal slices, and an improper one
    3: [([0, 1, 2], [0]), ([0, 1, 2], [0, 1]), ([1, 2, 0], [2]), ([0, 2, 1], [1]), ([2, 1, 0], [])],
}
VOLUMES: dict[str, dict[int, tuple[list[int], list[float], float, float]]] = {
    "fixed": {2: ([31, 26], [1.5, 1.9], 0.35, 0.0), 3: ([21, 18, 15], [1.7, 2.3, 2.9], 0.35, 0.0)},
    "moving": {2: ([50, 45], [1.4, 1.6], -0.2, 1.2), 3: ([44, 42, 39], [1.4, 1.6, 1.8], -0.2, 1.2)},
}


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_how_both_images_are_stored_does_not_matter(
    smooth_models: SmoothModels, tmp_path: Path, dimension: int, mode: str, turns: bool
) -> None:
    """To a network whose features turn with the image, and to one that knows its axes.

    Voxels fit neither image's extent, and differ along the axes; the map has them as stored.
    """
    model = save(Isotropic(), tmp_path / "m.pt") if turns else smooth_models(dimension)
    settings = parameters([model], [dimension], dimension, mode, "L2", "11")
    sizes = ["1.55", "1.9", "2.3"] if not turns else ["1.55"] * 3
    fixed, moving = (smooth_volume(*VOLUMES[side][dimension]) for side in ("fixed", "moving"))
    position = [0.8, -0.5, 0.6][:dimension]
    straight = range(dimension)

    def evaluate(order: Sequence[int], flips: Sequence[int]) -> tuple[float, Array, int]:
        moving_order = order if order is straight else order[::-1]
        evaluator = impact_testing.MetricEvaluator(
            # All voxels, so that the samples are the same wherever the first voxel is.
            stored(fixed, order, flips),
            stored(moving, moving_order, flips),
            settings | {"VoxelSize": ["*".join(sizes[axis] for axis in order)]},
            "Translation",
            sample_spacing=1,
            threads=2,
        )
        value, derivative = evaluator.value_and_derivative(position)
        return value, derivative, evaluator.number_of_valid_samples

    reference = evaluate(straight, [])
    assert reference[0] > 1e-3
    for order, flips in STORAGES[dimension]:
        value, derivative, count = evaluate(order, flips)
        assert count == reference[2]
        # Interpolation in single precision, in another order.
        assert value == pytest.approx(reference[0], rel=1e-5)
        np.testing.assert_allclose(
            derivative, reference[1], atol=1e-3 * float(np.abs(reference[1]).max())
        )


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_direction_rounded_as_in_a_nifti_file(smooth_models: SmoothModels, mode: str) -> None:
    """Directions from quaternions in single precision are not quite orthogonal, nor quite equal."""
    volume = smooth_volume(*VOLUMES["fixed"][3])
    around_it = smooth_volume(*VOLUMES["fixed"][3][:3], 1.2)
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
    values = []
    for kind in (np.float64, np.float32):
        direction = volume[3].astype(kind).astype(np.float64)
        evaluator = impact_testing.MetricEvaluator(
            _core.Image(*volume),
            _core.Image(*around_it[:3], direction),
            settings,
            "Translation",
            sample_spacing=2,
        )
        values.append(evaluator.value([0.8, -0.5, 0.6]))
    assert values[1] == pytest.approx(values[0], rel=1e-4)
    assert values[0] > 1e-4


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
        evaluator = impact_testing.MetricEvaluator(fixed, image, settings, "Translation", threads=2)
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
        evaluator = impact_testing.MetricEvaluator(fixed, moving, settings, "Translation")
        at_match = evaluator.value([0.0] * dimension)
        assert at_match < 0.05 * evaluator.value([2.0] * dimension)
