"""Images of other libraries, to SimpleITK and back.

Libraries are recognised by the modules of their classes: none is imported before an image of it is
there. nibabel, MONAI and TorchIO place voxels in RAS (x to the right, y to the front), ITK in LPS;
their arrays have the axes (x, y, z), numpy arrays of ITK images (z, y, x).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from impact_plugin._errors import InputError
from impact_plugin.images import ras, reading
from impact_plugin.images.array import ImageArray
from impact_plugin.images.building import build, numpy_of
from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

ImageLike: TypeAlias = Any
"""A path, or an image of SimpleITK, itk, nibabel, MONAI or TorchIO, or an ImageArray."""


def to_sitk(image: ImageLike, name: str = "image") -> sitk.Image:
    """Give any image as a SimpleITK image, with its own pixel type where ITK has it.

    Args:
        image: Path of a file that ITK reads, of a folder with one DICOM series, or of one of
            several, ``folder/SeriesInstanceUID``; ``SimpleITK.Image``, ``itk.Image``, nibabel
            image, MONAI ``MetaTensor`` or TorchIO image (one channel), or :class:`ImageArray`.
        name: What messages call it.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: The file is no image that ITK reads, an image of nibabel, MONAI or TorchIO has
            several channels, or axes are not at right angles; a DICOM folder has several series, or
            one that is not one evenly spaced volume.
        TypeError: It is none of these kinds; numpy arrays and torch tensors lack the geometry.

    Warns:
        FrameWarning: The header of a NIfTI file says two things of where it lies.
    """
    import SimpleITK as sitk

    if isinstance(image, str | os.PathLike):
        return reading.read(image, name)
    if isinstance(image, sitk.Image):
        return image
    if isinstance(image, ImageArray):
        return _from_array(image, name)
    library = kind_of(image)
    if library == "itk":
        return _from_itk(image, name)
    if library:
        return ras.to_sitk(image, library, name)
    message = (
        f"{name} is a {type(image).__module__}.{type(image).__qualname__}, expected a path, an "
        "image of SimpleITK, itk, nibabel, MONAI (MetaTensor) or TorchIO, or "
        "impact_plugin.ImageArray(array, spacing, origin, direction), which tells where the voxels "
        "of a numpy array lie"
    )
    raise TypeError(message)


def kind_of(image: ImageLike) -> str:
    """Name the library that an image is of, by the modules of its classes; "" if none is known."""
    for cls in type(image).__mro__:
        library = cls.__module__.partition(".")[0]
        if library == "itk" and hasattr(image, "GetPixelContainer"):  # its LabelMap has none
            return "itk"
        if library == "nibabel" and hasattr(image, "dataobj"):
            return "nibabel"
        if library == "torchio" and hasattr(image, "affine"):
            return "torchio"
        if library == "monai" and hasattr(image, "affine"):
            return "monai"
    return ""


def like(image: sitk.Image, original: ImageLike) -> Any:  # noqa: ANN401  (as various as ImageLike)
    """Give a SimpleITK image as the kind that another image is of; SimpleITK for a path."""
    import SimpleITK as sitk

    axes = Geometry.of(image).axes
    if isinstance(original, ImageArray):
        return ImageArray(
            sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), axes
        )
    library = kind_of(original)
    if library == "itk":
        import itk

        converted = itk.image_from_array(sitk.GetArrayFromImage(image))
        converted.SetSpacing(image.GetSpacing())
        converted.SetOrigin(image.GetOrigin())
        converted.SetDirection(axes)
        return converted
    return ras.like(image, original, library) if library else image


def _from_array(image: ImageArray, name: str) -> sitk.Image:
    array = numpy_of(image.array)
    dimension = array.ndim
    if dimension not in (2, 3):
        message = f"{name} has an array of shape {array.shape}, expected (z, y, x) or (y, x)"
        raise InputError(message)
    spacing = np.ones(dimension) if image.spacing is None else np.asarray(image.spacing, float)
    origin = np.zeros(dimension) if image.origin is None else np.asarray(image.origin, float)
    direction = np.eye(dimension) if image.direction is None else np.asarray(image.direction, float)
    for what, got, shape in (
        ("spacing", spacing, (dimension,)),
        ("origin", origin, (dimension,)),
        ("direction", direction, (dimension, dimension)),
    ):
        if got.shape != shape:
            message = f"{name}: {what} has the shape {got.shape}, expected {shape}"
            raise InputError(message)
    return build(array, spacing, origin, direction, name)


def _from_itk(image: ImageLike, name: str) -> sitk.Image:
    import itk

    return build(
        np.array(itk.array_view_from_image(image)),
        np.asarray(image.GetSpacing(), float),
        # The region may begin elsewhere than at index 0.
        np.asarray(
            image.TransformIndexToPhysicalPoint(image.GetLargestPossibleRegion().GetIndex()), float
        ),
        np.asarray(itk.array_from_matrix(image.GetDirection()), float),
        name,
        several=image.GetNumberOfComponentsPerPixel() > 1,
    )
