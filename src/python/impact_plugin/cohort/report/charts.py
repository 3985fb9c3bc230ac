"""Distributions as pictures; the tables beside them have the same figures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from impact_plugin.cohort.report.comparisons import Distribution
from impact_plugin.cohort.report.measures import Floats, Measure
from impact_plugin.report import pictures

_COLOURS = {"before": "#b9c2cc", "after": "#7fa3c7"}
_POINTS = 300  # that are drawn of a distribution
_NAME = 36  # letters


def distribution_chart(measure: Measure, shown: Sequence[Distribution]) -> str:
    """Draw boxes: quartiles, the median, whiskers at the 5th and 95th percentile, and points.

    Args:
        measure: The measure to draw.
        shown: From top to bottom.

    Returns:
        What stands in ``src``.
    """
    made = pictures.figure(8.2, 0.75 + 0.42 * len(shown))
    panel = made.subplots()
    boxes = []
    for row, each in enumerate(shown):
        said = each.statistics()
        boxes.append(
            {
                "med": said["median"],
                "q1": said["25 %"],
                "q3": said["75 %"],
                "whislo": said["5 %"],
                "whishi": said["95 %"],
                "fliers": [],
            }
        )
        values = _drawn(each.values)
        # The same heights each time: a golden section spreads them evenly.
        heights = row + 0.5 * ((np.arange(len(values)) * 0.618034) % 1 - 0.5)
        panel.scatter(values, heights, s=5, color="#1c2630", alpha=0.35, linewidths=0, zorder=3)
    drawn = panel.bxp(
        boxes,
        positions=range(len(shown)),
        orientation="horizontal",
        widths=0.6,
        patch_artist=True,
        showfliers=False,
        medianprops={"color": "#1c2630", "linewidth": 1.6},
        whiskerprops={"color": "#4c5a68"},
        capprops={"color": "#4c5a68"},
    )
    for box, each in zip(drawn["boxes"], shown, strict=True):
        box.set(facecolor=_COLOURS[each.when], edgecolor="#4c5a68")
    # Names are no formulas, whatever is in them.
    panel.set_yticks(range(len(shown)), [_short(e.variant) for e in shown], parse_math=False)
    panel.set_ylim(len(shown) - 0.5, -0.5)
    label = measure.label
    everything = np.concatenate([each.values for each in shown])
    if everything.min() > 0 and everything.max() > 50 * everything.min():
        panel.set_xscale("log")
        label += ", logarithmic"
    panel.set_xlabel(label)
    panel.grid(axis="x", alpha=0.3)
    with warnings.catch_warnings():
        # Of scripts that matplotlib's font lacks: the table has the names.
        warnings.filterwarnings("ignore", message="Glyph")
        return pictures.figure_uri(made)


def _drawn(values: Floats) -> Floats:
    """Choose the points: all of a few, else as many spread by rank, the extremes among them."""
    ordered = np.sort(values)
    if len(ordered) <= _POINTS:
        return ordered
    chosen: Floats = ordered[np.linspace(0, len(ordered) - 1, _POINTS).round().astype(int)]
    return chosen


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
