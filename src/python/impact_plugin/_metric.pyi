"""The metric as an object, without elastix around it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from impact_plugin._core import Image

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
