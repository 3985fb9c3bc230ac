"""What is asked of features: the same at the same place of two pictures, others elsewhere."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from training.anatomy import Pictures, sampled

ANCHORS = 192
NEAR = 24
"""Places around each anchor that it must be told from."""
REACH = 8.0
"""Voxels: the farthest of them."""
STEP = 2.0
"""Voxels between the points of a window: 3 along each axis."""

BLOCKS = 64
"""Of which placed() asks where they belong."""
POINTS = 64
WIDE = 5.0
"""Voxels: within which the points of a block lie."""


def loss(
    fixed: Tensor, moving: Tensor, pair: Pictures, margin: int, random: Generator
) -> tuple[Tensor, float]:
    """Compute a contrastive loss (InfoNCE, van den Oord et al. 2018) of features by L1 distance.

    Each anchor of the moving picture has one place in the fixed one that is the same, NEAR places
    about it that are not, and those of all other anchors. It is asked for each anchor alone, and
    for windows around them, whose distances are averaged: a registration never looks at one voxel.

    Args:
        fixed: Features (c, n...).
        moving: Features (c, n...).
        pair: What they are of.
        margin: Voxels at the edges that have no anchors.
        random: Where anchors and other places are drawn from.

    Returns:
        The loss, and how often the true place of a window is the nearest of all.
    """
    anchors = _anchors(pair, margin, random)
    dimension = anchors.shape[1]
    window = STEP * torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=dimension)))
    at = anchors.float()[:, None] + window  # (m, w, d)
    count, size = at.shape[:2]
    ours = sampled(moving, at.reshape(-1, dimension)).reshape(count, size, -1)
    there = sampled(pair.places.movedim(-1, 0), at.reshape(-1, dimension))
    there = there.reshape(count, size, dimension)
    theirs = sampled(fixed, there.reshape(-1, dimension)).reshape(count, size, -1)

    ways = random.normal(size=(count, NEAR, dimension))
    ways *= (random.uniform(1.0, REACH, (count, NEAR)) / np.linalg.norm(ways, axis=-1))[..., None]
    beside = there[:, None] + torch.from_numpy(ways).float()[:, :, None]
    near = sampled(fixed, beside.reshape(-1, dimension)).reshape(count, NEAR, size, -1)

    same = (ours - theirs).abs().sum(-1)  # (m, w)
    about = (ours[:, None] - near).abs().sum(-1)  # (m, k, w)
    middle = size // 2
    others = torch.cdist(ours[:, middle], theirs[:, middle], p=1.0)
    others = others.masked_fill(torch.eye(count, dtype=torch.bool), torch.inf)
    alone = torch.cat([same[:, middle, None], about[..., middle], others], 1)
    together = torch.cat([same.mean(1, keepdim=True), about.mean(-1)], 1)
    first = torch.zeros(count, dtype=torch.long)
    hits = (together.argmin(1) == 0).float().mean()
    asked = functional.cross_entropy(-alone, first) + functional.cross_entropy(-together, first)
    return asked / 2, float(hits)


def placed(fixed: Tensor, moving: Tensor, pair: Pictures, margin: int, random: Generator) -> Tensor:
    """Compute how far from the truth blocks would be put, over the step that they are looked at by.

    A registration ends within a voxel: there, the distance of each block is taken where a drawn
    error of at most a step puts it, and a step beside along each axis. The least of the parabola
    through the three is where it would go.

    Args:
        fixed: Features (c, n...).
        moving: Features (c, n...).
        pair: What they are of.
        margin: Voxels at the edges that have no anchors.
        random: Where blocks, errors and the step, half a voxel to two, are drawn from.

    Returns:
        The mean error that is left. What the drawn error leaves as it is is half a step.
    """
    anchors = _anchors(pair, margin, random)
    anchors = anchors[torch.from_numpy(random.permutation(len(anchors))[:BLOCKS])]
    count, dimension = anchors.shape
    window = torch.from_numpy(random.uniform(-WIDE, WIDE, (count, POINTS, dimension))).float()
    at = (anchors.float()[:, None] + window).reshape(-1, dimension)
    ours = sampled(moving, at).reshape(count, POINTS, -1)
    there = sampled(pair.places.movedim(-1, 0), at).reshape(count, 1, POINTS, dimension)
    step = float(random.choice([0.5, 1.0, 2.0]))
    off = torch.from_numpy(random.uniform(-step, step, (count, 1, 1, dimension))).float()
    axes = torch.cat([torch.zeros(1, dimension), torch.eye(dimension), -torch.eye(dimension)])
    beside = there + off + step * axes[None, :, None]
    near = sampled(fixed, beside.reshape(-1, dimension)).reshape(count, len(axes), POINTS, -1)
    costs = (ours[:, None] - near).abs().sum(-1).mean(-1)  # (m, 1 + 2 d)
    middle, after, before = costs[:, :1], costs[:, 1 : dimension + 1], costs[:, dimension + 1 :]
    bend = before + after - 2 * middle
    flattest = 0.02 * costs.mean(1, keepdim=True)
    moved = (before - after) / 2 / torch.maximum(bend, flattest)
    return (off[:, 0, 0] / step + moved.clamp(-2.0, 2.0)).abs().mean()


def _anchors(pair: Pictures, margin: int, random: Generator) -> Tensor:
    """Draw anchors (m, d), half of them beside edges, that the fixed picture shows."""
    size = pair.edges.shape[0]
    inside = torch.zeros_like(pair.edges)
    dimension = inside.dim()
    inside[(slice(margin, size - margin),) * dimension] = True
    shown = ((pair.places > margin) & (pair.places < size - 1 - margin)).all(-1)
    inside &= shown
    found = []
    for where in (inside & pair.edges, inside):
        index = where.nonzero()
        if len(index):
            chosen = random.choice(len(index), min(len(index), ANCHORS // 2), replace=False)
            found.append(index[torch.from_numpy(chosen)])
    return torch.cat(found)
