"""Parameter maps for small registrations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import impact_plugin

FOLDER = Path(impact_plugin.__file__).parent / "parameter_maps"
"""The maps of the wheel."""

ParameterMap = dict[str, list[str]]
Value = str | float | Iterable[str | float]

_VALUE = re.compile(r'"[^"]*"|[^\s")]+')
_LINE = re.compile(
    rf"\s*(?:\((?P<name>\w+)(?P<values>(?:\s+(?:{_VALUE.pattern}))+)\s*\))?\s*(?://.*)?"
)


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


def read(path: Path) -> ParameterMap:
    """Read a parameter file.

    Raises:
        ValueError: A line is neither a parameter nor a comment, or a parameter stands there twice.
    """
    values: ParameterMap = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        found = _LINE.fullmatch(line)
        if not found or found["name"] in values:
            message = f"{path}:{number}: expected another parameter or a comment, got {line!r}"
            raise ValueError(message)
        if found["name"]:
            values[found["name"]] = [text.strip('"') for text in _VALUE.findall(found["values"])]
    return values


def _texts(value: Value) -> list[str]:
    values = [value] if isinstance(value, str | int | float) else value
    return [str(entry) for entry in values]
