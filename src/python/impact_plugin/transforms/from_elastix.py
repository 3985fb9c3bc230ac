"""elastix's transform parameter maps as SimpleITK transforms, without any loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from impact_plugin._errors import InputError
from impact_plugin.parameters.values import ParameterMap, as_integer, numbers_of
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


_FIELD = "DeformationFieldTransform"


class UnsupportedTransformError(InputError):
    """SimpleITK has no transform that is the same as one of elastix."""


def to_sitk(chain: Chain, dimension: int) -> sitk.CompositeTransform:
    """Give a chain as one SimpleITK transform, of points of the fixed image to the moving image.

    Args:
        chain: Translation, Euler, similarity, affine, (recursive) B-spline transforms and
            displacement fields, each applied to what the one before gives.
        dimension: Dimension of the points, for an empty chain, which is the identity.

    Raises:
        UnsupportedTransformError: One is of another kind, or is added to its initial transform and
            not composed with it; or they are of images without direction cosines.
        ValueError: One lacks something, or has not as many numbers as it should.
    """
    import SimpleITK as sitk

    if chain.maps and chain.maps[-1].get("UseDirectionCosines") == ["false"]:
        message = 'the transform was found with (UseDirectionCosines "false")'
        raise UnsupportedTransformError(message)
    composite = sitk.CompositeTransform(dimension)
    # SimpleITK applies first what was added last.
    for number, parameters in reversed(list(enumerate(chain.maps))):
        composite.AddTransform(one(parameters, number == 0, chain, dimension))
    return composite


def check_kind(parameters: ParameterMap, first: bool) -> None:
    """Check that SimpleITK has a transform like one of elastix.

    Args:
        parameters: Its map, or the parameter map that it is found with.
        first: Whether it has no initial transform.

    Raises:
        UnsupportedTransformError: It has none.
    """
    name = (parameters.get("Transform") or [""])[0]
    if not first and parameters.get("HowToCombineTransforms", ["Compose"])[0] != "Compose":
        message = (
            f"the {name} is added to its initial transform, which no SimpleITK transform does. "
            'Register with (HowToCombineTransforms "Compose")'
        )
    elif name not in (*_MAKERS, _FIELD):
        known = ", ".join([*_MAKERS, _FIELD])
        message = f"SimpleITK has no transform like elastix's {name}; known: {known}"
    elif name == _FIELD and _field_order(parameters) != 1:
        # SimpleITK's compositions always interpolate.
        message = "the displacement field is not interpolated: its InterpolationOrder is 0"
    elif "ITKTransformParameters" in parameters:
        message = f"the {name} has its numbers as ITK has them, (ITKTransformParameters ...)"
    elif "BSpline" in name and parameters.get("UseCyclicTransform", ["false"])[0] == "true":
        message = 'SimpleITK has no cyclic B-spline transform: (UseCyclicTransform "true")'
    else:
        return
    raise UnsupportedTransformError(message)


def one(parameters: ParameterMap, first: bool, chain: Chain, dimension: int) -> sitk.Transform:
    """Give one transform of a chain.

    Args:
        parameters: Its map.
        first: Whether it is the chain's first.
        chain: The chain, which has its displacement field.
        dimension: Dimension of its points.

    Raises:
        UnsupportedTransformError: As by :func:`check_kind`.
        ValueError: The map lacks something, or has not as many numbers as it should.
    """
    import SimpleITK as sitk

    check_kind(parameters, first)
    name = parameters["Transform"][0]
    if name == _FIELD:
        field = chain.fields[parameters["DeformationFieldFileName"][0]]
        return sitk.DisplacementFieldTransform(sitk.Image(field))
    try:
        return _MAKERS[name](parameters, dimension)
    except (ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        message = f"the {name} is none of {dimension} dimensions that elastix reads: {reason}"
        raise InputError(message) from error


def _field_order(parameters: ParameterMap) -> int | None:
    """Give the order of a displacement field's interpolation; elastix takes 0 for want of one."""
    return as_integer(parameters.get("DeformationFieldInterpolationOrder", ["0"])[0])


def _translation(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    return sitk.TranslationTransform(dimension, numbers_of(parameters, "TransformParameters"))


def _centred(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    kind = parameters["Transform"][0].removesuffix("Transform")
    transform = (
        sitk.AffineTransform(dimension)
        if kind == "Affine"
        else getattr(sitk, f"{kind}{dimension}DTransform")()
    )
    transform.SetCenter(numbers_of(parameters, "CenterOfRotationPoint"))
    if isinstance(transform, sitk.Euler3DTransform):
        transform.SetComputeZYX(parameters.get("ComputeZYX", ["false"])[0] == "true")
    transform.SetParameters(numbers_of(parameters, "TransformParameters"))
    return transform


def _b_spline(parameters: ParameterMap, dimension: int) -> sitk.Transform:
    import SimpleITK as sitk

    order = parameters.get("BSplineTransformSplineOrder", ["3"])[0]
    transform = sitk.BSplineTransform(dimension, as_integer(order) or 0)
    size, spacing = (numbers_of(parameters, f"Grid{name}") for name in ("Size", "Spacing"))
    index = numbers_of(parameters, "GridIndex", [0.0] * dimension)
    # elastix writes directions column by column, ITK keeps them row by row.
    columns = numbers_of(parameters, "GridDirection", np.eye(dimension).ravel().tolist())
    matrix = np.reshape(columns, (dimension, dimension)).T
    origin = numbers_of(parameters, "GridOrigin") + matrix @ np.multiply(spacing, index)
    transform.SetFixedParameters([*size, *origin.tolist(), *spacing, *matrix.ravel().tolist()])
    transform.SetParameters(numbers_of(parameters, "TransformParameters"))
    return transform


_MAKERS: dict[str, Callable[[ParameterMap, int], sitk.Transform]] = {
    "TranslationTransform": _translation,
    "EulerTransform": _centred,
    "SimilarityTransform": _centred,
    "AffineTransform": _centred,
    "BSplineTransform": _b_spline,
    "RecursiveBSplineTransform": _b_spline,
}

KINDS = tuple(_MAKERS)
"""The transforms of elastix for which SimpleITK has the same."""
