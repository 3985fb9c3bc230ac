"""What one network is, what it sees, and how its layers are compared."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from impact_plugin._arguments import check_choice, integer, is_positive
from impact_plugin._deprecated import warn_of_old_name
from impact_plugin._errors import InputError
from impact_plugin._numbers import keep_plain, spread

Distance = Literal["L1", "L2", "Cosine", "L1Cosine", "Dice", "NCC", "DotProduct"]
FeatureNormalization = Literal["none", "l2", "standardized"]


@dataclass(frozen=True)
class Layer:
    """How one selected layer enters the metric.

    Attributes:
        distance: Between the fixed and the moving features; ``docs/parameters.md`` has the
            formulas.
        weight: Times the distance, in the sum that is the metric. From 0 up.
        pca: Principal components that are kept; 0: the features as they are.
        subset_features: Channels drawn at random at each evaluation; 0, or more than there are:
            all.

    Raises:
        ValueError: A value is not allowed.
    """

    distance: Distance = "L2"
    weight: float = 1.0
    pca: int = 0
    subset_features: int = 0

    def __post_init__(self) -> None:
        keep_plain(self)
        check_choice("distance", self.distance, get_args(Distance))
        weight = float(self.weight)
        if not (math.isfinite(weight) and weight >= 0):
            message = f"weight is {self.weight!r}. Allowed: a number from 0 up."
            raise InputError(message)
        object.__setattr__(self, "weight", weight)
        for name in ("pca", "subset_features"):
            object.__setattr__(self, name, integer(name, getattr(self, name), 0))


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network, and what it sees of one image.

    Attributes:
        path: Path of the TorchScript file, absolute or relative to the folder elastix runs in.
        voxel_size: mm, x, y (, z) along the image's own axes; one number stands for all. The
            network sees the image resampled to it. A 2D network on 3D images may have three: along
            the third axis the slices are resampled, too.
        dimension: Dimension of the network's input, 2 or 3; at most that of the images.
        channels: Channels of the network's input; the grey image is repeated.
        patch_size: Voxels of `voxel_size`, x, y (, z); one number stands for all. Static mode: 0,
            the whole image, or the size of tiles. Jacobian mode: the patch around each sample.
            None: 0 in Static mode, in Jacobian mode what the network is measured to see for one
            feature.
        layers_mask: One digit for each of the network's layers: 1 where it counts.
        feature_normalization: How each feature vector is scaled over the channels of its layer,
            before `Layer.pca`: "none"; "l2", to unit length; "standardized", to zero mean and unit
            deviation, which layers of one channel cannot be.

    Raises:
        ValueError: A value is not allowed.
    """

    path: str | os.PathLike[str]
    voxel_size: float | Sequence[float]
    dimension: int = 3
    channels: int = 1
    patch_size: int | Sequence[int] | None = None
    layers_mask: str = "1"
    feature_normalization: FeatureNormalization = "none"

    def __post_init__(self) -> None:
        def keep(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        keep_plain(self)
        keep("path", os.fspath(self.path))
        if not str(self.path).strip():
            message = "path is empty. Give the path of a TorchScript file."
            raise InputError(message)
        check_choice("dimension", self.dimension, (2, 3))
        keep("dimension", int(self.dimension))
        keep("channels", integer("channels", self.channels, 1))
        keep("voxel_size", self._checked_voxel_size())
        keep("patch_size", self._checked_patch_size())
        check_choice(
            "feature_normalization", self.feature_normalization, get_args(FeatureNormalization)
        )
        if set(self.layers_mask) - {"0", "1"} or "1" not in self.layers_mask:
            message = (
                f"layers_mask is {self.layers_mask!r}. Allowed: one 0 or 1 for each layer, at "
                'least one 1, e.g. "01".'
            )
            raise InputError(message)

    @property
    def voxel_sizes(self) -> tuple[float, ...]:
        """`voxel_size`, one number for each axis."""
        size = self.voxel_size
        return (size,) if isinstance(size, int | float) else tuple(size)

    @property
    def patch_voxels(self) -> tuple[int, ...] | None:
        """`patch_size`, one number for each axis; None where it is not decided."""
        size = self.patch_size
        return (size,) if isinstance(size, int) else None if size is None else tuple(size)

    @property
    def selected_layers(self) -> tuple[int, ...]:
        """The numbers of the layers that count, from 0."""
        return tuple(i for i, digit in enumerate(self.layers_mask) if digit == "1")

    def _checked_voxel_size(self) -> tuple[float, ...]:
        given = self.voxel_size
        values = spread(given, self.dimension)
        numbers = tuple(float(value) for value in values)
        if len(numbers) not in {self.dimension, 3} or not all(map(is_positive, numbers)):
            message = (
                f"voxel_size is {given!r}. Allowed: {self.dimension} numbers of mm greater than 0, "
                "or one for all axes."
            )
            raise InputError(message)
        return numbers

    def _checked_patch_size(self) -> tuple[int, ...] | None:
        given = self.patch_size
        if given is None:
            return None
        values = spread(given, self.dimension)
        numbers = tuple(integer("patch_size", value, 0) for value in values)
        if len(numbers) != self.dimension or 0 < numbers.count(0) < len(numbers):
            message = (
                f"patch_size is {given!r}. Allowed: {self.dimension} whole numbers of voxels "
                "from 1 up, or all 0 for the whole image, or one number for all axes."
            )
            raise InputError(message)
        return numbers


@dataclass(frozen=True, kw_only=True)
class Model(Network):
    """A network for both images, or a pair of them, and how its layers are compared.

    Attributes:
        layers: One for each selected layer; one alone stands for all.
        moving: The network for the moving image, where it is another one, or sees other voxels.
            `layers` counts for both; layers are compared in order.

    Raises:
        ValueError: A value is not allowed.
    """

    layers: Layer | Sequence[Layer] = field(default_factory=Layer)
    moving: Network | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.selected_layers)
        given = self.layers
        layers = (given,) * count if isinstance(given, Layer) else tuple(given)
        if len(layers) != count or not all(isinstance(layer, Layer) for layer in layers):
            message = (
                f"layers has {len(layers)} entries, but layers_mask {self.layers_mask!r} selects "
                f"{count}. Give a Layer for each selected layer, or one for all."
            )
            raise InputError(message)
        object.__setattr__(self, "layers", layers)
        if self.moving is None:
            return
        if isinstance(self.moving, Model):
            message = "moving is a Model. Give a Network: the layers' settings count for both."
            raise InputError(message)
        if len(self.moving.selected_layers) != count or self.moving.dimension != self.dimension:
            message = (
                f"moving has dimension {self.moving.dimension} and selects "
                f"{len(self.moving.selected_layers)} layers, the fixed network has dimension "
                f"{self.dimension} and selects {count}. Give both the same."
            )
            raise InputError(message)
        if self.moving == self.network:
            object.__setattr__(self, "moving", None)

    @property
    def selected(self) -> tuple[Layer, ...]:
        """`layers`, one for each selected layer."""
        return (self.layers,) if isinstance(self.layers, Layer) else tuple(self.layers)

    @property
    def network(self) -> Network:
        """The network for the fixed image alone."""
        return Network(**{each.name: getattr(self, each.name) for each in fields(Network)})

    @property
    def networks(self) -> tuple[Network, Network]:
        """The networks for the fixed and the moving image."""
        return self.network, self.moving or self.network

    @property
    def extractor(self) -> Network:
        """The old name of :attr:`network`."""
        warn_of_old_name("Model.extractor", "Model.network")
        return self.network

    @property
    def extractors(self) -> tuple[Network, Network]:
        """The old name of :attr:`networks`."""
        warn_of_old_name("Model.extractors", "Model.networks")
        return self.networks
