"""How much memory a registration will take, worker and elastix together."""

from __future__ import annotations

import math
from collections.abc import Mapping

from impact_plugin.check import ImageHeader
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Variant

_PROCESSES = 600 << 20
"""A worker, and elastix with torch, before there is an image."""
_COPIES = 6
"""Copies of the images, as floats: read, in elastix's pyramids, sampled, warped."""


def predict(pair: Pair, variant: Variant, maps: Maps, headers: Mapping[str, ImageHeader]) -> int:
    """Predict the memory of a registration at its peak, bytes.

    The numbers are fitted to registrations of one thread, so that none took more; docs/cohorts.md
    has what was measured and what is predicted of it.
    """
    voxels = sum(math.prod(headers[pair.files[side]].size) for side in ("fixed", "moving"))
    features = maps.feature_bytes(variant, pair, headers)
    return _PROCESSES + 4 * _COPIES * voxels + features
