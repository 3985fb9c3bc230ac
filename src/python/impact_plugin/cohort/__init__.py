"""Cohorts: many pairs, several presets, through dask.distributed. See ``docs/cohorts.md``."""

from impact_plugin._deprecated import renamed
from impact_plugin.cohort.api import CohortResult, register_cohort
from impact_plugin.cohort.errors import CohortError, CohortProblem, PairsError
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.running import Runner
from impact_plugin.cohort.sources import all_to_atlas, match_patterns, read_pairs
from impact_plugin.cohort.table import Row, row_schema

__all__ = [
    "CohortError",
    "CohortProblem",
    "CohortResult",
    "Pair",
    "PairsError",
    "Row",
    "Runner",
    "all_to_atlas",
    "match_patterns",
    "read_pairs",
    "register_cohort",
    "row_schema",
]


__getattr__ = renamed(__name__, {"Cohort": "CohortResult"})
