"""How models are called, what they are told and what they may return."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import impact_testing
from helpers.coordinates import Array, save
from helpers.evaluators import (
    FIXED,
    MOVING,
    SmoothModels,
    images,
    parameters,
    rotation,
    smooth_volume,
)
from impact_plugin import _core, _networks

Features = NDArray[np.float32]
MODES = ("Static", "Jacobian")


class ImageAlone(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, 2.0 * x]


class NumberOfLayers(nn.Module):
    """As many layers as asked for: the image times 1, 2, ..."""

    def forward(self, x: Tensor, nb_layers: Tensor) -> list[Tensor]:
        assert nb_layers.numel() == 1
        assert nb_layers.dtype == torch.int64
        return [(i + 1.0) * x for i in range(int(nb_layers.item()))]


class MoreLayersThanAskedFor(nn.Module):
    def forward(self, x: Tensor, nb_layers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, 2.0 * x, 3.0 * x + 0.0 * nb_layers.to(x.dtype)


class Statistics(nn.Module):
    """All that the network is told, everywhere: the image and the number of layers as well."""

    def forward(self, x: Tensor, nb_layers: Tensor, stats: Tensor) -> Tensor:
        assert stats.dtype == torch.float32
        assert stats.dim() == 1
        told = torch.cat([nb_layers.to(x.dtype), stats])
        return everywhere(told, x)


class Direction(nn.Module):
    def forward(self, x: Tensor, nb_layers: Tensor, stats: Tensor, direction: Tensor) -> Tensor:
        assert direction.dtype == torch.float32
        assert direction.dim() == 2
        told = torch.cat([nb_layers.to(x.dtype), stats, direction.flatten()])
        return everywhere(told, x)


class OtherNames(nn.Module):
    def forward(self, image: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return everywhere(torch.cat([a.to(image.dtype), b, c.flatten()]), image)


class OtherOrder(nn.Module):
    def forward(self, x: Tensor, direction: Tensor, stats: Tensor, nb_layers: Tensor) -> Tensor:
        told = torch.cat([nb_layers.to(x.dtype), stats, direction.flatten()])
        return everywhere(told, x)


class OptionalArgument(nn.Module):
    def forward(self, x: Tensor, nb_layers: Tensor, sharpness: float = 2.0) -> Tensor:
        return everywhere(nb_layers.to(x.dtype) * sharpness, x)


class Dictionary(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"features": x}


class FiveArguments(nn.Module):
    def forward(self, x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return x + a + b + c + d


def everywhere(numbers: Tensor, x: Tensor) -> Tensor:
    """Give numbers as channels that are the same at all voxels of x."""
    shape = [1, numbers.numel()] + [1] * (x.dim() - 2)
    return numbers.view(shape) + 0.0 * x[:, :1]


def made(kind: tuple[list[int], list[float], float, float], direction: Array) -> _core.Image:
    """Make an image with its middle at the origin of space."""
    pixels, spacing, _, _ = smooth_volume(*kind)
    origin = -direction @ ((np.array(kind[0]) - 1) / 2 * spacing)
    return _core.Image(pixels, spacing, list(origin), direction)


def settings(model: str, mode: str, dimension: int, mask: str = "1") -> dict[str, list[str]]:
    return parameters([model], [dimension], dimension, mode, "L2", mask)


def features(model: nn.Module, folder: Path, image: _core.Image, mask: str) -> list[Features]:
    """Give the selected layers of a model in Static mode, (z, y, x, channel)."""
    dimension = image.grid.dimension
    path = save(model, folder / "m.pt")
    levels, findings = _core.parse_settings(settings(path, "Static", dimension, mask), 1, dimension)
    assert not findings
    return [layer for layer, _ in _networks.feature_maps(image, levels[0].fixed_models[0])]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mask", ["01", "11", "10", "1"])
def test_image_and_number_of_layers(tmp_path: Path, dimension: int, mask: str) -> None:
    """Masks shorter than the outputs suit a model that is told how many layers are wanted."""
    image = images(dimension)[0]
    selected = [i for i, digit in enumerate(mask) if digit == "1"]
    (seen,) = features(nn.Identity(), tmp_path, image, "1")
    for model in (NumberOfLayers(), MoreLayersThanAskedFor(), ImageAlone()):
        if mask == "1" and isinstance(model, ImageAlone):
            with pytest.raises(_core.Error, match=r"LayersMask: it has 1 entries, .* gives 2 lay"):
                features(model, tmp_path, image, mask)
            continue
        found = features(model, tmp_path, image, mask)
        assert len(found) == len(selected)
        for i, layer in zip(selected, found, strict=True):
            np.testing.assert_allclose(layer, (i + 1) * seen, rtol=1e-6)


class AtMostTwo(nn.Module):
    def forward(self, x: Tensor, nb_layers: Tensor) -> list[Tensor]:
        count = int(nb_layers.item())
        assert count <= 2, "a third layer was asked for"
        return [(i + 1.0) * torch.cat([x, x], 1) for i in range(count)]


@pytest.mark.parametrize("mode", MODES)
def test_layers_behind_the_last_selected_one_are_not_asked_for(tmp_path: Path, mode: str) -> None:
    path = save(AtMostTwo(), tmp_path / "m.pt")
    values = []
    for mask in ("01", "010", "0100"):
        evaluator = impact_testing.MetricEvaluator(
            *images(3), settings(path, mode, 3, mask), "Translation", sample_spacing=5
        )
        values.append(evaluator.value([0.5, 0.0, 0.0]))
    assert values[0] == values[1] == values[2] > 0
    with pytest.raises(_core.Error, match="a third layer was asked for"):
        features(AtMostTwo(), tmp_path, images(3)[0], "011")


DIRECTIONS: dict[int, list[tuple[list[int], list[int]]]] = {
    # where each axis points to, with which sign
    2: [([0, 1], [1, 1]), ([1, 0], [1, -1])],
    3: [([0, 1, 2], [1, 1, 1]), ([1, 2, 0], [-1, -1, 1]), ([2, 0, 1], [1, -1, -1])],
}


def snapped(dimension: int, axes: tuple[list[int], list[int]]) -> Array:
    matrix = np.zeros((dimension, dimension))
    matrix[axes[0], range(dimension)] = axes[1]
    return matrix


@pytest.mark.parametrize("model", [Statistics(), Direction(), OtherNames(), OtherOrder()])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_what_models_are_told(tmp_path: Path, dimension: int, mode: str, model: nn.Module) -> None:
    """Of both images: the statistics of the whole, not of a patch or of the resampled image.

    And the directions of the axes along which they are seen: the world's, however they are stored.
    """
    path = save(model, tmp_path / "m.pt")
    for axes in DIRECTIONS[dimension]:
        fixed = made(FIXED[dimension], rotation(dimension, 0.2) @ snapped(dimension, axes))
        moving = made(MOVING[dimension], rotation(dimension, -1.0))
        for number, image_s in enumerate((FIXED, MOVING)):
            pixels = smooth_volume(*image_s[dimension])[0].astype(np.float64)
            expected = [1.0, pixels.min(), pixels.max(), pixels.mean(), pixels.std()]
            if not isinstance(model, Statistics):
                expected += list(np.eye(dimension).ravel())
            found = told(path, (fixed, moving), number, len(expected), mode)
            # Single precision, and one voxel more or less in the divisor of a deviation.
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


class OneChannel(nn.Module):
    """Layers that are 1 in one of the channels, each in another, and 0 in the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.number = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        return [everywhere(torch.eye(self.number)[i], x) for i in range(self.number)]


def told(
    path: str, pair: tuple[_core.Image, _core.Image], number: int, channels: int, mode: str
) -> list[float]:
    """Read the features that a model gives at all samples of the fixed or the moving image."""
    dimension = pair[0].grid.dimension
    other = save(OneChannel(channels), Path(path).with_name("one.pt"))
    sides = ("Fixed", "Moving")
    result = []
    for channel in range(channels):
        mask = "".join("1" if i == channel else "0" for i in range(channels))
        given = settings(path, mode, dimension) | {"Distance": ["DotProduct"]}
        given |= {
            f"{sides[number]}ModelsPath": [path],
            f"{sides[1 - number]}ModelsPath": [other],
            f"{sides[1 - number]}LayersMask": [mask],
        }
        evaluator = impact_testing.MetricEvaluator(*pair, given, "Translation", sample_spacing=9)
        result.append(-evaluator.value([0.0] * dimension))
    return result


def test_further_arguments_with_defaults(tmp_path: Path) -> None:
    (layer,) = features(OptionalArgument(), tmp_path, images(3)[0], "1")
    assert np.all(layer == 2.0)


def test_calls_and_outputs_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(_core.Error, match=r"forward\(\) takes 5 arguments. Allowed: \(x\), \(x, n"):
        features(FiveArguments(), tmp_path, images(3)[0], "1")
    with pytest.raises(_core.Error, match=r"returned \w*Dict\w*. Allowed: a tensor, or a list or"):
        features(Dictionary(), tmp_path, images(3)[0], "1")


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_weights_of_half_precision(
    smooth_models: SmoothModels, tmp_path: Path, dimension: int, mode: str
) -> None:
    """On the CPU too: nearly the same value and derivative, for many samples."""
    module = torch.jit.load(smooth_models(dimension))  # type: ignore[no-untyped-call]
    half = tmp_path / "half.pt"
    torch.jit.save(module.half(), str(half))
    results = []
    for path in (smooth_models(dimension), str(half)):
        given = settings(path, mode, dimension, "11")
        evaluator = impact_testing.MetricEvaluator(
            *images(dimension), given, "Translation", sample_spacing=1, threads=2
        )
        results.append(evaluator.value_and_derivative([0.8, -0.5, 0.6][:dimension]))
    # Eleven bits of precision in each feature, and means over many.
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-3)
    assert results[1][0] != results[0][0]
    bound = 1e-2 * float(np.abs(results[0][1]).max())
    np.testing.assert_allclose(results[1][1], results[0][1], atol=bound)


class OfTheGpu(nn.Module):
    """As a model traced on a GPU: the tensors that it makes are made there."""

    def forward(self, x: Tensor) -> Tensor:
        return doubled(x) + torch.zeros([1], device=torch.device("cuda:0"))


def doubled(x: Tensor) -> Tensor:
    return x * torch.full([1], 2.0, device="cuda:1")


class CastsToHalf(nn.Module):
    """Asks for half precision itself, so that its weights must stay in it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3, padding=1).half()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.convolution(x.half())
        return features


@pytest.mark.parametrize("model", [OfTheGpu(), CastsToHalf()])
def test_models_of_the_gpu_on_the_cpu(tmp_path: Path, model: nn.Module) -> None:
    path = save(model, tmp_path / "m.pt")
    levels, _ = _core.parse_settings(settings(path, "Static", 2, "1"), 1, 2)
    image = images(2)[0]
    ((features, _),) = _networks.feature_maps(image, levels[0].fixed_models[0])
    assert np.isfinite(features).all()
    if isinstance(model, OfTheGpu):
        path = save(nn.Identity(), tmp_path / "identity.pt")
        levels, _ = _core.parse_settings(settings(path, "Static", 2, "1"), 1, 2)
        ((as_is, _),) = _networks.feature_maps(image, levels[0].fixed_models[0])
        np.testing.assert_array_equal(features, 2.0 * as_is)
