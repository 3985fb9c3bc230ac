"""A cohort as one HTML page that needs nothing but itself."""

from __future__ import annotations

import os
from pathlib import Path

from impact_plugin import _arguments
from impact_plugin._io import expanded
from impact_plugin._numbers import plain_arguments
from impact_plugin._optional import require, require_for_pages
from impact_plugin.cohort.report import cases, facts, values
from impact_plugin.report import page

WORST = 8
"""Pairs that a page shows pictures of."""


@plain_arguments
def write_cohort_report(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    worst: int = WORST,
) -> Path:
    """Write an HTML page that shows a cohort: one file that loads nothing from anywhere.

    It has how landmark errors, Dice, folding, metric, time and memory are distributed, before and
    after and by variant; the worst pairs with pictures; comparisons of the variants, paired, with
    confidence intervals; failures by cause. Its figures are those of the cohort's table.

    Args:
        folder: The output folder of :func:`impact_plugin.register_cohort`.
        path: File to write; by default ``report.html`` in that folder.
        worst: Number of worst pairs to show with pictures; 0 for none.

    Returns:
        The page's absolute path.

    Raises:
        ImportError: pandas, pyarrow, matplotlib or jinja2 is missing.
        FileNotFoundError: The folder is no cohort's, or no run of it has ended yet.
        ValueError: Its table cannot be read; an argument is out of range.
        OSError: The page cannot be written.

    Example:
        >>> impact_plugin.write_cohort_report("out")  # doctest: +SKIP
        PosixPath('/data/out/report.html')
    """
    require_for_pages()
    require("reports of cohorts", "cohort", "pandas", "pyarrow")
    _arguments.check_integer("worst", worst, 0, 1000)
    found = facts.read(expanded(folder, "folder").absolute())
    target = page.target_of(path, found.folder / "report.html")
    page.check_ending(target)
    shown = cases.worst(found, worst)
    cases.draw(found, shown)
    page.write(target, page.render("cohort.html", values.collect(found, shown, target)))
    return target
