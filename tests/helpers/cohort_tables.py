"""Folders of cohorts without the registrations: a table, a log, and what the cohort is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from impact_plugin.cohort import Row, table


def write(folder: Path, rows: Sequence[Row], variants: Mapping[str, Sequence[str]]) -> Path:
    """Write what a run leaves behind, but for the results.

    Args:
        folder: Made if needed.
        rows: Of the table.
        variants: Names and presets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table.write(table.make(rows), folder)
    said = {
        "cohort_version": 1,
        "pairs": {},
        "variants": [{"name": n, "presets": list(p), "maps": []} for n, p in variants.items()],
    }
    (folder / "cohort.json").write_text(json.dumps(said))
    (folder / "cohort.jsonl").write_text(
        '{"time": 1790000000.0, "event": "started", "tasks": 2}\n'
        '{"time": 1790003600.0, "event": "ended all", "interrupted": ""}\n'
        '{"time": 17900'  # of a run that was killed
    )
    return folder


def done(pair: str, variant: str, **figures: float) -> Row:
    """Give the row of a registration that is done."""
    common = {"worker": "host:1", "key": "k", "attempts": 1, "seconds": 10, "peak_memory_mb": 900}
    known: dict[str, Any] = {**common, **figures}
    return Row(pair=pair, variant=variant, status="done", error="", **known)


def failed(pair: str, variant: str, error: str) -> Row:
    """Give the row of one that failed."""
    return Row(pair=pair, variant=variant, status="failed", error=error, attempts=2)


def measured(number: int, gains: Mapping[str, float], seed: int = 0) -> list[Row]:
    """Give rows with all figures; ``gains`` says by variant what becomes of landmark errors."""
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(number):
        before = float(generator.lognormal(2, 0.4))
        for variant, gain in gains.items():
            error = before * gain * float(generator.lognormal(0, 0.2))
            rows.append(
                done(
                    f"p{index}",
                    variant,
                    seconds=float(generator.lognormal(3, 0.2)),
                    peak_memory_mb=float(generator.normal(900, 50)),
                    metric=float(generator.normal(0.4, 0.05)),
                    before_tre_mean_mm=before,
                    before_tre_p95_mm=2 * before,
                    tre_mean_mm=error,
                    tre_p95_mm=2 * error,
                    before_dice_mean=0.5,
                    dice_mean=float(generator.uniform(0.7, 0.9)),
                    folding=max(0.0, float(generator.normal(-0.001, 0.001))),
                )
            )
    return rows
