"""Bodies that a search is to find, and where they are."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from helpers.images import Array, Grid, Image
from helpers.pairs import sitk_image
from impact_plugin.registration.starting import Start
from impact_plugin.search import rotations

OBLIQUE = rotations.spread(3, 40)[7]
FIXED = Grid((44, 56, 38), (2.0, 1.5, 2.5), (30.0, -50.0, 12.0), OBLIQUE)
MOVING = Grid((60, 48, 52), (1.5, 2.2, 2.0), (-400.0, 90.0, 300.0), OBLIQUE.T)
FLAT = Grid((120, 90), (1.0, 1.5), (5.0, -7.0))
FLAT_MOVING = Grid((100, 130), (1.4, 1.1), (300.0, 200.0))


class Body:
    """A lopsided body of blobs in emptiness, in two contrasts, moved rigidly."""

    def __init__(self, grid: Grid, moving: Grid, seed: int, turn: Array) -> None:
        self.grid, self.moving, self.turn = grid, moving, turn
        dimension = grid.dimension
        self.middles = [each.at((np.array(each.size)[None] - 1) / 2)[0] for each in (grid, moving)]
        widest = 0.28 * min(np.array(grid.size) * grid.spacing)
        random = np.random.default_rng(seed)
        self.centres = (
            random.uniform(-widest, widest, (40, dimension)) * [1.2, 1.0, 0.8][:dimension]
        )
        self.widths = random.uniform(3.0, 7.0, len(self.centres))
        self.heights = random.uniform(100, 600, len(self.centres))

    def _at(self, points: Array) -> NDArray[np.float64]:
        values = np.zeros(len(points))
        for centre, width, height in zip(self.centres, self.widths, self.heights, strict=True):
            values += height * np.exp(-0.5 * ((points - centre) ** 2).sum(1) / width**2)
        return values

    def fixed_image(self) -> sitk.Image:
        values = self._at(self.grid.points() - self.middles[0])
        return sitk_image(Image(values.reshape(self.grid.size[::-1]).astype(np.float32), self.grid))

    def moving_image(self) -> sitk.Image:
        values = self._at((self.moving.points() - self.middles[1]) @ self.turn)
        other = np.abs(500 - values) * (values > 20)
        return sitk_image(
            Image(other.reshape(self.moving.size[::-1]).astype(np.float32), self.moving)
        )

    def points(self) -> Array:
        places: Array = self.centres + self.middles[0]
        return places

    def truth(self, points: Array) -> Array:
        moved: Array = (points - self.middles[0]) @ self.turn.T + self.middles[1]
        return moved


def mapped(start: Start, points: Array) -> Array:
    return np.array([start.transform.TransformPoint(point) for point in points.tolist()])
