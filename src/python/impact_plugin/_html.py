"""Pieces of HTML with which objects show themselves in a notebook.

They have no scripts and load nothing, all text in them is escaped, and they take their colours from
the notebook's theme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence

_MOST_ROWS = 30
_MOST_LETTERS = 200
_MOST_POINTS = 200
_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
_LINE = "border-bottom:1px solid rgba(128,128,128,.4)"


class Markup(str):
    """Text that is HTML already, and so is not escaped."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """Escape a value's text, which is cut where it is very long."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    if len(text) > _MOST_LETTERS:
        text = text[:_MOST_LETTERS] + "\N{HORIZONTAL ELLIPSIS}"
    return Markup(html.escape(text))


def number(value: float | None, digits: int = 4) -> str:
    """Write a number with so many digits; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def table(
    heads: Sequence[object], rows: Iterable[Sequence[object]], most: int = _MOST_ROWS
) -> Markup:
    """Make a table.

    Args:
        heads: Its first row; empty for none.
        rows: The cells of each row.
        most: How many rows are shown; the others are counted.
    """
    listed = list(rows)
    lines = [_row("th", f"{_CELL};{_LINE}", heads)] if heads else []
    lines += [_row("td", _CELL, row) for row in listed[:most]]
    if len(listed) > most:
        lines.append(_row("td", _CELL, [f"and {len(listed) - most} more"]))
    return Markup(f'<table style="border-collapse:collapse;margin:4px 0">{"".join(lines)}</table>')


def folded(title: str, body: Markup) -> Markup:
    """Hide something behind a title, which shows it when it is clicked."""
    return Markup(f"<details><summary>{escaped(title)}</summary>{body}</details>")


def paragraph(text: object) -> Markup:
    """Make a line of text."""
    return Markup(f'<div style="margin:2px 0">{escaped(text)}</div>')


def picture(source: str, title: str) -> Markup:
    """Show a picture whose data is in ``source``, with its title."""
    return Markup(
        '<figure style="display:inline-block;margin:4px 8px 4px 0">'
        f'<img src="{html.escape(source)}" alt="{escaped(title)}">'
        f"<figcaption>{escaped(title)}</figcaption></figure>"
    )


def sparkline(values: Iterable[float], width: int = 160, height: int = 24) -> Markup:
    """Draw a small curve of finite values, in the colour of the text around it."""
    finite = [float(value) for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return Markup("")
    step = max(1, math.ceil(len(finite) / _MOST_POINTS))
    shown = finite[::step]
    low, high = min(shown), max(shown)
    scale = (height - 2) / (high - low) if high > low else 0.0
    points = " ".join(
        f"{place * width / max(1, len(shown) - 1):.1f},{height - 1 - (value - low) * scale:.1f}"
        for place, value in enumerate(shown)
    )
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="from {number(finite[0])} to {number(finite[-1])}"><polyline '
        f'points="{points}" fill="none" stroke="currentColor" stroke-width="1"/></svg>'
    )


def block(title: str, *parts: Callable[[], str]) -> str:
    """Put parts below a title; of a part that cannot be made it is said why.

    Args:
        title: What is shown.
        parts: Make the parts, as HTML.
    """
    made = [f"<strong>{escaped(title)}</strong>"]
    for part in parts:
        try:
            made.append(part())
        except Exception as error:  # what is shown must never break a notebook's cell
            made.append(paragraph(f"left out: {type(error).__name__}: {error}"))
    return f'<div style="color:inherit;font-size:90%">{"".join(made)}</div>'


def _row(tag: str, style: str, cells: Iterable[object]) -> str:
    inner = "".join(f'<{tag} style="{style}">{escaped(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inner}</tr>"
