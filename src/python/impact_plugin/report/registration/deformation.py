"""How a transform deforms space: displacements, the Jacobian determinant, a warped grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin.evaluation.jacobian import JacobianStatistics
from impact_plugin.images.grid import Geometry
from impact_plugin.report import pictures
from impact_plugin.report.planes import Plane, nearest_to_lps, oriented
from impact_plugin.transforms import apply
from impact_plugin.transforms.chain import Chain

Floats = NDArray[np.float32]

_MOST_POINTS = 4_000_000
_MOST_VOXELS = 16_000_000  # some 256 along each axis; elastix takes microseconds for each
FOLDED = (255, 230, 0)
"""Colour of folded voxels."""
RANGE = 2.0
"""The colours span determinants from 1/RANGE to RANGE."""


@dataclass(frozen=True)
class Deformation:
    """A transform, sampled over the fixed image.

    Args:
        geometry: Grid of the displacement: the fixed image's, in the nearest orientation to LPS, or
            a coarser one over the same box.
        displacement: T(x) - x, shape ((z,) y, x, d), mm, in LPS.
        determinant: det(dT/dx) as :mod:`impact_plugin.evaluation` measures it, at the voxels of the
            fixed image in the nearest orientation to LPS, shape ((z,) y, x). 1 keeps the volume,
            below 1 tissue is smaller in the moving image, and 0 or less is folded. Large images are
            sampled at every ``step``-th voxel along each axis.
        jacobian: Statistics of ``determinant``.
        step: 1 for all voxels, 2 for every second along each axis, and so on.
    """

    geometry: Geometry
    displacement: Floats
    determinant: Floats
    jacobian: JacobianStatistics
    step: int

    @classmethod
    def of(cls, chain: Chain, fixed: Geometry) -> Deformation:
        """Sample a transform over the fixed image.

        Args:
            chain: The transform.
            fixed: Grid of the fixed image.
        """
        import SimpleITK as sitk

        geometry = _coarser_grid(nearest_to_lps(fixed))
        field = apply.displacement_field(chain, geometry)
        voxels = fixed.thinned(_MOST_VOXELS)
        determinant = apply.jacobian_determinant(chain, voxels)
        return cls(
            geometry,
            sitk.GetArrayViewFromImage(field).astype(np.float32),
            oriented(determinant),
            JacobianStatistics.of(determinant),
            round(voxels.spacing[0] / fixed.spacing[0]),
        )

    @property
    def folded(self) -> int:
        """Number of folded voxels: those with a determinant of 0 or less."""
        return int(np.count_nonzero(self.determinant <= 0))

    def statistics(self) -> dict[str, float]:
        """Give statistics of the determinant (no unit) and the displacement (mm), by name."""
        lengths = np.linalg.norm(self.displacement, axis=-1)
        return {
            "Jacobian determinant, least": self.jacobian.min,
            "Jacobian determinant, 1st percentile": self.jacobian.p1,
            "Jacobian determinant, median": self.jacobian.median,
            "Jacobian determinant, 99th percentile": self.jacobian.p99,
            "Jacobian determinant, greatest": self.jacobian.max,
            "displacement, mean (mm)": float(lengths.mean()),
            "displacement, greatest (mm)": float(lengths.max()),
        }

    def determinant_picture(self, plane: Plane, place: float, size: tuple[int, int]) -> Any:  # noqa: ANN401
        """Draw the determinant in colours, folded voxels in :data:`FOLDED`.

        Args:
            plane: The plane.
            place: Position of the slice as a fraction: 0 at one face of the image, 1 at the other.
            size: Width and height, pixels.

        Returns:
            Bytes, shape (height, width, 3).
        """
        section = self._slice(self.determinant, plane, place)
        picture = colours(pictures.resized(section, size))
        # Averaging must not hide folded voxels.
        folds = pictures.resized(((section <= 0) * 255).astype(np.uint8), size)
        picture[folds > 0] = FOLDED
        return picture

    def grid_picture(
        self, plane: Plane, place: float, size: tuple[int, int], spacing: float
    ) -> NDArray[np.uint8]:
        """Draw planes of the moving frame where the transform puts them on the fixed image.

        Where nothing moves, they form a regular grid.

        Args:
            plane: The plane.
            place: Position of the slice, as for :meth:`determinant_picture`.
            size: Width and height, pixels.
            spacing: Distance between lines, mm.

        Returns:
            Opacity of the lines, bytes, shape (height, width).
        """
        axes = self.geometry.axes.astype(np.float32)
        along = self._slice(self.displacement, plane, place) @ axes
        lines = np.zeros(size[::-1], np.float32)
        for axis in (plane.right, plane.vertical):
            horizontal = axis == plane.right
            count = size[0] if horizontal else size[1]
            extent = self.geometry.size[axis] * self.geometry.spacing[axis]
            places = (np.arange(count, dtype=np.float32) + 0.5) * (extent / count) - extent / 2
            if plane.up and not horizontal:
                places = -places
            moved = pictures.resized(np.ascontiguousarray(along[..., axis]), size)
            moved = moved + (places[None, :] if horizontal else places[:, None])
            lines = np.maximum(lines, _line_opacity(moved / spacing))
        # Few levels: small files.
        return (np.round(lines * 6) * (255 / 6)).astype(np.uint8)

    def _slice(self, array: Floats, plane: Plane, place: float) -> Floats:
        if plane.across is None:
            return array
        count = array.shape[self.geometry.dimension - 1 - plane.across]
        position = min(max(place * count - 0.5, 0.0), count - 1.0)
        below = math.floor(position)
        above = min(below + 1, count - 1)
        weight = np.float32(position - below)
        first, second = plane.slice(array, below), plane.slice(array, above)
        mixed: Floats = (1 - weight) * first + weight * second
        return mixed


def colours(determinant: Floats) -> NDArray[np.uint8]:
    """Colour determinants by their logarithm: blue below 1, white at 1, red above."""
    import matplotlib as mpl

    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.log2(np.maximum(determinant, 1e-6)) / math.log2(RANGE)
    # Few levels: small files.
    steps = np.round(np.clip(steps, -1, 1) * 24) / 24
    coloured: NDArray[np.uint8] = mpl.colormaps["RdBu_r"](steps / 2 + 0.5, bytes=True)
    return np.ascontiguousarray(coloured[..., :3])


def grid_spacing(geometry: Geometry) -> float:
    """Choose the distance between grid lines, mm: a round number that gives about twenty lines."""
    extent = max(n * spacing for n, spacing in zip(geometry.size, geometry.spacing, strict=True))
    power = 10.0 ** math.floor(math.log10(extent / 20))
    return next(step * power for step in (1, 2, 5, 10) if step * power * 22 >= extent)


def _line_opacity(position: Floats) -> Floats:
    """Draw a line about a pixel wide wherever the position passes a whole number."""
    vertical, horizontal = np.gradient(position) if min(position.shape) > 1 else (position, 0)
    per_pixel = np.maximum(np.hypot(vertical, horizontal), 1e-6)
    distance = np.abs(position - np.round(position)) / per_pixel
    drawn: Floats = np.clip(1.3 - distance, 0.0, 1.0)
    # Lines closer together than pixels cannot be seen.
    return drawn * (per_pixel < 0.4)


def _coarser_grid(geometry: Geometry) -> Geometry:
    factor = max(
        1, math.ceil((math.prod(geometry.size) / _MOST_POINTS) ** (1 / geometry.dimension))
    )
    size = tuple(max(2, math.ceil(n / factor)) if n > 1 else 1 for n in geometry.size)
    spacing = tuple(
        n * step / m for n, step, m in zip(geometry.size, geometry.spacing, size, strict=True)
    )
    middle = (np.array(size) - 1) / 2
    origin = geometry.centre - (geometry.axes * spacing) @ middle
    return Geometry(size, spacing, tuple(origin.tolist()), geometry.direction)
