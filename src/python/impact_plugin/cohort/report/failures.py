"""Registrations that failed or could not be measured, by cause."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

MOST = 30
"""Causes that a page has at most."""

_NAMES = 8  # of pairs of each cause
_LONG = 1200  # letters of an error
# What differs between two errors of one cause: what is quoted, paths, numbers.
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass
class Cause:
    """Why registrations failed.

    Attributes:
        text: The first one's error.
        count: How many have it, other names and numbers in it apart.
        variants: In which they are.
        pairs: Names of the first ones.
    """

    text: str
    count: int = 0
    variants: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.count - len(self.pairs)


def causes(table: Any) -> list[Cause]:  # noqa: ANN401
    """Give the causes of all that failed or could not be measured, the most frequent first."""
    found: dict[str, Cause] = {}
    unmeasured = table["measure_error"].notna() & (table["measure_error"] != "")
    for row in table[(table["status"] == "failed") | unmeasured].itertuples():
        if row.status == "failed":
            text = row.error.strip() if isinstance(row.error, str) else ""
            text = text or "no cause is known"
        else:
            text = f"Registered, and not measured: {row.measure_error}"
        text = text if len(text) <= _LONG else f"{text[:_LONG]}…"
        kind = _PARTICULAR.sub("…", text)  # takes time by the square of the length
        cause = found.setdefault(kind, Cause(text))
        cause.count += 1
        if row.variant not in cause.variants:
            cause.variants.append(row.variant)
        if len(cause.pairs) < _NAMES:
            cause.pairs.append(row.pair)
    return sorted(found.values(), key=lambda cause: -cause.count)
