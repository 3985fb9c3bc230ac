"""The network that is trained: MIND, and convolutions on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from impact_plugin._mind import MindSSC


@dataclass(frozen=True)
class Shape:
    """What a network looks like.

    Args:
        dimension: 2 or 3.
        channels: Of each convolution's output, the last being the features.
        dilations: Of each convolution.
        radius: MIND's.
        dilation: MIND's.
        box: Radius of the box whose mean and deviation the image is standardised by.
        beside: Whether MIND's own channels come first among the features.
    """

    dimension: int = 3
    channels: tuple[int, ...] = (16, 16, 16)
    dilations: tuple[int, ...] = (1, 2, 2)
    radius: int = 1
    dilation: int = 2
    box: int = 3
    beside: bool = False

    def to_dict(self) -> dict[str, object]:
        """Give it for a record."""
        return asdict(self)

    @property
    def field_of_view(self) -> int:
        """Voxels along each axis that a voxel's features depend on."""
        return 2 * (max(self.radius + self.dilation, 2 * self.box) + sum(self.dilations)) + 1


class Learned(nn.Module):
    """Features of a batch of grey images."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.beside = shape.beside
        self.mind = MindSSC(shape.radius, shape.dilation, shape.dimension)
        self.standardized = Standardized(shape.box, shape.dimension)
        before = 13 if shape.dimension == 3 else 5
        convolution = nn.Conv3d if shape.dimension == 3 else nn.Conv2d
        layers: list[nn.Module] = []
        for channels, dilation in zip(shape.channels, shape.dilations, strict=True):
            layers += [
                convolution(before, channels, 3, padding=dilation, dilation=dilation),
                nn.LeakyReLU(0.1),
            ]
            before = channels
        self.convolutions = nn.Sequential(*layers[:-1])
        # Of the convolutions' features beside MIND's, and of all of them in the loss that has
        # probabilities: logarithms.
        self.weight = nn.Parameter(torch.tensor(-2.0 if shape.beside else 0.0), shape.beside)
        self.temperature = nn.Parameter(torch.tensor(1.5 if shape.beside else 0.0), shape.beside)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute features (N, C, n...) of images (N, 1, n...)."""
        mind = self.mind(x)[0]
        found = self.convolutions(torch.cat([mind, self.standardized(x)], 1))
        return [torch.cat([mind, found * self.weight.exp()], 1) if self.beside else found]


class Standardized(nn.Module):
    """An image less the mean of the box around each voxel, over the box's deviation."""

    def __init__(self, radius: int, dimension: int) -> None:
        super().__init__()
        self.margin = [2 * radius] * (2 * dimension)
        self.box = MindSSC(radius, radius, dimension)  # for its means and crops

    def forward(self, x: Tensor) -> Tensor:
        """Standardise images (N, 1, n...)."""
        image = nn.functional.pad(x, self.margin, mode="replicate")
        inner = self.box.shifted(image, 0, 0)
        difference = inner - self.box.patch_mean(image)
        variance = self.box.patch_mean(difference * difference)
        rounding = self.box.patch_mean(inner * inner) * (32.0 / 2.0**23) ** 2
        return self.box.shifted(difference, 0, 0) / torch.sqrt(variance + rounding + 1e-18)
