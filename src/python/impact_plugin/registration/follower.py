"""Listening to a registration: the log, the callback, the bars, and the wish to stop."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from impact_plugin.elastix.levels import Levels
from impact_plugin.elastix.log import ElastixLog, Iteration
from impact_plugin.registration.progress import Bars

Callback: TypeAlias = Callable[[Iteration], object]

# Without a handler Python would print warnings and errors, and an error's cause is also in the
# exception: where nobody set logging up, it is said once.
logging.getLogger("impact_plugin").addHandler(logging.NullHandler())
LOGGER = logging.getLogger("impact_plugin.elastix")
"""Where elastix's own log goes: lines as they come, see :func:`.levels.level_of`."""

_KEPT = 2000
"""Lines: more than elastix says from an error to its end."""

_NO_SCHEDULE = re.compile(
    r"WARNING: the (?:fixed|moving) pyramid (\w*) ?schedule is not fully specified!"
)
# How the second and further lines of elastix's warnings begin.
_CONTINUED = re.compile(r"  |but the selected ImageSampler is not")


class StopRegistration(Exception):
    """Raised in a callback: the registration ends with what it has by then."""


class EndNow(Exception):
    """Ends the child: what is wanted of it is written, or it cannot end a level before its time."""


class Follower:
    """Takes the lines of one elastix run.

    Args:
        bars: What shows how far it is.
        callback: Called with each iteration; True or StopRegistration ends the registration.
        stop_file: What to write for the metric to end the level.
        can_stop: For each stage, whether the metric looks for that file.
        schedules: For each stage, the schedules of image pyramids that its map has; elastix misses
            others, too.

    Attributes:
        log: What was read out of the lines so far.
        lines: The last of them; elastix.log has all.
        stopped: Whether the callback ended the registration.
    """

    def __init__(
        self,
        bars: Bars,
        callback: Callback | None,
        stop_file: Path,
        can_stop: Sequence[bool],
        schedules: Sequence[Sequence[str]],
    ) -> None:
        self.log = ElastixLog()
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self.stopped = False
        self._levels_wanted = 0
        self._levels = Levels()
        self._bars = bars
        self._callback = callback
        self._stop_file = stop_file
        self._can_stop = can_stop
        self._schedules = schedules
        self._level = logging.INFO  # of the line before
        self._since = time.perf_counter()
        self._start = 0.0

    def __call__(self, line: str) -> None:
        """Take one line.

        Raises:
            EndNow: The registration was stopped, and has written all that is to be had.
            Exception: What the callback raised.
        """
        if not self.lines:
            self._start = time.perf_counter() - self._since
        self.lines.append(line)
        level = self._levels.of(line)
        if not _CONTINUED.match(line):
            self._level = logging.DEBUG if self._is_default(line) else level
        LOGGER.log(max(level, self._level) if _CONTINUED.match(line) else self._level, "%s", line)
        iteration = self.log.feed(line)
        if self.stopped and (
            self.log.finished > self.log.stage or len(self.log.levels) > self._levels_wanted
        ):
            raise EndNow
        if iteration is not None:
            self._bars.show(iteration)
            if not self.stopped and self._is_enough(iteration):
                self.stopped = True
                self._levels_wanted = len(self.log.levels)
                if not self._can_stop[iteration.stage]:
                    raise EndNow
                self._stop_file.touch()

    def times(self) -> dict[str, float]:
        """Give the seconds that are known, by what they were spent on, in order.

        ``start of elastix``: from the making of this follower to elastix's first line.
        """
        return {"start of elastix": self._start, **self.log.phases()}

    def _is_default(self, line: str) -> bool:
        """Tell whether a line is of a schedule that the map does not have at all."""
        missed = _NO_SCHEDULE.match(line)
        if missed is None:
            return False
        kind = "Smoothing" if missed[1] == "smoothing" else ""
        return not any(kind in name for name in self._schedules[self.log.stage])

    def _is_enough(self, iteration: Iteration) -> bool:
        if self._callback is None:
            return False
        try:
            answer = self._callback(iteration)
        except StopRegistration:
            return True
        # True, or numpy's; but not whatever else a callback happens to return.
        return answer is True or (str(getattr(answer, "dtype", "")) == "bool" and bool(answer))
