"""Cohorts: many pairs, several presets, through dask.distributed. See ``docs/cohorts.md``."""

from impact_plugin.cohort.api import Cohort, register_cohort
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.pairs import Pair, PairsError
from impact_plugin.cohort.sources import all_to_atlas, match_patterns, read_pairs

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
