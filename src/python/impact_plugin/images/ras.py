"""Images of nibabel, MONAI and TorchIO: arrays with the axes (x, y, z) and affines, and back.

Which axes of an array are spatial its library says, never their length: an axis of one voxel is as
good as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.building import build, numpy_of
from impact_plugin.images.errors import notice
from impact_plugin.images.grid import Geometry
from impact_plugin.images.nifti_frames import Frames, FrameWarning, Rows, warn

if TYPE_CHECKING:
    import SimpleITK as sitk

Affine: TypeAlias = NDArray[np.float64]

LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


Grid: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Spacing, origin and direction as SimpleITK has them."""


@dataclass(frozen=True)
class Place:
    """Where the voxels of an image lie.

    Args:
        own: Shape (4, 4), from voxel indices (x, y, z, 1) to where its own library has them.
        lps: The same, to mm in LPS.
    """

    own: Affine
    lps: Affine

    def grid(self, spatial: int, name: str) -> Grid:
        """Give spacing, origin and direction of an image of so many dimensions.

        In two, as ITK reads such a NIfTI file: x and y of the place alone, while the spacing is
        that of the voxels, wherever the slice's plane lies.

        Raises:
            ValueError: In two dimensions: there is no such image of its plane.
        """
        axes = self.lps[:3, :spatial]
        spacing = np.linalg.norm(axes, axis=0)
        directions = axes[:spatial]
        lengths = np.linalg.norm(directions, axis=0) if spatial == 2 else spacing
        with np.errstate(invalid="ignore", divide="ignore"):
            directions = directions / lengths
        right = np.allclose(directions.T @ directions, np.eye(spatial), atol=1e-3)
        if spatial == 2 and np.isfinite(axes).all() and (spacing > 0).all() and not right:
            message = (
                f"{name} is a 2D image of a slice whose plane is not that of x and y: in LPS its "
                f"axes point along {_rounded(axes[:, 0] / spacing[0])} and "
                f"{_rounded(axes[:, 1] / spacing[1])}, which no 2D image of ITK can. Give it in "
                "the frame of its plane, as impact_plugin.ImageArray(array, "
                f"spacing={_rounded(spacing)}), array (y, x)"
            )
            raise InputError(message)
        return spacing, self.lps[:spatial, 3], directions


def to_sitk(image: Any, library: str, name: str) -> sitk.Image:  # noqa: ANN401
    """Give an image of one of the libraries as one of SimpleITK.

    Raises:
        ValueError: It has several channels or times, or lies where no such image can.

    Warns:
        FrameWarning: Its header says two things of where it lies.
    """
    array, place = {"nibabel": _nibabel, "monai": _monai, "torchio": _torchio}[library](image, name)
    return build(array.T, *place.grid(array.ndim, name), name)


def like(image: sitk.Image, original: Any, library: str) -> Any:  # noqa: ANN401
    """Give a SimpleITK image as one of a library, in the unit and the frame of another image."""
    import SimpleITK as sitk

    array = np.ascontiguousarray(sitk.GetArrayFromImage(image).T)
    if library == "nibabel":
        header = _header(original)
        affine = _again(image, _place_in_nifti(original, header))
        if header is None:
            return type(original)(array, affine)
        converted = type(original)(array, affine, dtype=array.dtype)
        converted.header.set_xyzt_units(*original.header.get_xyzt_units())
        return converted
    if library == "torchio":
        affine = _again(image, _in_ras(np.asarray(original.affine, float)))
        data = array if array.ndim == 3 else array[..., None]
        return type(original)(tensor=data[None], affine=affine)
    return _like_monai(image, array, original)


def affine_of(image: sitk.Image) -> Affine:
    """Give the matrix (4, 4) from voxel indices (x, y, z, 1) to places in LPS, mm."""
    grid = Geometry.of(image)
    affine = np.eye(4)
    affine[: grid.dimension, : grid.dimension] = grid.matrix
    affine[: grid.dimension, 3] = grid.origin
    return affine


def _again(image: sitk.Image, place: Place) -> Affine:
    """Give the affine with which an image lies where it does, in another image's own frame.

    A 2D image lies in the plane of the other one.
    """
    dimension = image.GetDimension()
    lps = place.lps
    if dimension == 2:
        spacing, origin, direction = place.grid(2, "image")
        lps = np.eye(4)
        lps[:2, :2] = direction * spacing
        lps[:2, 3] = origin
    return place.own @ np.linalg.inv(lps) @ affine_of(image)


def _in_ras(affine: Affine) -> Place:
    return Place(affine, LPS_OF_RAS @ affine)


def _world(header: Frames, otherwise: Affine) -> Affine:
    """Give the matrix (4, 4) to mm in LPS, by ITK's rule, from where nibabel has voxels.

    Args:
        header: Header of the file.
        otherwise: nibabel's affine where the header gives none.
    """
    given = header.sform or header.qform
    if given is not None and _agree(header, given):
        return LPS_OF_RAS @ _units(header)
    nibabels = _units(header) @ otherwise if given is None else _whole(given)
    moved = LPS_OF_RAS @ _whole(header.affine) @ np.linalg.inv(nibabels)
    world: Affine = moved @ _units(header)
    return world


def _agree(header: Frames, rows: Rows) -> bool:
    """Tell whether an affine, mm, is the header's but for rounding to single precision."""
    return header.distance(header.affine, rows) < 1e-4 * header.unit * min(header.steps)


def _units(header: Frames) -> Affine:
    return np.diag([header.unit] * 3 + [1.0])


def _whole(rows: Rows) -> Affine:
    return np.array([*rows, (0, 0, 0, 1)], float)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    rounded: list[float] = np.round(values, 3).tolist()
    return rounded


# nibabel: (x, y, z), then times or channels.


def _nibabel(image: Any, name: str) -> tuple[NDArray[Any], Place]:  # noqa: ANN401
    shape = tuple(image.shape)
    if len(shape) < 2 or any(n != 1 for n in shape[3:]):
        message = (
            f"{name} has an array of shape {shape}, expected one channel and one time: (x, y, z) "
            "or (x, y). nibabel's image.slicer[..., 0] takes the first of the last axis"
        )
        raise InputError(message)
    header = _header(image)
    if header is None and image.affine is None:
        message = f"{name} has no affine, so where its voxels lie is not known. Give it one"
        raise InputError(message)
    warn(header, name)
    _warn_of_analyze(image, name)
    return np.asanyarray(image.dataobj).reshape(shape[:3]), _place_in_nifti(image, header)


def _header(image: Any) -> Frames | None:  # noqa: ANN401
    """Give what the header of a NIfTI image says; None of other formats.

    As nibabel writes it: an affine that is not the header's replaces its sform and qform.
    """
    if not hasattr(image.header, "get_xyzt_units"):
        return None
    header = image.header.copy()
    if image.affine is not None and not np.allclose(image.affine, header.get_best_affine()):
        header.set_sform(image.affine, code="aligned")
        header.set_qform(image.affine, code="unknown")
    return Frames.of(header)


def _place_in_nifti(image: Any, header: Frames | None) -> Place:  # noqa: ANN401
    given = image.header.get_best_affine() if image.affine is None else image.affine
    affine = np.asarray(given, float)
    if header is None:
        return _in_ras(affine)
    given = header.sform or header.qform
    exact = given is not None and _agree(header, given)
    lps = LPS_OF_RAS @ (_units(header) @ affine if exact else _whole(header.affine))
    # What is given back has one affine, which both ITK and nibabel take.
    return Place(np.linalg.inv(_units(header)) @ LPS_OF_RAS @ lps, lps)


def _warn_of_analyze(image: Any, name: str) -> None:  # noqa: ANN401
    import nibabel

    if _header(image) is not None or not isinstance(image, nibabel.AnalyzeImage):
        return
    size = [*image.shape[:3], 1]
    x, y, z = [float(step) for step in (*image.header.get_zooms()[:3], 1.0)][:3]
    by_path = Frames((size[0], size[1], size[2]), (x, y, z), 1.0, None, None)
    affine = tuple(map(tuple, np.asarray(image.affine, float)[:3].tolist()))
    if (distance := by_path.distance(by_path.affine, affine)) > 0.01 * min(x, y, z):
        message = (
            f"{name}: elastix and ITK, which read the file of an Analyze image, begin it at the "
            f"origin of space, up to {distance:.4g} mm from where nibabel has it. Here nibabel's "
            "place is taken. Save it as NIfTI, which has a place of its own"
        )
        notice(message, FrameWarning)


# TorchIO: (channel, x, y, z), a 2D image with one voxel along z.


def _torchio(image: Any, name: str) -> tuple[NDArray[Any], Place]:  # noqa: ANN401
    array = numpy_of(image.data)
    array = _one_channel(array, 0, name)
    if array.shape[-1] == 1:
        array = array[..., 0]
    return array, _in_ras(np.asarray(image.affine, float))


# MONAI: (channel, x, y[, z]), or as it was read: before EnsureChannelFirst.


def _monai(image: Any, name: str) -> tuple[NDArray[Any], Place]:  # noqa: ANN401
    array = numpy_of(image)
    warn(_header_in_meta(image), name)
    axis = _channel_axis(image, name)
    if axis is not None:
        array = _one_channel(array, axis, name)
    if array.ndim not in (2, 3):
        message = (
            f"{name} has an array of shape {tuple(image.shape)}, expected one image of 2 or 3 "
            "dimensions: (1, x, y, z) or (1, x, y)"
        )
        raise InputError(message)
    return array, _place_of_monai(image)


def _channel_axis(image: Any, name: str) -> int | None:  # noqa: ANN401
    """Find the axis of the channels of a MetaTensor: 0, -1, or None where there is none."""
    shape = tuple(image.shape)
    read = tuple(int(n) for n in image.meta.get("spatial_shape", ()))  # of a file
    if len(shape) == len(read) == 3 and (shape == read or shape[0] > 1):
        return None
    if len(shape) == len(read) + 1 and len(shape) in (3, 4):
        last = str(image.meta.get("original_channel_dim")) == "-1"
        return -1 if last and shape[:-1] == read != shape[1:] else 0
    if len(shape) == 3 and 1 < shape[0] <= 4:
        message = (
            f"{name} has an array of shape {shape}: a 2D image of {shape[0]} channels, or a volume "
            "without a channel axis. Expected (1, x, y, z) or (1, x, y): tensor[None] adds the "
            "channel axis of a volume, tensor[:1] takes the first channel"
        )
        raise InputError(message)
    return None if len(shape) < 3 or (len(shape) == 3 and shape[0] > 1) else 0


def _place_of_monai(image: Any) -> Place:  # noqa: ANN401
    given = numpy_of(image.affine).astype(float)
    keep = [*range(len(given) - 1), 3]
    own = np.eye(4)
    own[np.ix_(keep, keep)] = given
    meta = image.meta
    ras = LPS_OF_RAS @ own if _is_lps(image) else own
    header = _header_in_meta(image)
    if header is None:
        return Place(own, LPS_OF_RAS @ ras)
    otherwise = numpy_of(meta.get("original_affine", own)).astype(float)
    return Place(own, _world(header, otherwise) @ ras)


def _header_in_meta(image: Any) -> Frames | None:  # noqa: ANN401
    """Give the header of the NIfTI file from which MONAI's reader by nibabel took an affine.

    That by ITK has made mm of it, by ITK's rule; its metadata are texts.
    """
    meta = image.meta
    if "srow_z" not in meta or isinstance(meta.get("qform_code", ""), str):
        return None
    pixdim = np.array(meta.get("original_pixdim", meta["pixdim"]), float)
    if int(meta["dim"][0]) == 2:  # MONAI has the steps of such an image from a part of its affine
        pixdim[1:3] = np.linalg.norm(numpy_of(meta["original_affine"])[:3, :2], axis=0)
    return Frames.of({**meta, "pixdim": pixdim})


def _is_lps(image: Any) -> bool:  # noqa: ANN401
    return str(image.meta.get("space", "RAS")).rpartition(".")[2].upper() == "LPS"


def _like_monai(image: sitk.Image, array: NDArray[Any], original: Any) -> Any:  # noqa: ANN401
    import torch

    keep = [*range(len(original.affine) - 1), 3]
    affine = _again(image, _place_of_monai(original))[np.ix_(keep, keep)]
    meta = {**original.meta, "affine": torch.from_numpy(affine)}
    if "spatial_shape" in meta:
        meta["spatial_shape"] = np.array(array.shape)
    axis = _channel_axis(original, "image")
    tensor = torch.from_numpy(array)
    return type(original)(tensor if axis is None else tensor.unsqueeze(axis), meta=meta)


def _one_channel(array: NDArray[Any], axis: int, name: str) -> NDArray[Any]:
    if array.shape[axis] != 1:
        message = (
            f"{name} has {array.shape[axis]} channels (its array has the shape {array.shape}), "
            "expected a grey image of one"
        )
        raise InputError(message)
    channel: NDArray[Any] = np.take(array, 0, axis)
    return channel
