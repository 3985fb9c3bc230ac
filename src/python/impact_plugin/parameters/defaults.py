"""Parameters of elastix around the metric: its own defaults, and those that suit the metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from impact_plugin._arguments import check_choice
from impact_plugin._numbers import plain_arguments
from impact_plugin.parameters.values import ParameterMap, format_number

Transform = Literal["translation", "rigid", "affine", "bspline"]

_COMPONENTS = {
    "translation": "TranslationTransform",
    "rigid": "EulerTransform",
    "affine": "AffineTransform",
    "bspline": "BSplineTransform",
}
_RESAMPLING = {
    f"{library}{side}{kind}ImagePyramid": kind
    for library in ("", "OpenCL")
    for side in ("Fixed", "Moving")
    for kind in ("Generic", "Recursive", "Shrinking")
}
"""Pyramids that change the size of images (``Components/FixedImagePyramids``), and their kinds."""

DEFAULT_LEVELS = 3
"""elastix's own number of resolution levels where a map has none."""


def stock_defaults(
    transform: Transform = "bspline", number_of_levels: int = 4, grid_spacing: float = 10.0
) -> ParameterMap:
    """Give elastix's own default map for a transform, without importing itk.

    As ``ParameterObject::GetDefaultParameterMap`` of elastix 5.3.1 (``Core/Main/
    elxParameterObject.cxx``), which has mutual information for a metric. See
    :meth:`Parameters.merged_into`.

    Args:
        transform: "translation", "rigid", "affine" or "bspline".
        number_of_levels: From 1 up.
        grid_spacing: Spacing of a B-spline's control points at the last level, mm.

    Raises:
        ValueError: The transform is unknown.
    """
    check_choice("transform", transform, get_args(Transform))
    parameters = {
        "FixedImagePyramid": ["FixedSmoothingImagePyramid"],
        "MovingImagePyramid": ["MovingSmoothingImagePyramid"],
        "Interpolator": ["LinearInterpolator"],
        "Optimizer": ["AdaptiveStochasticGradientDescent"],
        "Resampler": ["DefaultResampler"],
        "ResampleInterpolator": ["FinalBSplineInterpolator"],
        "FinalBSplineInterpolationOrder": ["3"],
        "NumberOfResolutions": [str(number_of_levels)],
        "WriteIterationInfo": ["false"],
        "MaximumNumberOfIterations": ["256"],
        "ImageSampler": ["RandomCoordinate"],
        "NumberOfSpatialSamples": ["2048"],
        "CheckNumberOfSamples": ["true"],
        "MaximumNumberOfSamplingAttempts": ["8"],
        "NewSamplesEveryIteration": ["true"],
        "NumberOfSamplesForExactGradient": ["4096"],
        "DefaultPixelValue": ["0"],
        "AutomaticParameterEstimation": ["true"],
        "WriteResultImage": ["true"],
        "ResultImageFormat": ["nii"],
        "Registration": ["MultiResolutionRegistration"],
        "Transform": [_COMPONENTS[transform]],
        "Metric": ["AdvancedMattesMutualInformation"],
    }
    if transform == "translation":
        parameters["AutomaticTransformInitialization"] = ["true"]
    elif transform == "bspline":
        parameters |= {
            "Registration": ["MultiMetricMultiResolutionRegistration"],
            "Metric": ["AdvancedMattesMutualInformation", "TransformBendingEnergyPenalty"],
            "Metric0Weight": ["1.0"],
            "Metric1Weight": ["1.0"],
            "GridSpacingSchedule": [
                format_number(2.0 ** ((number_of_levels - level - 1) / 2))
                for level in range(number_of_levels)
            ],
            "FinalGridSpacingInPhysicalUnits": [f"{grid_spacing:f}"],
        }
    else:
        parameters["AutomaticScalesEstimation"] = ["true"]
    return parameters


@plain_arguments
def recommended(
    transform: Transform = "bspline",
    number_of_levels: int = 2,
    image_dimension: int = 3,
    jacobian: bool = False,
) -> ParameterMap:
    """Give parameters of elastix that suit the metric, as the files in ``ParameterMaps`` have.

    How they were chosen is in ``docs/decisions.md`` ("Curated maps"). The image pyramids only
    smooth, with schedules of ones for the levels and axes at hand: the metric resamples by itself.

    Args:
        transform: "translation", "rigid", "affine" or "bspline".
        number_of_levels: From 1 up.
        image_dimension: 2 or 3.
        jacobian: Whether a level is in Jacobian mode, where an evaluation takes long: elastix then
            estimates its step sizes from fewer samples.

    Raises:
        ValueError: The transform is unknown.
    """
    check_choice("transform", transform, get_args(Transform))
    deformable = transform == "bspline"
    # First alignments are far off: they begin with smoother images, sigma in mm.
    sigmas = [1 if deformable else 2 ** (number_of_levels - 1 - i) for i in range(number_of_levels)]
    parameters = {
        "FixedInternalImagePixelType": ["float"],
        "MovingInternalImagePixelType": ["float"],
        "UseDirectionCosines": ["true"],
        "Registration": ["MultiResolutionRegistration"],
        "FixedImagePyramid": ["FixedGenericImagePyramid"],
        "MovingImagePyramid": ["MovingGenericImagePyramid"],
        "Interpolator": ["BSplineInterpolator" if deformable else "LinearInterpolator"],
        "Optimizer": ["AdaptiveStochasticGradientDescent"],
        "Transform": [_COMPONENTS[transform]],
        "ResampleInterpolator": ["FinalBSplineInterpolator"],
        "Resampler": ["DefaultResampler"],
        "RandomSeed": ["42"],
        "ImagePyramidRescaleSchedule": ["1"] * (number_of_levels * image_dimension),
        "ImagePyramidSmoothingSchedule": [str(s) for s in sigmas for _ in range(image_dimension)],
        "HowToCombineTransforms": ["Compose"],
        "MaximumNumberOfIterations": ["500" if deformable else "250"] * number_of_levels,
        "AutomaticParameterEstimation": ["true"],
        "UseAdaptiveStepSizes": ["true"],
        "ImageSampler": ["RandomCoordinate"],
        "NumberOfSpatialSamples": ["2000"],
        "NewSamplesEveryIteration": ["true"],
        "MaximumNumberOfSamplingAttempts": ["8"],
        "FinalBSplineInterpolationOrder": ["3"],
        "DefaultPixelValue": ["0"],
        "WriteResultImage": ["true"],
        "ResultImageFormat": ["mha"],
        "ResultImagePixelType": ["float"],
    }
    if deformable:
        parameters |= {
            "BSplineInterpolationOrder": ["1"],
            "FinalGridSpacingInPhysicalUnits": ["10"],
            "GridSpacingSchedule": grid_spacing_schedule(number_of_levels),
        }
        if image_dimension == 3:  # in 2D elastix itself takes no more
            parameters["NumberOfJacobianMeasurements"] = ["5000"]
    else:
        parameters["AutomaticTransformInitialization"] = ["true"]
        parameters["AutomaticTransformInitializationMethod"] = ["GeometricalCenter"]
        if transform != "translation":
            parameters["AutomaticScalesEstimation"] = ["true"]
    if jacobian:
        parameters["MaximumNumberOfIterations"] = [
            "300" if deformable else "250"
        ] * number_of_levels
        parameters["NumberOfSamplesForExactGradient"] = ["20000"]
    return parameters


def grid_spacing_schedule(number_of_levels: int) -> list[str]:
    """Give multiples of the last level's grid spacing, from 4 to 1 in even ratios."""
    steps = max(1, number_of_levels - 1)
    return [f"{4 ** ((number_of_levels - 1 - i) / steps):.4g}" for i in range(number_of_levels)]


def resampling_pyramid(parameters: Mapping[str, list[str]], side: str) -> str | None:
    """Give the kind of a map's pyramid where it changes the size of images; None where it does not.

    Args:
        parameters: The map. Without a pyramid elastix takes one that only smooths.
        side: "Fixed" or "Moving".

    Returns:
        "Generic", "Recursive" or "Shrinking".
    """
    pyramids = parameters.get(f"{side}ImagePyramid") or [f"{side}SmoothingImagePyramid"]
    return next((_RESAMPLING[name] for name in pyramids if name in _RESAMPLING), None)


def schedule_names(side: str, kind: str | None, number: int = 0) -> tuple[str, ...]:
    """Give the names of a pyramid's schedule that elastix reads; the last that is there counts.

    Args:
        side: "Fixed" or "Moving".
        kind: "Generic", where the names of rescaling count too; or another.
        number: Number of the pyramid, in maps of several images.
    """
    if kind == "Generic":
        return (
            "ImagePyramidRescaleSchedule",
            "ImagePyramidSchedule",
            f"{side}ImagePyramidRescaleSchedule",
            f"{side}ImagePyramidSchedule",
        )
    return (
        "ImagePyramidSchedule",
        f"{side}ImagePyramidSchedule",
        f"{side}ImagePyramid{number}Schedule",
    )


def fitted(parameters: ParameterMap, number_of_levels: int, image_dimension: int) -> ParameterMap:
    """Give a map schedules for its number of levels: of pyramids ones, where it has none that fit.

    Smoothing of other levels is kept for the finest ones, and that of the coarsest one repeated.

    Args:
        parameters: The map; changed and returned.
        number_of_levels: As ``NumberOfResolutions`` says.
        image_dimension: 2 or 3.
    """
    count = number_of_levels * image_dimension
    names: set[str] = set()
    needed: set[str] = set()
    for side in ("Fixed", "Moving"):
        kind = resampling_pyramid(parameters, side)
        of_side = schedule_names(side, kind)
        names.update(of_side)
        if not any(len(parameters.get(name, ())) == count for name in of_side):
            needed.add(
                "ImagePyramidRescaleSchedule" if kind == "Generic" else "ImagePyramidSchedule"
            )
    for name in names & set(parameters):
        if len(parameters[name]) != count:
            del parameters[name]
    for name in sorted(needed):
        parameters[name] = ["1"] * count
    for side in ("", "Fixed", "Moving"):
        name = f"{side}ImagePyramidSmoothingSchedule"
        sigmas = parameters.get(name)
        if sigmas is not None and len(sigmas) != count:
            # The finest levels keep theirs.
            coarsest = sigmas[:image_dimension] * number_of_levels
            parameters[name] = (coarsest + sigmas)[-count:]
    schedule = parameters.get("GridSpacingSchedule")
    if schedule is not None and len(schedule) not in (number_of_levels, count):
        parameters["GridSpacingSchedule"] = grid_spacing_schedule(number_of_levels)
    return parameters
