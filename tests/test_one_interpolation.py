"""One rule of interpolation, wherever it stands: linear, and beyond an edge the edge's value.

It stands several times: in the making of what a network sees, in the sampling of feature maps and
of patches, each by kernels and by torch, in the warping of the moving image. All against scipy's.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import impact_testing
from helpers import tiny_models
from impact_plugin import _core, _networks

Array = np.ndarray

ANGLE = 0.2
AXES = {
    2: np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]]),
    3: np.array(
        [[np.cos(ANGLE), -np.sin(ANGLE), 0.0], [np.sin(ANGLE), np.cos(ANGLE), 0.0], [0.0, 0.0, 1.0]]
    ),
}
SIZE = np.array([13, 11, 9])
SPACING = np.array([1.5, 0.8, 2.5])
ORIGIN = np.array([-7.0, 4.0, 11.0])


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "identity.pt"
    return str(tiny_models.save(tiny_models.Identity(), path))


def voxels(dimension: int) -> Array:
    shape = tuple(SIZE[:dimension][::-1])
    return np.random.default_rng(dimension).uniform(50.0, 150.0, shape).astype(np.float32)


def image(pixels: Array) -> _core.Image:
    n = pixels.ndim
    return _core.Image(pixels, list(SPACING[:n]), list(ORIGIN[:n]), AXES[n])


def expected(pixels: Array, points: Array) -> Array:
    """The image at physical points, (N, dimension)."""
    n = pixels.ndim
    index = (points - ORIGIN[:n]) @ AXES[n] / SPACING[:n]
    found: Array = map_coordinates(pixels.astype(float), index.T[::-1], order=1, mode="nearest")
    return found


def places(size: Array, spacing: Array, origin: Array, axes: Array) -> Array:
    """The physical points of all voxels, x fastest."""
    n = len(size)
    index = np.stack(np.meshgrid(*map(np.arange, size[::-1]), indexing="ij"), -1).reshape(-1, n)
    found: Array = index[:, ::-1] * spacing @ axes.T + origin
    return found


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("voxel", [0.7, 1.9])
def test_what_a_network_sees(identity: str, dimension: int, voxel: float) -> None:
    pixels = voxels(dimension)
    values = {"ModelsPath": [identity], "Mode": ["Static"]}
    values["VoxelSize"] = ["*".join([str(voxel)] * dimension)]
    levels, findings = _core.parse_settings(values, 1, dimension)
    assert not [finding for finding in findings if finding.is_error]
    ((rows, grid),) = _networks.feature_maps(image(pixels), levels[0].fixed_models[0])
    n = dimension
    axes = np.asarray(grid.direction)[:n, :n]
    points = places(
        np.array(grid.size[:n]), np.array(grid.spacing[:n]), np.array(grid.origin[:n]), axes
    )
    np.testing.assert_allclose(np.asarray(rows).ravel(), expected(pixels, points), atol=1e-3)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize(
    ("mode", "engine"),
    [
        ("Static", "kernels"),
        ("Static", "torch"),
        ("Jacobian", "kernels"),
        ("Jacobian", "torch"),
        ("warped", "kernels"),
    ],
)
def test_the_moving_image_at_mapped_samples(
    identity: str, dimension: int, engine: str, mode: str
) -> None:
    """L1 from a fixed image of zeros is the mean of the moving image where the samples map to."""
    pixels = voxels(dimension)
    size = SIZE[:dimension] - 4  # the fixed image: the middle of the moving one
    axes = AXES[dimension]
    origin = ORIGIN[:dimension] + (2 * SPACING[:dimension]) @ axes.T
    fixed = _core.Image(
        np.zeros(size[::-1], np.float32), list(SPACING[:dimension]), list(origin), axes
    )
    values = {
        "ModelsPath": [identity],
        "Mode": ["Jacobian" if mode == "Jacobian" else "Static"],
        "Distance": ["L1"],
        "VoxelSize": ["*".join(map(str, SPACING[:dimension]))],
        "PatchSize": ["*".join(["1" if mode == "Jacobian" else "0"] * dimension)],
        "FeaturesMapUpdateInterval": ["1" if mode == "warped" else "-1"],
    }
    shift = np.array([0.37, -0.61, 1.13])[:dimension]
    evaluator = impact_testing.MetricEvaluator(
        fixed, image(pixels), values, "Translation", sample_spacing=1, as_on_gpu=engine == "torch"
    )
    value = evaluator.value(list(shift))
    points = places(size, SPACING[:dimension], origin, axes) + shift
    assert evaluator.number_of_valid_samples == len(points)
    assert value == pytest.approx(np.abs(expected(pixels, points)).mean(), rel=1e-5)
