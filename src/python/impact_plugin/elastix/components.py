"""elastix's components: which exist, and which go with the metric."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from impact_plugin._errors import InputError
from impact_plugin.parameters.values import ParameterMap

_KNOWN: dict[str, list[str]] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)
"""Of elastix 5.3.1, from elxClassNameMacro in Components/, without those itk-elastix leaves out."""

# Components of the package's maps, and others often used with the metric.
_ORDINARY = frozenset(
    {
        "AffineTransform",
        "BSplineInterpolator",
        "BSplineTransform",
        "EulerTransform",
        "Impact",
        "LinearInterpolator",
        "MultiMetricMultiResolutionRegistration",
        "MultiResolutionRegistration",
        "RecursiveBSplineTransform",
        "TransformBendingEnergyPenalty",
        "TranslationTransform",
    }
)
_CHOSEN = ("Registration", "Metric", "Transform", "Interpolator")


def known(parameter: str) -> Sequence[str]:
    """Give elastix's names for a kind of component, such as "Metric" or "Transform"."""
    return _KNOWN[parameter]


def unknown(parameters: Mapping[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """Find components that elastix does not have.

    Args:
        parameters: The map.

    Yields:
        The parameter, the unknown name, and a hint with the nearest names, or all.
    """
    for parameter, names in _KNOWN.items():
        for name in parameters.get(parameter, []):
            if name in names:
                continue
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            guess = f"the nearest are {', '.join(near)}" if near else f"it has {', '.join(names)}"
            yield parameter, name, guess


def check_names(parameters: ParameterMap, where: str) -> None:
    """Check the names of a map's components.

    Args:
        parameters: The map.
        where: What messages call it.

    Raises:
        ValueError: elastix has no such component. The message has the nearest names.
    """
    for parameter, name, guess in unknown(parameters):
        message = f'{where} has ({parameter} "{name}"), which elastix does not have; {guess}'
        raise InputError(message)


def check_fit(parameters: ParameterMap, where: str) -> None:
    """Check that a map has no components with which the metric cannot work.

    Args:
        parameters: A map that uses the metric.
        where: What messages call it.

    Raises:
        ValueError: It has such components. The message is the one in elastix's log.
    """
    chosen = {name: parameters[name] for name in _CHOSEN if name in parameters}
    if _ORDINARY.issuperset(value for values in chosen.values() for value in values):
        return
    from impact_plugin import _core  # loads torch's libraries

    messages = [finding.message for finding in _core.unfit_components(chosen)]
    if messages:
        raise InputError(f"{where} cannot be run:\n" + "\n".join(messages))
