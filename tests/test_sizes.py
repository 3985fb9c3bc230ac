"""Networks whose layers depend on the size of what they are given, and tiles of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.coordinates import save
from helpers.evaluators import smooth_image
from impact_plugin import _core, _networks

SIDE = 100


def ramp(side: int = SIDE) -> _core.Image:
    """An image that shows its own x, mm."""
    pixels = np.broadcast_to(np.arange(side, dtype=np.float32), (side, side)).copy()
    return _core.Image(pixels, [1.0, 1.0], [0.0, 0.0], np.eye(2))


def features_of(
    image: _core.Image, parameters: dict[str, list[str]]
) -> list[tuple[np.ndarray, _core.Grid]]:
    levels, _ = _core.parse_settings(parameters, 1, 2)
    return _networks.feature_maps(image, levels[0].fixed_models[0])


def tiled(path: str, tile: int) -> dict[str, list[str]]:
    return {
        "Mode": ["Static"],
        "ModelsPath": [path],
        "VoxelSize": ["1*1"],
        "PatchSize": [f"{tile}*{tile}"],
    }


class Resizes(torch.nn.Module):
    """Sees every image at 32 voxels a side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(
            x, size=[32, 32], mode="bilinear", align_corners=False
        )


class PoolsAdaptively(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, (16, 16))


class Rounded(torch.nn.Module):
    """Whole numbers: nothing that autograd could measure."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(torch.round(x), 4)


class Clamped(torch.nn.Module):
    """Clamps to a range far from zero before a strided layer whose first voxel is the image's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            torch.nn.functional.pad(x.clamp(20.0, 3000.0), [1, 1, 1, 1])[:, :, 1::2, 1::2]
            + 0.0 * x.sum()
        )


@pytest.mark.parametrize(
    ("model", "error"), [(Resizes(), 0.2), (PoolsAdaptively(), 0.6), (Rounded(), 0.01)]
)
@pytest.mark.parametrize("side", [40, 64, 100])
def test_layers_lie_where_they_lie_whatever_the_size(
    tmp_path: Path, model: torch.nn.Module, error: float, side: int
) -> None:
    """A network that resizes its input puts fewer voxels into more millimetres."""
    ((features, grid),) = features_of(ramp(side), tiled(save(model, tmp_path / "m.pt"), 0))
    places = grid.origin[0] + grid.spacing[0] * np.arange(grid.size[0])
    np.testing.assert_allclose(features[0, 1, 1:-1, 0], places[1:-1], atol=error)


@pytest.mark.parametrize("tile", [32, 48, 200])
def test_tiles_of_a_layer_that_cannot_be_measured(tmp_path: Path, tile: int) -> None:
    path = save(Rounded(), tmp_path / "m.pt")
    ((whole, grid),) = features_of(ramp(), tiled(path, 0))
    ((parts, tiled_grid),) = features_of(ramp(), tiled(path, tile))
    assert tiled_grid.spacing[:2] == grid.spacing[:2] == [4.0, 4.0]
    places = tiled_grid.origin[0] + 4.0 * np.arange(tiled_grid.size[0])
    np.testing.assert_allclose(parts[0, 1, 1:-1, 0], places[1:-1], atol=0.01)
    assert whole.shape[2] == 25


def test_layer_between_whole_strides(tmp_path: Path) -> None:
    path = save(Resizes(), tmp_path / "m.pt")
    with pytest.raises(_core.Error, match=r"PatchSize.* no whole stride in tiles of that size"):
        features_of(ramp(), tiled(path, 48))


def test_network_that_clamps(tmp_path: Path) -> None:
    """It is measured within the image's intensities."""
    ((features, grid),) = features_of(ramp(), tiled(save(Clamped(), tmp_path / "m.pt"), 0))
    places = grid.origin[0] + grid.spacing[0] * np.arange(grid.size[0])
    bright = features[0, 5, :, 0] > 25.0
    np.testing.assert_allclose(features[0, 5, bright, 0], places[bright], atol=0.01)


class OfOneSize(torch.nn.Module):
    """A network that takes images of 48 voxels a side alone."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[2] == 48 and x.shape[3] == 48, "expected 48 voxels"  # noqa: PT018
        features: torch.Tensor = self.convolution(x)
        return features


@pytest.mark.parametrize("tile", [0, 48])
@pytest.mark.parametrize("size", [[48, 48], [101, 87]])
def test_networks_of_one_size(tmp_path: Path, tile: int, size: list[int]) -> None:
    """They get the whole image, or tiles of that size."""
    model = save(OfOneSize(), tmp_path / "m.pt")
    image = smooth_image(size, [1.0, 1.0], 0.3, 0.0)
    if tile == 0 and size != [48, 48]:
        with pytest.raises(_core.Error, match=r"refused an input of 1 x 1 x 87 x 101.*48 voxels"):
            features_of(image, tiled(model, tile))
    else:
        assert features_of(image, tiled(model, tile))[0][0].shape == (1, *size[::-1], 2)
