"""Many features as three: the principal components of the fixed image's, as red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impact_plugin.report.features.extraction import FeatureMap

_MOST = 200_000  # voxels to fit to


@dataclass(frozen=True)
class Basis:
    """Up to three principal components of features, and what of them is dark and bright.

    The same basis is for the fixed and the moving image: equal colours mean equal features.

    Args:
        mean: Of the features, (channels,).
        components: Unit vectors, (channels, 1 to 3), by decreasing variance.
        low: What is shown as 0, of each component.
        high: What is shown as 255.
        explained: Share of the variance that each component has.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    explained: tuple[float, ...]

    @classmethod
    def of(cls, map_: FeatureMap) -> Basis:
        """Fit it to the features of the fixed image."""
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
        """Colour features (..., channels): bytes (..., 3), grey of a single component."""
        projected = (features - self.mean) @ self.components
        scaled = (projected - self.low) / (self.high - self.low) * 255
        components = np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
        if components.shape[-1] == 1:
            return np.repeat(components, 3, axis=-1)
        if components.shape[-1] == 2:
            return np.concatenate([components, np.zeros_like(components[..., :1])], axis=-1)
        return components
