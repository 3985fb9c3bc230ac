"""What is known of a network's layers without running it: sizes, places, what they see, memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import field_network
from torch import Tensor, nn

import impact_testing
from helpers import field_networks
from impact_plugin import _networks

TURN = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
SIZE = (41, 44, 39)  # z, y, x


class Branches(nn.Module):
    """Two ways that see different places, added, cropped and put beside a third."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv3d(1, 4, 3, padding=1)
        self.far = nn.Conv3d(1, 4, (5, 3, 1), padding=(2, 1, 0))
        self.down = nn.Conv3d(1, 4, 2, 2)
        self.up = nn.ConvTranspose3d(4, 4, 2, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        beside = nn.functional.relu(self.near(x)) + self.far(x)
        again = self.up(self.down(x))
        size = again.shape
        cut = beside[:, :, : size[2], : size[3], : size[4]]
        return [beside, torch.cat([cut, again], dim=1)]


class Again(nn.Module):
    """Uses a list twice, and in between what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv3d(1, 2, 5, padding=2)
        self.narrow = nn.Conv3d(4, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        wide = self.wide(x)
        parts = [wide, wide * 2.0]
        first = self.narrow(torch.cat(parts, dim=1))
        beside = wide + first
        return [torch.cat(parts, dim=1), beside]


class Turned(nn.Module):
    """Reads the image along other axes and backwards, with strides."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(1, 4, 3, (1, 2, 3), 1)

    def forward(self, x: Tensor) -> Tensor:
        turned = x.permute(0, 1, 4, 2, 3).flip([2, 4])
        layer: Tensor = self.convolution(turned).flip([2, 4]).permute(0, 1, 3, 4, 2)
        return layer


class Cut(nn.Module):
    """Without two slices at one end and each second of the rest."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 2::2, :-3]


def plain(*steps: nn.Module) -> nn.Module:
    return nn.Sequential(*steps)


NETWORKS: dict[str, tuple[nn.Module, str]] = {
    "strides": (plain(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv3d(4, 4, 3, (1, 2, 3))), "1"),
    "dilations": (plain(nn.Conv3d(1, 4, 3, padding=4, dilation=4), nn.ELU(inplace=True)), "1"),
    "largest": (plain(nn.Conv3d(1, 99, 3), nn.MaxPool3d(3, 2, 1)), "1"),
    "means": (plain(nn.Conv3d(1, 4, 3, padding=1), nn.AvgPool3d((2, 3, 4))), "1"),
    "edges": (plain(nn.ReplicationPad3d((1, 2, 0, 3, 2, 2)), nn.Conv3d(1, 4, 3)), "1"),
    "branches": (Branches(), "11"),
    "again": (Again(), "11"),
    "turned": (Turned(), "1"),
    "cut": (Cut(), "1"),
}


def positive(network: nn.Module) -> nn.Module:
    """With weights that never cancel, and rectifiers that let all through."""
    for parameter in network.parameters():
        parameter.data = parameter.data.abs() + 0.1
    return network


def irregular(network: nn.Module) -> nn.Module:
    """With weights that are always the same, of either sign: each channel is largest elsewhere."""
    generator = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return network


def seen(layer: Tensor, image: Tensor, voxel: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last voxel of the image that changes a voxel of a layer; z, y, x."""
    place = int(np.ravel_multi_index(voxel, layer.shape[2:]))
    chosen = layer[0].flatten(1)[:, place].sum()
    (gradient,) = torch.autograd.grad(chosen, image, retain_graph=True)
    places = gradient[0, 0].nonzero().numpy()
    return places.min(0), places.max(0)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_seen(tmp_path: Path, name: str) -> None:
    """Exactly what a derivative shows, in the middle of the image."""
    network, mask = NETWORKS[name]
    network = irregular(network) if name == "largest" else positive(network)
    path = field_network.save(network, tmp_path / "network.pt")
    outline = impact_testing.outline(path, [c == "1" for c in mask], (1, 1, *SIZE))
    assert outline is not None
    image = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(5))
    image.requires_grad_(True)
    result = network(image)
    layers = result if isinstance(result, list) else [result]
    assert len(outline[0]) == len(layers)
    for (channels, size, layout), layer in zip(outline[0], layers, strict=True):
        assert (channels, *size[::-1]) == tuple(layer.shape[1:])
        assert layout is not None
        stride, offset, reach = (np.array(numbers[::-1]) for numbers in layout)
        voxel = tuple(n // 2 for n in layer.shape[2:])
        first, last = seen(layer, image, voxel)
        middle = offset + stride * voxel
        if name == "branches" and layer is layers[1]:  # which of two voxels, the lines do not tell
            assert (middle - reach <= first).all()
            assert (middle + reach >= last).all()
            assert (2 * reach + 1 <= last - first + 1 + 1).all()
        else:
            np.testing.assert_allclose(middle - reach, first)
            np.testing.assert_allclose(middle + reach, last)


@pytest.mark.parametrize("direction", [np.eye(3), TURN], ids=["LPS", "turned"])
@pytest.mark.parametrize("kind", ["ct", "mr"])
def test_files_of_the_field(tmp_path: Path, kind: str, direction: np.ndarray) -> None:
    """All seven layers of an odd image, and about the memory that a run takes."""
    network = (
        field_network.Segmenter((8, 12, 16, 16, 20, 20))
        if kind == "ct"
        else field_network.Segmenter((8, 12, 16, 16, 20, 20), field_network.MR_STRIDES, True)
    )
    path = field_network.save(network, tmp_path / "network.pt")
    size = (65, 70, 81)
    numbers = direction.ravel().tolist()
    outline = impact_testing.outline(path, [True] * 7, (1, 1, *size), numbers)
    assert outline is not None
    image = np.random.default_rng(3).normal(0.0, 100.0, size).astype(np.float32)
    by_file, _, _ = impact_testing.layers_each_way(path, [True] * 7, image, numbers)
    assert [(channels, *of[::-1]) for channels, of, _ in outline[0]] == [a.shape for a in by_file]
    reaches = [max(layout[2]) for _, _, layout in outline[0] if layout]
    assert reaches[:6] == [2, 5, 11, 23, 47, 95]
    assert reaches[6] > 95
    strides = [layout[0] for _, _, layout in outline[0] if layout]
    assert strides[6] == [1.0, 1.0, 1.0]
    run = _networks.Network(path).peak_memory(
        list(size[::-1]), 1, 7, (-100.0, 100.0), gradient=False
    )
    assert 0.7 < outline[1] / run < 1.4


def test_what_only_a_run_tells(tmp_path: Path) -> None:
    """Attention looks everywhere; numbers that decide are of the image."""
    path = field_network.save(field_networks.Transformer(), tmp_path / "transformer.pt")
    assert impact_testing.outline(path, [True] * 3, (1, 3, 56, 70)) is None
