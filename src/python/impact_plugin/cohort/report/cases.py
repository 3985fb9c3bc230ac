"""The worst registrations of a cohort, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impact_plugin.cohort.report.facts import Facts
from impact_plugin.cohort.report.measures import MEASURES, QUALITY, Measure, number
from impact_plugin.images import colour, conversion
from impact_plugin.registration import folder_content
from impact_plugin.report import pictures, planes
from impact_plugin.report.pictures import Window

if TYPE_CHECKING:
    import SimpleITK as sitk

_PIXELS = 256
"""Along the longest edge of a picture."""

BYTES = 3_000_000
"""Size limit of all pictures of cases together, as encoded in the page."""


@dataclass
class Case:
    """A pair that is shown, with the variant in which it is worst.

    Attributes:
        pair: Its name.
        variant: Name of the variant.
        reasons: Why it is shown.
        pictures: By "before" and "after", by plane: what stands in ``src``.
        notes: What cannot be shown, and why.
    """

    pair: str
    variant: str
    reasons: list[str]
    pictures: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def worst(facts: Facts, most: int) -> list[Case]:
    """Choose the worst pairs: of each measure the worst one, then the second of each, and so on.

    Landmark errors, Dice and folding count; the metric only where there are neither landmarks nor
    label maps, and by its rank among those of its variant.

    Args:
        facts: Facts of the cohort.
        most: Pairs at most.
    """
    ranked = [(measure, _ranked(facts.done, measure)) for measure in _ranking(facts.done)]
    cases: dict[str, Case] = {}
    for rank in range(most):
        for measure, rows in ranked:
            if rank >= len(rows):
                continue
            row = rows.iloc[rank]
            reason = _reason(measure, row, rank)
            if case := cases.get(row["pair"]):
                case.reasons.append(reason)
            elif len(cases) < most:
                cases[row["pair"]] = Case(row["pair"], row["variant"], [reason])
    return list(cases.values())


def _ranking(done: Any) -> list[Measure]:  # noqa: ANN401
    chosen = ("tre_mean_mm", "dice_mean", "folding")
    found = [each for each in MEASURES if each.column in chosen and len(each.values(done))]
    if any(each in QUALITY for each in found):
        return found
    return [each for each in MEASURES if each.column in ("folding", "metric")]


def _ranked(done: Any, measure: Measure) -> Any:  # noqa: ANN401
    """Give the rows with a measure, worst first, of each pair the worst."""
    rows = done[np.isfinite(done[measure.column].astype(float))]
    if measure.column == "folding":
        rows = rows[rows["folding"] > 0]
    by = rows[measure.column].astype(float)
    if measure.column == "metric":
        by = by.groupby(rows["variant"]).rank(pct=True)
    order = by.sort_values(ascending=measure.better == "higher", kind="stable").index
    return rows.loc[order].drop_duplicates("pair")


def _reason(measure: Measure, row: Any, rank: int) -> str:  # noqa: ANN401
    place = "worst" if rank == 0 else f"number {rank + 1} of the worst"
    value = number(row[measure.column] * measure.factor)
    unit = f" {measure.unit}" if measure.unit else ""
    before = ""
    if measure.before and np.isfinite(row[measure.before]):
        before = f", {number(row[measure.before] * measure.factor)} before"
    return f"{place} by {measure.short}: {value}{unit} with {row['variant']}{before}"


def draw(facts: Facts, cases: list[Case], budget: int = BYTES) -> None:
    """Add the pictures, as long as they have room; what cannot be drawn says why.

    Args:
        facts: Facts of the cohort.
        cases: What is shown.
        budget: Bytes of all pictures.
    """
    for case in cases:
        if budget <= 0:
            case.notes.append("No pictures: those of the cases above take all their room.")
            continue
        try:
            case.pictures, case.notes = slices(facts.result_folder(case.pair, case.variant))
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            case.notes.append(f"No pictures: {str(error).strip().splitlines()[-1][:500]}")
        budget -= sum(len(uri) for by in case.pictures.values() for uri in by.values())


def slices(folder: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Draw the middle slices before and after: fixed image magenta, moving image green.

    Only these slices are resampled, so that large images take little beside being read.

    Args:
        folder: Folder of the result.

    Returns:
        What stands in ``src``, by "before" and "after" and by plane; and notes.

    Raises:
        OSError, ValueError, TypeError, RuntimeError: There is no result, or an image cannot be
            read.
    """
    content = folder_content.read(folder)
    notes = [each for each in content.notes if "image" in each]
    if content.fixed is None or content.moving is None or content.registered is None:
        return {}, notes
    fixed = colour.seen(conversion.to_sitk(content.fixed, "the fixed image"))
    moving = colour.seen(conversion.to_sitk(content.moving, "the moving image"))
    windows = _window(fixed).shared(_window(moving))
    grid = planes.nearest_to_lps(content.fixed_geometry)
    _, sizes = planes.picture_sizes(grid, _PIXELS)
    found: dict[str, dict[str, str]] = {}
    for name, image in (("before", moving), ("after", content.registered)):
        found[name] = {}
        for plane in planes.planes_of(grid):
            place = planes.slice_grid(grid, plane, sizes[plane.name])
            magenta, green = (
                window.grey(plane.slice(planes.resampled(each, place), 0))
                for window, each in zip(windows, (fixed, image), strict=True)
            )
            picture = np.stack([magenta, green, magenta], axis=-1)
            found[name][plane.name] = pictures.uri(pictures.webp(picture))
    return found, notes


def _window(image: sitk.Image) -> Window:
    import SimpleITK as sitk

    return Window.of(sitk.GetArrayViewFromImage(image))
