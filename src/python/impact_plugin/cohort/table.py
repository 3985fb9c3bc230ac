"""The table of a cohort: a row for each pair and variant, as parquet and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from impact_plugin._io import replacing
from impact_plugin.folders.record import Part


class Row(Part, frozen=True, omit_defaults=True):
    """What is known of one registration of a cohort after it ran; its columns in this order.

    Attributes:
        pair: Name of the pair.
        variant: Name of the variant.
        status: Whether it is done.
        error: Why not; empty where it is.
        measure_error: What could not be measured, and why.
        attempts: How often it was started.
        seconds: How long it took, with reading, measuring and writing.
        peak_memory_mb: The most that elastix took, of what was seen four times a second.
        metric: The metric at the end.
        before_tre_mean_mm: Mean error of the landmarks before the registration; likewise the 95th
            percentile and the greatest, and all three after it.
        before_dice_mean: Mean Dice of the labels before it, and after it.
        folding: Part of the fixed image that is folded.
        jacobian_min: The least Jacobian determinant.
        worker: Where it ran: host and process.
        key: SHA-256 of all that the result depends on.
        traceback: Of the error.
    """

    pair: str
    variant: str
    status: Literal["done", "failed", "not run"]
    error: str
    measure_error: str | None = None
    attempts: int | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    metric: float | None = None
    before_tre_mean_mm: float | None = None
    before_tre_p95_mm: float | None = None
    before_tre_max_mm: float | None = None
    tre_mean_mm: float | None = None
    tre_p95_mm: float | None = None
    tre_max_mm: float | None = None
    before_dice_mean: float | None = None
    dice_mean: float | None = None
    folding: float | None = None
    jacobian_min: float | None = None
    worker: str | None = None
    key: str = ""
    traceback: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give what is known by its names, as JSON has it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


COLUMNS = Row.__struct_fields__[:-1]
"""All but the traceback; empty where it was not measured."""

_TEXT = {"pair", "variant", "status", "error", "measure_error", "worker", "key"}
CSV, PARQUET = "cohort.csv", "cohort.parquet"


def row_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of ``task.json``, made from :class:`Row`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "A registration of a cohort by impact-plugin; docs/cohorts.md.",
        **msgspec.json.schema(Row),
    }


def make(rows: Sequence[Row]) -> Any:  # noqa: ANN401  (a pandas.DataFrame)
    """Make the table."""
    import pandas as pd

    table = pd.DataFrame(
        [[getattr(row, name) for name in COLUMNS] for row in rows],
        columns=list(COLUMNS),
        dtype=object,
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
