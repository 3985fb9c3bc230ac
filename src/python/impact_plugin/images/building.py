"""A SimpleITK image of an array and where its voxels lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk


def build(
    array: NDArray[Any],
    spacing: NDArray[np.float64],
    origin: NDArray[np.float64],
    direction: NDArray[np.float64],
    name: str,
    several: bool = False,
) -> sitk.Image:
    """Make the image, with the array's type where ITK has it.

    Args:
        array: Intensities, shape (z, y, x) or (y, x).
        spacing: Distance of voxel centres, mm, (x, y, z), likewise the others.
        origin: Centre of the first voxel, mm, in LPS.
        direction: Direction cosines in LPS, shape (d, d).
        name: What messages call it.
        several: Whether the array has one more axis, the last: that of the channels.

    Raises:
        ValueError: There is no such image.
    """
    import SimpleITK as sitk

    for what, values in (("origin", origin), ("spacing", spacing), ("direction", direction)):
        if not np.isfinite(values).all():
            message = f"{name}: {what} {values.tolist()}, expected finite numbers"
            raise InputError(message)
    if not (spacing > 0).all():
        message = f"{name}: spacing {spacing.tolist()} mm, expected numbers above 0"
        raise InputError(message)
    if not np.allclose(direction.T @ direction, np.eye(len(direction)), atol=1e-3):
        message = (
            f"{name}: its axes are not at right angles (direction cosines {direction.tolist()}). "
            "Resample it onto a grid without shear first"
        )
        raise InputError(message)
    if array.size == 0:
        message = f"{name} is empty: its array has the shape {array.shape}"
        raise InputError(message)
    if array.dtype.kind not in "biuf":
        message = f"{name} has values of type {array.dtype}, expected real numbers"
        raise InputError(message)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype in (np.float16, np.longdouble):
        array = array.astype(np.float32)
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))), isVector=several
    )
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def numpy_of(values: Any) -> NDArray[Any]:  # noqa: ANN401  (array, tensor or nested list)
    """Give an array, tensor or nested list as an array."""
    if hasattr(values, "detach"):  # a torch tensor, on any device
        values = values.detach().cpu()
        values = values.as_tensor() if hasattr(values, "as_tensor") else values
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such type
            values = values.float()
        values = values.numpy()
    return np.asarray(values)
