"""Cohorts: many pairs, several presets, through dask.distributed. See ``docs/cohorts.md``."""

import warnings

from impact_plugin.cohort.api import CohortResult, register_cohort
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.pairs import Pair, PairsError
from impact_plugin.cohort.sources import all_to_atlas, match_patterns, read_pairs

__all__ = [
    "CohortError",
    "CohortResult",
    "Pair",
    "PairsError",
    "all_to_atlas",
    "match_patterns",
    "read_pairs",
    "register_cohort",
]


def __getattr__(name: str) -> type[CohortResult]:
    if name == "Cohort":
        message = "impact_plugin.cohort.Cohort is now named CohortResult"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return CohortResult
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
