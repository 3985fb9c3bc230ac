"""Networks, features and distances: what needs torch, from the library for the one installed.

Importing this opens torch's libraries, which takes a moment, and :mod:`impact_plugin._core`, which
has the parameters and images that go with it and needs no torch.
"""

from __future__ import annotations

from impact_plugin import _libraries

_libraries.open_core()

from impact_plugin._networks_api import (  # noqa: E402  (its library is opened now)
    CheckedLayer,
    CheckedModel,
    LayerLayout,
    LevelCheck,
    MeasuredLayer,
    ModelRepository,
    Network,
    check_level,
    distance,
    feature_maps,
)

__all__ = [
    "CheckedLayer",
    "CheckedModel",
    "LayerLayout",
    "LevelCheck",
    "MeasuredLayer",
    "ModelRepository",
    "Network",
    "check_level",
    "distance",
    "feature_maps",
]
