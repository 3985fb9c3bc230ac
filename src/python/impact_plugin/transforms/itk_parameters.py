"""A single transform of ITK in the parameters of elastix's transform files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.parameters.values import Value

if TYPE_CHECKING:
    import SimpleITK as sitk


def parameters_of(
    transform: sitk.Transform, fields: dict[str, sitk.Image], what: str
) -> dict[str, Value]:
    """Give the parameters that tell of a transform, without those that every file has.

    Args:
        transform: Linear, a B-spline transform or a displacement field.
        fields: Gets the displacement field, by the name of its file.
        what: What messages call it.

    Raises:
        ValueError: It is of another kind, or has numbers that are not finite.
    """
    import SimpleITK as sitk

    dimension = transform.GetDimension()
    if isinstance(transform, sitk.TranslationTransform):
        return with_parameters("TranslationTransform", transform.GetOffset())
    if isinstance(transform, sitk.BSplineTransform):
        fixed = transform.GetFixedParameters()
        size, origin, spacing = (fixed[k * dimension : (k + 1) * dimension] for k in range(3))
        direction = np.reshape(fixed[3 * dimension :], (dimension, dimension))
        return {
            **with_parameters("BSplineTransform", transform.GetParameters()),
            "BSplineTransformSplineOrder": transform.GetOrder(),
            "GridSize": [int(n) for n in size],
            "GridIndex": [0] * dimension,
            "GridOrigin": origin,
            "GridSpacing": spacing,
            "GridDirection": direction.T.ravel().tolist(),
            "UseCyclicTransform": False,
        }
    if isinstance(transform, sitk.DisplacementFieldTransform):
        name = f"field{len(fields)}.mha"
        fields[name] = transform.GetDisplacementField()
        check_finite(fields[name], what)
        return {
            "Transform": "DeformationFieldTransform",
            "NumberOfParameters": 0,
            "DeformationFieldFileName": name,
            "DeformationFieldInterpolationOrder": 1,
        }
    if transform.IsLinear():
        matrix, offset = matrix_and_offset(transform)
        return {
            **with_parameters("AffineTransform", [*matrix.ravel().tolist(), *offset.tolist()]),
            "CenterOfRotationPoint": [0.0] * dimension,
        }
    message = (
        f"{what} is or contains a {transform.GetName()}; expected linear, B-spline or displacement "
        "field transforms, or compositions of them"
    )
    raise InputError(message)


def matrix_and_offset(
    transform: sitk.Transform,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give A (d, d) and b (d), mm, of a linear transform A x + b.

    What it does to the origin and the unit vectors is all that it is.
    """
    dimension = transform.GetDimension()
    offset = np.array(transform.TransformPoint([0.0] * dimension))
    columns = [transform.TransformPoint(row) for row in np.eye(dimension).tolist()]
    return (np.array(columns) - offset).T, offset


def check_finite(field: sitk.Image, name: str) -> None:
    """Check that a displacement field is finite everywhere.

    Raises:
        ValueError: It is not.
    """
    import SimpleITK as sitk

    wrong = ~np.isfinite(sitk.GetArrayViewFromImage(field)).all(axis=-1)
    if wrong.any():
        message = (
            f"{name}: {np.count_nonzero(wrong)} of {wrong.size} displacements are not finite, "
            "expected one vector in mm at each voxel. Write zeros where nothing is to move"
        )
        raise InputError(message)


def affine(matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> sitk.AffineTransform:
    """Give A x + b as a transform."""
    import SimpleITK as sitk

    transform = sitk.AffineTransform(len(offset))
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetTranslation(offset.tolist())
    return transform


def as_class(transform: sitk.Transform) -> sitk.Transform:
    """Give a transform as one of SimpleITK's class for it.

    Where it has none, or does not find its own, as of ComposeScaleSkewVersor3DTransform in
    SimpleITK 2.5, a linear one is given as an affine one.
    """
    try:
        return transform.Downcast()
    except (TypeError, KeyError, RuntimeError):
        return affine(*matrix_and_offset(transform)) if transform.IsLinear() else transform


def nth(composite: sitk.CompositeTransform, number: int) -> sitk.Transform:
    """Give a transform of a composition, see :func:`as_class`."""
    from SimpleITK import _SimpleITK

    return as_class(_SimpleITK.CompositeTransform_GetNthTransform(composite, number))


def from_file(name: str) -> sitk.Transform:
    """Read a transform by SimpleITK, see :func:`as_class`.

    Raises:
        RuntimeError: SimpleITK cannot read the file.
    """
    from SimpleITK import _SimpleITK

    return as_class(_SimpleITK.ReadTransform(name))


def with_parameters(name: str, parameters: Iterable[float]) -> dict[str, Value]:
    """Give the name of a transform and its parameters, as in a transform parameter file."""
    values = [float(value) for value in parameters]
    if not np.isfinite(values).all():
        message = f"the transform has numbers that are not finite, as elastix's {name}"
        raise InputError(message)
    return {
        "Transform": name,
        "NumberOfParameters": len(values),
        "TransformParameters": values,
    }
