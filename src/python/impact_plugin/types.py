"""The types that public signatures name, for annotations in code that calls the package.

Those whose values come from other libraries are ``Any`` to a type checker; their docstrings say
what they may be.
"""

from impact_plugin._arguments import Iterations
from impact_plugin.cohort.errors import ProblemKind
from impact_plugin.evaluation.api import OutsideLandmarks
from impact_plugin.evaluation.points import PointsLike, Positions
from impact_plugin.evaluation.steps import RegistrationLike
from impact_plugin.folders.data import RegistrationData
from impact_plugin.images.axes import Axes
from impact_plugin.images.colour import Channel
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.models.normalization import NormalizationKind
from impact_plugin.parameters.toml_text import TomlFile
from impact_plugin.parameters.values import ParameterMap, Value
from impact_plugin.registration.api import Recording
from impact_plugin.registration.follower import Callback
from impact_plugin.registration.known_transform import TransformLike
from impact_plugin.registration.stages import Models, ParameterMaps
from impact_plugin.report.features import FeatureView
from impact_plugin.search import SearchKind
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.initial import InitialTransform
from impact_plugin.transforms.resampling import Interpolation, Resampling

__all__ = [
    "Axes",
    "Callback",
    "Chain",
    "Channel",
    "FeatureView",
    "Geometry",
    "ImageLike",
    "InitialTransform",
    "Interpolation",
    "Iterations",
    "Models",
    "NormalizationKind",
    "OutsideLandmarks",
    "ParameterMap",
    "ParameterMaps",
    "PointsLike",
    "Positions",
    "ProblemKind",
    "Recording",
    "RegistrationData",
    "RegistrationLike",
    "Resampling",
    "SearchKind",
    "TomlFile",
    "TransformLike",
    "Value",
]
