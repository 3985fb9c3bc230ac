"""SimpleITK transforms as elastix's transform parameter maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap, as_map
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.itk_parameters import as_class, nth, parameters_of

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
        raise InputError(message)
    chain = Chain()
    for part in parts(transform):
        own = parameters_of(part, chain.fields, name)
        chain.maps.append(as_map({**own, **_common(fixed)}))
    return chain


def translation(vector: Any, fixed: Geometry) -> Chain:  # noqa: ANN401  (anything numpy takes)
    """Give a translation by a vector in mm, fixed to moving, as a chain."""
    import SimpleITK as sitk

    values = np.asarray(vector, float).tolist()
    return from_sitk(sitk.TranslationTransform(fixed.dimension, values), fixed)


def parts(transform: sitk.Transform) -> Iterator[sitk.Transform]:
    """Give what a composition consists of, in the order in which it is applied."""
    import SimpleITK as sitk

    transform = as_class(transform)
    if isinstance(transform, sitk.CompositeTransform):
        if transform.IsLinear() and transform.GetNumberOfTransforms() == 1:
            # Of MatrixOffsetTransformBase, for which it has no class, SimpleITK makes a composition
            # of itself, and so on.
            yield transform
            return
        for number in reversed(range(transform.GetNumberOfTransforms())):
            yield from parts(nth(transform, number))
    else:
        yield transform


def _common(fixed: Geometry) -> ParameterMap:
    """Give what every transform parameter file says of the fixed image and of resampling."""
    dimension = fixed.dimension
    columns = fixed.axes.T.ravel().tolist()
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
