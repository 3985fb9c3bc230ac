"""Tables of landmark errors and label agreement, before and after the registration."""

from __future__ import annotations

from dataclasses import dataclass

from impact_plugin.evaluation.labels import LabelAgreement
from impact_plugin.evaluation.results import Evaluation


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    title: str
    heads: list[str]
    rows: list[list[str]]


def tables(evaluation: Evaluation) -> list[Table]:
    """Make a table of each measure that was taken."""
    found = []
    if landmarks := evaluation.after.landmarks:
        rows = [
            [step.name, *(f"{value:.2f}" for value in step.landmarks.statistics().values())]
            for step in evaluation.steps
            if step.landmarks
        ]
        title = f"Target registration error of {len(landmarks.distances)} landmarks, mm"
        found.append(Table(title, ["", "mean", "std", "median", "95 %", "greatest"], rows))
    labels = evaluation.after.labels or {}
    if labels:
        steps = [(step.name, step.labels) for step in evaluation.steps if step.labels]
        names = [name for name, _ in steps]
        rows = [
            [f"label {label}", *(f"{measured[label].dice:.3f}" for _, measured in steps)]
            for label in labels
        ]
        found.append(Table("Dice coefficient of labels", ["", *names], rows))
        distances = [
            [
                f"label {label}",
                *("-" if each is None else f"{each:.2f}" for each in _distances(steps, label)),
            ]
            for label in labels
        ]
        title = "Hausdorff distance of labels, 95th percentile, mm"
        found.append(Table(title, ["", *names], distances))
    return found


def _distances(
    steps: list[tuple[str, dict[int, LabelAgreement]]], label: int
) -> list[float | None]:
    return [measured[label].hausdorff95 for _, measured in steps]
