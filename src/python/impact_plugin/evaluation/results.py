"""The figures of an evaluation, and how they are written: as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from impact_plugin import _html
from impact_plugin._errors import InputError
from impact_plugin._io import expanded, write_text
from impact_plugin.evaluation.jacobian import JacobianStatistics
from impact_plugin.evaluation.labels import LabelAgreement
from impact_plugin.evaluation.landmarks import LandmarkErrors

SCHEMA_VERSION = 1
"""Version of :meth:`Evaluation.to_dict`: changed when a name in it changes or goes."""

SUFFIXES = (".csv", ".json", ".txt")
"""What :meth:`Evaluation.write` writes."""

_LABEL_UNITS = {"dice": "", "hausdorff": "mm", "hausdorff95": "mm", "mean_surface": "mm"}
_JACOBIAN_UNITS = {"folding": "fraction", "voxels": "voxels"}


class Row(NamedTuple):
    """One figure: of which step, what was measured, of which point or label, and its unit.

    ``measure`` is ``landmarks``, ``labels`` or ``jacobian``; ``item`` a point's name or a label,
    empty for what sums all up.
    """

    step: str
    measure: str
    item: str
    statistic: str
    value: float | None
    unit: str


@dataclass(frozen=True)
class StepEvaluation:
    """What was measured after one step of a registration.

    Attributes:
        name: ``unregistered``, ``initial transform``, then the stages; of parameter files the
            number and kind of each transform.
        landmarks: Target registration errors; None where no points were given.
        labels: Agreement by label; None where no label maps were given.
        jacobian: Jacobian determinant of the whole transform up to this step; None where it was not
            asked for.
    """

    name: str
    landmarks: LandmarkErrors | None = None
    labels: dict[int, LabelAgreement] | None = None
    jacobian: JacobianStatistics | None = None

    @property
    def mean_dice(self) -> float | None:
        """Mean over the labels; None where no label maps were given."""
        if self.labels is None:
            return None
        return sum(label.dice for label in self.labels.values()) / len(self.labels)

    def rows(self) -> Iterator[Row]:
        """Give all figures one by one."""
        if self.landmarks:
            for name, value in self.landmarks.statistics().items():
                yield Row(self.name, "landmarks", "", name, value, "mm")
            for point, value in zip(self.landmarks.names, self.landmarks.distances, strict=True):
                yield Row(self.name, "landmarks", point, "error", value, "mm")
        for label, agreement in (self.labels or {}).items():
            for name, unit in _LABEL_UNITS.items():
                yield Row(self.name, "labels", str(label), name, getattr(agreement, name), unit)
        if self.jacobian:
            for name, value in self.jacobian.statistics().items():
                yield Row(self.name, "jacobian", "", name, value, _JACOBIAN_UNITS.get(name, ""))

    def to_dict(self) -> dict[str, Any]:
        """Give it as what JSON knows."""
        found = asdict(self)
        if self.labels is not None:
            found["labels"] = {str(label): asdict(each) for label, each in self.labels.items()}
        return found


@dataclass(frozen=True)
class Evaluation:
    """The figures of a registration: before it, after each of its steps, and after the last.

    Attributes:
        steps: In order; the first is ``unregistered``, the last the whole registration.
    """

    steps: tuple[StepEvaluation, ...]

    @property
    def before(self) -> StepEvaluation:
        """Without any transform."""
        return self.steps[0]

    @property
    def after(self) -> StepEvaluation:
        """With the whole transform."""
        return self.steps[-1]

    def rows(self) -> list[Row]:
        """Give all figures one by one, as in the CSV file."""
        return [row for step in self.steps for row in step.rows()]

    def to_dict(self) -> dict[str, Any]:
        """Give it as what JSON knows: ``schema`` and ``steps``, distances in mm."""
        return {"schema": SCHEMA_VERSION, "steps": [step.to_dict() for step in self.steps]}

    def to_json(self) -> str:
        """Give it as JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_csv(self) -> str:
        """Give it as CSV: the columns step, measure, item, statistic, value, unit."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(self.rows())
        return text.getvalue()

    def write(self, path: str | Path) -> Path:
        """Write it as the ending says: ``.json``, ``.csv`` or ``.txt``, the table.

        Raises:
            ValueError: The ending is another.
        """
        file = expanded(path)
        if file.suffix not in SUFFIXES:
            message = f"{file}: expected a name that ends in {', '.join(SUFFIXES)}"
            raise InputError(message)
        make = {".csv": self.to_csv, ".json": self.to_json, ".txt": self.table}[file.suffix]
        write_text(file, make().rstrip("\n") + "\n")
        return file

    def table(self) -> str:
        """Give it as text to be read."""
        return "\n\n".join(each.as_text() for each in self._tables() if each.rows)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        parts = (each.as_html for each in self._tables() if each.rows)
        return _html.block("Evaluation", *parts)

    def _tables(self) -> tuple[Table, ...]:
        return self._landmarks(), self._labels(), self._jacobian()

    def _landmarks(self) -> Table:
        after = self.after.landmarks
        rows = [
            [step.name, *(f"{value:.2f}" for value in step.landmarks.statistics().values())]
            for step in self.steps
            if step.landmarks and after
        ]
        title = f"Error of {len(after.distances) if after else 0} landmarks, mm"
        return Table(title, ["mean", "std", "median", "95 %", "max"], rows)

    def _labels(self) -> Table:
        rows = []
        for label in self.after.labels or {}:
            for step in self.steps:
                each = (step.labels or {})[label]
                distances = (each.hausdorff, each.hausdorff95, each.mean_surface)
                texts = ["-" if value is None else f"{value:.2f}" for value in distances]
                rows.append([f"{step.name}, label {label}", f"{each.dice:.3f}", *texts])
        heads = ["Dice", "Hausdorff", "95 %", "mean"]
        return Table("Labels: Dice, distances of surfaces, mm", heads, rows)

    def _jacobian(self) -> Table:
        rows = []
        for step in self.steps:
            if each := step.jacobian:
                values = (each.min, each.p5, each.median, each.p95, each.max, each.std)
                texts = [f"{value:.3f}" for value in values]
                rows.append([step.name, *texts, f"{100 * each.folding:.3g} %"])
        heads = ["min", "5 %", "median", "95 %", "max", "std", "folding"]
        return Table("Jacobian determinant", heads, rows)


@dataclass(frozen=True)
class Table:
    """A table of texts: its title stands above the names of its rows, the first cells."""

    title: str
    heads: list[str]
    rows: list[list[str]]

    def as_text(self) -> str:
        """Give it in columns."""
        first = max(len(self.title), *(len(name) + 2 for name, *_ in self.rows))
        lines = [f"{self.title:{first}}" + "".join(f"{head:>11}" for head in self.heads)]
        for name, *values in self.rows:
            lines.append(f"  {name:{first - 2}}" + "".join(f"{value:>11}" for value in values))
        return "\n".join(lines)

    def as_html(self) -> str:
        """Give it as HTML."""
        return _html.table([self.title, *self.heads], self.rows)
