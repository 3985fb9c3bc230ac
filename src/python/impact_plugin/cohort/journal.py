"""What happens, as it happens: JSON lines in a file, and bars or lines for people."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from impact_plugin.cohort.work import Row

LOG = "cohort.jsonl"


class Journal:
    """The log of a cohort, to which each run appends, and its progress on standard error.

    Args:
        folder: The cohort's.
        total: How many tasks it has.
        there: How many of them were finished before.
        show: Whether to show progress.
    """

    def __init__(self, folder: Path, total: int, there: int, show: bool) -> None:
        self._file = (folder / LOG).open("a", encoding="utf-8")
        self._total, self._kept = total, there
        self._done = self._failed = self._running = 0
        self._begun = time.monotonic()
        self._show = show
        self._bar: Any = None
        self._said = 0.0
        if show and sys.stderr.isatty():
            self._bar = _bar(total, there)

    def write(self, event: str, **values: Any) -> None:  # noqa: ANN401
        """Add a line: the time, what happened, and what belongs to it."""
        line = {"time": round(time.time(), 3), "event": event, **values}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def say(self, text: str) -> None:
        """Say something to people."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif self._show:
            print(text, file=sys.stderr, flush=True)

    def ended(self, row: Row) -> None:
        """Note that a task has ended for good."""
        self.write("ended", **row)
        if row["status"] == "done":
            self._done += 1
        else:
            self._failed += 1
            self.say(f"failed: {row['pair']}, {row['variant']}: {row['error']}")

    def tick(self, running: int) -> None:
        """Show where it stands; lines come at most every ten seconds."""
        self._running = running
        text = self._text()
        if self._bar is not None:
            ended = self._kept + self._done + self._failed
            self._bar.update(self._bar.task_ids[0], completed=ended, description=text)
        elif self._show and time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self.say(text)

    def _text(self) -> str:
        ended = self._done + self._failed
        text = (
            f"{self._kept + self._done} of {self._total} done, {self._failed} failed, "
            f"{self._running} with workers"
        )
        if ended:
            each = (time.monotonic() - self._begun) / ended
            left = each * (self._total - self._kept - ended)
            text += f", {each:.1f} s per pair, {_duration(left)} left"
        return text

    def __enter__(self) -> Journal:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._file.close()


def _bar(total: int, there: int) -> Any:  # noqa: ANN401
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True))
    bar.add_task("starting", total=total, completed=there)
    return bar


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
