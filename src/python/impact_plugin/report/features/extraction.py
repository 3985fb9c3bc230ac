"""Feature maps of images, made by the metric's own code as in Static mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters import FeatureNormalization, Layer, Level, Model, Parameters

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class FeatureMap:
    """The features of one layer of one image.

    Args:
        layer: Number of the layer, from 0.
        features: Shape ((z,) y, x, channels).
        geometry: Grid of the features, along the image's axes.
    """

    layer: int
    features: NDArray[np.float32]
    geometry: Geometry

    @property
    def channels(self) -> int:
        """Features per voxel."""
        return int(self.features.shape[-1])

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Interpolate linearly at points (N, d), mm, as the metric does; gives (N, channels).

        Points beyond the outermost voxel centres get the value at the nearest edge.
        """
        geometry = self.geometry
        index = np.linalg.solve(geometry.matrix, (points - np.array(geometry.origin)).T).T
        last = np.array(geometry.size) - 1
        index = np.clip(index, 0, last)
        lower = np.minimum(np.floor(index).astype(int), np.maximum(last - 1, 0))
        share = (index - lower).astype(np.float32)
        total = np.zeros((len(points), self.channels), np.float32)
        for corner in np.ndindex(*(2,) * geometry.dimension):
            weight = np.prod(np.where(corner, share, 1 - share), axis=1)
            where = np.minimum(lower + corner, last)
            total += weight[:, None] * self.features[tuple(where.T[::-1])]
        return total


def extract(image: sitk.Image, model: Model, gpu: int) -> list[FeatureMap]:
    """Make the features of the layers that the model's mask selects.

    Args:
        image: The image.
        model: The network, and what it sees.
        gpu: Number of the GPU; -1: the CPU.

    Raises:
        ValueError: The metric refuses: the model does not take the image.
    """
    import SimpleITK as sitk

    from impact_plugin import _core, _networks  # loads torch

    dimension = image.GetDimension()
    settings = level_settings(model, dimension).fixed_models[0]
    array = sitk.GetArrayViewFromImage(image).astype(np.float32)
    seen = _core.Image(array, image.GetSpacing(), image.GetOrigin(), Geometry.of(image).axes)
    try:
        maps = _networks.feature_maps(seen, settings, gpu)
    except _core.Error as error:
        raise InputError(str(error)) from error
    return [
        _map(layer, features, grid, dimension)
        for layer, (features, grid) in zip(model.selected_layers, maps, strict=True)
    ]


def level_settings(model: Model, dimension: int) -> Any:  # noqa: ANN401  (of _core)
    """Give the metric's settings for a level with one model, in Static mode.

    Raises:
        ValueError: A value is not allowed.
    """
    from impact_plugin import _core

    level = Level(models=model, mode="Static")
    parameters = Parameters.around([level]).to_parameter_map()
    settings, findings = _core.parse_settings(parameters, 1, dimension)
    if errors := [finding.message for finding in findings if finding.is_error]:
        raise InputError(" ".join(errors))
    return settings[0]


def model_of(
    path: str,
    layers: Sequence[int],
    count: int,
    dimension: int,
    channels: int,
    voxel: Sequence[float],
    normalization: FeatureNormalization = "none",
) -> Model:
    """Describe a network and the layers to look at.

    Args:
        path: TorchScript file.
        layers: Numbers of the layers.
        count: How many layers the network has.
        dimension: Dimension of the network's input.
        channels: Channels of the network's input.
        voxel: Voxel size in mm, x, y (, z).
        normalization: How feature vectors are scaled.
    """
    return Model(
        path=path,
        voxel_size=voxel,
        dimension=dimension,
        channels=channels,
        patch_size=0,
        layers_mask="".join("1" if number in layers else "0" for number in range(count)),
        feature_normalization=normalization,
        layers=Layer("L2"),
    )


def _map(layer: int, features: NDArray[np.float32], grid: Any, dimension: int) -> FeatureMap:  # noqa: ANN401
    # The metric's grids always have three axes; the third of a 2D image has one voxel.
    direction = np.array(grid.direction, float)[:dimension, :dimension]
    geometry = Geometry(
        tuple(int(n) for n in grid.size[:dimension]),
        tuple(float(n) for n in grid.spacing[:dimension]),
        tuple(float(n) for n in grid.origin[:dimension]),
        tuple(direction.ravel().tolist()),
    )
    shape = (*geometry.size[::-1], features.shape[-1])
    return FeatureMap(layer, features.reshape(shape), geometry)
