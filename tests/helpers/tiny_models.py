"""TorchScript models that are made in a moment and do something that can be computed by hand."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn


class Layers(nn.Module):
    """Three layers: the image over 300, six channels of it, and those at half the resolution."""

    def __init__(self, dimension: int, channels: int = 1, seed: int = 3) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        pool = nn.AvgPool2d if dimension == 2 else nn.AvgPool3d
        self.convolution = convolution(channels, 6, 3, padding=1)
        self.pool = pool(2)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.convolution.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> list[Tensor]:
        image = x / 300.0
        features = torch.tanh(self.convolution(image))
        return [image, features, self.pool(features)]


class Slopes(nn.Module):
    """One layer: the image's slope along each of its axes, which turns with the image."""

    def forward(self, x: Tensor) -> Tensor:
        slopes = [
            (x.roll(-1, axis) - x.roll(1, axis)) / 200.0 for axis in range(x.dim() - 1, 1, -1)
        ]
        return torch.cat(slopes, 1)


class Identity(nn.Module):
    """One layer: the image itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Small(nn.Module):
    """One layer, for small images only."""

    def forward(self, x: Tensor) -> Tensor:
        assert max(x.shape[2:]) <= 64, "expected at most 64 voxels along each axis"
        return x


class Logarithm(nn.Module):
    """One layer, which is no number anywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x - 1e9)


class InPlace(nn.Module):
    """One layer: the image over 300, by a division that changes the input itself."""

    def forward(self, x: Tensor) -> Tensor:
        x /= 300.0
        return x


class Steps(nn.Module):
    """One layer that says for each voxel whether it is bright: nothing to differentiate."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 100.0).to(torch.float32)


class Network(nn.Module):
    """As many layers as one likes, each made of every so many voxels of the image alone.

    It takes the number of layers to compute, as the networks of the IMPACT models' repository do.

    Args:
        dimension: Of the images.
        channels: Of each layer.
        strides: Of each layer: it sees each so many-th voxel along each axis.
        inputs: Channels of the images.
        labels: Whether the last layer has labels: whole numbers, 1 in one channel and 0 elsewhere.
    """

    def __init__(
        self,
        dimension: int,
        channels: Sequence[int],
        strides: Sequence[int],
        inputs: int = 1,
        labels: bool = False,
    ) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.layers = nn.ModuleList(
            nn.Sequential(convolution(inputs, number, 1, stride), nn.Tanh())
            for number, stride in zip(channels, strides, strict=True)
        )
        self.labels = labels
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor, nb_layers: Tensor) -> list[Tensor]:
        count = int(nb_layers.item())
        features: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            if i < count:
                features.append(layer(x / 300.0))
        if self.labels and count == len(self.layers):
            last = features[-1]
            zeros = torch.zeros(last.shape, dtype=torch.long, device=last.device)
            features[-1] = zeros.scatter(1, last.argmax(1, keepdim=True), 1)
        return features


class Sums(nn.Module):
    """One layer without axes of space: not a map of features."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1, keepdim=True)


def save(module: nn.Module, path: Path, *, training: bool = False) -> Path:
    """Write a module as TorchScript, in evaluation mode or, as one forgets, in training mode.

    In a folder, the file has the name of the module's class.
    """
    if path.is_dir():
        path /= f"{type(module).__name__}.pt"
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # the latter from torch 2.14 on
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=category)
        torch.jit.save(torch.jit.script(module.train(training)), str(path))
    return path
