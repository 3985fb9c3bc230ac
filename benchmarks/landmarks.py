"""How far the landmarks of the lung pair are from where they truly are."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from impact_plugin import apply_transform
from impact_plugin.datasets import LungPair
from impact_plugin.evaluation import LandmarkErrors, read_points
from impact_plugin.images.grid import Geometry


class Landmarks:
    """The landmarks that lie inside the fixed image."""

    def __init__(self, data: LungPair) -> None:
        points = read_points(data.fixed_points).positions
        inside = Geometry.of(sitk.ReadImage(str(data.fixed))).contains(points)
        self.points = points[inside]
        self.truth = read_points(data.moving_points).positions[inside]
        self.before = LandmarkErrors.between(self.points, self.truth)

    def errors(self, transform: Path) -> LandmarkErrors:
        """Measure what a transform file of elastix leaves."""
        return LandmarkErrors.between(apply_transform(transform, self.points), self.truth)
