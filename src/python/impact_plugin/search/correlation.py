"""How alike two images' features are, for a rotation and all translations at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from impact_plugin.search.rotations import Matrices

Extractor = Callable[[Tensor], Tensor]
"""Features (N, C, [D,] H, W) of grey images (N, 1, [D,] H, W)."""

SHARE = 0.5
"""How much a larger overlap counts: its share of the smaller image to this power."""

HELD = 6
"""Principal components of the features that translations are scored by."""

LEAST = 0.25
"""Least overlap, of what the smaller image shows."""

_NOTHING = 1e-6
"""Energy that counts as none: features are of the order of 1."""

_FLAT = 0.3
"""Part of the strongest contrast from which on a voxel counts fully."""


@dataclass(frozen=True)
class Level:
    """Two images at voxels of one size, as tensors on a device.

    Args:
        fixed: The image that stays, ([D,] H, W), and where it is, likewise.
        moving: The image that is rotated, likewise.
        origins: Centre of the first voxel of each, mm, x first.
        spacing: Size of voxels, mm.
    """

    fixed: tuple[Tensor, Tensor]
    moving: tuple[Tensor, Tensor]
    origins: tuple[Matrices, Matrices]
    spacing: float

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.fixed[0].dim()

    @cached_property
    def moving_grid(self) -> tuple[Tensor, Tensor]:
        """Number of voxels along each axis of the moving image, and its origin, where it is.

        Copied once: a GPU would be waited for each time.
        """
        image = self.moving[0]
        size = torch.tensor(image.shape[::-1]).to(image)
        return size, torch.as_tensor(self.origins[1]).to(image)


def weights(image: Tensor, inside: Tensor) -> Tensor:
    """Weigh voxels: 0 outside and where nothing is to be seen, 1 where there is structure.

    Args:
        image: Grey images (N, 1, [D,] H, W).
        inside: Where they are, likewise.
    """
    dimension = image.dim() - 2
    mean = functional.pad(image, [1] * (2 * dimension), mode="replicate")
    square = mean * mean
    for axis in range(2, 2 + dimension):
        mean, square = (_of_three(values, axis) for values in (mean, square))
    strength = (square - mean * mean).clamp(min=0).sqrt() * inside
    strongest = torch.quantile(strength.flatten(1), 0.97, dim=1).clamp(min=1e-12)
    scale = (_FLAT * strongest).view(-1, *[1] * (dimension + 1))
    return inside * (strength / scale).clamp(max=1)


def _of_three(values: Tensor, axis: int) -> Tensor:
    n = values.size(axis) - 2
    total = values.narrow(axis, 0, n) + values.narrow(axis, 1, n) + values.narrow(axis, 2, n)
    return total / 3


class FixedFeatures:
    """Features of the image that stays, around their mean, and how much each voxel weighs."""

    def __init__(self, level: Level, features: Extractor) -> None:
        image, inside = (each[None, None] for each in level.fixed)
        self.level = level
        self.extract = features
        self.weight = weights(image, inside)
        found = features(image)
        axes = tuple(range(2, found.dim()))
        total = self.weight.sum()
        self.mean = (found * self.weight).sum(dim=axes, keepdim=True) / total
        self.values = found - self.mean
        self.energy = (self.values**2).sum(1, keepdim=True)
        self.total = float(total)
        moving = weights(*(each[None, None] for each in level.moving))
        self.least = min(self.total, float(moving.sum()))


class Translations:
    """Scores of all translations, by Fourier transforms (masked as by Padfield, IEEE TIP 2012).

    The score is the cosine between both images' features, around the fixed image's mean, over where
    both are, each voxel by the product of both weights, times the overlap's share to ``SHARE``.

    Args:
        fixed: The image that stays.
        centre: About which the other one is rotated, mm.
        radius: Around it, what is rotated, mm.
    """

    def __init__(self, fixed: FixedFeatures, centre: Matrices, radius: float) -> None:
        level = fixed.level
        self.fixed, self.centre, self.level = fixed, centre, level
        self.side = 2 * math.ceil(radius / level.spacing) + 1
        self.sizes = [_quick(n + self.side - 1) for n in fixed.values.shape[2:]]
        self.axes = tuple(range(-level.dimension, 0))
        self.components = _components(fixed)
        values = _projected(fixed.values, self.components)
        energy = (values**2).sum(1, keepdim=True)
        parts = torch.cat([values, energy, torch.ones_like(energy)], 1) * fixed.weight
        self.spectra = torch.fft.rfftn(parts, self.sizes, dim=self.axes).conj()

    def best(self, matrices: Matrices) -> list[tuple[float, Matrices]]:
        """Give each rotation's best score, and the b of T(x) = A x + b that has it.

        Args:
            matrices: A of each, (N, d, d).
        """
        scores = self._scores(matrices)
        values, places = scores.flatten(1).max(1)
        found = []
        for matrix, value, place in zip(matrices, values.tolist(), places.tolist(), strict=True):
            index = np.array(np.unravel_index(place, self.sizes))
            shift = np.where(index >= self.side, index - np.array(self.sizes), index)[::-1]
            offset = self.level.spacing * (shift - (self.side - 1) / 2) - self.level.origins[0]
            found.append((value, matrix @ offset + self.centre))
        return found

    def _scores(self, matrices: Matrices) -> Tensor:
        image, inside = self._rotated(matrices)
        weight = weights(image, inside)
        values = _projected(self.fixed.extract(image) - self.fixed.mean, self.components)
        energy = (values**2).sum(1, keepdim=True) * weight
        parts = torch.cat([values * weight, energy, weight], 1)
        found = torch.fft.rfftn(parts, self.sizes, dim=self.axes)
        products = torch.stack(
            [
                (self.spectra[:, :-2] * found[:, :-2]).sum(1),
                self.spectra[:, -2] * found[:, -1],
                self.spectra[:, -1] * found[:, -2],
                self.spectra[:, -1] * found[:, -1],
            ],
            1,
        )
        both, one, other, overlap = torch.fft.irfftn(products, self.sizes, dim=self.axes).unbind(1)
        total = weight.flatten(1).sum(1).clamp(max=self.fixed.total)
        share = overlap / total.view(-1, *[1] * self.level.dimension)
        return torch.where(share >= LEAST, scored(both, one, other, share), -1.0)

    def _rotated(self, matrices: Matrices) -> tuple[Tensor, Tensor]:
        """Give the ball around the centre as it looks where T puts it, and where the image is."""
        level = self.level
        image = level.moving[0]
        line = (torch.arange(self.side, device=image.device) - (self.side - 1) / 2) * level.spacing
        axes = torch.meshgrid(*[line] * level.dimension, indexing="ij")
        points = torch.stack(axes[::-1], -1).to(image.dtype)
        matrix = torch.as_tensor(matrices, dtype=image.dtype, device=image.device)
        places = torch.einsum("nij,...j->n...i", matrix, points)
        centre = torch.as_tensor(self.centre, dtype=image.dtype, device=image.device)
        return taken(level, places + centre)


def _components(fixed: FixedFeatures) -> Tensor:
    """Give the directions in which the fixed features vary most, (C, n), each a column."""
    values = (fixed.values * fixed.weight.sqrt()).transpose(0, 1).flatten(1).double()
    _, vectors = torch.linalg.eigh(values @ values.T)
    found: Tensor = vectors[:, -HELD:].to(fixed.values.dtype)
    return found


def _projected(values: Tensor, components: Tensor) -> Tensor:
    found: Tensor = torch.einsum("nc...,ck->nk...", values, components)
    return found


def scored(both: Tensor, one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Give the score of sums over the overlap: products, both energies, and its share."""
    norms = one.clamp(min=_NOTHING).sqrt() * other.clamp(min=_NOTHING).sqrt()
    return both / norms * share.clamp(min=0, max=1) ** SHARE


def taken(level: Level, places: Tensor) -> tuple[Tensor, Tensor]:
    """Take the moving image, and where it is, at places (N, [D,] H, W, d), mm, x first."""
    image, inside = level.moving
    size, origin = level.moving_grid
    relative = (places - origin) / level.spacing * (2 / (size - 1)) - 1
    values, seen = (
        functional.grid_sample(
            each[None, None].expand(len(places), *[-1] * (each.dim() + 1)),
            relative,
            padding_mode=outside,
            align_corners=True,
        )
        for each, outside in ((image, "border"), (inside, "zeros"))
    )
    return values, (seen > 0.5).to(values.dtype)


def _quick(n: int) -> int:
    """Give the least size from n on whose only factors are 2, 3 and 5."""
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 1
