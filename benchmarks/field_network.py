"""A network as TotalSegmentator's published TorchScript files have it, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

CT_STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))  # of axes z, y, x
MR_STRIDES = (*CT_STRIDES[:-1], (1, 2, 2))


class Block(nn.Module):
    """Two convolutions, each with instance normalisation and a leaky rectifier."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, stride, padding=1)
        self.first_norm = nn.InstanceNorm3d(outputs, affine=True)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.second_norm = nn.InstanceNorm3d(outputs, affine=True)
        self.rectifier = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Give channels for channels (N, C, D, H, W)."""
        x = self.rectifier(self.first_norm(self.first(x)))
        result: Tensor = self.rectifier(self.second_norm(self.second(x)))
        return result


class Up(nn.Module):
    """Twice the size, cut to that of the encoder's layer, which is put beside it."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(inputs, outputs, stride, stride)
        self.block = Block(2 * outputs, outputs, (1, 1, 1))

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """Give channels for those from below, and those of the encoder."""
        x = self.up(x)
        x = x[:, :, : beside.shape[2], : beside.shape[3], : beside.shape[4]]
        result: Tensor = self.block(torch.cat([beside, x], dim=1))
        return result


class Segmenter(nn.Module):
    """An nnU-Net as TotalSegmentator's: six layers of the encoder, one of the decoder, the labels.

    Intensities are normalised by the image's statistics (MR), or by constants (CT); axes are turned
    into RAS and back.
    """

    strides: list[list[int]]

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128, 256, 320, 320),
        strides: Sequence[tuple[int, int, int]] = CT_STRIDES,
        by_statistics: bool = False,
        decoder: bool = True,
        labels: int = 5,
    ) -> None:
        super().__init__()
        inputs = (1, *channels[:-1])
        self.down = nn.ModuleList(map(Block, inputs, channels, strides))
        last = range(len(channels) - 1, 0, -1) if decoder else ()
        self.up = nn.ModuleList(Up(channels[i], channels[i - 1], strides[i]) for i in last)
        self.head = nn.Conv3d(channels[0], labels, 1)
        self.by_statistics = by_statistics
        self.labels = labels

    def normalized(self, x: Tensor, stats: Tensor) -> Tensor:
        """Give intensities as the network was trained on them."""
        if self.by_statistics:
            return (x - stats[2]) / torch.clamp(stats[3], min=1e-8)
        return (torch.clamp(x, -1004.0, 1588.0) + 50.0) / 420.0

    def forward(
        self,
        x: Tensor,
        nb_layers: Tensor = torch.tensor([8]),  # noqa: B008
        stats: Tensor = torch.tensor([0.0, 1.0, 0.5, 0.3]),  # noqa: B008
        direction: Tensor = torch.eye(3),  # noqa: B008
    ) -> list[Tensor]:
        """Give as many layers as are wanted, in the image's axes."""
        wanted = int(nb_layers.item())
        x = self.normalized(x, stats)
        # For each axis of RAS the image's axis along it, and whether it runs the other way.
        # Tensors have z first.
        order = [0, 1]
        flips: list[int] = []
        for i in range(3):
            world = 2 - i
            axis = int(torch.argmax(torch.abs(direction[world])).item())
            order.append(4 - axis)
            ahead = bool(direction[world, axis] > 0)
            if ahead == (world < 2):  # LPS
                flips.append(2 + i)
        back = [0, 0, 0, 0, 0]
        for i in range(5):
            back[order[i]] = i
        x = torch.flip(x.permute(order), flips)
        layers: list[Tensor] = []
        kept: list[Tensor] = []
        for block in self.down:
            if len(layers) == wanted:
                return layers
            x = block(x)
            kept.append(x)
            layers.append(torch.flip(x, flips).permute(back))
        if len(layers) == wanted:
            return layers
        at = len(kept) - 1
        for block in self.up:
            at -= 1
            x = block(x, kept[at])
        layers.append(torch.flip(x, flips).permute(back))
        if len(layers) == wanted:
            return layers
        labels = torch.argmax(self.head(x), dim=1)
        one_hot = nn.functional.one_hot(labels, self.labels).movedim(-1, 1).to(torch.float32)
        layers.append(torch.flip(one_hot, flips).permute(back))
        return layers


def save(network: nn.Module, path: Path, seed: int = 1) -> str:
    """Scripted, with weights that are irregular but always the same. Returns the path."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            deviation = 1.0 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.3
            parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    torch.jit.save(torch.jit.script(network.eval()), str(path))
    return str(path)
