"""What only tests see of the metric; tests/cpp is compiled where IMPACT_TESTS is on."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact_plugin._core import Image, LevelSettings

def run_in_batches(
    count: int,
    first: int,
    action: Callable[[int, int], str],
    make_room: Callable[[], bool] | None = None,
) -> tuple[int, list[str]]: ...
def outline(
    path: str, mask: Sequence[bool], shape: Sequence[int], direction: Sequence[float] = ...
) -> tuple[list[tuple[int, tuple[int, int, int], list[list[float]] | None]], int] | None: ...
def plain_operators(
    path: str, mask: Sequence[bool], rank: int, direction: Sequence[float] = ...
) -> list[str]: ...
def layers_each_way(
    path: str, mask: Sequence[bool], image: ArrayLike, direction: Sequence[float] = ...
) -> list[list[NDArray[np.float32]]]: ...
def number_that_fits(available: int, bytes_per_item: float, most: int) -> int: ...
def maps_do_not_fit(needed: float, available: int, gpu: int, are_half: bool = ...) -> str: ...

class AsOnGpu:
    def __init__(self, path: str) -> None: ...
    @property
    def graphs(self) -> str: ...
    def run(self, shape: Sequence[int]) -> float: ...

def fail_on_gpu(gpu: int, how: str, before: Callable[[], None]) -> None: ...

class StaticSimilarity:
    def __init__(
        self,
        fixed: Image,
        moving: Image,
        settings: LevelSettings,
        seed: int = 121212,
        threads: int = 0,
    ) -> None: ...
    def evaluate(
        self, fixed_points: ArrayLike, moving_points: ArrayLike
    ) -> tuple[float, NDArray[np.float64]]: ...

class MetricEvaluator:
    def __init__(
        self,
        fixed: Image,
        moving: Image,
        parameters: Mapping[str, Sequence[str]],
        transform: str,
        *,
        level: int = 0,
        initial_affine: Sequence[float] = ...,
        control_point_spacing: float = 30.0,
        sample_spacing: int = 3,
        interpolation_order: int = 1,
        threads: int = 1,
        moving_mask: Image | None = None,
        as_on_gpu: bool = False,
        derivative_scales: Sequence[float] = ...,
    ) -> None: ...
    @property
    def identity_parameters(self) -> list[float]: ...
    @property
    def number_of_valid_samples(self) -> int: ...
    @property
    def evaluates_on_device(self) -> bool: ...
    @property
    def messages(self) -> list[str]: ...
    def request_moving_features(self) -> None: ...
    def describe_features(self) -> str: ...
    def value(self, parameters: Sequence[float]) -> float: ...
    def value_and_derivative(
        self, parameters: Sequence[float]
    ) -> tuple[float, NDArray[np.float64]]: ...
