"""What stands on the page of a cohort."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

import impact_plugin
from impact_plugin.cohort.report import charts, comparisons, failures
from impact_plugin.cohort.report.cases import Case
from impact_plugin.cohort.report.facts import Facts
from impact_plugin.cohort.report.measures import MEASURES, QUALITY, Measure, number

LISTED = 200
"""Registrations that the page lists; all are in the table beside it."""

_COMPARED = ("tre_mean_mm", "tre_p95_mm", "dice_mean", "folding", "seconds")
_STATISTICS = ("mean", "min", "5 %", "25 %", "median", "75 %", "95 %", "max")


def collect(facts: Facts, cases: Sequence[Case], target: Path) -> dict[str, Any]:
    """Collect what the template shows.

    Args:
        facts: Facts of the cohort.
        cases: The worst ones.
        target: Where the page will be.
    """
    causes = failures.causes(facts.table)
    return {
        "version": impact_plugin.__version__,
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "title": f"Cohort: {facts.folder.name}",
        "summary": _summary(facts),
        "facts": _facts(facts),
        "notes": facts.notes + _notes(facts),
        "variants": _variants(facts),
        "cases": [_case(facts, case, target) for case in cases],
        "charts": _charts(facts),
        "statistics": _STATISTICS,
        "absent": "landmarks and no label maps"
        if not any(len(each.values(facts.done)) for each in QUALITY)
        else "",
        "comparisons": _comparisons(facts),
        "fewest": comparisons.FEWEST,
        "level": f"{100 * comparisons.LEVEL:g}",
        "causes": causes[: failures.MOST],
        "other_causes": len(causes[failures.MOST :]),
        "failed_rest": sum(cause.count for cause in causes[failures.MOST :]),
        **_listing(facts),
    }


def _counts(table: Any) -> tuple[int, int, int]:  # noqa: ANN401
    said = table["status"]
    return (
        int((said == "done").sum()),
        int((said == "failed").sum()),
        int((said == "not run").sum()),
    )


def _summary(facts: Facts) -> str:
    done, failed, left = _counts(facts.table)
    pairs, ways = facts.table["pair"].nunique(), len(facts.variants)
    text = f"{pairs} pair{'s' if pairs != 1 else ''}, each registered in {ways} "
    text += f"way{'s' if ways != 1 else ''}: of {len(facts.table)} registrations {done} done"
    text += f", {failed} failed"
    return text + (f", {left} not run." if left else ".")


def _facts(facts: Facts) -> list[tuple[str, str]]:
    found = []
    if facts.runs:
        total = sum(run.ended - run.begun for run in facts.runs)
        first = datetime.fromtimestamp(facts.runs[0].begun, timezone.utc)
        number_of = len(facts.runs)
        text = f"{_duration(total)} in {number_of} run{'s' if number_of != 1 else ''}"
        found.append(("Time (h:min:s)", f"{text}, the first begun {first:%Y-%m-%d %H:%M} UTC"))
    seconds = float(facts.done["seconds"].sum())
    found.append(("Time of finished registrations together", _duration(seconds)))
    again = int((facts.done["attempts"] > 1).sum())
    found.append(("Done, but not at the first attempt", str(again)))
    found.append(("Versions", facts.versions or "not known"))
    return found


def _notes(facts: Facts) -> list[str]:
    if facts.runs and facts.runs[-1].interrupted:
        return [f"The last run ended before all was done: {facts.runs[-1].interrupted}."]
    return []


def _variants(facts: Facts) -> list[list[str]]:
    rows = []
    for name, stages in facts.variants.items():
        mine = facts.table[facts.table["variant"] == name]
        rows.append([name, stages or "not known", *map(str, _counts(mine))])
    return rows


def _charts(facts: Facts) -> list[dict[str, Any]]:
    found = []
    for measure in MEASURES:
        shown = comparisons.distributions(facts.done, measure, list(facts.variants))
        # Figures that only those of one variant are comparable with have an axis of their own.
        groups = [shown] if measure.column != "metric" else [[each] for each in shown]
        if shown:
            found.append(
                {
                    "id": measure.column,
                    "title": measure.label,
                    "note": measure.note,
                    "pictures": [
                        (
                            charts.distribution_chart(measure, group),
                            ", ".join(each.variant for each in group),
                        )
                        for group in groups
                        if any(np.ptp(each.values) for each in group) or len(group) > 1
                    ],
                    "rows": [
                        [each.variant, str(len(each.values))]
                        + [number(each.statistics()[name]) for name in _STATISTICS]
                        for each in shown
                    ],
                }
            )
    return found


def _comparisons(facts: Facts) -> list[dict[str, Any]]:
    """Compare each variant with the first."""
    reference, *others = list(facts.variants) or [""]
    found = []
    for name in others:
        rows, said = [], []
        for measure in (each for each in MEASURES if each.column in _COMPARED):
            each = comparisons.compare(facts.table, measure, reference, name)
            if each is None:
                continue
            said.append(each.conclusion)
            interval = " to ".join(map(number, each.interval)) if each.interval else "-"
            rows.append(
                [
                    measure.head,
                    *map(number, each.means),
                    number(each.differences.mean()),
                    interval,
                    f"{each.better_in} of {len(each.differences)}",
                    str(each.left_out),
                ]
            )
        found.append({"name": name, "reference": reference, "rows": rows, "said": said})
    return found


def _case(facts: Facts, case: Case, target: Path) -> dict[str, Any]:
    shown = [m for m in MEASURES if len(m.values(facts.done))]
    rows = [
        [row["variant"], row["status"], *_cells(row, shown)]
        for _, row in facts.table[facts.table["pair"] == case.pair].iterrows()
    ]
    folder = facts.result_folder(case.pair, case.variant)
    return {
        "case": case,
        "heads": ["variant", "status", *_heads(shown)],
        "rows": rows,
        "folder": str(Path("pairs", case.pair, case.variant)),
        "link": quote(os.path.relpath(folder, target.parent)) + "/",
    }


def _heads(shown: Sequence[Measure]) -> list[str]:
    heads = []
    for measure in shown:
        heads += [f"{measure.head} before"] * bool(measure.before) + [measure.head]
    return heads


def _cells(row: Any, shown: Sequence[Measure]) -> list[str]:  # noqa: ANN401
    cells = []
    for measure in shown:
        columns = [measure.before] * bool(measure.before) + [measure.column]
        cells += [number(row[column] * measure.factor) for column in columns]
    return cells


def _listing(facts: Facts) -> dict[str, Any]:
    """List registrations: those that are not done, then the worst, by the first known measure."""
    shown = [m for m in MEASURES if len(m.values(facts.done))]
    table = facts.table
    by = next((m for m in shown if m in QUALITY or m.column == "metric"), None)
    order = table.assign(_done=table["status"] == "done")
    keys, rising = ["_done"], [True]
    if by is not None:
        keys, rising = [*keys, by.column], [True, by.better == "higher"]
    ordered = order.sort_values(keys, ascending=rising, kind="stable").head(LISTED)
    return {
        "heads": ["pair", "variant", "status", "attempts", *_heads(shown)],
        "rows": [
            [
                row["pair"],
                row["variant"],
                row["status"],
                number(row["attempts"]),
                *_cells(row, shown),
            ]
            for _, row in ordered.iterrows()
        ],
        "unlisted": max(0, len(table) - LISTED),
        "order": f"those that are not done first, then the worst by {by.short}"
        if by is not None
        else "those that are not done first",
    }


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
