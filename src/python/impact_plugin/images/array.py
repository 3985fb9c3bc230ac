"""An image as a numpy array that knows where its voxels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from impact_plugin._equality import EqualByValue


@dataclass(frozen=True, eq=False)
class ImageArray(EqualByValue):
    """A grey image as an array with its geometry.

    Args:
        array: Intensities, shape (z, y, x), or (y, x) in 2D: the last axis is the image's first.
        spacing: Distance of voxel centres in mm, (x, y, z); 1 mm by default.
        origin: Centre of the first voxel in mm, (x, y, z), in LPS: x to the patient's left, y to
            the back, z to the head; zeros by default. (nibabel's affine is RAS: x and y point the
            other way. Hand nibabel images over as they are.)
        direction: Direction cosines, shape (d, d), in LPS: column k is the unit vector along the
            image's axis k (x, y, z); the identity by default.

    Example:
        >>> import numpy as np
        >>> ct = ImageArray(np.zeros((40, 256, 256)), spacing=(0.9, 0.9, 3.0))
    """

    array: Any
    spacing: Sequence[float] | None = None
    origin: Sequence[float] | None = None
    direction: Any = None
