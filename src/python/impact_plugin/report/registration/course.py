"""Curves of the metric and the step size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from impact_plugin.elastix.history import History
from impact_plugin.report import pictures

_MEAN_OVER = 15  # iterations; new samples in each make the curve rough


@dataclass(frozen=True)
class Curve:
    """The picture of one stage's metric and step size.

    Attributes:
        title: Name of the stage.
        picture: The picture's ``src`` attribute.
        description: The same in words, for those who cannot see it.
    """

    title: str
    picture: str
    description: str


def curves(history: History, stages: Sequence[str]) -> list[Curve]:
    """Draw metric and step size by iteration: a picture for each stage, a panel for each level."""
    return [
        _curve(history, int(stage), stages[stage] if stage < len(stages) else f"stage {stage + 1}")
        for stage in np.unique(history.stage)
    ]


def _curve(history: History, stage: int, title: str) -> Curve:
    levels = np.unique(history.level[history.stage == stage])
    made = pictures.figure(max(4.5, 3.1 * len(levels)), 3.6)
    panels = made.subplots(
        2, len(levels), squeeze=False, sharex="col", gridspec_kw={"height_ratios": [3, 1]}
    )
    said = []
    for column, level in enumerate(levels):
        chosen = (history.stage == stage) & (history.level == level)
        iterations, metric = history.iteration[chosen], history.metric[chosen]
        above, below = panels[:, column]
        above.plot(iterations, metric, color="#9db7d5", linewidth=0.8, label="each iteration")
        smooth = _smoothed(metric)
        above.plot(
            iterations, smooth, color="#1f4e8c", linewidth=1.6, label=f"mean of {_MEAN_OVER}"
        )
        above.set_title(f"level {level + 1}", fontsize=10)
        below.plot(iterations, history.step[chosen], color="#b35c00", linewidth=1.0)
        below.set_xlabel("iteration")
        for panel in (above, below):
            panel.grid(alpha=0.3)
            panel.tick_params(labelsize=8)
        said.append(
            f"level {level + 1}: {len(metric)} iterations, metric from {smooth[0]:.4g} to "
            f"{smooth[-1]:.4g}"
        )
    panels[0, 0].set_ylabel("metric")
    panels[0, 0].legend(fontsize=7)
    panels[1, 0].set_ylabel("step size", fontsize=8)
    return Curve(title, pictures.figure_uri(made), "; ".join(said))


def _smoothed(values: pictures.Floats) -> pictures.Floats:
    """Smooth with a moving mean over the last iterations, fewer at the beginning."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - _MEAN_OVER)
    means: pictures.Floats = (sums[ends] - sums[begins]) / (ends - begins)
    return means
