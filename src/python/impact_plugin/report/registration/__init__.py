"""The HTML page of a registration, a single file that loads nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from impact_plugin import _arguments
from impact_plugin._errors import InputError
from impact_plugin.evaluation.api import measure
from impact_plugin.evaluation.points import PointsLike
from impact_plugin.evaluation.steps import Registration, Step
from impact_plugin.images.axes import Axes
from impact_plugin.images.conversion import ImageLike
from impact_plugin.report import page
from impact_plugin.report.pictures import Window
from impact_plugin.report.registration import quality, scene, values
from impact_plugin.report.registration.content import Content


@dataclass(frozen=True)
class Options:
    """How images are shown.

    Args:
        slices: Most slices per plane.
        window: Intensities shown as black and white; None: percentiles of the images.
    """

    slices: int
    window: Window | None

    @classmethod
    def of(cls, slices: int, window: Sequence[float] | None) -> Options:
        """Check the values that a caller gives.

        Raises:
            ValueError: One is out of range.
        """
        _arguments.check_integer("slices", slices, 1, 1000)
        return cls(slices, _window(window))


def write(
    target: Path,
    content: Content,
    options: Options,
    *,
    fixed_points: PointsLike | None = None,
    moving_points: PointsLike | None = None,
    fixed_labels: ImageLike | None = None,
    moving_labels: ImageLike | None = None,
    axes: Axes = "LPS",
) -> None:
    """Write the page; see :func:`impact_plugin.write_report`."""
    evaluation = measure(
        Registration(
            content.fixed_geometry, tuple(Step(name, chain) for name, chain in content.steps)
        ),
        fixed_points=fixed_points,
        moving_points=moving_points,
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        outside="leave out",
        axes=axes,
    )
    tables = quality.tables(evaluation)
    built = scene.build(content, options.slices, options.window)
    page.write(target, page.render("report.html", values.collect(content, built, tables)))


def _window(given: Sequence[float] | None) -> Window | None:
    if given is None:
        return None
    try:
        numbers = [float(number) for number in given]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 2 or not all(map(math.isfinite, numbers)) or numbers[0] >= numbers[1]:
        message = f"window is {given!r}, expected two intensities, black below white"
        raise InputError(message)
    return Window(*numbers)
