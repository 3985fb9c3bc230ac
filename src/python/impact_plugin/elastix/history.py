"""The iterations of a registration as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin import _html
from impact_plugin._equality import EqualByValue
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded, write_text
from impact_plugin._optional import require
from impact_plugin.elastix.log import Iteration

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class History(EqualByValue):
    """What elastix reported at each iteration; every array has one entry per iteration, in order.

    Args:
        stage: Which parameter map, from 0.
        level: Which resolution level of the stage, from 0: the coarsest.
        iteration: Which iteration of the level, from 0.
        metric: Value of the metric; elastix minimises it.
        step: Step size of the optimizer, in its own unit; NaN where it reports none.
        gradient_norm: Magnitude of the metric's gradient; NaN where elastix reports none.
        seconds: Duration; that of a level's first iteration includes the preparations.
    """

    stage: NDArray[np.int64]
    level: NDArray[np.int64]
    iteration: NDArray[np.int64]
    metric: NDArray[np.float64]
    step: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @classmethod
    def of(cls, iterations: Iterable[Iteration]) -> History:
        """Make a history of single iterations."""
        return cls._of_rows([astuple(each) for each in iterations])

    @classmethod
    def _of_rows(cls, rows: Sequence[Sequence[float]]) -> History:
        # The same columns in the same order as in Iteration.
        table = np.array(rows, dtype=np.float64).reshape(-1, len(fields(cls)))
        whole, rest = table[:, :3].astype(np.int64), table[:, 3:]
        return cls(*whole.T, *rest.T)

    def __len__(self) -> int:
        return len(self.metric)

    def __repr__(self) -> str:
        levels = len(set(zip(self.stage.tolist(), self.level.tolist(), strict=True)))
        return f"<History of {len(self)} iterations in {levels} levels>"

    def as_dict(self) -> dict[str, NDArray[Any]]:
        """Give the arrays by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def to_pandas(self) -> pd.DataFrame:
        """Give it as a table, one row per iteration; needs pandas."""
        return require("tables of iterations", "pandas", "pandas").DataFrame(self.as_dict())

    def html_table(self, stages: Sequence[str] = ()) -> str:
        """Give a table in HTML with a row for each level: iterations, metric, seconds, its curve.

        Args:
            stages: Names of the stages; by default they are numbered.
        """
        rows = []
        for stage, level in sorted(set(zip(self.stage.tolist(), self.level.tolist(), strict=True))):
            chosen = (self.stage == stage) & (self.level == level)
            metric = self.metric[chosen]
            rows.append(
                (
                    stages[stage] if stage < len(stages) else f"stage {stage + 1}",
                    level + 1,
                    len(metric),
                    _html.number(metric[0]),
                    _html.number(metric[-1]),
                    f"{np.nansum(self.seconds[chosen]):.2f}",
                    _html.sparkline(metric.tolist()),
                )
            )
        heads = ("stage", "level", "iterations", "first metric", "last metric", "seconds", "curve")
        return _html.table(heads, rows)

    def _repr_html_(self) -> str:
        return _html.block(f"History of {len(self)} iterations", self.html_table)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as a file of comma-separated values with a heading.

        Raises:
            OSError: It cannot be written.
        """
        columns = self.as_dict()
        lines = [",".join(columns)]
        lines += [
            ",".join(map(str, row))
            for row in zip(*(c.tolist() for c in columns.values()), strict=True)
        ]
        write_text(expanded(path), "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> History:
        """Read what :meth:`write` wrote.

        Raises:
            FileNotFoundError: It is not there.
            OSError: The file cannot be read.
            ValueError: It is of another kind.
        """
        file = expanded(path)
        if not file.is_file():
            message = f"there is no history {str(file)!r} (in {Path.cwd()})"
            raise MissingFileError(message)
        heading, *lines = file.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        names = heading.split(",")
        if names != [each.name for each in fields(cls)]:
            message = f"{file} is no history of a registration: its columns are {heading[:200]!r}"
            raise InputError(message)
        rows = []
        for number, line in enumerate(lines, 2):
            try:
                rows.append([float(value) for value in line.split(",")])
            except ValueError:
                rows.append([])
            if len(rows[-1]) != len(names):
                message = f"{file}, line {number}: {line!r}, expected {len(names)} numbers"
                raise InputError(message)
        return cls._of_rows(rows)
