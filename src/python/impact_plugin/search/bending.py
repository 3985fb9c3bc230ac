"""Displacements on coarse voxels as a B-spline over the whole fixed image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.search.coarse import CoarseImage

_VOXELS = 3.0
"""Coarse voxels from one control point to the next: the displacements are smoother than that."""


def spline(
    field: NDArray[np.float32], grid: CoarseImage, fixed: sitk.Image
) -> sitk.BSplineTransform:
    """Give the cubic B-spline that has the displacements at its control points.

    Args:
        field: Displacements at the voxels of a coarse image, (d, [D,] H, W), mm, x first. Beyond
            its edges they go on as they are there.
        grid: That image.
        fixed: The image over all of which the B-spline is to be.
    """
    import SimpleITK as sitk

    dimension = len(field)
    corners = Geometry.of(fixed).points(2)
    spacing = _VOXELS * grid.spacing
    # A cubic B-spline is defined from its second control point to the last but one.
    low = corners.min(axis=0) - 2 * spacing
    size = np.ceil((corners.max(axis=0) - low) / spacing).astype(int) + 3
    axes = tuple(np.eye(dimension).ravel().tolist())
    resampler = sitk.ResampleImageFilter()
    Geometry(tuple(size.tolist()), (spacing,) * dimension, tuple(low.tolist()), axes).set_on(
        resampler
    )
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()
    coefficients = []
    for component in field:
        image = sitk.GetImageFromArray(component.astype(np.float64))
        image.SetOrigin(grid.origin.tolist())
        image.SetSpacing([grid.spacing] * dimension)
        coefficients.append(sitk.BSplineDecomposition(resampler.Execute(image), 3))
    return sitk.BSplineTransform(coefficients, 3)
