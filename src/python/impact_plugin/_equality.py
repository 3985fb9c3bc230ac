"""Equality of what holds arrays, images and tables, whose own gives one answer for each element."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


class EqualByValue:
    """A dataclass (``eq=False``) that is equal to another of its class with the same values.

    Arrays are the same where their shapes and all elements are, NaN where NaN is; images where
    their voxels and grids are. It has no hash: arrays can be changed.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in dataclasses.fields(self) if field.compare]  # type: ignore[arg-type]
        return all(same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]


def same(first: Any, second: Any) -> bool:  # noqa: ANN401  (whatever a dataclass holds)
    """Tell whether two values are the same, as :class:`EqualByValue` has it."""
    import numpy as np  # not where programs that need none import this

    if first is second:
        return True
    if _is_array(first) or _is_array(second):
        return _same_arrays(first, second)
    if type(first) is not type(second):
        return bool(np.ndim(first) == 0 and np.ndim(second) == 0 and first == second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return first == second or (first != first and second != second)  # NaN
    if hasattr(first, "GetDirection"):  # an image of SimpleITK or itk
        return _same_images(first, second)
    if hasattr(first, "equals"):  # a table of pandas
        return bool(first.equals(second))
    return bool(first == second)


def _is_array(value: object) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape") and not hasattr(value, "columns")


def _same_arrays(first: Any, second: Any) -> bool:  # noqa: ANN401  (arrays, or sequences beside them)
    import numpy as np

    try:
        one, other = np.asarray(first), np.asarray(second)
    except ValueError:  # a ragged sequence
        return False
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "fc" and other.dtype.kind in "fc":
        return np.array_equal(one, other, equal_nan=True)
    return np.array_equal(one, other)


def _same_images(first: Any, second: Any) -> bool:  # noqa: ANN401  (images of SimpleITK or itk)
    import SimpleITK as sitk

    if not isinstance(first, sitk.Image):
        return bool(first is second)
    grids = [
        (each.GetPixelID(), each.GetSize(), each.GetSpacing(), each.GetOrigin())
        for each in (first, second)
    ]
    voxels = [sitk.GetArrayViewFromImage(each) for each in (first, second)]
    return (
        grids[0] == grids[1]
        and first.GetDirection() == second.GetDirection()
        and _same_arrays(voxels[0], voxels[1])
    )
