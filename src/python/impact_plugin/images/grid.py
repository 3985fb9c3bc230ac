"""Where the voxels of an image lie."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK as sitk


Box: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""A parallelepiped: its centre, mm, and its edges, mm, one per column."""


@dataclass(frozen=True)
class Geometry:
    """The grid of an image, axes in the order x, y, z, in LPS and mm.

    Args:
        size: Number of voxels along each axis.
        spacing: Distance of voxel centres along each axis.
        origin: Centre of the first voxel.
        direction: Direction cosines, row by row: column k is the unit vector along axis k.

    Example:
        >>> grid = Geometry((5, 9), (2.0, 0.5), (10.0, 20.0), (1.0, 0.0, 0.0, 1.0))
        >>> grid.centre.tolist()
        [14.0, 22.0]
        >>> grid.contains(np.array([[18.9, 20.0], [19.1, 20.0]])).tolist()
        [True, False]
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Geometry:
        """Take it from a SimpleITK image, or from the header of one."""
        return cls(
            tuple(image.GetSize()),
            tuple(image.GetSpacing()),
            tuple(image.GetOrigin()),
            tuple(image.GetDirection()),
        )

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.size)

    @property
    def axes(self) -> NDArray[np.float64]:
        """Direction cosines, shape (d, d): column k is the unit vector along axis k."""
        return np.reshape(np.asarray(self.direction, np.float64), (self.dimension,) * 2)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """From voxel indices to mm, without the origin; shape (d, d)."""
        matrix: NDArray[np.float64] = self.axes * np.asarray(self.spacing)
        return matrix

    @property
    def centre(self) -> NDArray[np.float64]:
        """The middle of the image, mm."""
        centre: NDArray[np.float64] = self.matrix @ ((np.array(self.size) - 1) / 2) + self.origin
        return centre

    def points(self, per_axis: int) -> NDArray[np.float64]:
        """Give the places of voxels spread evenly over the image, shape (N, d), mm.

        Args:
            per_axis: At most so many along each axis, the first and the last among them.
        """
        axes = [np.linspace(0, n - 1, min(n, per_axis)) for n in self.size]
        grid = np.meshgrid(*axes, indexing="ij")
        indices = np.stack([axis.ravel() for axis in grid], axis=1)
        places: NDArray[np.float64] = indices @ self.matrix.T + self.origin
        return places

    def thinned(self, most: int) -> Geometry:
        """Give every voxel, or every second, third and so on along each axis: at most so many."""
        step = 1
        while math.prod(-(-n // step) for n in self.size) > most:
            step += 1
        size = tuple(-(-n // step) for n in self.size)
        spacing = tuple(step * each for each in self.spacing)
        return Geometry(size, spacing, self.origin, self.direction)

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which points (N, d), mm, lie in the image, its outermost voxels in full."""
        indices = np.linalg.solve(self.matrix, (points - np.asarray(self.origin)).T).T
        inside: NDArray[np.bool_] = np.all(
            (indices >= -0.5) & (indices < np.array(self.size) - 0.5), axis=1
        )
        return inside

    def moved(self, points: NDArray[np.float64], mapped: NDArray[np.float64]) -> Box:
        """Give the box that the image fills after the affine transform nearest to a mapping.

        Args:
            points: Shape (N, d), mm, not all in one plane.
            mapped: Where they go, likewise.
        """
        affine = np.linalg.lstsq(points - points.mean(axis=0), mapped - mapped.mean(axis=0))[0]
        centre = (self.centre - points.mean(axis=0)) @ affine + mapped.mean(axis=0)
        return centre, affine.T @ self.matrix * self.size

    def meets(self, box: Box) -> bool:
        """Tell whether the image and a box have a point in common.

        Two boxes have none where a line separates their shadows on it; of all lines, those at right
        angles to two edges are enough (Gottschalk, Lin and Manocha, SIGGRAPH 1996; it holds of any
        parallelepiped).
        """
        centre, edges = box
        edges = np.hstack([edges, self.matrix * self.size]).T  # one per row
        if self.dimension == 2:
            lines = edges[:, ::-1] * (1, -1)
        else:
            lines = np.array([np.cross(*pair) for pair in itertools.combinations(edges, 2)])
        distances = np.abs(lines @ (centre - self.centre))
        return bool((distances <= np.abs(lines @ edges.T).sum(axis=1) / 2).all())

    def difference(self, other: Geometry) -> str:
        """Say in which way another grid differs, "" where it is the same to within rounding."""
        tolerance = 1e-3 * min(self.spacing)
        for what, ours, theirs, allowed in (
            ("size", self.size, other.size, 0.0),
            ("spacing", self.spacing, other.spacing, 1e-3 * tolerance),
            ("origin", self.origin, other.origin, tolerance),
            ("direction", self.direction, other.direction, 1e-4),
        ):
            if len(ours) != len(theirs) or not np.allclose(ours, theirs, rtol=1e-5, atol=allowed):
                return f"{what} {_row(theirs)} instead of {_row(ours)}"
        return ""

    def describe_extent(self) -> str:
        """Name the box that the image fills, mm: ``[-10, 25] x [0, 30]``."""
        corners = self.points(2)
        return " x ".join(
            f"[{low:.0f}, {high:.0f}]"
            for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)
        )

    def place(self, image: sitk.Image) -> None:
        """Have the voxels of an image lie on it."""
        image.SetOrigin(self.origin)
        image.SetSpacing(self.spacing)
        image.SetDirection(self.direction)

    def set_on(self, resampler: Any) -> None:  # noqa: ANN401  (various filters of SimpleITK)
        """Make it the grid on which a filter of SimpleITK produces its output."""
        resampler.SetSize(self.size)
        resampler.SetOutputSpacing(self.spacing)
        resampler.SetOutputOrigin(self.origin)
        resampler.SetOutputDirection(self.direction)


def _row(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
