"""Networks built as other files that the field publishes, with few channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MESH = (1, 2, 4, 8, 16, 8, 4, 2, 1)
"""The dilations of a MeshNet, one for each convolution of 3 x 3 x 3."""


class Attention(nn.Module):
    """A block of a vision transformer: attention of two heads, and two layers, each added."""

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
        result: Tensor = x + self.narrow(nn.functional.gelu(self.wide(self.other_norm(x))))
        return result


class Transformer(nn.Module):
    """As DINOv2: patches of 14 pixels, a class token, attention; a layer for each block."""

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
    """As SAM 2.1 begins: a strided embedding, attention in windows, several resolutions."""

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
    """As Anatomix: a U-Net of one convolution a level, batch norm, nearest neighbours up."""

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


class Mesh(nn.Module):
    """As MeshNet: convolutions with ever larger holes, at full resolution; a layer of some of them.

    Wants intensities from 0 to 1, and clamps others. The image is turned over and the layers back,
    by slices of the size that they have.
    """

    def __init__(self, channels: int = 21, dilations: tuple[int, ...] = MESH) -> None:
        super().__init__()
        inputs = (1, *[channels] * (len(dilations) - 1))
        self.holed = nn.ModuleList(
            nn.Conv3d(i, channels, 3, padding=d, dilation=d)
            for i, d in zip(inputs, dilations, strict=True)
        )
        self.labels = nn.Conv3d(channels, 18, 1)
        self.kept = [1, 3, 5, 8]

    def forward(self, x: Tensor) -> list[Tensor]:
        x = torch.clamp(x, 0, 1).permute(0, 1, 4, 2, 3).flip(3).flip(4)
        z, y, rows = x.shape[2], x.shape[3], x.shape[4]
        layers: list[Tensor] = []
        for number, convolution in enumerate(self.holed):
            x = nn.functional.elu(convolution(x))
            if number in self.kept:
                layers.append(x)
        layers.append(self.labels(x))
        turned: list[Tensor] = []
        for layer in layers:
            layer = layer[:, :, :z, :y, :rows]
            turned.append(layer.flip(3).flip(4).permute(0, 1, 3, 4, 2))
        return turned


class Residual(nn.Module):
    """Convolutions with instance norm and PReLU, the first with a stride; what came in is added."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, units: int = 2) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for number in range(units):
            of = inputs if number == 0 else outputs
            steps += [
                nn.Conv3d(of, outputs, 3, stride if number == 0 else 1, padding=1),
                nn.InstanceNorm3d(outputs),
                nn.PReLU(),
            ]
        self.steps = nn.Sequential(*steps)
        self.added = (
            nn.Identity()
            if (inputs, stride) == (outputs, 1)
            else nn.Conv3d(inputs, outputs, 3 if stride > 1 else 1, stride, padding=stride // 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.steps(x) + self.added(x)
        return result


class Skipped(nn.Module):
    """What came in beside what a network makes of it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.inner(x)], dim=1)


class Residuals(nn.Module):
    """As MONAI's UNet: residual units, strides down, transposed convolutions up, and skips.

    Sizes must be multiples of 4. A layer of what goes down first, and one of the end.
    """

    def __init__(self, channels: tuple[int, ...] = (4, 8, 16), outputs: int = 3) -> None:
        super().__init__()
        inner: nn.Module = Residual(channels[-2], channels[-1])
        below = channels[-1]
        for inputs, here in zip(reversed(channels[:-2]), reversed(channels[1:-1]), strict=True):
            inner = nn.Sequential(
                Residual(inputs, here, 2), Skipped(inner), self._up(here + below, inputs)
            )
            below = inputs
        self.first = Residual(1, channels[0], 2)
        self.rest = nn.Sequential(Skipped(inner), self._up(channels[0] + below, outputs))

    @staticmethod
    def _up(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.ConvTranspose3d(inputs, outputs, 3, 2, padding=1, output_padding=1),
            nn.InstanceNorm3d(outputs),
            nn.PReLU(),
            Residual(outputs, outputs, units=1),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        return [first, self.rest(first)]
