"""What runs gave, kept as JSON lines: each is written when a run ends; a run's last one counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Run = tuple[str, str, int]
"""Names of pair and method, and the seed."""


class Results:
    """All that is known.

    Args:
        path: The file; a line that was cut off is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records: dict[Run, Record] = {}
        self._cut_off = False
        if path.is_file():
            text = path.read_text()
            self._cut_off = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:  # the process ended while it wrote
                    continue
                self.records[record["pair"], record["method"], record["seed"]] = record

    def known(self, pair: str, method: str, seed: int, key: str) -> Record | None:
        """Give what a run gave, if what it depends on is still the same."""
        record = self.records.get((pair, method, seed))
        return record if record is not None and record["key"] == key else None

    def add(self, record: Record) -> None:
        """Keep what a run gave."""
        self.records[record["pair"], record["method"], record["seed"]] = record
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as stream:
            stream.write("\n" * self._cut_off + json.dumps(record) + "\n")
        self._cut_off = False
