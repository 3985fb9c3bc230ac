"""Synthetic images: scenes that are known at every point, seen on any grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Map = Callable[[Array], Array]
"""A mapping of points (N, dimension), physical, mm."""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie: axes in the order x, y, z, physical LPS frame, mm."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: Array = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", self.direction[: self.dimension, : self.dimension])

    @property
    def dimension(self) -> int:
        return len(self.size)

    def at(self, indices: Array) -> Array:
        """Give the physical places of voxel indices (N, dimension)."""
        places: Array = (indices * self.spacing) @ self.direction.T + self.origin
        return places

    def points(self) -> Array:
        """Give the physical places of all voxels, x fastest."""
        axes = np.meshgrid(*(np.arange(n) for n in self.size[::-1]), indexing="ij")
        return self.at(np.stack([axis.ravel() for axis in axes[::-1]], axis=1).astype(float))

    def random_points(self, count: int, margin: float = 0.0) -> Array:
        """Give points inside, at least ``margin`` (a fraction of the size) from every border."""
        fractions = np.random.default_rng(5).uniform(margin, 1 - margin, (count, self.dimension))
        return self.at(fractions * (np.array(self.size) - 1))


@dataclass(frozen=True)
class Image:
    """Voxels, shape (z, y, x) or (y, x), and their grid."""

    voxels: NDArray[np.float32]
    grid: Grid

    def write(self, path: Path, kind: str = "MET_FLOAT") -> Path:
        """Write a MetaImage file (.mha) of floats, shorts or bytes."""
        numbers = {"MET_FLOAT": "<f4", "MET_SHORT": "<i2", "MET_UCHAR": "u1"}[kind]
        grid = self.grid
        header = {
            "ObjectType": "Image",
            "NDims": grid.dimension,
            "BinaryData": "True",
            "BinaryDataByteOrderMSB": "False",
            "CompressedData": "False",
            # the direction of one axis after the other
            "TransformMatrix": _row(grid.direction.T.ravel()),
            "Offset": _row(grid.origin),
            "ElementSpacing": _row(grid.spacing),
            "DimSize": " ".join(map(str, grid.size)),
            "ElementType": kind,
            "ElementDataFile": "LOCAL",
        }
        text = "".join(f"{key} = {value}\n" for key, value in header.items())
        rounded = self.voxels if kind == "MET_FLOAT" else np.round(self.voxels)
        path.write_bytes(text.encode() + rounded.astype(numbers).tobytes())
        return path


def read(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read a MetaImage file of floats: the array (z, y, x, channels), and where its voxels lie."""
    head, _, data = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    header = dict(line.split(" = ", 1) for line in head.decode().splitlines())
    assert header["ElementType"] == "MET_FLOAT"
    assert header["CompressedData"] == "False"
    size = tuple(int(n) for n in header["DimSize"].split())
    spacing, origin = (
        tuple(float(n) for n in header[key].split()) for key in ("ElementSpacing", "Offset")
    )
    direction = np.array(header["TransformMatrix"].split(), float).reshape(len(size), -1).T
    channels = int(header.get("ElementNumberOfChannels", 1))
    voxels = np.frombuffer(data, "<f4").reshape(*size[::-1], channels)
    return voxels, Grid(size, spacing, origin, direction)


def _row(numbers: Array | tuple[float, ...]) -> str:
    return " ".join(repr(float(number)) for number in numbers)


class Scene:
    """Blobs, light and dark, of several widths, spread over a grid and what lies around it.

    Args:
        grid: Where.
        widths: Smallest and largest standard deviation of the blobs, mm.
        count: How many.
        seed: Of their places.
    """

    def __init__(
        self, grid: Grid, widths: tuple[float, float] = (2.0, 5.0), count: int = 60, seed: int = 20
    ) -> None:
        random = np.random.default_rng(seed)
        size = np.array(grid.size)
        self._centres = grid.at(random.uniform(-0.1, 1.1, (count, grid.dimension)) * size)
        self._widths = random.uniform(*widths, count)
        self._heights = random.uniform(-300, 600, count)

    def at(self, points: Array) -> Array:
        """Give the intensities at points (N, dimension)."""
        values = np.zeros(len(points))
        for centre, width, height in zip(self._centres, self._widths, self._heights, strict=True):
            distances = np.sum((points - centre) ** 2, axis=1)
            values += height * np.exp(-0.5 * distances / width**2)
        return values

    def seen(self, grid: Grid, through: Map | None = None) -> Image:
        """Make the image whose voxel at x shows the scene at ``through(x)``, by default at x."""
        points = grid.points()
        values = self.at(points if through is None else through(points))
        return Image(values.reshape(grid.size[::-1]).astype(np.float32), grid)


def shift(*vector: float) -> Map:
    """Make a translation, mm."""
    return lambda points: points + np.array(vector)


def waves(grid: Grid, amplitude: float, periods: float = 1.0) -> Map:
    """Make a smooth deformation: each coordinate oscillates along another axis of the grid.

    Args:
        grid: The image over which there are so many ``periods``, along each axis.
        amplitude: Largest displacement along one axis, mm.
        periods: How many.
    """
    extent = np.array(grid.size) * grid.spacing

    def deform(points: Array) -> Array:
        phases = 2 * np.pi * periods * ((points - grid.origin) @ grid.direction) / extent
        return points + amplitude * np.sin(np.roll(phases, 1, axis=1) + np.arange(grid.dimension))

    return deform


def mean_distance(points: Array, others: Array) -> float:
    """Give the mean distance of points of equal number, mm."""
    return float(np.linalg.norm(points - others, axis=1).mean())
