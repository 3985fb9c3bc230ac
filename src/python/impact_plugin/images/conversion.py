"""Images of other libraries, to SimpleITK and back.

Libraries are recognised by the modules of their classes: none is imported before an image of it is
there. nibabel, MONAI and TorchIO place voxels in RAS (x to the right, y to the front), ITK in LPS;
their arrays have the axes (x, y, z), numpy arrays of ITK images (z, y, x).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impact_plugin._files import expanded, read_image, utf8_name
from impact_plugin.images.array import ImageArray
from impact_plugin.images.errors import reason_of
from impact_plugin.images.reading import keeping_locale
from impact_plugin.images.whole import check_whole

if TYPE_CHECKING:
    import SimpleITK as sitk

ImageLike: TypeAlias = Any
"""A path, or an image of SimpleITK, itk, nibabel, MONAI or TorchIO, or an ImageArray."""


_LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def dimension_of(path: str | os.PathLike[str]) -> int | None:
    """Give the number of dimensions of an image file; None where it cannot be told."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(utf8_name(path))
    try:
        with keeping_locale():
            reader.ReadImageInformation()
    except RuntimeError:
        return 3 if Path(path).is_dir() else None  # a DICOM series
    return int(reader.GetDimension())


def to_sitk(image: ImageLike, name: str = "image") -> sitk.Image:
    """Give any image as a SimpleITK image, with its own pixel type where ITK has it.

    Args:
        image: Path of a file that ITK reads, or of a folder with one DICOM series;
            ``SimpleITK.Image``, ``itk.Image``, nibabel image, MONAI ``MetaTensor`` or TorchIO image
            (one channel), or :class:`ImageArray`.
        name: What messages call it.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: The file is no image that ITK reads, the image has several channels, or axes
            that are not at right angles.
        TypeError: It is none of these kinds; numpy arrays and torch tensors lack the geometry.
    """
    import SimpleITK as sitk

    if isinstance(image, str | os.PathLike):
        return _read(Path(image), name)
    if isinstance(image, sitk.Image):
        return image
    if isinstance(image, ImageArray):
        return _from_array(image, name)
    library = kind_of(image)
    if library == "itk":
        return _from_itk(image, name)
    if library == "nibabel":
        array = np.asanyarray(image.dataobj)
        # A 2D image in memory has two axes, as a file of one has; its affine is that of a volume.
        spatial = 2 if array.ndim == 2 else 3
        return _from_ras(array, np.asarray(image.affine), spatial, name)
    if library == "torchio":
        return _from_ras(_numpy(image.data), np.asarray(image.affine), None, name)
    if library == "monai":
        return _from_monai(image, name)
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

    if isinstance(original, ImageArray):
        dimension = image.GetDimension()
        return ImageArray(
            sitk.GetArrayFromImage(image),
            image.GetSpacing(),
            image.GetOrigin(),
            np.reshape(image.GetDirection(), (dimension, dimension)),
        )
    library = kind_of(original)
    if library == "itk":
        import itk

        converted = itk.image_from_array(sitk.GetArrayFromImage(image))
        converted.SetSpacing(image.GetSpacing())
        converted.SetOrigin(image.GetOrigin())
        dimension = image.GetDimension()
        converted.SetDirection(np.reshape(image.GetDirection(), (dimension, dimension)))
        return converted
    if library == "nibabel":
        array = sitk.GetArrayFromImage(image).T
        # nibabel takes 64-bit integers, which some programs do not read, only where it is told to.
        wide = {"dtype": array.dtype} if array.dtype in (np.int64, np.uint64) else {}
        return type(original)(array, ras_affine(image), **wide)
    if library == "torchio":
        array = np.ascontiguousarray(sitk.GetArrayFromImage(image).T)[None]
        return type(original)(
            tensor=array if array.ndim == 4 else array[..., None], affine=ras_affine(image)
        )
    if library == "monai":
        return _monai_like(image, original)
    return image


def ras_affine(image: sitk.Image) -> NDArray[np.float64]:
    """Give the matrix (4, 4) from voxel indices (x, y, z, 1) to places in RAS, mm."""
    dimension = image.GetDimension()
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (dimension, dimension))
    affine[:dimension, :dimension] = direction * image.GetSpacing()
    affine[:dimension, 3] = image.GetOrigin()
    ras: NDArray[np.float64] = _LPS_OF_RAS @ affine
    return ras


def _read(path: Path, name: str) -> sitk.Image:
    import SimpleITK as sitk

    path = expanded(path)
    if not path.exists():
        message = f"{name}: there is no file {str(path)!r} (in {Path.cwd()})"
        raise FileNotFoundError(message)
    try:
        if path.is_dir():
            files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(utf8_name(path))
            if not files:
                message = f"{name}: the folder {str(path)!r} holds no DICOM series"
                raise ValueError(message)
            return sitk.ReadImage([utf8_name(file) for file in files])
        check_whole(path, name)
        return read_image(path)
    except RuntimeError as error:
        message = f"{name}: {str(path)!r} cannot be read as an image: {reason_of(error)}"
        raise ValueError(message) from error


def _from_array(image: ImageArray, name: str) -> sitk.Image:
    array = _numpy(image.array)
    dimension = array.ndim
    if dimension not in (2, 3):
        message = f"{name} has an array of shape {array.shape}, expected (z, y, x) or (y, x)"
        raise ValueError(message)
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
            raise ValueError(message)
    return _make(array, spacing, origin, direction, name)


def _from_itk(image: ImageLike, name: str) -> sitk.Image:
    import itk

    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(_several_channels(name, image.GetNumberOfComponentsPerPixel()))
    return _make(
        np.array(itk.array_view_from_image(image)),
        np.asarray(image.GetSpacing(), float),
        # The region may begin elsewhere than at index 0.
        np.asarray(
            image.TransformIndexToPhysicalPoint(image.GetLargestPossibleRegion().GetIndex()), float
        ),
        np.asarray(itk.array_from_matrix(image.GetDirection()), float),
        name,
    )


def _from_monai(image: ImageLike, name: str) -> sitk.Image:
    affine = _numpy(image.affine).astype(float)
    if str(image.meta.get("space", "RAS")).rpartition(".")[2].upper() == "LPS":
        affine = _LPS_OF_RAS[: len(affine), : len(affine)] @ affine
    array = _numpy(image)
    # (1, X, Y, Z), as MONAI has it, or (X, Y, Z), as it is before EnsureChannelFirst; 2D likewise,
    # where the matrix may be that of a volume.
    solid = array.ndim >= 4 or (array.ndim == 3 and array.shape[0] > 1)
    spatial = 3 if len(affine) == 4 and solid else 2
    return _from_ras(array, affine, spatial, name)


def _from_ras(
    array: NDArray[Any], affine: NDArray[np.float64], spatial: int | None, name: str
) -> sitk.Image:
    """Make an image of an array (x, y, z), perhaps with a channel axis, and an affine in RAS.

    Args:
        array: Intensities.
        affine: Shape (d + 1, d + 1), from voxel indices to mm.
        spatial: How many axes of the array are spatial; None: all but the first, as in TorchIO,
            where a 2D image has one voxel along the third axis.
        name: For messages.
    """
    if spatial is None:
        spatial = 2 if array.shape[-1] == 1 else 3
        array = array[..., 0] if spatial == 2 else array
    shape = array.shape
    # nibabel has channels (or times) last, MONAI and TorchIO first.
    while array.ndim > spatial and array.shape[-1] == 1:
        array = array[..., 0]
    while array.ndim > spatial and array.shape[0] == 1:
        array = array[0]
    if array.ndim != spatial:
        message = (
            f"{name} has an array of shape {shape}, expected one channel and one image of "
            f"{spatial} dimensions"
        )
        raise ValueError(message)
    size = len(affine) - 1
    to_lps = _LPS_OF_RAS[np.ix_([*range(size), 3], [*range(size), 3])] @ affine
    axes = to_lps[:spatial, :spatial]
    spacing = np.linalg.norm(axes, axis=0)
    return _make(array.T, spacing, to_lps[:spatial, size], axes / spacing, name)


def _make(
    array: NDArray[Any],
    spacing: NDArray[np.float64],
    origin: NDArray[np.float64],
    direction: NDArray[np.float64],
    name: str,
) -> sitk.Image:
    import SimpleITK as sitk

    for what, values in (("origin", origin), ("spacing", spacing), ("direction", direction)):
        if not np.isfinite(values).all():
            message = f"{name}: {what} {values.tolist()}, expected finite numbers"
            raise ValueError(message)
    if not (spacing > 0).all():
        message = f"{name}: spacing {spacing.tolist()} mm, expected numbers above 0"
        raise ValueError(message)
    if not np.allclose(direction.T @ direction, np.eye(len(direction)), atol=1e-3):
        message = (
            f"{name}: its axes are not at right angles (direction cosines {direction.tolist()}). "
            "Resample it onto a grid without shear first"
        )
        raise ValueError(message)
    if array.size == 0:
        message = f"{name} is empty: its array has the shape {array.shape}"
        raise ValueError(message)
    if array.dtype.kind not in "biuf":
        message = f"{name} has values of type {array.dtype}, expected real numbers"
        raise ValueError(message)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype in (np.float16, np.longdouble):
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    )
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def _monai_like(image: sitk.Image, original: ImageLike) -> Any:  # noqa: ANN401
    import torch

    array = np.ascontiguousarray(np.asarray(_sitk_array(image)).T)
    affine = ras_affine(image)
    if str(original.meta.get("space", "RAS")).rpartition(".")[2].upper() == "LPS":
        affine = _LPS_OF_RAS @ affine
    size = len(original.affine) - 1
    keep = [*range(size), 3]
    tensor = torch.from_numpy(array)
    while tensor.ndim < original.ndim:
        tensor = tensor[None]
    meta = {**original.meta, "affine": torch.from_numpy(affine[np.ix_(keep, keep)])}
    return type(original)(tensor, meta=meta)


def _sitk_array(image: sitk.Image) -> NDArray[Any]:
    import SimpleITK as sitk

    array: NDArray[Any] = sitk.GetArrayFromImage(image)
    return array


def _numpy(values: Any) -> NDArray[Any]:  # noqa: ANN401  (array, tensor or nested list)
    if hasattr(values, "detach"):  # a torch tensor, on any device
        values = values.detach().cpu()
        values = values.as_tensor() if hasattr(values, "as_tensor") else values
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such type
            values = values.float()
        values = values.numpy()
    return np.asarray(values)


def _several_channels(name: str, number: int) -> str:
    return f"{name} has {number} channels, expected a grey image of one"
