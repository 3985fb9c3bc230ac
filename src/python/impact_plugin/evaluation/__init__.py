"""Figures that say how good a registration is.

:func:`evaluate` measures target registration errors of landmarks, Dice and Hausdorff distances of
label maps, and the Jacobian determinant of the transform, before the registration and after each of
its steps. Places are in mm in LPS, ITK's frame, whatever the files have.
"""

from __future__ import annotations

from impact_plugin._deprecated import renamed
from impact_plugin.evaluation.api import evaluate
from impact_plugin.evaluation.errors import OutsideError
from impact_plugin.evaluation.jacobian import JacobianStatistics
from impact_plugin.evaluation.labels import LabelAgreement
from impact_plugin.evaluation.landmarks import LandmarkErrors
from impact_plugin.evaluation.points import Points, read_points
from impact_plugin.evaluation.results import (
    SCHEMA_VERSION,
    SUFFIXES,
    Evaluation,
    Row,
    StepEvaluation,
)
from impact_plugin.evaluation.writing_points import write_points

__all__ = [
    "SCHEMA_VERSION",
    "SUFFIXES",
    "Evaluation",
    "JacobianStatistics",
    "LabelAgreement",
    "LandmarkErrors",
    "OutsideError",
    "Points",
    "Row",
    "StepEvaluation",
    "evaluate",
    "read_points",
    "write_points",
]

__getattr__ = renamed(__name__, {"JSON_SCHEMA": "SCHEMA_VERSION"})
