"""What happens, as it happens: JSON lines in a file, and bars or lines for people."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from impact_plugin.cohort.folder import LOG
from impact_plugin.cohort.plan import Task
from impact_plugin.cohort.table import Row


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What every line of a log has: when (seconds since 1970) and what; why a run ended early."""

    time: float
    event: str
    interrupted: str = ""


class Journal:
    """The log of a cohort, to which each run appends, and its progress on standard error.

    Args:
        folder: The cohort's.
        show: Whether to show progress.
        stopped: Gives why to stop, or nothing.
    """

    def __init__(self, folder: Path, show: bool, stopped: Callable[[], str] = lambda: "") -> None:
        self._path = folder / LOG
        self._file: Any = None
        self._show, self._stopped = show, stopped
        self._total = self._kept = self._done = self._failed = self._there = self._workers = 0
        self._begun = time.monotonic()
        self._seconds = 0.0
        self._bar: Any = None
        self._said = 0.0

    def begin(self, total: int, kept: int, **values: Any) -> None:  # noqa: ANN401
        """Note that a run begins.

        Args:
            total: How many tasks the cohort has.
            kept: How many of them were finished before.
            values: What else is known.
        """
        self._total, self._kept = total, kept
        self._begun = time.monotonic()
        self.write("started", tasks=total - kept, total=total, kept=kept, **values)
        if self._show and sys.stderr.isatty():
            self._bar = _bar(total, kept)
            self._bar.start()

    def write(self, event: str, **values: Any) -> None:  # noqa: ANN401
        """Add a line: the time, what happened, and what belongs to it."""
        line = {"time": round(time.time(), 3), "event": event, **values}
        try:
            if self._file is None:
                self._file = _appended(self._path)
            self._file.write(json.dumps(line, default=str) + "\n")
            self._file.flush()
        except OSError as error:  # the disk is full: what is done is done all the same
            self.say(f"{self._path} cannot be written: {error}")

    def say(self, text: str) -> None:
        """Say something to people."""
        if not text:
            return
        with suppress(OSError):  # standard error is a pipe that nobody reads any more
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            elif self._show:
                print(text, file=sys.stderr, flush=True)

    def ended(self, row: Row) -> None:
        """Note that a task has ended for good."""
        self.write("ended", **row.as_dict())
        if row.status == "done":
            self._done += 1
            self._seconds += row.seconds or 0.0
        else:
            self._failed += 1
            first = next(iter(row.error.splitlines()), "")
            self.say(f"failed: {row.pair}, {row.variant}: {first}")

    def again(self, task: Task, why: str) -> None:
        """Note that a task is to be tried again."""
        self.write("again", pair=task.pair.name, variant=task.variant.name, why=why)

    def stopped(self) -> str:
        """Give why to stop, or nothing."""
        return self._stopped()

    def end(self, interrupted: str) -> None:
        """Note that a run has ended."""
        left = self._total - self._kept - self._done - self._failed
        counts = {"done": self._kept + self._done, "failed": self._failed, "left": left}
        self.write("ended all", interrupted=interrupted, **counts)
        self.close()

    def tick(self, there: int, workers: int) -> None:
        """Show where it stands; lines come at most every ten seconds."""
        self._there, self._workers = there, workers
        if self._bar is not None:
            ended = self._kept + self._done + self._failed
            self._bar.update(self._bar.task_ids[0], completed=ended, description=self._text())
        elif self._show and time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self.say(self._text())

    def _text(self) -> str:
        ended = self._done + self._failed
        text = (
            f"{self._kept + self._done} of {self._total} done, {self._failed} failed, "
            f"{min(self._there, self._workers)} running on {self._workers} workers"
        )
        if self._done:
            text += f", {self._seconds / self._done:.1f} s per pair"
        if ended:
            each = (time.monotonic() - self._begun) / ended
            text += f", {_duration(each * (self._total - self._kept - ended))} left"
        return text

    def close(self) -> None:
        """Close the log, and take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _appended(path: Path) -> Any:  # noqa: ANN401  (a text file)
    """Open a log to go on; a run that was killed may have left half a line, which is ended."""
    with path.open("a+b") as file:
        if file.seek(0, 2) and file.seek(-1, 2) is not None and file.read(1) != b"\n":
            file.write(b"\n")
    return path.open("a", encoding="utf-8")


def _bar(total: int, there: int) -> Any:  # noqa: ANN401
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True))
    bar.add_task("starting", total=total, completed=there)
    return bar


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
