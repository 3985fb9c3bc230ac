"""Networks built as the files that the field publishes, with random weights and as few channels as a test wants."""

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
        x = self.rectifier(self.first_norm(self.first(x)))
        return self.rectifier(self.second_norm(self.second(x)))


class Up(nn.Module):
    """Twice the size, cut to that of the encoder's layer, which is put beside it."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(inputs, outputs, stride, stride)
        self.block = Block(2 * outputs, outputs, (1, 1, 1))

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        x = self.up(x)
        x = x[:, :, : beside.shape[2], : beside.shape[3], : beside.shape[4]]
        return self.block(torch.cat([beside, x], dim=1))


class Segmenter(nn.Module):
    """An nnU-Net as TotalSegmentator's: six layers of the encoder, one of the decoder, the labels.

    Intensities are normalised by the image's statistics (MR), or by constants (CT); axes are turned into RAS and back.
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
        wanted = int(nb_layers.item())
        x = self.normalized(x, stats)
        # For each axis of RAS the image's axis along it, and whether it runs the other way. Tensors have z first.
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


class Attention(nn.Module):
    """A block of a vision transformer: attention of two heads and two layers, each scaled and added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))
        self.other_norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, channels = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, tokens, 3, 2, channels // 2).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x = x + self.scale * self.projection(seen.transpose(1, 2).reshape(n, tokens, channels))
        return x + self.narrow(nn.functional.gelu(self.wide(self.other_norm(x))))


class Transformer(nn.Module):
    """As DINOv2 is exported: patches of 14 pixels, a class token, attention; a layer for each block."""

    def __init__(self, channels: int = 24, depth: int = 3, patch: int = 14) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, channels, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, channels))
        self.positions = nn.Parameter(torch.randn(1, channels, 5, 5))
        self.blocks = nn.ModuleList(Attention(channels) for _ in range(depth))
        self.patch = patch

    def forward(self, x: Tensor) -> list[Tensor]:
        rows, columns = x.shape[2] // self.patch, x.shape[3] // self.patch
        x = self.embed(x)
        x = x + nn.functional.interpolate(
            self.positions, [rows, columns], mode="bicubic", align_corners=False
        )
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        layers: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            image = x[:, 1:].transpose(1, 2)
            layers.append(image.reshape(image.shape[0], image.shape[1], rows, columns))
        return layers


class Windows(nn.Module):
    """As SAM 2.1's encoder begins: a strided embedding, attention in windows, several resolutions."""

    def __init__(self, channels: int = 16, window: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, channels, 7, 4, padding=3)
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.merge = nn.Conv2d(channels, 2 * channels, 2, 2)
        self.window = window

    def attention(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        k = self.window
        x = nn.functional.pad(x, [0, 0, 0, (k - w % k) % k, 0, (k - h % k) % k])
        high, wide = x.shape[1], x.shape[2]
        x = x.view(n, high // k, k, wide // k, k, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, k * k, c)
        q, key, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.out(nn.functional.scaled_dot_product_attention(q, key, v))
        x = x.view(n, high // k, wide // k, k, k, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(n, high, wide, c)[:, :h, :w]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.attention(self.embed(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return [x, self.merge(x)]


class Anatomic(nn.Module):
    """As Anatomix: a U-Net of one convolution a level, batch normalisation, rectifiers, nearest neighbours up."""

    def __init__(self, channels: int = 8, levels: int = 2) -> None:
        super().__init__()

        def unit(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv3d(inputs, outputs, 3, padding=1, padding_mode="reflect"),
                nn.BatchNorm3d(outputs),
                nn.ReLU(inplace=True),
            )

        sizes = [channels * 2**i for i in range(levels + 1)]
        self.down = nn.ModuleList(map(unit, [1, *sizes[:-1]], sizes))
        self.up = nn.ModuleList(
            unit(sizes[i] + sizes[i - 1], sizes[i - 1]) for i in range(levels, 0, -1)
        )
        self.pool = nn.MaxPool3d(2)
        self.grow = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(self.pool(x) if i > 0 else x)
            kept.append(x)
        at = len(kept) - 1
        for block in self.up:
            at -= 1
            x = block(torch.cat([self.grow(x), kept[at]], dim=1))
        return x


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
