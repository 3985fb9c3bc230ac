"""Tables of landmark errors and label agreement, before and after the registration."""

from __future__ import annotations

from impact_plugin.evaluation.results import Evaluation, Table


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
        heads = ["", *(name for name, _ in steps)]
        dice, distances = [], []
        for label in labels:
            measured = [of_step[label] for _, of_step in steps]
            dice.append([f"label {label}", *(f"{each.dice:.3f}" for each in measured)])
            far = (each.hausdorff95 for each in measured)
            distances.append([f"label {label}", *("-" if d is None else f"{d:.2f}" for d in far)])
        found.append(Table("Dice coefficient of labels", heads, dice))
        title = "Hausdorff distance of labels, 95th percentile, mm"
        found.append(Table(title, heads, distances))
    return found
