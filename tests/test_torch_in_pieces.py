"""What torch computes in pieces: as without them, the same bits for every number of threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import impact_testing
from helpers import tiny_models
from helpers.evaluators import parameters
from impact_plugin import _core, _networks


class Layered(nn.Module):
    """Layers of any kind, one after the other, on images over 100."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        # Refused with a margin around it, the image of the test is seen as it is.
        assert max(x.shape[2:]) <= 64, "expected at most 64 voxels along each axis"
        return [self.layers(x / 100.0)]


class Attention(nn.Module):
    """Heads over the voxels of a coarse grid, as vision transformers have them."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.patch = nn.Conv3d(1, width, 4, 4)
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> list[Tensor]:
        assert max(x.shape[2:]) <= 64, "expected at most 64 voxels along each axis"
        patches = self.patch(x / 100.0)
        tokens = patches.flatten(2).transpose(1, 2)
        parts = self.into(tokens).view(tokens.shape[0], tokens.shape[1], 3, self.heads, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        weights = torch.matmul(q, k.transpose(-1, -2)).softmax(-1)
        both = (seen + torch.matmul(weights, v)).transpose(1, 2).flatten(2)
        return [self.out(both).transpose(1, 2).reshape(patches.shape)]


class Whole(nn.Module):
    """Sums over the whole input, and over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 6, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        assert max(x.shape[2:]) <= 64, "expected at most 64 voxels along each axis"
        x = self.convolution((x - x.mean()) / (x.std() + 1.0))
        return [x.softmax(1) * x.square().sum(1, keepdim=True).sqrt()]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "elu, strides, one voxel": lambda: Layered(
        nn.Conv3d(1, 16, 3, padding=1),
        nn.ELU(),
        nn.Conv3d(16, 24, 3, 2, 1),
        nn.SiLU(),
        nn.Conv3d(24, 5, 1),
    ),
    "dilated, groups, gelu": lambda: Layered(
        nn.Conv3d(1, 12, 5, padding=2),
        nn.GELU(),
        nn.Conv3d(12, 12, 3, padding=4, dilation=4),
        nn.Softplus(),
        nn.Conv3d(12, 24, 3, padding=1, groups=4),
        nn.Mish(),
    ),
    "up and down": lambda: Layered(
        nn.Conv3d(1, 32, 3, padding=1),
        nn.InstanceNorm3d(32, affine=True),
        nn.LeakyReLU(0.01, inplace=True),
        nn.MaxPool3d(2),
        nn.Conv3d(32, 48, 3, padding=1),
        nn.BatchNorm3d(48),
        nn.Sigmoid(),
        nn.ConvTranspose3d(48, 40, 2, 2),
        nn.Tanh(),
        nn.AvgPool3d(2),
        nn.Upsample(scale_factor=2, mode="trilinear"),
    ),
    "attention": Attention,
    "sums over all": Whole,
}


def voxels(size: int, seed: int) -> NDArray[np.float32]:
    """Noise, (z, y, x)."""
    shape = (size, size - 4, size + 4)
    return 100.0 * np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def image(size: int, seed: int) -> _core.Image:
    return _core.Image(voxels(size, seed), [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], np.eye(3))


@pytest.fixture(params=list(NETWORKS))
def network(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[nn.Module, str]:
    torch.manual_seed(7)
    module = NETWORKS[request.param]().eval()
    return module, str(tiny_models.save(module, tmp_path / "network.pt"))


def settings_of(path: str, mode: str, distance: str = "L2") -> dict[str, list[str]]:
    made = parameters([path], [3], 3, mode, distance, "1")
    made["VoxelSize"] = ["1*1*1"]
    made["PatchSize"] = ["0*0*0" if mode == "Static" else "8*8*8"]
    return made


def test_pieces_give_what_the_whole_gives(network: tuple[nn.Module, str]) -> None:
    module, path = network
    levels, findings = _core.parse_settings(settings_of(path, "Static"), 1, 3)
    assert not findings
    ((made, _),) = _networks.feature_maps(image(60, 0), levels[0].fixed_models[0])
    with torch.no_grad():
        (layer,) = module(torch.from_numpy(voxels(60, 0))[None, None])
    expected = layer[0].movedim(0, -1).numpy()
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_the_same_bits_for_every_number_of_threads(
    network: tuple[nn.Module, str], mode: str
) -> None:
    _, path = network
    fixed, moving = image(36, 0), image(36, 1)
    results = set()
    for threads in (1, 2, 3, 5):
        evaluator = impact_testing.MetricEvaluator(
            fixed,
            moving,
            settings_of(path, mode, "NCC"),
            "Affine",
            sample_spacing=6,
            threads=threads,
        )
        position = np.array(evaluator.identity_parameters) + 0.01
        value, derivative = evaluator.value_and_derivative(list(position))
        results.add((value, derivative.tobytes()))
    assert len(results) == 1
