"""Cohorts: many pairs, several presets, through dask.distributed. See ``docs/cohorts.md``."""

from impact_plugin._deprecated import renamed
from impact_plugin.cohort.api import CohortResult, register_cohort
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.pairs import Pair, PairsError
from impact_plugin.cohort.running import Runner
from impact_plugin.cohort.sources import all_to_atlas, match_patterns, read_pairs

__all__ = [
    "CohortError",
    "CohortResult",
    "Pair",
    "PairsError",
    "Runner",
    "all_to_atlas",
    "match_patterns",
    "read_pairs",
    "register_cohort",
]


__getattr__ = renamed(__name__, {"Cohort": "CohortResult"})
