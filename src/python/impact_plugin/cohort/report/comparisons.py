"""Distributions of figures, and paired comparisons of variants with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from impact_plugin.cohort.report.measures import Floats, Measure

FEWEST = 20
"""Pairs below which nothing is concluded: intervals of the bootstrap are too narrow there."""

LEVEL = 0.95
_RESAMPLES = 2000
_AT_ONCE = 2_000_000  # numbers in memory
_SEED = 0

_PERCENTILES = {"min": 0, "5 %": 5, "25 %": 25, "median": 50, "75 %": 75, "95 %": 95, "max": 100}


@dataclass(frozen=True)
class Distribution:
    """How a figure is spread over the pairs of a variant.

    Attributes:
        variant: Its name.
        when: "before" or "after" the registration.
        values: As they are shown, in no order.
    """

    variant: str
    when: str
    values: Floats

    def statistics(self) -> dict[str, float]:
        """Give mean and percentiles."""
        found = np.percentile(self.values, list(_PERCENTILES.values()))
        return {
            "mean": float(self.values.mean()),
            **dict(zip(_PERCENTILES, found.tolist(), strict=True)),
        }


def distributions(table: Any, measure: Measure, variants: Sequence[str]) -> list[Distribution]:  # noqa: ANN401
    """Give those of each variant, and that before the registration; none of what is not there.

    Args:
        table: Rows of registrations that are done.
        measure: The figure.
        variants: In the order wanted.
    """
    found = []
    if measure.before:
        # The same pair has the same value with each variant.
        once = table.dropna(subset=[measure.before]).drop_duplicates("pair")
        found.append(Distribution("before", "before", measure.values(once, measure.before)))
    for name in variants:
        rows = table[table["variant"] == name]
        found.append(Distribution(name, "after", measure.values(rows)))
    kept = [each for each in found if len(each.values)]
    return kept if any(each.when == "after" for each in kept) else []


def bootstrap_mean(differences: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Give the confidence interval of a mean, by the percentile bootstrap with a fixed seed.

    Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13.

    Args:
        differences: Shape (N,), independent of each other.
        level: Confidence level.
    """
    generator = np.random.default_rng(_SEED)
    number = len(differences)
    step = max(1, _AT_ONCE // number)
    means = [
        differences[generator.integers(0, number, (min(step, _RESAMPLES - done), number))].mean(1)
        for done in range(0, _RESAMPLES, step)
    ]
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(means), (tail, 100 - tail)).tolist()
    return low, high


@dataclass(frozen=True)
class Comparison:
    """A variant against another by one measure, over the pairs that both have.

    Attributes:
        measure: The measure compared.
        reference: The variant that is compared with.
        variant: The variant.
        means: Means of the reference and of the variant, as shown.
        differences: Variant minus reference, by pair.
        left_out: Number of pairs for which one of the two has no figure.
        interval: Confidence interval of that mean; None with fewer than :data:`FEWEST` pairs.
    """

    measure: Measure
    reference: str
    variant: str
    means: tuple[float, float]
    differences: Floats
    left_out: int
    interval: tuple[float, float] | None

    @property
    def better_in(self) -> int:
        """In how many pairs the variant is better."""
        sign = 1 if self.measure.better == "higher" else -1
        return int((sign * self.differences > 0).sum())

    @property
    def conclusion(self) -> str:
        """What may be concluded, in a sentence."""
        number, what = len(self.differences), self.measure.short
        if self.interval is None:
            return f"{what}: nothing; {number} pairs are too few (at least {FEWEST})."
        if not self.differences.any():
            return f"{what}: the same in each of {number} pairs."
        low, high = self.interval
        if low <= 0 <= high:
            return f"{what}: no difference is shown; the interval has 0 in it."
        which = "higher" if low > 0 else "lower"
        side = "better" if which == self.measure.better else "worse"
        return (
            f"{what}: {which} with {self.variant} than with {self.reference}, on average: {side}."
        )


def compare(table: Any, measure: Measure, reference: str, variant: str) -> Comparison | None:  # noqa: ANN401
    """Compare two variants; None where no pair has both figures.

    Args:
        table: Rows of registrations, of which those that are done count.
        measure: The measure compared.
        reference: Name of a variant.
        variant: Name of another.
    """
    sides = []
    for name in (reference, variant):
        rows = table[(table["variant"] == name) & (table["status"] == "done")]
        sides.append(rows.set_index("pair")[measure.column].astype(float))
    known = [side[np.isfinite(side)] * measure.factor for side in sides]
    pairs = known[0].index.intersection(known[1].index)
    if not len(pairs):
        return None
    first, second = (side[pairs].to_numpy() for side in known)
    differences = second - first
    every = table.loc[table["variant"].isin((reference, variant)), "pair"].nunique()
    return Comparison(
        measure,
        reference,
        variant,
        (float(first.mean()), float(second.mean())),
        differences,
        every - len(pairs),
        bootstrap_mean(differences) if len(pairs) >= FEWEST else None,
    )
