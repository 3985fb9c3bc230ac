"""Features in colour: the fixed image's first three principal components as red, green, blue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impact_plugin.report.features.extraction import FeatureMap

_MOST = 200_000  # voxels to fit to


@dataclass(frozen=True)
class Basis:
    """Up to three principal components of features, and their range of brightness.

    Both images share one basis, so that equal colours mean equal features.

    Args:
        mean: Mean of the features, (channels,).
        components: Unit vectors, (channels, 1 to 3), by decreasing variance.
        low: Value of each component that is shown as 0.
        high: Value of each component that is shown as 255.
        explained: Each component's share of the variance.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    explained: tuple[float, ...]

    @classmethod
    def of(cls, map_: FeatureMap) -> Basis:
        """Fit a basis to the features of the fixed image."""
        rows = map_.features.reshape(-1, map_.channels)
        rows = rows[:: max(1, len(rows) // _MOST)].astype(np.float64)
        mean = rows.mean(axis=0)
        covariance = np.atleast_2d(np.cov(rows - mean, rowvar=False))
        values, vectors = np.linalg.eigh(covariance)
        order = np.argsort(values)[::-1][:3]
        components = vectors[:, order]
        # An eigenvector's sign is arbitrary: the largest entry is made positive.
        largest = components[np.abs(components).argmax(axis=0), np.arange(len(order))]
        components = components * np.where(largest < 0, -1.0, 1.0)
        low, high = np.percentile((rows - mean) @ components, (1, 99), axis=0)
        total = max(float(np.clip(values, 0, None).sum()), 1e-300)
        explained = tuple(float(max(values[i], 0.0)) / total for i in order)
        return cls(mean, components, low, np.maximum(high, low + 1e-12), explained)

    def colour(self, features: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Turn features (..., channels) into colours, bytes (..., 3); one component gives grey."""
        projected = (features - self.mean) @ self.components
        scaled = (projected - self.low) / (self.high - self.low) * 255
        components = np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
        if components.shape[-1] == 1:
            return np.repeat(components, 3, axis=-1)
        if components.shape[-1] == 2:
            return np.concatenate([components, np.zeros_like(components[..., :1])], axis=-1)
        return components
