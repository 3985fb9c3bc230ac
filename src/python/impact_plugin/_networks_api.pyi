"""Networks, features and distances, of the core's library for the torch that is installed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact_plugin._core import Finding, Grid, Image, LevelSettings, ModelSettings

class LayerLayout:
    @property
    def stride(self) -> list[float]: ...
    @property
    def offset(self) -> list[float]: ...
    @property
    def reach(self) -> list[float]: ...

class MeasuredLayer:
    @property
    def channels(self) -> int: ...
    @property
    def size(self) -> list[int]: ...
    @property
    def differentiable(self) -> bool: ...
    @property
    def layout(self) -> LayerLayout | None: ...

class Network:
    def __init__(self, path: str) -> None: ...
    @property
    def arguments(self) -> list[str]: ...
    def layer_shapes(
        self,
        size: Sequence[int],
        channels: int,
        number_of_layers: int,
        intensities: tuple[float, float],
        batch: int = 1,
    ) -> list[list[int]]: ...
    def measure(
        self,
        size: int,
        dimension: int,
        channels: int,
        number_of_layers: int,
        intensities: tuple[float, float],
        number_of_inputs: int = 1,
    ) -> list[MeasuredLayer]: ...
    def peak_memory(
        self,
        size: Sequence[int],
        channels: int,
        number_of_layers: int,
        intensities: tuple[float, float],
        batch: int = 1,
        gradient: bool = False,
    ) -> int: ...
    def runs_as_chain(
        self, layers_mask: Sequence[bool], dimension: int, number_of_channels: int = 1
    ) -> bool: ...
    def chains_within(
        self, layers_mask: Sequence[bool], dimension: int, number_of_channels: int = 1
    ) -> int: ...

class ModelRepository:
    def __init__(self) -> None: ...

class CheckedLayer:
    @property
    def channels(self) -> int: ...
    @property
    def stride(self) -> list[float] | None: ...
    @property
    def reach(self) -> list[float] | None: ...

class CheckedModel:
    @property
    def number(self) -> int: ...
    @property
    def is_fixed(self) -> bool: ...
    @property
    def image_size(self) -> list[int]: ...
    @property
    def layers(self) -> list[CheckedLayer]: ...

class LevelCheck:
    @property
    def findings(self) -> list[Finding]: ...
    @property
    def models(self) -> list[CheckedModel]: ...
    @property
    def bytes(self) -> float: ...

def check_level(
    settings: LevelSettings,
    settings_are_right: bool,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    number_of_samples: int = 2000,
    models: ModelRepository | None = None,
    threads: int = 0,
) -> LevelCheck: ...
def distance(
    kind: str, fixed: ArrayLike, moving: ArrayLike, by_torch: bool = False
) -> tuple[float, NDArray[np.float64]]: ...
def feature_maps(
    image: Image, settings: ModelSettings, gpu: int = -1
) -> list[tuple[NDArray[np.float32], Grid]]: ...
