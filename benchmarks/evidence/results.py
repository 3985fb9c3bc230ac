"""What runs gave, kept as JSON lines: each is written when a run ends; a run's last one counts."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Run = tuple[str, str, int]
"""Names of pair and method, and the seed."""


class Results:
    """All that is known.

    Args:
        path: The file; a line that was cut off is passed over.
        earlier: What is known from elsewhere; the file's lines count more.
    """

    def __init__(self, path: Path, earlier: Path | None = None) -> None:
        self._path = path
        self.records: dict[Run, Record] = {}
        self._cut_off = False
        if earlier is not None and earlier.is_file():
            self._read(earlier.read_text())
        if path.is_file():
            text = path.read_text()
            self._cut_off = bool(text) and not text.endswith("\n")
            self._read(text)

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

    def publish(self, path: Path, methods: Collection[str]) -> None:
        """Write what is known of these methods, a line for each run, sorted."""
        of_methods = sorted(run for run in self.records if run[1] in methods)
        lines = [json.dumps(self.records[run], sort_keys=True) for run in of_methods]
        path.write_text("".join(f"{line}\n" for line in lines))

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the process ended while it wrote
                continue
            self.records[record["pair"], record["method"], record["seed"]] = record
