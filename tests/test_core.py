"""The core through _core: geometry of feature maps, distances, sampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import impact_testing
from helpers.coordinates import (
    SIZE,
    SPACING,
    Array,
    AveragePool,
    EverySecondVoxel,
    StridedConvolution,
    coordinate_image,
    physical_points,
    save,
    settings,
)
from impact_plugin import _core, _networks


@pytest.mark.parametrize("module", [AveragePool(), StridedConvolution(), EverySecondVoxel()])
@pytest.mark.parametrize("voxel_size", ["1.3*2.1*2.7", "1.1*1.7*2.0", "0.9*2.1*3.1"])
def test_voxels_of_layers_lie_where_the_grid_says(
    tmp_path: Path, module: torch.nn.Module, voxel_size: str
) -> None:
    """Fed with its own coordinates, a network says where its voxels are."""
    level = settings(save(module, tmp_path / "m.pt"), voxel_size)
    for axis in range(3):
        maps = _networks.feature_maps(coordinate_image(axis), level.fixed_models[0])
        assert len(maps) == 3
        for features, grid in maps:
            assert features.shape == (*grid.size[::-1], 1)
            expected = physical_points(grid)[..., axis]
            # At the edges, and as far as a network sees beyond them, the image stays constant.
            inner = tuple(slice(2, -2) if n > 4 else slice(1, 2) for n in features.shape[:3])
            np.testing.assert_allclose(features[..., 0][inner], expected[inner], atol=2e-3)


def test_2d_model_sees_a_3d_image_slice_by_slice(tmp_path: Path) -> None:
    level = settings(save(AveragePool(), tmp_path / "m.pt"), "1.3*2.1*2.7", dimension=2)
    for axis in range(3):
        for features, grid in _networks.feature_maps(coordinate_image(axis), level.fixed_models[0]):
            assert grid.size[2] == SIZE[2]
            np.testing.assert_allclose(
                features[:, 1:-1, 1:-1, 0], physical_points(grid)[:, 1:-1, 1:-1, axis], atol=1e-3
            )


def test_2d_images_that_are_not_square(tmp_path: Path) -> None:
    level = settings(save(AveragePool(), tmp_path / "m.pt"), "1.0*1.7", dimension=2)
    for axis in range(2):
        for features, grid in _networks.feature_maps(
            coordinate_image(axis, 2), level.fixed_models[0]
        ):
            assert features.shape[:3] == (1, grid.size[1], grid.size[0])
            np.testing.assert_allclose(
                features[0, 1:-1, 1:-1, 0], physical_points(grid)[0, 1:-1, 1:-1, axis], atol=1e-3
            )


@pytest.mark.parametrize("distance", ["L1", "L2", "Cosine"])
def test_coordinates_are_sampled_at_the_physical_point(tmp_path: Path, distance: str) -> None:
    """With the L2 distance of coordinate features, the value is the mean squared displacement."""
    level = settings(
        save(AveragePool(), tmp_path / "m.pt"),
        "1.1*1.7*2.0",
        Distance=distance,
        LayersWeight="1 0 0",
    )
    image = coordinate_image(2)
    similarity = impact_testing.StaticSimilarity(image, image, level)
    centre = physical_points(image.grid)[6, 8, 10]
    points = centre + np.random.default_rng(0).uniform(-4, 4, (50, 3))
    moved = points + np.array([0.3, -0.2, 0.7])
    value, gradient = similarity.evaluate(points, moved)
    if distance == "L2":
        assert value == pytest.approx(0.49, rel=1e-3)
        np.testing.assert_allclose(gradient, np.tile([0, 0, 2 * 0.7 / 50], (50, 1)), atol=1e-4)
    elif distance == "L1":
        assert value == pytest.approx(0.7, rel=1e-3)
    else:
        assert value == pytest.approx(0.0, abs=1e-9)


def test_resampled_grid_keeps_the_centre_and_covers_the_extent() -> None:
    grid = coordinate_image(0).grid
    for voxel_size in ([1.3, 2.1, 2.7], [4.0, 1.0, 0.7], [100.0, 2.0, 2.0]):
        new = grid.resampled(voxel_size)
        assert new.spacing == voxel_size
        for i in range(3):
            old_extent, new_extent = SIZE[i] * SPACING[i], new.size[i] * voxel_size[i]
            assert old_extent <= new_extent + 1e-6 < old_extent + voxel_size[i] + 1e-6
        middle = [physical_points(g).reshape(-1, 3).mean(axis=0) for g in (grid, new)]
        np.testing.assert_allclose(middle[0], middle[1], atol=1e-6)


DISTANCES = ["L1", "L2", "Cosine", "L1Cosine", "Dice", "NCC", "DotProduct"]


def reference_distance(kind: str, f: Array, m: Array) -> float:
    """The definitions of the documentation, sample by sample."""
    values = []
    if kind == "NCC":
        for a, b in zip(f.T, m.T, strict=True):
            constant = [bool(np.ptp(x) == 0) for x in (a, b)]
            values.append(1 - (float(all(constant)) if any(constant) else np.corrcoef(a, b)[0, 1]))
        return float(np.mean(values))
    for a, b in zip(f, m, strict=True):
        if kind == "L1":
            values.append(np.mean(np.abs(a - b)))
        elif kind == "L2":
            values.append(np.mean((a - b) ** 2))
        elif kind == "DotProduct":
            values.append(-(a @ b))
        elif kind == "Dice":
            total = np.sum(a + b)
            values.append(1 - (2 * (a @ b) / total if total != 0 else 1))
        else:
            norms = np.sqrt(a @ a) * np.sqrt(b @ b)
            both_zero = not a.any() and not b.any()
            cosine = a @ b / norms if norms > 0 else float(both_zero)
            nearness = np.mean(np.exp(-0.1 * np.abs(a - b))) if kind == "L1Cosine" else 1.0
            values.append(1 - cosine * nearness)
    return float(np.mean(values))


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("samples", [1, 40, 9000])
@pytest.mark.parametrize("by_torch", [False, True], ids=["natively", "by torch"])
def test_distances(kind: str, samples: int, by_torch: bool) -> None:
    random = np.random.default_rng(1)
    f, m = random.uniform(0.1, 1.0, (2, samples, 6))
    f[0] = 0.0
    if samples > 1:
        m[1] = 0.0
        f[2] = m[2] = 0.0
    value, gradient = _networks.distance(kind, f, m, by_torch)
    assert value == pytest.approx(reference_distance(kind, f, m), rel=1e-12)
    assert np.all(np.isfinite(gradient))
    if kind != "DotProduct":
        same = np.round(f)  # Dice is zero for equal features of 0 and 1
        assert _networks.distance(kind, same, same, by_torch)[0] == pytest.approx(0.0, abs=1e-12)
    for place in random.integers(3, samples, 5) if samples > 3 else []:
        step = np.zeros_like(m)
        step[place, place % 6] = 1e-6
        up = reference_distance(kind, f, m + step)
        down = reference_distance(kind, f, m - step)
        assert gradient[place, place % 6] == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("special", ["signs", "equal", "opposite", "tiny"])
def test_distances_natively_as_by_torch(kind: str, special: str) -> None:
    random = np.random.default_rng(3)
    f, m = random.normal(0.0, 1.0, (2, 300, 5))
    if special == "equal":
        m[:100, 2:] = f[:100, 2:]
    elif special == "opposite":
        m[:100] = -f[:100]
    elif special == "tiny":
        f[:50] *= 1e-170
    natively, by_torch = (_networks.distance(kind, f, m, way) for way in (False, True))
    assert natively[0] == pytest.approx(by_torch[0], rel=1e-12, abs=1e-13)
    np.testing.assert_allclose(natively[1], by_torch[1], rtol=1e-10, atol=1e-15)


def test_correlation_of_constant_channels() -> None:
    """Constant in both images: they agree. In one of them: they do not. Never NaN."""
    random = np.random.default_rng(2)
    f, m = random.uniform(0, 1, (2, 30, 3))
    m[:, 0] = f[:, 0]
    f[:, 1], m[:, 1] = 0.3, 0.7
    f[:, 2] = 0.1
    value, gradient = _networks.distance("NCC", f, m)
    assert value == pytest.approx((0 + 0 + 1) / 3, abs=1e-12)
    assert np.all(np.isfinite(gradient))


def test_unknown_distance() -> None:
    with pytest.raises(
        ValueError, match=r'distance "L3" is unknown; allowed: "L1", "L2", "Cosine"'
    ):
        _networks.distance("L3", np.zeros((1, 1)), np.zeros((1, 1)))


class TwoConvolutions(torch.nn.Module):
    """Sees three voxels to each side (and a stride-2 layer that sees five)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        convolution = torch.nn.Conv2d if dimension == 2 else torch.nn.Conv3d
        self.first = convolution(1, 4, 5, padding=2)
        self.second = convolution(4, 3, 3, padding=1)
        self.third = convolution(3, 3, 3, padding=1, stride=2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        a = torch.relu(self.first(x))
        b = torch.tanh(self.second(a))
        return [a, b, self.third(b)]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("tile", [20, 26, 200])
def test_tiles_give_the_features_of_the_whole_image(
    tmp_path: Path, dimension: int, tile: int
) -> None:
    torch.manual_seed(0)
    path = save(TwoConvolutions(dimension), tmp_path / "m.pt")
    pixels = np.random.default_rng(1).standard_normal([43, 57, 49][:dimension]).astype(np.float32)
    image = _core.Image(pixels, [1.0] * dimension, [0.0] * dimension, np.eye(dimension))
    voxel_size = "*".join(["1"] * dimension)
    whole = settings(path, voxel_size, dimension)
    tiled = settings(path, voxel_size, dimension, PatchSize="*".join([str(tile)] * dimension))
    pairs = zip(
        _networks.feature_maps(image, whole.fixed_models[0]),
        _networks.feature_maps(image, tiled.fixed_models[0]),
        strict=True,
    )
    for (expected, grid), (features, tiled_grid) in pairs:
        assert (grid.origin, grid.spacing) == (tiled_grid.origin, tiled_grid.spacing)
        # The whole image's own border is zero-padded; tiles may end beyond it.
        inner = tuple(slice(0, n - 6) for n in expected.shape[3 - dimension : 3])
        inner = (slice(None),) * (3 - dimension) + inner
        np.testing.assert_allclose(features[inner], expected[inner], atol=1e-5)
        assert np.abs(expected[inner]).max() > 0.1


def test_tiles_too_small_for_the_model(tmp_path: Path) -> None:
    path = save(TwoConvolutions(2), tmp_path / "m.pt")
    image = _core.Image(np.zeros((40, 50), np.float32), [1.0, 1.0], [0.0, 0.0], np.eye(2))
    level = settings(path, "1*1", 2, PatchSize="10*10")
    with pytest.raises(_core.Error, match=r"Parameter PatchSize: tiles of 10 voxels along axis x"):
        _networks.feature_maps(image, level.fixed_models[0])
