"""Parameter maps of the metric as typed objects: made, read in any dialect, checked, written.

>>> from impact_plugin.parameters import Layer, Level, Model, Parameters
>>> mind = Model(path="MIND_R1D2_3D.pt", voxel_size=3, layers=Layer("L1"))
>>> parameters = Parameters.around([Level(models=mind, mode="Static")], "bspline")
>>> parameters.to_parameter_map()["ImpactVoxelSize0"]
['3', '3', '3']

``docs/parameter-maps.md`` shows what can be done with them, ``docs/parameters.md`` says what every
parameter of the metric means.
"""

from impact_plugin._deprecated import renamed
from impact_plugin.parameters.defaults import Transform, recommended, stock_defaults
from impact_plugin.parameters.elastix_text import ElastixFile
from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.level import Level, Mode
from impact_plugin.parameters.names import Dialect
from impact_plugin.parameters.network import (
    Distance,
    FeatureNormalization,
    Layer,
    Model,
    Network,
)
from impact_plugin.parameters.parameters import Parameters, new_file, open_file
from impact_plugin.parameters.patch_size import patch_size_for
from impact_plugin.parameters.values import ParameterMap

__all__ = [
    "Dialect",
    "Distance",
    "ElastixFile",
    "FeatureNormalization",
    "Layer",
    "Level",
    "Mode",
    "Model",
    "Network",
    "ParameterError",
    "ParameterMap",
    "Parameters",
    "Problem",
    "Transform",
    "new_file",
    "open_file",
    "patch_size_for",
    "recommended",
    "stock_defaults",
]

__getattr__ = renamed(__name__, {"Extractor": "Network"})
