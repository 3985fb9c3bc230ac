"""Transforms of elastix whose numbers are in a file of ITK.

With ``(ITKTransformOutputFileNameExtension "h5")`` elastix puts a transform's numbers into such a
file, and ``(Transform "File")`` with its path into the transform parameter file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin.parameters.values import ParameterMap, as_map
from impact_plugin.transforms import itk_files, itk_parameters

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.transforms.chain import Chain

FORMATS = ("h5", "hdf", "hdf5", "he5", "tfm", "mat", "itk.txt")
"""Endings of ITK's transform files. ``txt`` alone is what elastix calls its own."""

FILE = "TransformFileName"
_OF_ELASTIX = {
    "Euler2DTransform": "EulerTransform",
    "Euler3DTransform": "EulerTransform",
    "Similarity2DTransform": "SimilarityTransform",
    "Similarity3DTransform": "SimilarityTransform",
    "AffineTransform": "AffineTransform",
}


_ENDING = re.compile(r"(?:[\w-]+\.)*(?:h5|hdf|hdf5|he5|tfm|mat)|(?!R\d)(?:[\w-]+\.)+txt")


def is_format(ending: str) -> bool:
    """Tell whether an ending, without its dot, is one of :data:`FORMATS`, or as good as one.

    ITK goes by what follows the last dot. ``TransformParameters.0.R1.txt`` is a name of elastix's.
    """
    return _ENDING.fullmatch(ending) is not None


def names_file(parameters: ParameterMap) -> bool:
    """Tell whether a transform's numbers are in a file of ITK."""
    return parameters["Transform"] == ["File"]


def inlined(parameters: ParameterMap, path: Path, chain: Chain) -> ParameterMap:
    """Give a transform parameter map that has the numbers of the file which it names.

    Args:
        parameters: The map, with ``(Transform "File")``.
        path: The file.
        chain: What a displacement field is put into.

    Raises:
        OSError: The file is not there, or ITK does not read it.
        ValueError: It has several transforms, or one that elastix has not.
    """
    single = _single(path)
    kind = _OF_ELASTIX.get(single.GetName())
    if kind is None:
        own = itk_parameters.parameters_of(single, chain.fields, str(path))
    else:
        own = itk_parameters.with_parameters(kind, single.GetParameters())
        own["CenterOfRotationPoint"] = list(single.GetCenter())
        if single.GetName() == "Euler3DTransform":
            own["ComputeZYX"] = bool(single.GetComputeZYX())
    left_out = ("Transform", "NumberOfParameters", FILE)
    rest = {name: values for name, values in parameters.items() if name not in left_out}
    return {**as_map(own), **rest}


def _single(path: Path) -> sitk.Transform:
    import SimpleITK as sitk

    if not path.is_file():
        message = (
            f"there is no file {str(path)!r}, in which the numbers of a transform of elastix are: "
            "keep it beside the transform parameter file that names it"
        )
        raise MissingFileError(message)
    transform = itk_files.read(path, "the transform")
    if isinstance(transform, sitk.CompositeTransform):
        if transform.GetNumberOfTransforms() != 1:
            message = f"{path} has {transform.GetNumberOfTransforms()} transforms, expected one"
            raise InputError(message)
        transform = itk_parameters.nth(transform, 0)
    return transform
