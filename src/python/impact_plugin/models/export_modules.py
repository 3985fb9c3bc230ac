"""The modules that :func:`impact_plugin.models.export` writes, with the metric's way of calling."""

# TorchScript reads the annotations below as they are, so `from __future__ import annotations`
# cannot stand here.
import torch
from torch import Tensor, nn

from impact_plugin.models.normalization import Normalization


class Step(nn.Module):
    """One step of normalising; see :class:`impact_plugin.models.normalization.Normalization`."""

    shift: Tensor
    scale: Tensor

    def __init__(self, step: Normalization, dimension: int) -> None:
        super().__init__()
        self.kind = step.kind
        shape = (1, -1, *[1] * dimension)
        self.register_buffer("shift", torch.tensor(step.shift, dtype=torch.float32).view(shape))
        self.register_buffer("scale", torch.tensor(step.scale, dtype=torch.float32).view(shape))

    def forward(self, x: Tensor, stats: Tensor) -> Tensor:
        """Normalise; ``stats`` has four numbers where the step is by those of the image."""
        if self.kind == "image_minmax":
            return (x - stats[0]) / (stats[1] - stats[0]).clamp(min=1e-6)
        if self.kind == "image_zscore":
            return (x - stats[2]) / stats[3].clamp(min=1e-6)
        y = (x - self.shift) / self.scale
        return y.clamp(0.0, 1.0) if self.kind == "window" else y


class Padded(nn.Module):
    """Gives a network sizes that it takes, and cuts its layers to what they would have been.

    The image's last voxel is repeated at the far end of each axis, so that the layers' voxels stay
    where they are; of a layer with stride s, voxels / s remain, rounded up.

    Args:
        network: Gives layers.
        multiple: Voxels along each axis come to be multiples of it.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the layers of a batch of images."""
        padding: list[int] = []
        for axis in range(x.dim() - 1, 1, -1):
            padding += [0, (self.multiple - x.size(axis) % self.multiple) % self.multiple]
        if sum(padding) == 0:
            given: list[Tensor] = self.network(x)
            return given
        padded = torch.nn.functional.pad(x, padding, "replicate")
        whole: list[Tensor] = self.network(padded)
        layers: list[Tensor] = []
        for layer in whole:
            for axis in range(2, x.dim()):
                total = padded.size(axis)
                kept = (x.size(axis) * layer.size(axis) + total - 1) // total
                layer = layer.narrow(axis, 0, kept)
            layers.append(layer)
        return layers


class Core(nn.Module):
    """Repeats grey, normalises, and computes as many layers as asked for.

    Args:
        depths: Networks that give the first layer, the first two, and so on.
        steps: Steps of the normalization.
        repeat_grey: Channels to which a grey image is repeated; 1: none.
        dimension: Dimension of the images.
    """

    def __init__(
        self, depths: list[nn.Module], steps: list[Normalization], repeat_grey: int, dimension: int
    ) -> None:
        super().__init__()
        self.depths = nn.ModuleList(depths)
        self.steps = nn.ModuleList(Step(step, dimension) for step in steps)
        self.repeat_grey = repeat_grey

    def forward(self, x: Tensor, count: int, stats: Tensor) -> list[Tensor]:
        """Give the first ``count`` layers; all where there are fewer."""
        if self.repeat_grey > 1 and x.size(1) == 1:
            x = torch.cat([x] * self.repeat_grey, 1)
        for step in self.steps:
            x = step(x, stats)
        count = max(1, min(count, len(self.depths)))
        layers: list[Tensor] = []
        for i, depth in enumerate(self.depths):
            if i + 1 == count:
                layers = depth(x)
        return layers


class ExportedModel(nn.Module):
    """A model that is told how many layers to compute."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    def forward(self, x: Tensor, nb_layers: Tensor) -> list[Tensor]:
        """Give the first ``nb_layers`` layers of a batch of images."""
        layers: list[Tensor] = self.core(x, int(nb_layers.item()), torch.zeros(0))
        return layers


class ExportedModelWithStatistics(nn.Module):
    """The same for networks that normalise by the numbers of the whole image."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    def forward(self, x: Tensor, nb_layers: Tensor, stats: Tensor) -> list[Tensor]:
        """Give the first ``nb_layers`` layers; ``stats``: [min, max, mean, sigma] of the image."""
        layers: list[Tensor] = self.core(x, int(nb_layers.item()), stats)
        return layers
