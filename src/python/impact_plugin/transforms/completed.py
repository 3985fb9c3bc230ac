"""Transform parameter maps of older versions of elastix, with what the newer ones write."""

from __future__ import annotations

import numpy as np

from impact_plugin._errors import InputError
from impact_plugin.parameters.values import ParameterMap, as_integer, as_number
from impact_plugin.transforms.fixed_grid import grid_of

_CENTRED = ("EulerTransform", "SimilarityTransform", "AffineTransform", "AffineLogTransform")


def completed(parameters: ParameterMap, source: str) -> ParameterMap:
    """Give a transform parameter map with all that elastix needs.

    Versions before 3.402 wrote the centre of rotation in voxels of the fixed image.

    Args:
        parameters: The map.
        source: What messages call it: the file.

    Raises:
        ValueError: It has no centre of rotation, or not as many numbers as it says; elastix refuses
            both.
    """
    _check_count(parameters, source)
    name = parameters["Transform"][0]
    known = ("CenterOfRotationPoint", "ITKTransformParameters", "ITKTransformFixedParameters")
    if name not in _CENTRED or any(parameters.get(each) for each in known):
        return parameters
    if not parameters.get("CenterOfRotation"):
        message = (
            f"{source}: the {name} has no centre of rotation, and elastix refuses such a file: add "
            "(CenterOfRotationPoint ...), its place in mm"
        )
        raise InputError(message)
    grid = grid_of(parameters, source)
    axes = grid.axes
    if parameters.get("UseDirectionCosines") == ["false"]:
        axes = np.eye(grid.dimension)
    index = [float(value) for value in parameters["CenterOfRotation"]]
    origin = [float(value) for value in parameters.get("Origin", ["0"] * grid.dimension)]
    place = origin + axes @ np.multiply(grid.spacing, index)
    return parameters | {"CenterOfRotationPoint": [repr(each) for each in place.tolist()]}


def _check_count(parameters: ParameterMap, source: str) -> None:
    values = parameters.get("TransformParameters")
    if values is None or parameters.get("UseBinaryFormatForTransformationParameters") == ["true"]:
        return
    said = parameters.get("NumberOfParameters", [str(len(values))])[0]
    if as_integer(said) != len(values):
        message = (
            f"{source}: (NumberOfParameters {said}), and TransformParameters has {len(values)}. "
            "Is a part of the file missing?"
        )
        raise InputError(message)
    for value in values:
        if as_number(value) is None:
            message = f"{source}: TransformParameters has {value!r}, expected a number"
            raise InputError(message)
