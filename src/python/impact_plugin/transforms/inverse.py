"""Inverses of transforms: exact where they are linear, iterated where they deform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

_LARGEST_FIELD = 8_000_000
"""Voxels; a field of that many takes 0.2 GB."""


def inverse(
    transform: sitk.CompositeTransform, tolerance: float, spacing: float | None
) -> sitk.CompositeTransform:
    """Invert each part of a composition.

    Args:
        transform: Linear, B-spline and displacement field transforms.
        tolerance: Where the fixed-point iteration ends, mm.
        spacing: Distance of the points of an inverse displacement field, mm; None: a quarter of the
            B-spline's, or that of the field.

    Returns:
        The composition of the inverses. Those of deformations are displacement fields, which end
        where the deformation does: outside they are the identity, as it is.
    """
    import SimpleITK as sitk

    composite = sitk.CompositeTransform(transform.GetDimension())
    # SimpleITK applies first what was added last, and what was applied last is undone first.
    for number in reversed(range(transform.GetNumberOfTransforms())):
        part = transform.GetNthTransform(number).Downcast()
        composite.AddTransform(
            part.GetInverse() if part.IsLinear() else _inverse_field(part, tolerance, spacing)
        )
    return composite


def _inverse_field(
    transform: sitk.Transform, tolerance: float, spacing: float | None
) -> sitk.DisplacementFieldTransform:
    """Invert by the fixed-point iteration of Chen et al., Medical Physics 35 (2008) 81."""
    import SimpleITK as sitk

    if isinstance(transform, sitk.BSplineTransform):
        grid = transform.GetCoefficientImages()[0]
        step = np.array(grid.GetSpacing()) / 4
    else:
        grid = transform.GetDisplacementField()
        step = np.array(grid.GetSpacing())
    if spacing is not None:
        step = np.full(len(step), float(spacing))
    extent = np.array(grid.GetSize()) * grid.GetSpacing()
    count = np.prod(extent / step)
    step *= max(1.0, (count / _LARGEST_FIELD) ** (1 / len(step)))
    size = [int(n) for n in np.ceil(extent / step)]
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        size,
        grid.GetOrigin(),
        step.tolist(),
        grid.GetDirection(),
    )
    inverted = sitk.InvertDisplacementField(
        field,
        maximumNumberOfIterations=50,
        maxErrorToleranceThreshold=tolerance,
        meanErrorToleranceThreshold=tolerance / 10,
        enforceBoundaryCondition=False,
    )
    return sitk.DisplacementFieldTransform(inverted)
