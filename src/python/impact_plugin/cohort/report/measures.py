"""What a cohort's report shows of each registration: columns of the table, and what is good."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """How a column of the cohort's table is shown.

    Attributes:
        column: Its name.
        title: Title of its chart.
        short: Heading of its columns in tables.
        unit: "" where there is none.
        better: "lower", "higher", or "" where registrations are not compared by it.
        before: The column with what it was before the registration.
        factor: Factor from the table's value to the one shown.
        note: What must be known to read it.
    """

    column: str
    title: str
    short: str
    unit: str = ""
    better: str = "lower"
    before: str = ""
    factor: float = 1.0
    note: str = ""

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def head(self) -> str:
        """The head of a table's column."""
        return f"{self.short} ({self.unit})" if self.unit else self.short

    def values(self, table: Any, column: str = "") -> Floats:  # noqa: ANN401
        """Give what is shown of a column, without what is missing or not finite."""
        found: Floats = table[column or self.column].to_numpy(dtype=float, na_value=np.nan)
        return found[np.isfinite(found)] * self.factor


MEASURES = (
    Measure(
        "tre_mean_mm",
        "Mean landmark error of each pair",
        "mean error",
        "mm",
        before="before_tre_mean_mm",
    ),
    Measure(
        "tre_p95_mm",
        "95th percentile of each pair's landmark errors",
        "95 % error",
        "mm",
        before="before_tre_p95_mm",
    ),
    Measure("dice_mean", "Mean Dice of each pair", "Dice", "", "higher", before="before_dice_mean"),
    Measure(
        "folding",
        "Folded part of the fixed image",
        "folding",
        "%",
        factor=100.0,
        note="Voxels whose Jacobian determinant is 0 or less.",
    ),
    Measure(
        "metric",
        "Metric at the end",
        "metric",
        better="",
        note="Lower is better, and to be compared within a variant only: others have other "
        "parameters.",
    ),
    Measure(
        "seconds",
        "Time of a registration",
        "time",
        "s",
        note="With reading, measuring and writing; it depends on what else the machine does.",
    ),
    Measure(
        "peak_memory_mb",
        "Memory of elastix at its peak",
        "memory",
        "MB",
        note="Of what was seen four times a second.",
    ),
)

QUALITY = tuple(each for each in MEASURES if each.before)
"""What tells how good a registration is: only where there are landmarks or label maps."""


def number(value: Any) -> str:  # noqa: ANN401  (a number or what pandas has for none)
    """Give a number as text, "-" where there is none."""
    try:
        known = float(value)
    except (TypeError, ValueError):
        return "-"
    return "-" if math.isnan(known) else f"{known:.4g}"
