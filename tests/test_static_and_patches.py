"""Features of whole images, of tiles, of slices and of patches are those of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import impact_testing
from helpers.coordinates import Array, save
from helpers.evaluators import SmoothModels, images, parameters, rotation, smooth_image
from helpers.images import Image
from helpers.itk_process import ItkProcess
from helpers.parameter_maps import parameter_map
from helpers.registrations import MODES, first_value, impact, pair, translation_error
from impact_plugin import _core, _networks


def features_of(image: _core.Image, settings: dict[str, list[str]]) -> list[Array]:
    """Give the selected layers of the first model, (z, y, x, channel)."""
    levels, findings = _core.parse_settings(settings, 1, image.grid.dimension)
    assert not findings
    maps = _networks.feature_maps(image, levels[0].fixed_models[0])
    return [features.astype(np.float64) for features, _ in maps]


def neighbour_steps(features: Array) -> float:
    """Give the largest difference of neighbouring voxels in a slice."""
    return max(float(np.abs(np.diff(features, axis=axis)).max()) for axis in (1, 2))


class LessItsMean(torch.nn.Module):
    """The image less the mean of all that the network is given: each tile's is another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean()


def tiled(path: str, tile: int, mask: str) -> dict[str, list[str]]:
    settings = parameters([path], [2], 2, "Static", "L2", mask)
    return settings | {"VoxelSize": ["1*1"], "PatchSize": [f"{tile}*{tile}"]}


@pytest.mark.parametrize("tile", [24, 40])
def test_no_seam_between_tiles(smooth_models: SmoothModels, tile: int) -> None:
    """Of a network that sees 2 voxels to each side: steps are as large as without tiles."""
    image = smooth_image([101, 87], [1.0, 1.0], 0.3, 0.0)
    whole = features_of(image, tiled(smooth_models(2), 0, "11"))
    parts = features_of(image, tiled(smooth_models(2), tile, "11"))
    for expected, found in zip(whole, parts, strict=True):
        # Zeros that the network adds around the image make the largest steps: not those. Tiles may
        # end beyond the image.
        inner = (slice(None), *(slice(3, n - 5) for n in expected.shape[1:3]))
        assert neighbour_steps(found[inner]) <= neighbour_steps(expected[inner]) + 1e-5
        np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize("tile", [101, 200])
def test_tiles_as_large_as_the_image_are_the_whole_image(
    smooth_models: SmoothModels, tile: int
) -> None:
    image = smooth_image([101, 87], [1.0, 1.0], 0.3, 0.0)
    whole = features_of(image, tiled(smooth_models(2), 0, "11"))
    for expected, found in zip(
        whole, features_of(image, tiled(smooth_models(2), tile, "11")), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_tiles_that_disagree_are_blended(tmp_path: Path) -> None:
    image = smooth_image([101, 87], [1.0, 1.0], 0.3, 0.0)
    model = save(LessItsMean(), tmp_path / "m.pt")
    whole, parts = (features_of(image, tiled(model, tile, "1"))[0] for tile in (0, 48))
    difference = parts - whole
    spread = float(np.ptp(difference))
    assert spread > 20.0  # the tiles do disagree
    # A cut would be a step as high as two tiles differ; over 6 voxels, a seventh of that. Where
    # four tiles meet, two such slopes come together.
    assert neighbour_steps(difference) < 2.5 / 7 * spread


def test_2d_model_on_a_3d_image_is_run_slice_by_slice(smooth_models: SmoothModels) -> None:
    pixels = np.random.default_rng(2).uniform(0, 300, (9, 21, 26)).astype(np.float32)
    image = _core.Image(pixels, [1.2, 0.9, 2.5], [0.0] * 3, rotation(3, 0.4))
    settings = parameters([smooth_models(2)], [2], 3, "Static", "L2", "11")
    found = features_of(image, settings | {"VoxelSize": ["1.2*0.9"]})
    with torch.no_grad():
        module = torch.jit.load(smooth_models(2))  # type: ignore[no-untyped-call]
        slices = [module(torch.from_numpy(part)[None, None]) for part in pixels]
    for layer in (0, 1):
        expected = np.stack([part[layer][0].permute(1, 2, 0).numpy() for part in slices])
        assert found[layer].shape == expected.shape
        # At its edges a slice is carried on by its own values, not by zeros.
        inner = (slice(None), slice(2, -2), slice(2, -2))
        np.testing.assert_allclose(found[layer][inner], expected[inner], atol=1e-6)


class WhichPlane(torch.nn.Module):
    """Tells from the slopes along a patch's axes, 1, 10 or 100, in which plane it lies.

    Layer 0: one channel per plane, of 0 and 1. Layers 1 to 3: 1 in one channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slopes = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.slopes.weight.zero_()
            self.slopes.weight[0, 0, 1] = torch.tensor([-0.5, 0.0, 0.5])
            self.slopes.weight[1, 0, :, 1] = torch.tensor([-0.5, 0.0, 0.5])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        # At the image's edge, slopes are halved: the logarithm still rounds to the right number.
        axes = torch.round(torch.log10(self.slopes(x).clamp_min(0.1)))
        number = 10 * axes[:, :1] + axes[:, 1:]
        planes = torch.cat([number == 1, number == 2, number == 12], 1).to(torch.float32)
        zero = torch.zeros_like(planes)
        layers = [planes]
        for channel in range(3):
            layer = zero.clone()
            layer[:, channel] = 1.0
            layers.append(layer)
        return layers


def test_2d_model_in_jacobian_mode_sees_all_planes_of_a_3d_image(tmp_path: Path) -> None:
    """Planes of the image's own axes, the first of two along the patch's x."""
    x, y, z = np.arange(12), np.arange(14)[:, None], np.arange(11)[:, None, None]
    pixels = (x + 10.0 * y + 100.0 * z).astype(np.float32)
    image = _core.Image(pixels, [1.0] * 3, [5.0, -3.0, 8.0], rotation(3, 0.5))
    settings = parameters([save(WhichPlane(), tmp_path / "m.pt")], [2], 3, "Jacobian", "L2", "1")
    settings |= {
        "VoxelSize": ["1*1*1"],
        "PatchSize": ["3*3"],
        "Distance": ["DotProduct"],
        "FixedLayersMask": ["1000"],
    }
    evaluators = [
        impact_testing.MetricEvaluator(
            image, image, settings | {"MovingLayersMask": [mask]}, "Translation", sample_spacing=1
        )
        for mask in ("0100", "0010", "0001")
    ]
    first, second = ([-e.value([0.0] * 3) for e in evaluators] for _ in range(2))
    count = 12 * 14 * 11
    assert evaluators[0].number_of_valid_samples == count
    for shares in (first, second):
        assert sum(shares) == pytest.approx(1.0, abs=1e-6)  # each patch lies in one of them
        # Five standard deviations of a share of so many draws.
        assert shares == pytest.approx([1 / 3] * 3, abs=5 * np.sqrt(2 / 9 / count))
    assert first != second


@pytest.mark.parametrize("dimension", [2, 3])
def test_padding_does_not_matter_to_patches_that_cover_what_is_seen(
    smooth_models: SmoothModels, dimension: int
) -> None:
    """The second layer sees 5 voxels, at stride 2."""
    values: dict[int, list[float]] = {}
    for patch in (5, 7, 8, 9):
        for padding in (0, 1):
            model = smooth_models(dimension, padding=padding)
            settings = parameters([model], [dimension], dimension, "Jacobian", "L2", "11")
            settings["PatchSize"] = ["*".join([str(patch)] * dimension)]
            evaluator = impact_testing.MetricEvaluator(*images(dimension), settings, "Translation")
            values.setdefault(patch, []).append(evaluator.value([0.7, -0.4, 0.9][:dimension]))
        assert values[patch][0] == pytest.approx(values[patch][1], rel=1e-5)
    assert len({round(value[0], 9) for value in values.values()}) > 1


def square(size: int, shift: float) -> NDArray[np.float32]:
    """Make the square of x / 4, in voxels."""
    x = (np.arange(size) + shift) ** 2 / 16
    return np.broadcast_to(x, (7, 9, size)).astype(np.float32)


@pytest.mark.parametrize(("order", "expected"), [(1, 0.25 / 16), (3, 0.0)])
def test_intensities_are_interpolated_to_the_order_given(
    tmp_path: Path, order: int, expected: float
) -> None:
    """Between voxels of a parabola, lines run 1/4 too high, and cubic B-splines do not."""
    spacing, origin, direction = [1.5, 1.0, 1.0], [3.0, 2.0, 1.0], np.eye(3)
    fixed = _core.Image(square(40, 0.5), spacing, origin, direction)
    moving = _core.Image(square(40, 0.0), spacing, origin, direction)
    # Images are mirrored at their borders, which is felt within some voxels.
    inner = np.zeros((7, 9, 40), np.float32)
    inner[:, :, 12:-12] = 1.0
    model = save(torch.nn.Identity(), tmp_path / "m.pt")
    settings = parameters([model], [3], 3, "Jacobian", "L1", "1")
    evaluator = impact_testing.MetricEvaluator(
        fixed,
        moving,
        settings | {"VoxelSize": ["1.5*1*1"], "PatchSize": ["1*1*1"]},
        "Translation",
        interpolation_order=order,
        sample_spacing=1,
        moving_mask=_core.Image(inner, spacing, origin, direction),
    )
    value = evaluator.value([0.75, 0.0, 0.0])
    assert evaluator.number_of_valid_samples == pytest.approx(16 * 9 * 7, rel=0.1)
    assert value == pytest.approx(expected, abs=1e-5)


def test_order_of_interpolation_in_elastix(itk_process: ItkProcess, layers: dict[int, str]) -> None:
    values = [
        first_value(
            itk_process,
            pair(3),
            **impact(3, "Jacobian", layers[3], voxel=1.3, LayersMask="010"),
            ImageSampler="Grid",
            SampleGridSpacing=6,
            Interpolator=name,
            BSplineInterpolationOrder=order,
        )
        for name, order in (
            ("LinearInterpolator", 3),
            ("BSplineInterpolator", 1),
            ("BSplineInterpolator", 2),
            ("BSplineInterpolator", 3),
        )
    ]
    assert values[0] == values[1]
    assert len(set(values)) == 3
    assert values == pytest.approx([values[0]] * 4, rel=0.2)  # of the same smooth images


@pytest.mark.parametrize("dimension", [2, 3])
def test_network_that_pads_with_zeros(
    itk_process: ItkProcess, layers: dict[int, str], dimension: int
) -> None:
    """As most do: zeros around the whole images would hold them, 1.3 and 1.5 mm off."""
    parameters = parameter_map(
        dimension,
        **impact(dimension, "Static", layers[dimension], LayersMask="010"),
        ImageSampler="Grid",
        SampleGridSpacing=dimension + 1,
    )
    assert translation_error(itk_process.register(*pair(dimension), parameters)) < 0.1


class Negative(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 5.0 - x / 100.0


class Hundredth(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 100.0


@pytest.mark.parametrize("mode", MODES)
def test_each_image_has_its_own_model(itk_process: ItkProcess, tmp_path: Path, mode: str) -> None:
    """The moving image is a negative, of which its own model makes a positive."""
    fixed, moving = pair(3)
    negative = Image(500.0 - moving.voxels, moving.grid)
    own = {
        "FixedModelsPath": save(Hundredth(), tmp_path / "hundredth.pt"),
        "MovingModelsPath": save(Negative(), tmp_path / "negative.pt"),
    }
    parameters = parameter_map(3, **impact(3, mode, own["FixedModelsPath"]), **own)
    assert translation_error(itk_process.register(fixed, negative, parameters)) < 0.1


def principal_components(rows: Array, count: int) -> Array:
    """Compute the directions of largest variance, as columns."""
    _, _, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    basis: Array = directions[:count].T
    return basis


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 3, 5])
def test_principal_components_are_those_of_the_fixed_features(
    smooth_models: SmoothModels, mode: str, count: int
) -> None:
    """Applied to the features of both images, at all voxels whose patch is inside."""
    grid = ([22, 19, 16], [1.2, 0.9, 2.5], 0.35)
    fixed, moving = smooth_image(*grid, 0.0), smooth_image(*grid, 1.2)
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "10")
    settings |= {"VoxelSize": ["1.2*0.9*2.5"], "PCA": [str(count)]}
    static = settings | {"Mode": ["Static"], "PatchSize": ["0*0*0"]}
    inner = (slice(2, -2),) * 3 if mode == "Jacobian" else (slice(None),) * 3
    f, m = (features_of(image, static)[0][inner].reshape(-1, 5) for image in (fixed, moving))
    basis = principal_components(f, count)
    expected = np.mean(((f - m) @ basis) ** 2)

    mask = np.zeros((16, 19, 22), np.float32)
    mask[inner] = 1.0
    place = fixed.grid
    evaluator = impact_testing.MetricEvaluator(
        fixed,
        moving,
        settings,
        "Translation",
        sample_spacing=1,
        moving_mask=_core.Image(
            mask, list(place.spacing), list(place.origin), np.array(place.direction)
        ),
    )
    value = evaluator.value([0.0] * 3)
    assert evaluator.number_of_valid_samples == len(f)
    assert value == pytest.approx(expected, rel=1e-4)
    if count == 5:
        assert value == pytest.approx(np.mean((f - m) ** 2), rel=1e-4)
