"""The metric put into another map, of which everything else stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError
from impact_plugin.parameters import defaults
from impact_plugin.parameters.names import (
    METRIC,
    Dialect,
    base_name,
    dialect_of,
    impact_labels,
    own_names,
)
from impact_plugin.parameters.writing import write_levels

if TYPE_CHECKING:
    from impact_plugin.parameters.parameters import Parameters

ParameterMap = dict[str, list[str]]


def merge(
    parameters: Parameters, user: Mapping[str, Sequence[str]], dialect: Dialect | None
) -> ParameterMap:
    """Put the metric into a map, see :meth:`Parameters.merged_into`."""
    merged = {name: list(values) for name, values in user.items()}
    metrics = merged.get("Metric") or [METRIC]
    if parameters.label:
        place = int(parameters.label.removeprefix("Metric"))
    else:
        place = metrics.index(METRIC) if METRIC in metrics else 0
    if place >= len(metrics):
        message = f"label is {parameters.label!r}, but the map has {len(metrics)} metrics. Add one."
        raise InputError(message)
    metrics = [*metrics[:place], METRIC, *metrics[place + 1 :]]
    label = f"Metric{place}"
    old_names = own_names(merged, label, alone=len(impact_labels({"Metric": metrics})) == 1)
    old = {name: merged[name] for name in old_names}

    decided = parameters.with_patch_sizes()
    levels = decided.resolution_levels
    new = write_levels(levels, dialect or dialect_of(old) or "numbered", parameters.label)
    if old and dialect is None:
        others = {name: values for name, values in merged.items() if name not in old}
        own = _as_the_user_has_it(new, old, others, label, decided)
    else:
        own = new

    merged = _in_place(merged, old, own, label)
    for name, values in parameters.to_elastix_map().items():
        if name not in merged and not _is_settled(name, user):
            merged[name] = values
    merged["Metric"] = metrics
    merged["NumberOfResolutions"] = [str(len(levels))]
    return defaults.fitted(merged, len(levels), parameters.image_dimension)


def _in_place(user: ParameterMap, old: ParameterMap, own: ParameterMap, label: str) -> ParameterMap:
    """Put new parameters of the metric after an old one of the same name, or the last."""
    places: dict[str | None, list[str]] = {}
    last = list(old)[-1] if old else None
    for name in own:
        if name not in old:
            base = base_name(name, label)
            same = [other for other in old if base_name(other, label) == base]
            places.setdefault(same[-1] if same else last, []).append(name)
    result: ParameterMap = {}
    for name, values in user.items():
        if name not in old:
            result[name] = values
        elif name in own:
            result[name] = own[name]
        result.update((new, own[new]) for new in places.get(name, ()))
    result.update((new, own[new]) for new in places.get(None, ()))
    return result


def _is_settled(name: str, user: Mapping[str, Sequence[str]]) -> bool:
    """Whether a user's map says by another parameter what one of elastix's says."""
    if "Pyramid" in name:
        return any("Pyramid" in other for other in user)
    # elastix refuses a map that has both.
    return name == "FinalGridSpacingInPhysicalUnits" and "FinalGridSpacingInVoxels" in user


def _as_the_user_has_it(
    new: ParameterMap,
    old: ParameterMap,
    others: ParameterMap,
    label: str,
    parameters: Parameters,
) -> ParameterMap:
    """Keep how the user has written, or left out, what means the same.

    Args:
        new: The metric's parameters as they are to be.
        old: As the user has them.
        others: The rest of the map, in which another Impact metric may share some.
        label: The metric's.
        parameters: What `new` was written from.
    """
    from impact_plugin import _core  # loads torch's libraries

    count = len(parameters.resolution_levels)

    def meaning(own: ParameterMap) -> tuple[list[str], list[str]]:
        settings, findings = _core.parse_settings(
            {**others, **own}, count, parameters.image_dimension, label
        )
        return [level.describe() for level in settings], [finding.message for finding in findings]

    wanted = meaning(new)
    result = dict(new)
    for base in dict.fromkeys(base_name(name, label) for name in (*old, *new)):
        kept = {name: values for name, values in old.items() if base_name(name, label) == base}
        rest = {name: values for name, values in result.items() if base_name(name, label) != base}
        if meaning({**rest, **kept}) == wanted:
            result = {**rest, **kept}
    return result
