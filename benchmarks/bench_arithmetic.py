"""Medians, ratios and exponents of growth."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.bench_runs import Record


@dataclass(frozen=True)
class Spread:
    """A median with the range it comes from; it prints as `median (min..max)`."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Take the spread of values, None of no values."""
        return cls(statistics.median(values), min(values), max(values)) if values else None

    def __str__(self) -> str:
        median, low, high = map(digits, (self.median, self.low, self.high))
        return median if low == high else f"{median} ({low}..{high})"


def digits(number: float) -> str:
    """Write a number with three digits, or as many as it has before the point."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def ratio(above: Sequence[Record], below: Sequence[Record], quantity: str) -> Spread | None:
    """How many times as much the first runs took, run by run; None where either has none."""
    return Spread.of(
        [
            one[quantity] / other[quantity]
            for one, other in zip(above, below, strict=False)
            if quantity in one
            and quantity in other
            and not {"failed"} & (one.keys() | other.keys())
        ]
    )


def slope(points: dict[int, float]) -> float:
    """Exponent p of the power law y ~ x^p nearest to the points, by least squares of logarithms."""
    x, y = np.log(list(points)), np.log(list(points.values()))
    return float(np.polyfit(x, y, 1)[0])


def steepest(points: dict[int, float]) -> float:
    """The largest exponent between two neighbours."""
    known = sorted(points.items())
    return max(
        math.log(after / before) / math.log(more / less)
        for (less, before), (more, after) in itertools.pairwise(known)
    )
