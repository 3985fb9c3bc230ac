"""Draws two images over each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

_WINDOW = (-1000.0, 400.0)
"""Intensities in HU shown as black and as full colour."""

# Name of the plane, the array axis (z, y, x) perpendicular to it, then the axes (x, y, z) along its
# width and height.
_PLANES = (("axial", 0, 0, 1), ("coronal", 1, 0, 2), ("sagittal", 2, 1, 2))
_LABELS = ("x (mm)", "y (mm)", "z (mm)")


def overlay(fixed: sitk.Image, rows: dict[str, sitk.Image], title: str, path: Path) -> None:
    """Draw images over the fixed image, in three planes through its middle, and write a PNG file.

    The fixed image is magenta and the other green, so that what coincides is grey. Axes are in mm
    with the true proportions, seen as radiologists do: the patient's right is on the left, the
    front (axial) or head on top.

    Args:
        fixed: The image underneath, its axes along x, y and z.
        rows: By title, the images on top, one row of the picture each, on the voxel grid of
            ``fixed``.
        title: Title of the picture.
        path: File to write.
    """
    import matplotlib as mpl  # optional, and slow
    import SimpleITK as sitk

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    grid = Geometry.of(fixed)
    spacing = np.array(grid.spacing)
    low = np.array(grid.origin) - 0.5 * spacing
    high = low + np.array(grid.size) * spacing
    figure, axes = plt.subplots(
        len(rows),
        len(_PLANES),
        figsize=(11, 4 * len(rows)),
        width_ratios=[high[right] - low[right] for _, _, right, _ in _PLANES],
        layout="constrained",
    )
    figure.suptitle(f"{title}\nfixed image magenta, moving image green, grey where they agree")
    for row, (name, image) in zip(np.atleast_2d(axes), rows.items(), strict=True):
        for axis, (plane, across, right, up) in zip(row, _PLANES, strict=True):
            voxels = [sitk.GetArrayViewFromImage(each) for each in (fixed, image)]
            middle = voxels[0].shape[across] // 2
            below, above = (_grey(np.take(each, middle, axis=across)) for each in voxels)
            head_up = up == 2
            axis.imshow(
                np.stack([below, above, below], axis=-1),
                origin="lower" if head_up else "upper",
                extent=(
                    low[right],
                    high[right],
                    *((low[up], high[up]) if head_up else (high[up], low[up])),
                ),
                aspect="equal",
                interpolation="bilinear",
            )
            axis.set(title=f"{name}, {plane}", xlabel=_LABELS[right], ylabel=_LABELS[up])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _grey(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Map intensities to 0..1."""
    black, white = _WINDOW
    return np.clip((plane.astype(np.float64) - black) / (white - black), 0.0, 1.0)
