"""ITK's transform files: those that elastix's transform parameter files name, and those we write.

With ``(ITKTransformOutputFileNameExtension "h5")`` elastix puts a transform's numbers into such a
file, and ``(Transform "File")`` with its path into the transform parameter file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.images.errors import reason_of
from impact_plugin.parameters.values import ParameterMap, as_map

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.transforms.chain import Chain

FORMATS = ("h5", "hdf", "hdf5", "he5", "tfm", "mat")
"""Endings of ITK's transform files; ``.txt`` is one, too, but is what elastix calls its own."""

FILE = "TransformFileName"
_OF_ELASTIX = {
    "Euler2DTransform": "EulerTransform",
    "Euler3DTransform": "EulerTransform",
    "Similarity2DTransform": "SimilarityTransform",
    "Similarity3DTransform": "SimilarityTransform",
    "AffineTransform": "AffineTransform",
}


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
    from impact_plugin.transforms import to_elastix

    single = _single(path)
    kind = _OF_ELASTIX.get(single.GetName())
    if kind is None:
        own = to_elastix.own_parameters(single, chain)
    else:
        own = to_elastix.with_parameters(kind, single.GetParameters())
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
        raise FileNotFoundError(message)
    transform = read(path)
    if isinstance(transform, sitk.CompositeTransform):
        if transform.GetNumberOfTransforms() != 1:
            message = f"{path} has {transform.GetNumberOfTransforms()} transforms, expected one"
            raise ValueError(message)
        transform = transform.GetNthTransform(0).Downcast()
    return transform


def read(path: Path) -> sitk.Transform:
    """Read a transform file of ITK.

    Raises:
        OSError: ITK does not read it.
    """
    import SimpleITK as sitk

    try:
        return sitk.ReadTransform(str(path)).Downcast()
    except RuntimeError as error:
        message = f"{path} cannot be read as a transform: {reason_of(error)}"
        raise OSError(message) from error


def write(transform: sitk.Transform, path: Path) -> None:
    """Write a transform to a file of ITK, and see that all of it was written.

    Raises:
        OSError: It cannot be written, as where the disk is full.
    """
    import SimpleITK as sitk

    try:
        sitk.WriteTransform(transform, str(path))
        sitk.ReadTransform(str(path))  # the writer does not see whether all of it went to the disk
    except RuntimeError as error:
        message = f"{path} cannot be written. Is the disk full?"
        raise OSError(message) from error
