"""Cohorts: many pairs, several presets, through dask.distributed. See ``docs/cohorts.md``."""

from impact_plugin.cohort.api import Cohort, register_cohort
from impact_plugin.cohort.pairs import (
    Pair,
    PairsError,
    all_to_atlas,
    match_patterns,
    read_pairs,
)
from impact_plugin.cohort.preflight import CohortError

__all__ = [
    "Cohort",
    "CohortError",
    "Pair",
    "PairsError",
    "all_to_atlas",
    "match_patterns",
    "read_pairs",
    "register_cohort",
]
