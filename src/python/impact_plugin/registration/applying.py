"""Transforms applied to images, labels and points, without the registration they are from."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from impact_plugin._arguments import check_flag, check_integer, check_number
from impact_plugin._errors import InputError
from impact_plugin._io import expanded
from impact_plugin._numbers import plain_arguments
from impact_plugin.evaluation.points import FILES, Points, PointsLike, as_points, numbers_of
from impact_plugin.images import conversion, validation
from impact_plugin.images.axes import Axes, check_axes, turned
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.registration.known_transform import KnownTransform, TransformLike
from impact_plugin.transforms.inverse import InverseWarning
from impact_plugin.transforms.resampling import Interpolation, order_named

if TYPE_CHECKING:
    import SimpleITK as sitk


@plain_arguments
def apply_transform(
    transform: TransformLike,
    data: ImageLike | PointsLike,
    *,
    reference: ImageLike | None = None,
    labels: bool = False,
    interpolation: Interpolation | None = None,
    default_pixel_value: float | None = None,
    axes: Axes = "LPS",
    inverse: bool = False,
    moving_image: ImageLike | None = None,
    threads: int | None = None,
) -> Any:  # noqa: ANN401  (the kind of what was given)
    """Apply a transform of elastix, of ITK or of a registration to an image, labels or points.

    A registration's transform T maps points of the fixed image to points of the moving image, in mm
    in LPS; elastix's files and ITK's say it so, too. Hence:

    ===============  ===================================  ====================================
    Data             ``inverse=False``                    ``inverse=True``
    ===============  ===================================  ====================================
    points p         of the fixed image, to T(p), in the  of the moving image, to the q in the
                     moving image                         fixed image with T(q) = p
    images, labels   of the moving image, to the fixed    of the fixed image, to the moving
                     image's grid: the voxel at x gets    image's grid: the voxel at y gets the
                     the value at T(x)                    value at the q with T(q) = y
    ===============  ===================================  ====================================

    So points that were marked in the moving image need ``inverse=True``.

    Args:
        transform: A path: of elastix's transform parameter file (``TransformParameters.0.txt``,
            ``.toml``) with all the initial transforms that it builds on; of a transform file of ITK
            (``.tfm``, ``.txt``, ``.h5``, ``.mat``), compositions among them; of an image of
            displacements, mm in LPS, on the fixed image's grid (``.mha``, ``.nii.gz``, ...); or of
            a folder that :func:`register_images`, ``result.save`` or elastix wrote. Or a result, a
            transform of SimpleITK or itk, a displacement field as a SimpleITK image, or the list of
            a result's ``elastix_parameters``.
        data: An image or label map as in :func:`register_images`: a path, an image of SimpleITK,
            itk, nibabel, MONAI or TorchIO, or :class:`ImageArray`. Or points: positions, shape
            (N, 3) or (N, 2), mm, (x, y, z) in ``axes``; a file of landmarks
            (``.txt``, ``.csv``, ``.tsv``, ``.fcsv``, ``.mrk.json``, see
            :func:`impact_plugin.evaluation.read_points`); or what that function gives.
        reference: Image whose grid the result gets; by default the fixed image's grid, where the
            transform knows it: elastix's files, saved registrations and displacement fields do.
            ``inverse=True`` needs one, the moving image. Voxel indices in a file of points are of
            this image. Positions of points have no other use for it.
        labels: Whether the image's values are labels: the nearest voxel's is taken, exactly.
        interpolation: ``"linear"``, ``"nearest"``, ``"bspline"``, the cubic one; or the order of a
            B-spline, 0 to 5. By default ``"nearest"`` for labels; else as the registration
            interpolated (``result.warp`` gives the same), or elastix's file says, and
            ``"linear"`` for transforms of ITK.
        default_pixel_value: Value outside the image; by default that of elastix's file or of the
            registration, for labels and other transforms 0.
        axes: Frame of positions given and returned, and of files of points that do not say theirs:
            ``"LPS"`` (ITK, DICOM) or ``"RAS"`` (nibabel, NIfTI).
        inverse: Whether to go the other way: see above. Linear transforms are inverted exactly,
            deformations solved for.
        moving_image: The moving image, for a transform that elastix found with
            (UseDirectionCosines "false"), which holds for that image alone.
        threads: For images; by default all processors.

    Returns:
        Of an image, one of its kind (SimpleITK for a path), with its pixel type. Of positions, an
        array of doubles of their shape, in ``axes``. Of a file of points or
        :class:`impact_plugin.evaluation.Points`, points with the same names, in LPS, of which
        ``.coordinates("RAS")`` gives those in RAS.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The transform is of no known kind, or of another dimension than the data; no
            reference was given where one is needed; an argument is none of those allowed; or as in
            :func:`register_images` for images.
        TypeError: The transform or the data are of another kind.
        RegistrationError: transformix failed, which applies what SimpleITK has no transform for.

    Warns:
        InverseWarning: With ``inverse=True``: at some places the inverse is not near, as where the
            transform folds.

    Example:
        >>> import SimpleITK as sitk
        >>> shift = sitk.TranslationTransform(3, [1.0, 2.0, 3.0])
        >>> apply_transform(shift, [[10, 10, 10]]).tolist()
        [[11.0, 12.0, 13.0]]
        >>> apply_transform(shift, [[10, 10, 10]], axes="RAS", inverse=True).tolist()
        [[11.0, 12.0, 7.0]]
    """
    check_axes(axes)
    check_flag("labels", labels)
    check_flag("inverse", inverse)
    check_number("default_pixel_value", default_pixel_value)
    check_integer("threads", threads, 1)
    order = 0 if labels else None
    if interpolation is not None:
        order = order_named(interpolation, labels)
    moving = None if moving_image is None else conversion.to_sitk(moving_image, "moving_image")
    known = KnownTransform.read(transform, None if moving is None else Geometry.of(moving))
    grid = None if reference is None else grid_of(reference, known.dimension)
    if are_points(data):
        if labels or interpolation is not None or default_pixel_value is not None:
            message = (
                "data are points, which have no labels, interpolation or default_pixel_value: "
                "leave these out"
            )
            raise InputError(message)
        points = as_points(data, known.dimension, "data", grid or known.grid, axes)
        if inverse:
            mapped, left = known.map_back(points.positions)
            _warn(left)
        else:
            mapped = known.map_points(points.positions)
        if isinstance(data, str | os.PathLike | Points):
            return replace(points, positions=mapped)
        return turned(mapped, axes)
    if axes != "LPS":
        message = (
            f"axes is {axes!r}, and data is an image, which says itself where it lies: axes is for "
            "points alone"
        )
        raise InputError(message)
    image = _image(data, known.dimension)
    if default_pixel_value is None:
        default_pixel_value = 0.0 if labels else known.value_outside(image)
    validation.check_fits(default_pixel_value, image, "default_pixel_value")
    order = known.order if order is None else order
    grid = grid or _own_grid(known, inverse)
    if inverse:
        known, left = known.inverted(grid)
        _warn(left)
    warped = known.warp(image, grid, order, default_pixel_value, threads)
    return conversion.like(warped, data)


def are_points(data: ImageLike | PointsLike) -> bool:
    """Tell whether data are points, and not an image.

    Paths are by their ending; arrays and nested lists are where their shape is (N, 2) or (N, 3).

    Raises:
        ValueError: They are an array of another shape, which is neither.
    """
    if isinstance(data, str | os.PathLike):
        path = expanded(data, "data")
        return path.suffix.lower() in FILES and not path.is_dir()
    if isinstance(data, Points):
        return True
    is_tensor = type(data).__module__ == "torch"
    if not isinstance(data, np.ndarray | list | tuple) and not is_tensor:
        return False
    shape = numbers_of("data", data, "(N, 2) or (N, 3)").shape
    if len(shape) != 2 or shape[1] not in (2, 3):
        message = (
            f"data is an array of shape {shape}: points are (N, 2) or (N, 3), and an image is to "
            "say where its voxels lie: impact_plugin.ImageArray(array, spacing, origin, direction)"
        )
        raise InputError(message)
    return True


def _image(data: ImageLike, dimension: int) -> sitk.Image:
    image = conversion.to_sitk(data, "data")
    validation.check_real(image, "data")
    validation.check_filled(image, "data")
    validation.check_place(image, "data")
    if image.GetDimension() != dimension:
        message = f"data has {image.GetDimension()} dimensions, and the transform has {dimension}"
        raise InputError(message)
    return image


def _warn(left: str) -> None:
    if left:
        warnings.warn(left, InverseWarning, stacklevel=4)


def grid_of(reference: ImageLike, dimension: int) -> Geometry:
    """Give the grid of a reference image.

    Raises:
        FileNotFoundError, ValueError, TypeError: As in :func:`register_images` for images, or its
            dimension is another.
    """
    image = conversion.to_sitk(reference, "reference")
    validation.check_place(image, "reference")
    if image.GetDimension() != dimension:
        message = (
            f"reference has {image.GetDimension()} dimensions, and the transform has {dimension}"
        )
        raise InputError(message)
    return Geometry.of(image)


def _own_grid(known: KnownTransform, inverse: bool) -> Geometry:
    if inverse:
        message = (
            "the inverse puts an image of the fixed frame on the moving image's grid, which no "
            "transform knows: give the moving image as reference"
        )
        raise InputError(message)
    if known.grid is None:
        message = (
            "this transform alone does not say on which grid the result is to lie: give the fixed "
            "image, or another one that lies as it does, as reference"
        )
        if known.no_grid:
            message += f". {known.no_grid}"
        raise InputError(message)
    return known.grid
