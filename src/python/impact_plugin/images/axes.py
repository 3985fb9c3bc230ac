"""The two frames in which places are written: LPS, as ITK and DICOM have it, and RAS, as NIfTI."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError

Axes: TypeAlias = Literal["LPS", "RAS"]
"""To where x, y and z point: left, posterior, superior; or right, anterior, superior."""


def check_axes(axes: object) -> None:
    """Check the name of a frame.

    Raises:
        ValueError: It is another one.
    """
    if axes not in get_args(Axes):
        expected = " or ".join(map(repr, get_args(Axes)))
        message = f"axes is {axes!r}, expected {expected}: to where x, y and z point"
        raise InputError(message)


def turned(positions: NDArray[np.float64], axes: Axes) -> NDArray[np.float64]:
    """Turn positions (N, d) of a frame to LPS, or of LPS to that frame: x and y change signs.

    Raises:
        ValueError: There is no such frame.
    """
    check_axes(axes)
    if axes == "LPS":
        return positions
    signs = np.array([-1.0, -1.0, 1.0])[: positions.shape[-1]]
    return np.asarray(positions * signs, dtype=np.float64)
