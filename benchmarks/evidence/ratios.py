"""Geometric means of ratios, and their intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t as student


@dataclass(frozen=True)
class Mean:
    """A geometric mean, and the interval that holds it with 95 %, as far as seeds tell.

    Args:
        value: The mean.
        low: Lower end; None of a single seed, which proves nothing.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def geometric_mean(values: Sequence[float]) -> float:
    """Give exp of the mean logarithm of positive numbers.

    Raises:
        ValueError: There is none, or one is not positive.
    """
    if not values or min(values) <= 0:
        message = f"expected positive numbers, at least one, and got {list(values)}"
        raise ValueError(message)
    return math.exp(sum(map(math.log, values)) / len(values))


def over_seeds(ratios: Mapping[int, Sequence[float]]) -> Mean:
    """Average ratios: the geometric mean of each seed's, and Student's interval of these.

    Args:
        ratios: By seed, the ratios of its pairs.
    """
    logs = [math.log(geometric_mean(of_seed)) for of_seed in ratios.values() if of_seed]
    if not logs:
        message = "expected ratios of at least one seed, and got none"
        raise ValueError(message)
    count, mean = len(logs), sum(logs) / len(logs)
    if count == 1:
        return Mean(math.exp(mean))
    deviation = math.sqrt(sum((log - mean) ** 2 for log in logs) / (count - 1))
    half = float(student.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Mean(math.exp(mean), math.exp(mean - half), math.exp(mean + half))
