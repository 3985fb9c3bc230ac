"""The table of a cohort: a row for each pair and variant, as parquet and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from impact_plugin._io import replacing
from impact_plugin.cohort.work import Row

COLUMNS = (
    "pair",
    "variant",
    "status",
    "error",
    "measure_error",
    "attempts",
    "seconds",
    "peak_memory_mb",
    "metric",
    "before_tre_mean_mm",
    "before_tre_p95_mm",
    "before_tre_max_mm",
    "tre_mean_mm",
    "tre_p95_mm",
    "tre_max_mm",
    "before_dice_mean",
    "dice_mean",
    "folding",
    "jacobian_min",
    "worker",
    "key",
)
"""In this order; empty where it was not measured."""

_TEXT = {"pair", "variant", "status", "error", "measure_error", "worker", "key"}
CSV, PARQUET = "cohort.csv", "cohort.parquet"


def make(rows: Sequence[Row]) -> Any:  # noqa: ANN401  (a pandas.DataFrame)
    """Make the table."""
    import pandas as pd

    table = pd.DataFrame(
        [[row.get(name) for name in COLUMNS] for row in rows], columns=list(COLUMNS), dtype=object
    )
    # Of these types whatever is missing: several cohorts' tables can be read as one.
    kinds = {name: "string" if name in _TEXT else "float64" for name in COLUMNS}
    return table.astype(kinds | {"attempts": "Int64"})


def write(table: Any, folder: Path) -> None:  # noqa: ANN401
    """Write both files, each in one step."""
    with replacing(folder / CSV) as unfinished:
        table.to_csv(unfinished, index=False)
    with replacing(folder / PARQUET) as unfinished:
        table.to_parquet(unfinished, index=False)
