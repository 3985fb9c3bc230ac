"""What must hold of images and masks before a registration begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

_LARGEST = float(np.finfo(np.float32).max)

Points: TypeAlias = NDArray[np.float64]
Mapping: TypeAlias = Callable[[Points], Points]


def check_image(image: sitk.Image, name: str) -> None:
    """Check that an image is one that can be registered.

    Raises:
        ValueError: It has several channels, another number of dimensions than 2 or 3, values or a
            place that are not finite, or one value throughout.
    """
    import SimpleITK as sitk

    check_grey(image, name)
    if image.GetDimension() not in (2, 3):
        several = ". SimpleITK's image[:, :, :, 0] is the first volume of a series of times"
        message = (
            f"{name} has {image.GetDimension()} dimensions (size {image.GetSize()}), expected 2 or "
            f"3{several if image.GetDimension() == 4 else ''}"
        )
        raise InputError(message)
    check_filled(image, name)
    if 1 in image.GetSize():
        message = (
            f"{name} has a single voxel along an axis: its size is {image.GetSize()}. A slice is "
            "registered as a 2D image: image[:, :, 0] of SimpleITK leaves out the third axis"
        )
        if image.HasMetaDataKey("0020|000e"):
            message += ". This one is a file of a DICOM series: the volume is the folder of them"
        raise InputError(message)
    check_place(image, name)
    voxels: NDArray[Any] = sitk.GetArrayViewFromImage(image)
    low, high = voxels.min(), voxels.max()
    if max(abs(float(low)), abs(float(high))) > _LARGEST and np.isfinite([low, high]).all():
        message = (
            f"{name} has values from {low:g} to {high:g}, and elastix computes in single "
            f"precision, which ends at {_LARGEST:g}. Divide them by a number first"
        )
        raise InputError(message)
    if not (np.isfinite(low) and np.isfinite(high)):  # both are NaN where any value is
        number = int(np.count_nonzero(~np.isfinite(voxels)))
        message = (
            f"{name} has {number} values that are NaN or infinite. Give them a value first, for "
            "instance with numpy.nan_to_num"
        )
        raise InputError(message)
    if low == high:
        message = f"{name} is constant: every voxel is {low}. There is nothing in it to align"
        raise InputError(message)


def check_filled(image: sitk.Image, name: str) -> None:
    """Check that an image has voxels.

    Raises:
        ValueError: It has none.
    """
    if 0 in image.GetSize():
        message = f"{name} is empty: its size is {image.GetSize()} voxels"
        raise InputError(message)


def check_real(image: sitk.Image, name: str) -> None:
    """Check that an image has a number, or several, at each voxel.

    Raises:
        ValueError: It has complex values, or is a list of labels (SimpleITK's LabelMap).
    """
    kind = image.GetPixelIDTypeAsString()
    if kind.startswith("label of"):
        message = (
            f"{name} is a LabelMap of SimpleITK, expected an image: "
            "SimpleITK.LabelMapToLabel(image) gives that of its labels"
        )
        raise InputError(message)
    if kind.startswith("complex"):
        message = (
            f"{name} has complex values, expected real ones: SimpleITK.ComplexToModulus(image) "
            "gives their magnitudes"
        )
        raise InputError(message)


def check_grey(image: sitk.Image, name: str) -> None:
    """Check that an image has one number at each voxel.

    Raises:
        ValueError: It has several channels, or as :func:`check_real`.
    """
    check_real(image, name)
    if image.GetNumberOfComponentsPerPixel() != 1:
        message = (
            f"{name} has {image.GetNumberOfComponentsPerPixel()} channels, expected a grey image "
            "of one: give one of its channels, as an image of its own"
        )
        raise InputError(message)
    if "vector" in image.GetPixelIDTypeAsString():
        message = (
            f"{name} is an image of vectors of one component, expected one of numbers: "
            "SimpleITK.VectorIndexSelectionCast(image, 0) gives it"
        )
        raise InputError(message)


def check_place(image: sitk.Image | sitk.ImageFileReader | Geometry, name: str) -> None:
    """Check that an image, or a grid, lies somewhere, with its voxels in different places.

    Raises:
        ValueError: Its origin, spacing or direction is not finite, its spacing not above 0, its
            axes are not at right angles, or it is so far away that numbers cannot tell its voxels
            apart.
    """
    grid = image if isinstance(image, Geometry) else Geometry.of(image)
    for what, values in (
        ("origin", grid.origin),
        ("spacing", grid.spacing),
        ("direction", grid.direction),
    ):
        if not np.isfinite(values).all():
            message = f"{name}: {what} {list(values)}, expected finite numbers"
            raise InputError(message)
    if min(grid.spacing) <= 0:
        message = f"{name}: spacing {list(grid.spacing)}, expected numbers above 0, in mm"
        raise InputError(message)
    direction = grid.axes
    if not np.allclose(direction.T @ direction, np.eye(len(direction)), atol=1e-3):
        message = (
            f"{name}: its axes are not at right angles and of length 1 (direction cosines "
            f"{direction.tolist()}). Resample it onto a grid without shear first"
        )
        if len(direction) == 2:
            message += (
                ", or, if it is a slice in another plane than that of x and y, give it in the "
                "frame of its plane, as impact_plugin.ImageArray(array, spacing)"
            )
        raise InputError(message)
    spacing = np.asarray(grid.spacing)
    farthest = np.abs(grid.origin) + spacing * grid.size
    if (farthest * np.finfo(float).eps > 1e-3 * spacing).any():
        message = (
            f"{name} lies too far from the origin of space for its voxels to be told apart: origin "
            f"{list(grid.origin)} mm, spacing {list(grid.spacing)} mm. Correct its "
            "header"
        )
        raise InputError(message)


def check_pair(fixed: Geometry, moving: Geometry) -> None:
    """Check that two images have the same number of dimensions.

    Raises:
        ValueError: They have not.
    """
    if fixed.dimension != moving.dimension:
        message = (
            f"the fixed image has {fixed.dimension} dimensions (size {fixed.size}) and the moving "
            f"image {moving.dimension} (size {moving.size}), expected the same number. A single "
            "slice is a 2D image only without its third axis"
        )
        raise InputError(message)


def check_overlap(fixed: Geometry, moving: Geometry, transform: Mapping, initially: str) -> None:
    """Check that some of the fixed image lies in the moving image.

    What a transform that deforms does to the fixed image is judged by points spread over it, and by
    the affine transform that is nearest to it at these.

    Args:
        fixed: Grid of the fixed image.
        moving: Grid of the moving image.
        transform: The initial transform, of points (N, d) of the fixed image, mm.
        initially: How messages name that transform, with a preposition.

    Raises:
        ValueError: None of the fixed image does. The message has the place of both.
    """
    points = fixed.points(24)
    mapped = transform(points)
    if not (moving.contains(mapped).any() or moving.meets(fixed.moved(points, mapped))):
        message = (
            f"the images do not overlap {initially}: the fixed image fills "
            f"{fixed.describe_extent()} mm (x, y, z in LPS), the moving image "
            f'{moving.describe_extent()} mm. Try initial_transform="search", which finds one '
            'in the other, or "center", which puts their centres on each other, or '
            "correct the origins of the images"
        )
        raise InputError(message)


def check_fits(value: float, image: sitk.Image, name: str) -> None:
    """Check that an image's pixel type can hold a value as it is.

    Args:
        value: The value.
        image: The image.
        name: What messages call the value.

    Raises:
        ValueError: It cannot. The message names the type and its range.
    """
    import SimpleITK as sitk

    kind = sitk.GetArrayViewFromImage(image).dtype
    if kind.kind in "iu":
        low: float = np.iinfo(kind).min  # exactly: doubles end at 2**53
        high: float = np.iinfo(kind).max
        numbers = "whole numbers"
        fits = low <= value <= high and value == int(value)
    else:
        low, high, numbers = float(np.finfo(kind).min), float(np.finfo(kind).max), "numbers"
        fits = not np.isfinite(value) or low <= value <= high
    if not fits:
        message = (
            f"{name} is {value:g}, and the image's pixels ({image.GetPixelIDTypeAsString()}) hold "
            f"{numbers} from {low:g} to {high:g}"
        )
        raise InputError(message)


def check_grid(mask: Geometry, image: Geometry, name: str, of: str) -> None:
    """Check that a mask lies on its image's grid.

    Args:
        mask: Its grid.
        image: Grid of the image that it belongs to.
        name: What messages call the mask.
        of: What messages call the image.

    Raises:
        ValueError: It does not.
    """
    if difference := image.difference(mask):
        message = (
            f"{name} does not lie on the grid of {of}: {difference}. Resample it onto that grid, "
            "with nearest-neighbour interpolation"
        )
        raise InputError(message)


def check_mask(mask: sitk.Image, image: Geometry, name: str, of: str) -> sitk.Image:
    """Check a mask and give it as bytes, 1 where it was not 0.

    Args:
        mask: Mask of any pixel type.
        image: Grid of the image that it belongs to.
        name: What messages call the mask.
        of: What messages call the image.

    Raises:
        ValueError: It has several channels or is no image of numbers, its grid is another than the
            image's, or no voxel of it is set.
    """
    import SimpleITK as sitk

    check_grey(mask, name)
    check_grid(Geometry.of(mask), image, name, of)
    voxels = sitk.GetArrayViewFromImage(mask)
    if voxels.dtype.kind == "f" and np.isnan(voxels).any():
        message = f"{name} has values that are NaN"
        raise InputError(message)
    if not voxels.any():
        message = f"{name} is empty: no voxel of it is different from 0"
        raise InputError(message)
    binary = sitk.GetImageFromArray((voxels != 0).astype(np.uint8))
    binary.CopyInformation(mask)
    return binary
