"""Whether the slices of a DICOM series are one volume, evenly spaced and at right angles.

All that is measured is the slices' own: ImagePositionPatient and ImageOrientationPatient, mm in LPS
(DICOM PS3.3, C.7.6.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.dicom_slices import VOLUMES, Slice

_MOST = 10  # positions that a message names
_COPY = (
    "Copy the files of one of them into a folder of their own, or convert them with dcm2niix, "
    "which tells them apart"
)

Vectors: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Volume:
    """The slices in order, and their grid as SimpleITK has it, mm in LPS."""

    slices: tuple[Slice, ...]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]


def volume_of(slices: Sequence[Slice], where: str) -> Volume:
    """Order the slices of a series, two at least, and give their grid.

    Args:
        slices: Slices of the series, in any order.
        where: What messages call it.

    Raises:
        ValueError: They are not one volume; the message has which they are, and what to do.
    """
    if any(math.prod(each.size[2:]) != 1 for each in slices):
        several = next(each for each in slices if math.prod(each.size[2:]) != 1)
        message = (
            f"{where} has {len(slices)} files, some of several frames ({several.name!r}: "
            f"{several.size[2]}): each is a volume of its own. Give the path of one of these files"
        )
        raise InputError(message)
    for tag, count, what in (
        ("position", 3, "ImagePositionPatient (0020,0032)"),
        ("orientation", 6, "ImageOrientationPatient (0020,0037)"),
        ("spacing", 2, "PixelSpacing (0028,0030)"),
    ):
        without = [each.name for each in slices if each.numbers(tag, count) is None]
        if without:
            message = (
                f"{where}: {len(without)} of its {len(slices)} files have no {what}, such as "
                f"{without[0]!r}, so where they lie is not known. Take out those that do not "
                "belong to it; or, if you know how they lie, give the image as "
                "impact_plugin.ImageArray(array, spacing, origin, direction)"
            )
            raise InputError(message)
    _check_alike(slices, where)

    axes = np.array(slices[0].numbers("orientation", 6), float).reshape(2, 3)
    # PixelSpacing: of rows, which is along y, then of columns
    y, x = slices[0].numbers("spacing", 2) or (0.0, 0.0)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2) or min(x, y) <= 0:
        message = (
            f"{where}: ImageOrientationPatient {slices[0].tags['orientation']}, PixelSpacing "
            f"{slices[0].tags['spacing']}, expected two directions at right angles and mm above 0"
        )
        raise InputError(message)
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    normal = np.cross(*axes)
    normal /= np.linalg.norm(normal)
    ordered = sorted(slices, key=lambda each: float(normal @ _position(each)))
    places = np.array([_position(each) for each in ordered])
    _check_once(ordered, places @ normal, where)
    _check_even(ordered, places, normal, where)
    _check_volumes(ordered, where)

    step = float((places[-1] - places[0]) @ normal) / (len(places) - 1)
    direction = np.column_stack([*axes, normal])
    return Volume(
        tuple(ordered), tuple(places[0].tolist()), (x, y, step), tuple(direction.ravel().tolist())
    )


def _position(each: Slice) -> Vectors:
    return np.array(each.numbers("position", 3), float)


def _tolerance(step: float) -> float:
    """Give how far a slice may lie from its place on an even grid, mm: rounding of positions."""
    return min(0.05, 0.2 * step) + 0.02 * step


def _check_alike(slices: Sequence[Slice], where: str) -> None:
    """Refuse slices of several planes, sizes, frames of reference or times."""
    for what, values in (
        ("sizes", [each.size[:2] for each in slices]),
        ("orientations", [each.numbers("orientation", 6) for each in slices]),
        ("pixel spacings", [each.numbers("spacing", 2) for each in slices]),
        ("frames of reference", [each.tags.get("frame") for each in slices]),
        ("time points", [each.tags.get("TemporalPositionIdentifier") for each in slices]),
    ):
        groups: list[tuple[object, list[Slice]]] = []
        for value, each in zip(values, slices, strict=True):
            group = next((group for first, group in groups if _same(first, value)), None)
            if group is None:
                groups.append((value, group := []))
            group.append(each)
        if len(groups) > 1:
            said = "\n".join(
                f"  {_text(value)}: {len(group)} files, {group[0].name!r} the first"
                for value, group in groups[:_MOST]
            )
            message = f"{where} has slices of {len(groups)} {what}:\n{said}\n{_COPY}"
            raise InputError(message)


def _same(first: object, other: object) -> bool:
    if isinstance(first, tuple) and isinstance(other, tuple):
        return bool(np.allclose(first, other, rtol=1e-3, atol=1e-3))
    return first == other


def _text(value: object) -> str:
    return "(none)" if value is None else str(list(value) if isinstance(value, tuple) else value)


def _check_once(ordered: Sequence[Slice], heights: Vectors, where: str) -> None:
    """Refuse several slices at one place."""
    steps = np.diff(heights)
    apart = steps[steps > 1e-3]
    least = 0.1 * float(np.median(apart)) if len(apart) else np.inf
    twice = np.flatnonzero(steps < least)
    if not len(twice):
        return
    one, other = ordered[twice[0]], ordered[twice[0] + 1]
    place = ", ".join(f"{value:g}" for value in _position(one))
    differing = [
        f"{tag} ({one.tags.get(tag, 'none')} and {other.tags.get(tag, 'none')})"
        for tag in VOLUMES
        if one.tags.get(tag) != other.tags.get(tag)
    ]
    if one.tags.get("instance") == other.tags.get("instance"):
        why = "which are the same slice twice. Take one of each out of the folder"
    else:
        by = f"which differ in {', '.join(differing[:4])}" if differing else "of one kind"
        why = f"{by}: several volumes. {_COPY}"
    message = (
        f"{where} has {len(ordered)} slices at {len(ordered) - len(twice)} positions: at "
        f"[{place}] lie {one.name!r} and {other.name!r}, {why}"
    )
    raise InputError(message)


def _check_even(ordered: Sequence[Slice], places: Vectors, normal: Vectors, where: str) -> None:
    """Refuse slices that are missing, uneven, or set off sideways."""
    number = len(places) - 1
    heights = places @ normal
    steps = np.diff(heights)
    usual = float(np.quantile(steps, 0.25, method="lower"))
    even = heights[0] + np.arange(number + 1) * (heights[-1] - heights[0]) / number
    if np.abs(heights - even).max() > _tolerance(usual):
        raise InputError(_uneven(ordered, places, steps, usual, where))
    aside = places - places[0] - np.outer(heights - heights[0], normal)
    shift = float(np.linalg.norm(aside[-1]))
    straight = np.outer(np.arange(number + 1) / number, aside[-1])
    in_line = np.linalg.norm(aside - straight, axis=1).max() <= _tolerance(usual)
    # Orientations are rounded, too: one part in 1000 is no tilt.
    if in_line and shift <= _tolerance(usual) + 1e-3 * (heights[-1] - heights[0]):
        return
    angle = math.degrees(math.atan2(shift, heights[-1] - heights[0]))
    if not in_line:
        message = f"{where} has slices that are set off sideways against each other"
    else:
        message = (
            f"{where} has slices that are not at right angles to the line on which they lie: a "
            f"gantry tilt of {angle:.3g} degrees, which sets each {shift / number:.3g} mm off the "
            f"one before, {shift:.4g} mm in all"
        )
    message += (
        ". Resample it onto a grid without shear first: 3D Slicer's DICOM module does on loading "
        '("acquisition geometry regularization"), dcm2niix on conversion'
    )
    raise InputError(message)


def _uneven(
    ordered: Sequence[Slice], places: Vectors, steps: Vectors, usual: float, where: str
) -> str:
    gaps = np.flatnonzero(steps > 1.5 * usual)
    counts = np.rint(steps / usual).astype(int)
    whole = len(gaps) and np.abs(steps - counts * usual).max() < 0.25 * usual
    if not whole:
        first = int(np.argmax(np.abs(steps - usual)))
        return (
            f"{where} has slices at uneven distances, from {steps.min():.4g} to {steps.max():.4g} "
            f"mm: {steps[first]:.4g} mm between {ordered[first].name!r} and "
            f"{ordered[first + 1].name!r}. Resample it onto an even grid first, or copy the files "
            "of an even part into a folder of their own"
        )
    missing = [
        places[gap] + (places[gap + 1] - places[gap]) * k / counts[gap]
        for gap in gaps
        for k in range(1, counts[gap])
    ]
    said = ", ".join(
        "[" + ", ".join(f"{value:.6g}" for value in np.round(place, 3)) + "]"
        for place in missing[:_MOST]
    )
    more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
    gap = gaps[0]
    return (
        f"{where} lacks {len(missing)} slice{'' if len(missing) == 1 else 's'}: its slices lie "
        f"{usual:.4g} mm apart, and there is none at {said}{more} (ImagePositionPatient, mm; the "
        f"first gap is between {ordered[gap].name!r} and {ordered[gap + 1].name!r}). Export the "
        "series again; or copy the files on one side of the gap into a folder of their own"
    )


def _check_volumes(ordered: Sequence[Slice], where: str) -> None:
    """Refuse several acquisitions whose slices lie between each other's."""
    for tag in ("AcquisitionNumber", "EchoTime", "DiffusionBValue"):
        values = [each.tags.get(tag, "none") for each in ordered]
        runs = [value for n, value in enumerate(values) if n == 0 or values[n - 1] != value]
        if len(runs) > len(set(runs)):
            counts = ", ".join(
                f"{value} ({values.count(value)})" for value in dict.fromkeys(values)
            )
            message = (
                f"{where} has slices of several volumes, which lie between each other's: {tag} and "
                f"number of slices {counts}. {_COPY}"
            )
            raise InputError(message)
