"""Parameter maps for small registrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ParameterMap = dict[str, list[str]]
Value = str | float | Iterable[str | float]


def parameter_map(dimension: int, **parameters: Value) -> ParameterMap:
    """Make a map without a metric: a translation, one level, all other costs kept low.

    Args:
        dimension: Of the images.
        parameters: Further parameters, and others in the place of those here.
    """
    values: dict[str, Value] = {
        "Registration": "MultiResolutionRegistration",
        "FixedImagePyramid": "FixedGenericImagePyramid",
        "MovingImagePyramid": "MovingGenericImagePyramid",
        "Interpolator": "LinearInterpolator",
        "ResampleInterpolator": "FinalLinearInterpolator",
        "Resampler": "DefaultResampler",
        "Optimizer": "AdaptiveStochasticGradientDescent",
        "Transform": "TranslationTransform",
        "FixedInternalImagePixelType": "float",
        "MovingInternalImagePixelType": "float",
        "FixedImageDimension": dimension,
        "MovingImageDimension": dimension,
        "AutomaticTransformInitialization": "false",
        "AutomaticParameterEstimation": "true",
        "NumberOfGradientMeasurements": 4,
        "NumberOfJacobianMeasurements": 500,
        "NumberOfSamplesForExactGradient": 500,
        "MaximumNumberOfIterations": 60,
        "ImageSampler": "RandomCoordinate",
        "NumberOfSpatialSamples": 300,
        "NewSamplesEveryIteration": "true",
        "RandomSeed": 7,
        "WriteResultImage": "false",
        "WriteIterationInfo": "false",
        "NumberOfResolutions": 1,
        **parameters,
    }
    levels = int(str(values["NumberOfResolutions"]))
    values.setdefault("ImagePyramidSchedule", [1] * dimension * levels)
    return to_map(values)


def to_map(values: Mapping[str, Value]) -> ParameterMap:
    """Write every value as elastix has it: a list of texts."""
    return {name: _texts(value) for name, value in values.items()}


def as_text(parameters: ParameterMap) -> str:
    """Give the text of a parameter file."""

    def quoted(value: str) -> str:
        try:
            float(value)
        except ValueError:
            return f'"{value}"'
        return value

    return "".join(
        f"({name} {' '.join(map(quoted, values))})\n" for name, values in parameters.items()
    )


def _texts(value: Value) -> list[str]:
    values = [value] if isinstance(value, str | int | float) else value
    return [str(entry) for entry in values]
