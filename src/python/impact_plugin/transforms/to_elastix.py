"""SimpleITK transforms as elastix's transform parameter maps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap, Value, as_map
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


def from_sitk(
    transform: sitk.Transform, fixed: Geometry, name: str = "the initial transform"
) -> Chain:
    """Give a SimpleITK transform, of points of the fixed image to the moving image, as a chain.

    Args:
        transform: Any linear one, a B-spline transform, a displacement field, or a composition of
            them.
        fixed: Grid of the fixed image, which every transform parameter file holds.
        name: What messages call it.

    Raises:
        ValueError: It is for points of another dimension, or of another kind.
    """
    if transform.GetDimension() != fixed.dimension:
        message = (
            f"{name} is for {transform.GetDimension()} dimensions, and the images have "
            f"{fixed.dimension}"
        )
        raise ValueError(message)
    chain = Chain()
    for part in _parts(transform):
        own = own_parameters(part, chain, name)
        chain.maps.append(as_map({**own, **_common(fixed)}))
    return chain


def translation(vector: Any, fixed: Geometry) -> Chain:  # noqa: ANN401  (anything numpy takes)
    """Give a translation by a vector in mm, fixed to moving, as a chain."""
    import SimpleITK as sitk

    values = np.asarray(vector, float).tolist()
    return from_sitk(sitk.TranslationTransform(fixed.dimension, values), fixed)


def _parts(transform: sitk.Transform) -> Iterator[sitk.Transform]:
    """Give what a composition consists of, in the order in which it is applied."""
    import SimpleITK as sitk

    with contextlib.suppress(TypeError):  # there is no class for it
        transform = transform.Downcast()
    if isinstance(transform, sitk.CompositeTransform):
        if transform.IsLinear() and transform.GetNumberOfTransforms() == 1:
            # Of MatrixOffsetTransformBase, for which it has no class, SimpleITK makes a composition
            # of itself, and so on.
            yield transform
            return
        for number in reversed(range(transform.GetNumberOfTransforms())):
            yield from _parts(transform.GetNthTransform(number))
    else:
        yield transform


def own_parameters(transform: sitk.Transform, chain: Chain, what: str) -> dict[str, Value]:
    """Give the parameters that tell of a transform, without those that every file has.

    Args:
        transform: Linear, a B-spline transform or a displacement field.
        chain: Gets the displacement field.
        what: What messages call it.

    Raises:
        ValueError: It is of another kind.
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
        name = f"field{len(chain.fields)}.mha"
        chain.fields[name] = transform.GetDisplacementField()
        return {
            "Transform": "DeformationFieldTransform",
            "NumberOfParameters": 0,
            "DeformationFieldFileName": name,
            "DeformationFieldInterpolationOrder": 1,
        }
    if transform.IsLinear():
        # What a linear map does to the origin and the unit vectors is all that it is.
        offset = np.array(transform.TransformPoint([0.0] * dimension))
        columns = [transform.TransformPoint(row) for row in np.eye(dimension).tolist()]
        matrix = (np.array(columns) - offset).T
        return {
            **with_parameters("AffineTransform", [*matrix.ravel().tolist(), *offset.tolist()]),
            "CenterOfRotationPoint": [0.0] * dimension,
        }
    message = (
        f"{what} is or contains a {transform.GetName()}; expected linear, B-spline or displacement "
        "field transforms, or compositions of them"
    )
    raise ValueError(message)


def with_parameters(name: str, parameters: Iterable[float]) -> dict[str, Value]:
    """Give the name of a transform and its parameters, as in a transform parameter file."""
    values = [float(value) for value in parameters]
    if not np.isfinite(values).all():
        message = f"the transform has numbers that are not finite, as elastix's {name}"
        raise ValueError(message)
    return {
        "Transform": name,
        "NumberOfParameters": len(values),
        "TransformParameters": values,
    }


def _common(fixed: Geometry) -> ParameterMap:
    """Give what every transform parameter file says of the fixed image and of resampling."""
    dimension = fixed.dimension
    columns = np.reshape(fixed.direction, (dimension, dimension)).T.ravel().tolist()
    return as_map(
        {
            "HowToCombineTransforms": "Compose",
            "FixedImageDimension": dimension,
            "MovingImageDimension": dimension,
            "FixedInternalImagePixelType": "float",
            "MovingInternalImagePixelType": "float",
            "Size": fixed.size,
            "Index": [0] * dimension,
            "Spacing": fixed.spacing,
            "Origin": fixed.origin,
            "Direction": columns,
            "UseDirectionCosines": True,
            "ResampleInterpolator": "FinalBSplineInterpolator",
            "FinalBSplineInterpolationOrder": 3,
            "Resampler": "DefaultResampler",
            "DefaultPixelValue": 0,
            "ResultImageFormat": "mha",
            "ResultImagePixelType": "float",
            "CompressResultImage": False,
        }
    )
