"""Where the time of a registration goes."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Stopwatch:
    """Splits the time since it was made among phases that follow on each other.

    Attributes:
        seconds: By phase, in the order in which they first ended.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def ended(self, phase: str) -> dict[str, float]:
        """Count the time since the last phase ended as a phase's, and give all."""
        return self.split({}, phase)

    def split(self, parts: Mapping[str, float], rest: str) -> dict[str, float]:
        """Count the time since the last phase ended as parts that are known, and a rest."""
        now = time.perf_counter()
        left = max(0.0, now - self._since - sum(parts.values()))  # elastix rounds its own
        self._since = now
        for phase, seconds in (*parts.items(), (rest, left)):
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds
        return dict(self.seconds)
