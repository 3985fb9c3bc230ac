"""Names of the metric's parameters: the metric, image and resolution level that each is for.

``Metric1ImpactFixedPatchSize0`` is ``PatchSize`` of the metric ``Metric1``, for the fixed image and
level 0; all but ``PatchSize`` may be left out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from impact_plugin._errors import InputError

Dialect = Literal["numbered", "prefixed", "plain"]
"""``ImpactPatchSize0`` (the names of elastix 5.3.1), ``ImpactPatchSize``, or ``PatchSize``."""

METRIC = "Impact"
_LABEL = re.compile(r"Metric\d+")
_FOR = re.compile(r"(?:Metric\d*)?(?:Impact)?(?:Fixed|Moving)?([A-Za-z]+)(\d*)")


def has_impact(parameter_map: Mapping[str, Sequence[str]]) -> bool:
    """Whether the metric, or one of several, is IMPACT."""
    return METRIC in parameter_map.get("Metric", ())


def impact_labels(parameter_map: Mapping[str, Sequence[str]]) -> list[str]:
    """Give the labels of the map's Impact metrics: "Metric0" for the first entry of ``Metric``."""
    metrics = parameter_map.get("Metric", ())
    return [f"Metric{i}" for i, metric in enumerate(metrics) if metric == METRIC]


def is_named(name: str, *parameters: str) -> bool:
    """Whether a map's name is one of the metric's parameters, for any metric, image and level.

    Unlike the functions below, this needs no table of the parameters, and so no torch.

    Example:
        >>> is_named("Metric0ImpactFixedModelsPath1", "ModelsPath"), is_named("GPU", "ModelsPath")
        (True, False)
    """
    found = _FOR.fullmatch(name)
    return found is not None and found[1] in parameters


def level_of(name: str) -> int | None:
    """Give the resolution level that a name ends in; None where it counts for all levels."""
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits) if digits else None


def own_names(names: Iterable[str], label: str, alone: bool = True) -> list[str]:
    """Give those of some names that the parser reads for one metric, whatever the level.

    Args:
        names: Names of a map.
        label: The metric's: "Metric0".
        alone: Whether it is the only Impact metric. With others, names without a label are shared,
            and count as nobody's own.
    """
    own = []
    for name in names:
        rest = name.removeprefix(label) if label else name
        if (rest != name or alone) and _pattern().fullmatch(rest):
            own.append(name)
    return own


def base_name(name: str, label: str) -> str:
    """Give the parameter that a name stands for: "PatchSize", for both images and all levels."""
    found = _pattern().fullmatch(name.removeprefix(label))
    if found is None:
        message = f"{name} is no parameter of the metric"
        raise InputError(message)
    base = name.removeprefix(label).removeprefix("Impact").rstrip("0123456789")
    base = base.removeprefix("Fixed").removeprefix("Moving")
    return "WriteFeatureMaps" if base == "FeatureMapOutputDirectory" else base


def dialect_of(names: Iterable[str]) -> Dialect | None:
    """Give the dialect in which most of a map's parameters of the metric are; None without any."""
    counts: dict[Dialect, int] = {"numbered": 0, "prefixed": 0, "plain": 0}
    for name in names:
        found = _pattern().fullmatch(_LABEL.sub("", name, count=1))
        if found:
            # What counts per level has no number in dialect "numbered" either.
            if found["scoped"] is None and found["impact"] and not found["level"]:
                continue
            counts[
                "numbered" if found["level"] else "prefixed" if found["impact"] else "plain"
            ] += 1
    best = max(counts, key=lambda dialect: counts[dialect])
    return best if counts[best] else None


@functools.cache
def _pattern() -> re.Pattern[str]:
    from impact_plugin import _core  # loads torch's libraries

    table = _core.parameter_table()
    per_level = "|".join(p.name for p in table if p.scope == "level")
    scoped = "|".join(
        ("(?:Fixed|Moving)?" if p.per_image else "") + p.name for p in table if p.scope != "level"
    )
    name = f"(?P<scoped>{scoped})|{per_level}"
    return re.compile(rf"(?:(?P<impact>Impact)(?:{name})(?P<level>\d+)?|{_unnamed(name)})")


def _unnamed(pattern: str) -> str:
    return pattern.replace("?P<scoped>", "?:")
