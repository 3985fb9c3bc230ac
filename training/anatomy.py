"""Made-up anatomy, and two pictures of it whose contrasts have nothing to do with each other.

Shapes come from smooth random fields: regions where one of several fields is the largest, folded
layers along level sets, thin sheets where a field is nearly zero, tubes where two are, and
ellipsoids. A picture gives each region a brightness of its own, and spoils it as scanners do.
The idea, training on shapes and contrasts that are drawn, is that of B. Billot et al. (SynthSeg,
2023), M. Hoffmann et al. (SynthMorph, 2022) and N. Dey et al. (Anatomix, 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

MAP_SCALES = (2.5, 4.0, 7.0, 12.0, 20.0)
"""Voxels: the scales that regions come in."""
MOST_SHIFT = 3.0
"""Voxels: deviation of a deformation's control points."""
MOST_DEGREES = 12.0


@dataclass(frozen=True)
class Anatomy:
    """Made-up anatomy.

    Args:
        labels: (n...), which region a voxel belongs to; 0 is the surrounding.
        textures: (2, n...), smooth patterns that both pictures may show.
    """

    labels: Tensor
    textures: Tensor


@dataclass(frozen=True)
class Pictures:
    """Two pictures of one anatomy.

    Args:
        fixed: (1, 1, n...).
        moving: (1, 1, n...).
        places: (n..., d), for each voxel of the moving picture, where the fixed one shows the
            same: in voxels, in the order of the array's axes.
        edges: (n...), 1 beside the borders of the moving picture's regions, else 0.
    """

    fixed: Tensor
    moving: Tensor
    places: Tensor
    edges: Tensor


def pictures(size: int, dimension: int, random: Generator) -> Pictures:
    """Draw anatomy, a deformation of it, and a picture of either.

    Args:
        size: Voxels along each axis.
        dimension: 2 or 3.
        random: Where the numbers come from.
    """
    anatomy = drawn(size, dimension, random)
    places = deformation(size, dimension, random)
    moved = Anatomy(
        _looked_up(anatomy.labels[None].float(), places, "nearest")[0].long(),
        _looked_up(anatomy.textures, places, "bilinear"),
    )
    regions = int(anatomy.labels.max()) + 1
    likeness = random.random()
    one = _contrast(regions, random)
    other = one if likeness < 0.15 else _contrast(regions, random)
    if 0.15 <= likeness < 0.3:  # inverted
        other = {**one, "brightness": 1.0 - one["brightness"], "patterns": -one["patterns"]}
    return Pictures(
        _picture(anatomy, one, random),
        _picture(moved, other, random),
        places,
        _edges(moved.labels),
    )


def drawn(size: int, dimension: int, random: Generator) -> Anatomy:
    """Draw anatomy."""
    shape = (size,) * dimension
    scale = random.choice(MAP_SCALES)
    count = int(random.integers(4, 13))
    fields = torch.cat(
        [smooth(1, shape, scale * random.uniform(0.6, 1.6), random) for _ in range(count)]
    )
    labels = fields.argmax(0) + 1
    used = count

    if random.random() < 0.6:  # folded layers, as of a cortex
        field = smooth(1, shape, random.uniform(4, 14), random)[0]
        layers = int(random.integers(2, 5))
        steps = torch.floor(field * random.uniform(1.5, 5.0)).long() % layers
        where = smooth(1, shape, 20.0, random)[0] > random.uniform(-0.5, 1.0)
        labels = torch.where(where, used + 1 + steps, labels)
        used += layers
    for _ in range(int(random.integers(0, 4))):  # sheets
        used += 1
        field = smooth(1, shape, random.uniform(4, 14), random)[0]
        near = smooth(1, shape, 15.0, random)[0] > random.uniform(-0.5, 1.0)
        labels = torch.where((field.abs() < random.uniform(0.05, 0.25)) & near, used, labels)
    for _ in range(int(random.integers(0, 4))):  # tubes; in 2D spots
        used += 1
        pair = smooth(2, shape, random.uniform(4, 14), random)
        labels = torch.where(pair.square().sum(0) < random.uniform(0.05, 0.3) ** 2, used, labels)
    axes = torch.meshgrid(*[torch.arange(size, dtype=torch.float32)] * dimension, indexing="ij")
    for _ in range(int(random.integers(0, 8))):  # ellipsoids
        used += 1
        turn = _turn(random, 180.0, dimension)
        radii = torch.tensor(random.uniform(1.0, size / 5) * random.uniform(0.5, 1.5, dimension))
        offsets = torch.stack(axes, -1) - torch.tensor(random.uniform(0, size, dimension)).float()
        inside = ((offsets @ turn.T) / radii.float()).square().sum(-1) < 1.0
        labels = torch.where(inside, used, labels)
    if random.random() < 0.7:  # the surrounding
        away = (
            torch.stack(axes, -1) - torch.tensor(random.uniform(0.2, 0.8, dimension) * size).float()
        )
        distance = (away @ _turn(random, 180.0, dimension).T) / torch.tensor(
            size * random.uniform(0.35, 0.8, dimension)
        ).float()
        rough = distance.square().sum(-1).sqrt() + 0.08 * smooth(1, shape, 8.0, random)[0]
        labels = torch.where(rough < 1.0, labels, 0)
    scales = random.uniform(1.5, 10.0, 2)
    textures = torch.cat([smooth(1, shape, each, random) for each in scales])
    return Anatomy(labels, textures)


def deformation(size: int, dimension: int, random: Generator) -> Tensor:
    """Draw where each voxel comes from: a small affine transform, then a smooth displacement.

    Returns:
        (n..., d), in voxels, in the order of the array's axes.
    """
    axes = torch.meshgrid(*[torch.arange(size, dtype=torch.float32)] * dimension, indexing="ij")
    centred = torch.stack(axes, -1) - (size - 1) / 2
    matrix = _turn(random, MOST_DEGREES, dimension) * float(random.uniform(0.93, 1.07))
    shift = torch.tensor(random.normal(0, 1.0, dimension)).float()
    field = smooth(dimension, (size,) * dimension, random.uniform(12, 24), random)
    strength = float(random.uniform(0, MOST_SHIFT))
    return centred @ matrix.T + shift + (size - 1) / 2 + strength * field.movedim(0, -1)


def smooth(count: int, shape: Sequence[int], scale: float, random: Generator) -> Tensor:
    """Draw smooth fields (count, n...) of mean about 0 and deviation about 1.

    Args:
        count: How many.
        shape: Voxels.
        scale: Voxels from one drawn number to the next.
        random: Where the numbers come from.
    """
    coarse = [int(np.ceil(n / scale)) + 3 for n in shape]
    numbers = torch.from_numpy(random.standard_normal((1, count, *coarse), dtype=np.float32))
    # Cubic B-spline along each axis: smooth, unlike linear interpolation's creases.
    for axis, n in enumerate(shape):
        at = (
            np.arange(n) / scale
            + 1
            + random.uniform(0, min(1.0, coarse[axis] - 2 - (n - 1) / scale - 1e-3))
        )
        base = np.floor(at).astype(int)
        t = at - base
        weights = (
            np.stack(
                [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
            )
            / 6
        )
        matrix = np.zeros((n, coarse[axis]), np.float32)
        for k in range(4):
            matrix[np.arange(n), np.minimum(base - 1 + k, coarse[axis] - 1)] += weights[k]
        numbers = torch.tensordot(
            numbers, torch.from_numpy(matrix), dims=([axis + 2], [1])
        ).movedim(-1, axis + 2)
    return numbers[0] / float(np.sqrt(0.479) ** len(shape))  # the spline's mean square weight


def sampled(maps: Tensor, places: Tensor) -> Tensor:
    """Interpolate maps (c, n...) linearly at places (m, d), in voxels; (m, c)."""
    dimension = places.shape[-1]
    return (
        _looked_up(maps, places.reshape(-1, *(1,) * (dimension - 1), dimension), "bilinear")
        .flatten(1)
        .T
    )


def _looked_up(maps: Tensor, places: Tensor, mode: str) -> Tensor:
    """Interpolate maps (c, n...) at places (k..., d); beyond the edge the map's edge goes on."""
    sizes = torch.tensor(maps.shape[1:], dtype=torch.float32)
    grid = (2 * places / (sizes - 1) - 1).flip(-1)  # torch's order: x first
    return functional.grid_sample(
        maps[None], grid[None], mode=mode, padding_mode="border", align_corners=True
    )[0]


def _turn(random: Generator, most: float, dimension: int) -> Tensor:
    """Draw a rotation by up to so many degrees."""
    angle = np.radians(random.uniform(-most, most))
    if dimension == 2:
        found = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        axis = random.normal(size=3)
        x, y, z = axis / np.linalg.norm(axis)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        found = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return torch.from_numpy(found).float()


def _contrast(regions: int, random: Generator) -> dict[str, Tensor]:
    """Draw a brightness for each region, and how strongly each shows the two patterns."""
    brightness = random.uniform(0, 1, regions)
    shared = random.random(regions) < 0.3  # these look like another region
    brightness[shared] = brightness[random.integers(0, regions, shared.sum())]
    brightness[0] = 0.0 if random.random() < 0.6 else random.uniform(0, 1)
    patterns = random.normal(0, random.choice([0.0, 0.04, 0.12]), (2, regions))
    patterns[:, 0] = 0.0
    return {
        "brightness": torch.from_numpy(brightness).float(),
        "patterns": torch.from_numpy(patterns).float(),
    }


def _picture(anatomy: Anatomy, contrast: dict[str, Tensor], random: Generator) -> Tensor:
    """Show anatomy: brightness, patterns, blur, coarse slices, bias, noise."""
    labels, shape = anatomy.labels, anatomy.labels.shape
    image = contrast["brightness"][labels]
    for pattern, texture in zip(contrast["patterns"], anatomy.textures, strict=True):
        image = image + pattern[labels] * texture
    own = random.choice([0.0, 0.0, 0.03])
    image = image + own * smooth(1, shape, random.uniform(1.5, 6), random)[0] * (labels > 0)
    maps = _blurred(image[None, None], random.uniform(0.5, 1.2))
    if random.random() < 0.3:  # thick slices
        axis = int(random.integers(2, maps.dim()))
        ratio = random.uniform(1.3, 2.5)
        coarse = list(shape)
        coarse[axis - 2] = max(8, round(shape[axis - 2] / ratio))
        mode = "bilinear" if len(shape) == 2 else "trilinear"
        maps = functional.interpolate(maps, size=coarse, mode=mode, antialias=False)
        maps = functional.interpolate(maps, size=list(shape), mode=mode)
    if random.random() < 0.5:
        maps = maps * torch.exp(random.uniform(0, 0.3) * smooth(1, shape, 30.0, random))[None]
    noise = random.choice([0.0, 0.01, 0.03, 0.08])
    if noise:
        grain = torch.from_numpy(random.standard_normal(tuple(maps.shape), dtype=np.float32))
        if random.random() < 0.5:
            grain = _blurred(grain, 0.6)
            grain = grain / grain.std()
        if random.random() < 0.4:
            grain = grain * (labels > 0)  # a masked image
        maps = maps + noise * grain
    return maps * float(10 ** random.uniform(-1, 3)) + float(
        random.choice([0.0, 0.0, 1.0, -1000.0])
    )


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    radius = int(np.ceil(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    kernel = kernel / kernel.sum()
    for axis in range(2, maps.dim()):
        padding = [0] * (2 * (maps.dim() - 2))
        padding[2 * (maps.dim() - 1 - axis)] = padding[2 * (maps.dim() - 1 - axis) + 1] = radius
        padded = functional.pad(maps, padding, mode="replicate")
        maps = torch.stack(
            [padded.narrow(axis, k, maps.shape[axis]) * kernel[k] for k in range(len(kernel))]
        ).sum(0)
    return maps


def _edges(labels: Tensor) -> Tensor:
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(labels.dim()):
        size = labels.shape[axis] - 1
        differs = labels.narrow(axis, 0, size) != labels.narrow(axis, 1, size)
        found.narrow(axis, 0, size).logical_or_(differs)
        found.narrow(axis, 1, size).logical_or_(differs)
    return found
