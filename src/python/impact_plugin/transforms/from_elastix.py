"""elastix's transform parameter maps as SimpleITK transforms, without any loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from impact_plugin.parameters.values import ParameterMap
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


class UnsupportedTransformError(ValueError):
    """SimpleITK has no transform that is the same as one of elastix."""


def to_sitk(chain: Chain, dimension: int) -> sitk.CompositeTransform:
    """Give a chain as one SimpleITK transform, of points of the fixed image to the moving image.

    Args:
        chain: Translation, Euler, similarity, affine, (recursive) B-spline transforms and
            displacement fields, each applied to what the one before gives.
        dimension: Of the points, for an empty chain, which is the identity.

    Raises:
        UnsupportedTransformError: One is of another kind, is added to its initial transform and not
            composed with it, or leaves out the direction cosines.
    """
    import SimpleITK as sitk

    composite = sitk.CompositeTransform(dimension)
    # SimpleITK applies first what was added last.
    for number, parameters in reversed(list(enumerate(chain.maps))):
        composite.AddTransform(_one(parameters, first=number == 0, chain=chain))
    return composite


def _one(parameters: ParameterMap, first: bool, chain: Chain) -> sitk.Transform:
    import SimpleITK as sitk

    name = parameters["Transform"][0]
    dimension = int(parameters["FixedImageDimension"][0])
    if not first and parameters.get("HowToCombineTransforms", ["Compose"])[0] != "Compose":
        message = (
            f"the {name} is added to its initial transform, which no SimpleITK transform does. "
            'Register with (HowToCombineTransforms "Compose")'
        )
        raise UnsupportedTransformError(message)
    if parameters.get("UseDirectionCosines", ["true"])[0] != "true":
        message = f'the {name} was found with (UseDirectionCosines "false")'
        raise UnsupportedTransformError(message)
    if name == "DeformationFieldTransform":
        field = chain.fields[parameters["DeformationFieldFileName"][0]]
        displacement = sitk.DisplacementFieldTransform(sitk.Image(field))
        if parameters.get("DeformationFieldInterpolationOrder", ["1"])[0] == "0":
            displacement.SetInterpolator(sitk.sitkNearestNeighbor)
        return displacement
    make = _MAKERS.get(name)
    if make is None:
        known = ", ".join([*_MAKERS, "DeformationFieldTransform"])
        message = f"SimpleITK has no transform like elastix's {name}; known: {known}"
        raise UnsupportedTransformError(message)
    return make(parameters, dimension)


def _numbers(parameters: ParameterMap, name: str) -> list[float]:
    return [float(value) for value in parameters[name]]


def _translation(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    return sitk.TranslationTransform(dimension, _numbers(parameters, "TransformParameters"))


def _euler(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    transform = sitk.Euler2DTransform() if dimension == 2 else sitk.Euler3DTransform()
    transform.SetCenter(_numbers(parameters, "CenterOfRotationPoint"))
    if dimension == 3:
        transform.SetComputeZYX(parameters.get("ComputeZYX", ["false"])[0] == "true")
    transform.SetParameters(_numbers(parameters, "TransformParameters"))
    return transform


def _similarity(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    transform = sitk.Similarity2DTransform() if dimension == 2 else sitk.Similarity3DTransform()
    transform.SetCenter(_numbers(parameters, "CenterOfRotationPoint"))
    transform.SetParameters(_numbers(parameters, "TransformParameters"))
    return transform


def _affine(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    transform = sitk.AffineTransform(dimension)
    transform.SetCenter(_numbers(parameters, "CenterOfRotationPoint"))
    transform.SetParameters(_numbers(parameters, "TransformParameters"))
    return transform


def _b_spline(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    if parameters.get("UseCyclicTransform", ["false"])[0] == "true":
        message = 'SimpleITK has no cyclic B-spline transform: (UseCyclicTransform "true")'
        raise UnsupportedTransformError(message)
    order = int(parameters.get("BSplineTransformSplineOrder", ["3"])[0])
    transform = sitk.BSplineTransform(dimension, order)
    size, origin, spacing, direction = (
        _numbers(parameters, f"Grid{name}") for name in ("Size", "Origin", "Spacing", "Direction")
    )
    # elastix writes directions column by column, ITK keeps them row by row.
    rows = [
        direction[row + dimension * column]
        for row in range(dimension)
        for column in range(dimension)
    ]
    transform.SetFixedParameters([*size, *origin, *spacing, *rows])
    transform.SetParameters(_numbers(parameters, "TransformParameters"))
    return transform


_MAKERS: dict[str, Callable[[ParameterMap, int], sitk.Transform]] = {
    "TranslationTransform": _translation,
    "EulerTransform": _euler,
    "SimilarityTransform": _similarity,
    "AffineTransform": _affine,
    "BSplineTransform": _b_spline,
    "RecursiveBSplineTransform": _b_spline,
}

KINDS = tuple(_MAKERS)
"""The transforms of elastix for which SimpleITK has the same."""
