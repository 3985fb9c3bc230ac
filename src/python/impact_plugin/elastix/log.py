"""Follows an elastix run through its output: how far it is, and where the time went."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

_ESTIMATION = r"Automatic parameter estimation took"
_METRIC = r"Initialization of \w+ metric took"

# What elastix times itself, by the beginnings of its lines.
_STAGES = {
    "reading the images": (r"Reading images took",),
    "image pyramids": (r"Preparation of the image pyramids took",),
    "trying the models": (r"Initialization of all components \(before registration\) took",),
    "features": (
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
_RUNNING = re.compile(r'Running elastix with parameter file (\d+): ".*"(\.|, has finished\.)$')


@dataclass(frozen=True)
class Iteration:
    """One iteration, as elastix reports it.

    Args:
        stage: Which parameter map, from 0.
        level: Which resolution level of the stage, from 0, the coarsest.
        number: Which iteration of the level, from 0.
        metric: Value of the metric, or of the weighted sum of several; elastix minimises it.
        step: Step size of the optimizer, in its own unit; NaN where it reports none.
        gradient_norm: Magnitude of the metric's gradient with respect to the transform's
            parameters; NaN where elastix reports none.
        seconds: Duration; that of a level's first iteration includes the preparations.
    """

    stage: int
    level: int
    number: int
    metric: float
    step: float
    gradient_norm: float
    seconds: float


@dataclass
class Level:
    """One resolution level of a run.

    Args:
        stage: Which parameter map, from 0.
        iterations: The iterations reported so far.
        preparations: Seconds of what elastix counts as part of the first iteration.
    """

    stage: int = 0
    iterations: list[Iteration] = field(default_factory=list)
    preparations: float = 0.0

    @property
    def seconds(self) -> float:
        """Time of all iterations, without the preparations; these are rounded by elastix."""
        return max(0.0, sum(each.seconds for each in self.iterations) - self.preparations)

    @property
    def values(self) -> list[float]:
        """The metric at each iteration."""
        return [iteration.metric for iteration in self.iterations]


class ElastixLog:
    """Reads the output of elastix line by line.

    Attributes:
        levels: The resolution levels begun so far, of all stages.
        stage: The running stage: which parameter map, from 0.
        finished: How many stages have ended and written their results.
        stages: Seconds by what elastix spent them on, except the iterations.
    """

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.stage = 0
        self.finished = 0
        self.stages: dict[str, float] = dict.fromkeys(_STAGES, 0.0)
        self._columns: list[str] = []

    @property
    def level(self) -> int | None:
        """The running level of the stage, from 0; None before the first."""
        return sum(level.stage == self.stage for level in self.levels) - 1 if self._begun else None

    @property
    def _begun(self) -> bool:
        return bool(self.levels) and self.levels[-1].stage == self.stage

    def feed(self, line: str) -> Iteration | None:
        """Read one line of output; gives the iteration that it reports, if any."""
        line = line.rstrip()
        if line.startswith("Resolution: "):
            self.levels.append(Level(self.stage))
            self._columns = []
        elif line.startswith("1:ItNr\t"):
            self._columns = line.split("\t")
        elif self._columns and re.match(r"\d+\t", line):
            return self._take_iteration(line)
        elif running := _RUNNING.match(line):
            if running[2] == ".":
                self.stage = int(running[1])
            else:
                self.finished = int(running[1]) + 1
        else:
            self._take_duration(line)
        return None

    def _take_iteration(self, line: str) -> Iteration | None:
        # Columns are named "2:Metric", "3b:StepSize"; the numbers depend on the components.
        level = self.levels[-1]
        try:
            row = {
                column.rpartition(":")[2]: float(value)
                for column, value in zip(self._columns, line.split("\t"), strict=False)
            }
            iteration = Iteration(
                stage=level.stage,
                level=sum(each.stage == level.stage for each in self.levels) - 1,
                number=int(row["ItNr"]),
                metric=row["Metric"],
                step=row.get("StepSize", row.get("StepLength", math.nan)),
                gradient_norm=row.get("||Gradient||", math.nan),
                seconds=row["Time[ms]"] * 1e-3,
            )
        except (ValueError, KeyError):
            return None  # something else printed a line that looks like elastix's
        level.iterations.append(iteration)
        return iteration

    def _take_duration(self, line: str) -> None:
        seconds = duration_of(line)
        if seconds is None:
            return
        for stage, beginnings in _STAGES.items():
            for beginning in beginnings:
                if re.match(beginning, line):
                    self.stages[stage] += seconds
                    if beginning in _WITHIN_FIRST_ITERATION and self.levels:
                        self.levels[-1].preparations += seconds

    def phases(self) -> dict[str, float]:
        """Give the seconds that elastix accounts for, by what they were spent on, in order.

        ``features``: all that a level prepares but the step size; without our metric the
        preparations of others. ``trying the models``: of all components, before the first level.
        """
        stages = dict(self.stages)
        last = {"resampling and writing": stages.pop("resampling and writing")}
        iterations = {
            f"iterations, level {number} ({len(level.values)})": level.seconds
            for number, level in enumerate(self.levels, start=1)
        }
        return stages | iterations | last

    def times(self, total: float) -> dict[str, float]:
        """Split the time of the whole run.

        Args:
            total: Seconds that the process ran.

        Returns:
            :meth:`phases`; the last entry is the time that elastix does not account for.
        """
        known = self.phases()
        return known | {"start and the rest": max(0.0, total - sum(known.values()))}


def duration_of(line: str) -> float | None:
    """Read the duration at the end of a line of elastix's output, in seconds; None without one.

    Example:
        >>> duration_of("Total time elapsed: 1m0.4s."), duration_of("Reading images took 500 ms.")
        (60.4, 0.5)
    """
    duration = _DURATION.search(line.rstrip())
    if duration is None:
        return None
    return sum(
        float(number) * _SECONDS[unit]
        for unit, number in duration.groupdict().items()
        if number is not None
    )
