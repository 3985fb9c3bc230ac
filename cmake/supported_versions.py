"""Which torch and which itk-elastix fit, read from the package's own versions.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "src/python/impact_plugin/versions.json"


@dataclass(frozen=True)
class Host:
    """A layout of elastix's classes.

    Args:
        folder: Of what is built for it, in the package.
        itk_elastix: The versions of itk-elastix that have it.
        elastix: The version of elastix in them, as it says itself.
        commit: That elastix's commit.
    """

    folder: str
    itk_elastix: tuple[str, ...]
    elastix: str
    commit: str


def hosts() -> tuple[Host, ...]:
    """Give all of them, the oldest first."""
    rows = json.loads(FILE.read_text())["hosts"]
    return tuple(Host(**{**row, "itk_elastix": tuple(row["itk_elastix"])}) for row in rows)
