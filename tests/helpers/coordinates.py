"""Images whose intensities are physical coordinates, and networks that hand them on.

Fed with coordinates, such a network says where in space its features are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from impact_plugin import _core

Array = NDArray[np.float64]

SIZE = [21, 17, 13]  # voxels, x y z
SPACING = [1.3, 2.1, 2.7]  # mm
ORIGIN = [-40.0, 25.0, 310.0]  # mm


def oblique(dimension: int) -> Array:
    """Direction cosines along no axis of space."""
    q, _ = np.linalg.qr(np.random.default_rng(4).standard_normal((dimension, dimension)))
    matrix: Array = q * np.sign(np.linalg.det(q))
    return matrix


def physical_points(grid: _core.Grid) -> Array:
    """Places of the voxels of a grid, (z, y, x, 3)."""
    d = grid.dimension
    axes = [np.arange(n) for n in grid.size]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    index = np.stack([x, y, z], axis=-1) * np.array(grid.spacing)
    points: Array = index @ np.array(grid.direction).T + np.array(grid.origin)
    assert d in (2, 3)
    return points


def coordinate_image(axis: int, dimension: int = 3) -> _core.Image:
    """An image whose intensity is one physical coordinate."""
    d = dimension
    return coordinates(axis, SIZE[:d], SPACING[:d], ORIGIN[:d], oblique(d))


def coordinates(
    axis: int, size: list[int], spacing: list[float], origin: list[float], direction: Array
) -> _core.Image:
    """Make an image of one physical coordinate on any grid."""
    blank = _core.Image(np.zeros(size[::-1], np.float32), spacing, origin, direction)
    values = physical_points(blank.grid)[..., axis]
    if len(size) == 2:
        values = values[0]
    return _core.Image(values.astype(np.float32), spacing, origin, direction)


class AveragePool(torch.nn.Module):
    """Returns its input at full, half and quarter resolution."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if x.dim() == 5:
            half = torch.nn.functional.avg_pool3d(x, 2)
            return [x, half, torch.nn.functional.avg_pool3d(half, 2)]
        half = torch.nn.functional.avg_pool2d(x, 2)
        return [x, half, torch.nn.functional.avg_pool2d(half, 2)]


class StridedConvolution(torch.nn.Module):
    """Kernels that return the coordinate at their centre, with and without padding.

    Args:
        dimension: Of the images.
        padding: Of the layers of strides 2 and 4; the layer of stride 1 has none.
    """

    def __init__(self, dimension: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.stride_1 = _smoothing(dimension, 1, 0)
        self.stride_2 = _smoothing(dimension, 2, padding)
        self.stride_4 = _smoothing(dimension, 2, padding)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        half = self.stride_2(x)
        return [self.stride_1(x), half, self.stride_4(half)]


def _smoothing(dimension: int, stride: int, padding: int) -> torch.nn.Module:
    kernel = weight = torch.tensor([0.25, 0.5, 0.25])
    for _ in range(dimension - 1):
        weight = weight[..., None] * kernel
    kind = torch.nn.Conv2d if dimension == 2 else torch.nn.Conv3d
    convolution = kind(1, 1, 3, stride=stride, padding=padding, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(weight[None, None])
    return convolution


class EverySecondVoxel(torch.nn.Module):
    """Returns some voxels as they are: all, every second, every fourth from the second."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if x.dim() == 4:
            return [x, x[:, :, ::2, ::2], x[:, :, 1::4, 1::4]]
        return [x, x[:, :, ::2, ::2, ::2], x[:, :, 1::4, 1::4, 1::4]]


def save(module: torch.nn.Module, path: Path) -> str:
    """Write a module as TorchScript."""
    torch.jit.save(torch.jit.script(module.eval()), str(path))
    return str(path)


def settings(path: str, voxel_size: str, dimension: int = 3, **more: str) -> _core.LevelSettings:
    """Give the settings of one level in Static mode for a model of three layers."""
    parameter_map = {
        "ModelsPath": [path],
        "Mode": ["Static"],
        "VoxelSize": [voxel_size],
        "Dimension": [str(dimension)],
        "LayersMask": ["111"],
    }
    parameter_map.update({name: [value] for name, value in more.items()})
    image_dimension = len(voxel_size.split("*"))
    levels, findings = _core.parse_settings(parameter_map, 1, image_dimension)
    assert [f.message for f in findings] == []
    return levels[0]
