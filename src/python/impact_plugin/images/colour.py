"""Colour images as grey ones: their luminance, or one of their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.errors import notice
from impact_plugin.images.validation import check_real

if TYPE_CHECKING:
    import SimpleITK as sitk

_Name: TypeAlias = Literal["luminance", "red", "green", "blue"]
Channel: TypeAlias = _Name | int
"""``"luminance"``, ``"red"``, ``"green"``, ``"blue"``, or the number of a channel, from 0."""

_BT_709 = (0.2126, 0.7152, 0.0722)
"""How bright red, green and blue are: Recommendation ITU-R BT.709-6, item 3.2."""

_COLOURS = ("red", "green", "blue")


class ColourWarning(UserWarning):
    """A colour image is registered by its luminance, and nobody asked for that."""


def check_channel(channel: object) -> None:
    """Check the name or number of a channel, or None.

    Raises:
        ValueError: It is another one.
    """
    if channel is None or channel in get_args(_Name):
        return
    if not isinstance(channel, int) or isinstance(channel, bool) or channel < 0:
        names = ", ".join(map(repr, get_args(_Name)))
        message = f"channel is {channel!r}, expected {names}, or a whole number from 0"
        raise InputError(message)


def is_grey(image: sitk.Image) -> bool:
    """Tell whether an image has one number at each voxel."""
    return bool(image.GetNumberOfComponentsPerPixel() == 1)


def to_grey(image: sitk.Image, name: str, channel: Channel | None = None) -> sitk.Image:
    """Give a channel of a colour image, or its luminance; a grey image as it is.

    Args:
        image: Image with one value per voxel, or several: red, green, blue, and perhaps opacity,
            which has no part in it.
        name: What messages call it.
        channel: Which; None: the luminance, 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709) of the
            values as they are in the file, if these are colours: 3 or 4 whole numbers at each
            voxel.

    Returns:
        A channel has its own pixel type; luminance is in single precision.

    Raises:
        ValueError: There is no such channel, or without ``channel``: these are no colours.

    Warns:
        ColourWarning: The luminance was taken for want of ``channel``.
    """
    check_real(image, name)
    if is_grey(image):
        return image
    number, kind = image.GetNumberOfComponentsPerPixel(), image.GetPixelIDTypeAsString()
    taken, said = chosen(number, kind, name, channel)
    if said:
        notice(said, ColourWarning)
    return _taken(image, taken)


def chosen(number: int, kind: str, name: str, channel: Channel | None) -> tuple[Channel, str]:
    """Choose what stands for an image of several channels.

    Args:
        number: How many it has.
        kind: Their type, as SimpleITK names it.
        name: What messages call the image.
        channel: What the caller says; None: the luminance of colours.

    Returns:
        The channel, and what is to be warned of; nothing where the caller has chosen.

    Raises:
        ValueError: As by :func:`to_grey`.
    """
    if channel is None:
        _check_colours(number, kind, name)
        return "luminance", (
            f"{name} is a colour image of {number} channels. Its luminance is taken, 0.2126 R + "
            '0.7152 G + 0.0722 B (ITU-R BT.709). Give a channel, "red", "green", "blue" or its '
            'number, for another one, or "luminance" for this one without this notice'
        )
    if channel == "luminance" and number not in (3, 4):
        message = (
            f"channel is {channel!r}, and {name} has {number} channels, not red, green and blue: "
            f"expected a number from 0 to {number - 1}"
        )
        raise InputError(message)
    if (isinstance(channel, int) and channel >= number) or (
        channel in _COLOURS and number not in (3, 4)
    ):
        message = (
            f"channel is {channel!r}, and {name} has {number} channels: expected a number from "
            f"0 to {number - 1}"
        )
        raise InputError(message)
    return channel, ""


def seen(image: sitk.Image) -> sitk.Image:
    """Give an image as pictures show it: colours by their luminance, else the first channel."""
    if is_grey(image):
        return image
    return _taken(image, "luminance" if image.GetNumberOfComponentsPerPixel() in (3, 4) else 0)


def _check_colours(number: int, kind: str, name: str) -> None:
    is_whole = "integer" in kind
    if is_whole and number in (3, 4):
        return
    why = "are no colours (red, green, blue, perhaps opacity)"
    if not is_whole and number in (2, 3):
        why = "may be those of a displacement field, which is no image to register"
    message = (
        f"{name} has {number} channels, expected a grey image or colours: its values ({kind}) "
        f"{why}. Where one channel is what to register, give its number as channel, 0 to "
        f"{number - 1}"
    )
    if number in (3, 4):
        message += '; where they are colours after all, give "luminance"'
    raise InputError(message)


def _taken(image: sitk.Image, channel: Channel) -> sitk.Image:
    import SimpleITK as sitk

    if channel != "luminance":
        index = channel if isinstance(channel, int) else _COLOURS.index(channel)
        return sitk.VectorIndexSelectionCast(image, index)
    voxels: NDArray[Any] = sitk.GetArrayViewFromImage(image)
    total = np.zeros(voxels.shape[:-1], np.float32)
    for k, weight in enumerate(_BT_709):
        total += np.float32(weight) * voxels[..., k]
    grey = sitk.GetImageFromArray(total)
    grey.CopyInformation(image)
    return grey
