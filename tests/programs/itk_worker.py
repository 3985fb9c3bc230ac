"""The other end of helpers/itk_process.py: does with the stock itk what it is told.

    python itk_worker.py FILE_DESCRIPTOR

It imports itk and no more, and answers requests (name of a function here, arguments) with
(True, result) or (False, type of the exception, its text).
"""

from __future__ import annotations

import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray

Image = dict[str, Any]


def to_itk(image: Image, pixel_type: str = "float32") -> itk.Image:
    """Make an itk image of the fields of helpers.images: voxels, spacing, origin, direction."""
    result = itk.image_from_array(np.ascontiguousarray(image["voxels"].astype(pixel_type)))
    result.SetSpacing(image["spacing"])
    result.SetOrigin(image["origin"])
    result.SetDirection(itk.matrix_from_array(image["direction"]))
    return result


def to_parameter_object(maps: list[dict[str, list[str]]]) -> itk.ParameterObject:
    """Make elastix's own object of parameter maps."""
    parameter_object = itk.ParameterObject.New()
    for parameters in maps:
        parameter_object.AddParameterMap(parameters)
    return parameter_object


def register(
    fixed: Image,
    moving: Image,
    maps: list[dict[str, list[str]]],
    folder: str,
    masks: dict[str, Image],
    threads: int,
    initial: list[dict[str, list[str]]],
) -> list[dict[str, list[str]]]:
    """Register, with the log in ``folder``, and give the transform's parameter maps."""
    method = itk.ElastixRegistrationMethod.New(to_itk(fixed), to_itk(moving))
    method.SetParameterObject(to_parameter_object(maps))
    if "fixed" in masks:
        method.SetFixedMask(to_itk(masks["fixed"], "uint8"))
    if "moving" in masks:
        method.SetMovingMask(to_itk(masks["moving"], "uint8"))
    if initial:
        method.SetInitialTransformParameterObject(to_parameter_object(initial))
    method.SetNumberOfThreads(threads)
    method.SetOutputDirectory(folder)
    method.SetLogToFile(True)
    method.SetLogToConsole(False)
    method.UpdateLargestPossibleRegion()
    result = method.GetTransformParameterObject()
    return [
        {name: list(values) for name, values in result.GetParameterMap(i).items()}
        for i in range(result.GetNumberOfParameterMaps())
    ]


def transform_points(
    moving: Image, maps: list[dict[str, list[str]]], points: NDArray[np.float64]
) -> str:
    """Map points (N, dimension) and give the file in which transformix says where to."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.txt"
        rows = "\n".join(" ".join(map(repr, point)) for point in points.tolist())
        file.write_text(f"point\n{len(points)}\n{rows}\n")
        method = itk.TransformixFilter.New(to_itk(moving))
        method.SetTransformParameterObject(to_parameter_object(maps))
        method.SetFixedPointSetFileName(str(file))
        method.SetOutputDirectory(folder)
        method.UpdateLargestPossibleRegion()
        return (Path(folder) / "outputpoints.txt").read_text()


def execute(code: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401  (whatever the code makes)
    """Run code that leaves something in ``result``."""
    names = {"itk": itk, **arguments}
    exec(code, names)
    return names["result"]


FUNCTIONS = {function.__name__: function for function in (register, transform_points, execute)}


def main() -> None:
    """Answer until the other end closes."""
    with Connection(int(sys.argv[1])) as connection:
        while True:
            try:
                name, arguments = connection.recv()
            except EOFError:
                return
            try:
                connection.send((True, FUNCTIONS[name](**arguments)))
            except Exception as error:
                connection.send((False, type(error).__name__, str(error)))


if __name__ == "__main__":
    main()
