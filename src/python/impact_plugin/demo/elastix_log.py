"""Following an elastix run through what it prints: how far it is, and where the time went."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ESTIMATION = r"Automatic parameter estimation took"
_METRIC = r"Initialization of \w+ metric took"

# The stages that elastix times itself, by the beginnings of its lines.
_STAGES = {
    "reading the images": (r"Reading images took",),
    "image pyramids": (r"Preparation of the image pyramids took",),
    "models and features": (
        r"Elastix initialization of all components \(for this resolution\) took",
        _METRIC,
    ),
    "step size estimation": (_ESTIMATION,),
    "resampling and writing": (
        r"Time spent on saving the results, applying the final transform etc\.",
    ),
}
_WITHIN_FIRST_ITERATION = frozenset({_ESTIMATION, _METRIC})
# "took 18 ms.", "took 0.69s", "took: 1h2m3s"
_DURATION = re.compile(
    r"(?:(?P<days>\d+)d)?(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?P<seconds>[\d.]+)s\.?$"
    r"|(?P<milliseconds>[\d.]+) ?ms\.?$"
)
_SECONDS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0, "milliseconds": 1e-3}


@dataclass
class Level:
    """One resolution level of a run.

    Args:
        values: Metric values, one per iteration.
        seconds: Time of all iterations, without the preparations that elastix counts into the
            first.
    """

    values: list[float] = field(default_factory=list)
    seconds: float = 0.0


class ElastixLog:
    """Reads the output of elastix line by line.

    Attributes:
        levels: The resolution levels begun so far.
        stages: Seconds by stage, the iterations left out.
    """

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.stages: dict[str, float] = dict.fromkeys(_STAGES, 0.0)
        self._columns: list[str] = []

    def feed(self, line: str) -> bool:
        """Take one line of output, and tell whether it was an iteration."""
        line = line.rstrip()
        if line.startswith("Resolution: "):
            self.levels.append(Level())
            self._columns = []
        elif line.startswith("1:ItNr\t"):
            self._columns = line.split("\t")
        elif self._columns and re.match(r"\d+\t", line):
            self._take_iteration(line)
            return True
        else:
            self._take_duration(line)
        return False

    def _take_iteration(self, line: str) -> None:
        row = dict(zip(self._columns, line.split("\t"), strict=False))
        level = self.levels[-1]
        level.values.append(float(row["2:Metric"]))
        level.seconds += float(row["Time[ms]"]) * 1e-3

    def _take_duration(self, line: str) -> None:
        duration = _DURATION.search(line)
        if duration is None:
            return
        seconds = sum(
            float(number) * _SECONDS[unit]
            for unit, number in duration.groupdict().items()
            if number is not None
        )
        for stage, beginnings in _STAGES.items():
            for beginning in beginnings:
                if re.match(beginning, line):
                    self.stages[stage] += seconds
                    if beginning in _WITHIN_FIRST_ITERATION and self.levels:
                        self.levels[-1].seconds -= seconds

    def times(self, total: float) -> dict[str, float]:
        """Split the time of the whole run.

        Args:
            total: Seconds that the process ran.

        Returns:
            Seconds by stage, in order; the last entry is what elastix says nothing about.
        """
        stages = dict(self.stages)
        last = {"resampling and writing": stages.pop("resampling and writing")}
        iterations = {
            f"iterations, level {number} ({len(level.values)})": level.seconds
            for number, level in enumerate(self.levels, start=1)
        }
        known = stages | iterations | last
        return known | {"start and the rest": total - sum(known.values())}
