"""The deformable search: displacements from a few, by costs and a smoothness that are coupled.

M. P. Heinrich, B. W. Papiez, J. A. Schnabel, H. Handels: *Non-parametric discrete registration with
convex optimisation*, WBIR 2014, LNCS 8545, pp. 51-61; in two directions that are made to agree, as
by H. Siebert, L. Hansen, M. P. Heinrich: *Fast 3D registration with accurate optimisation and
little learning for Learn2Reg 2021*, MICCAI 2021 challenges, LNCS 13166, pp. 174-179.
"""

from __future__ import annotations

import itertools
from concurrent.futures import Executor
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from impact_plugin.search.correlation import Extractor, Level, taken, weights
from impact_plugin.search.linear import Place

_REACH = (5, 3)
"""Voxels of each level by which displacements may differ from those of the level before."""
_STRIDE = 2
"""Voxels from one point to the next whose displacements are chosen."""
_COUPLINGS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Weights of the squared distance, voxels, from the smoothed displacements; costs deviate by 1."""
_UNLIKE = 0.1
"""Mean squared difference of MIND's channels of places that have nothing to do with each other."""
_AGREEING = 10
"""Steps in which two directions are made to agree."""
_PARTS = 8
"""Into how many parts the displacements are cut that workers try."""


def displacements(
    levels: list[Level], place: Place, extract: Extractor, workers: Executor
) -> Tensor:
    """Find u of T(x) = A (x + u(x)) + b, for the voxels of the last level's fixed image.

    Args:
        levels: Both images at the last two levels, from coarse to fine.
        place: A and b.
        extract: Gives features.
        workers: Their number changes nothing but the time.

    Returns:
        Shape (d, [D,] H, W), mm, x first.
    """
    found: Tensor | None = None
    for number, (level, reach) in enumerate(zip(levels, _REACH, strict=True)):
        voxels = _voxels(level.fixed[0])
        if found is None:
            found = torch.zeros_like(voxels).movedim(-1, 0)
        else:
            coarser = levels[number - 1]
            apart = torch.as_tensor(level.origins[0] - coarser.origins[0]).to(voxels)
            found = _read(found, (voxels * level.spacing + apart) / coarser.spacing)
        fixed = level.fixed[0][None, None], level.fixed[1][None, None]
        moved = _warped(level, place, found)
        there = _chosen(fixed, moved, reach, extract, workers)
        back = _chosen(moved, fixed, reach, extract, workers)
        step = _agreeing(there, back)
        found = step * level.spacing + _read(found, voxels + step.movedim(0, -1))
    assert found is not None
    return found


def _warped(level: Level, place: Place, found: Tensor) -> tuple[Tensor, Tensor]:
    """Give the moving image at A (x + u(x)) + b, and where it is."""
    voxels = _voxels(level.fixed[0])
    origin, matrix, offset = (
        torch.as_tensor(each).to(voxels) for each in (level.origins[0], place.matrix, place.offset)
    )
    points = voxels * level.spacing + origin + found.movedim(0, -1)
    return taken(level, (points @ matrix.T + offset)[None])


def _chosen(
    still: tuple[Tensor, Tensor],
    searched: tuple[Tensor, Tensor],
    reach: int,
    extract: Extractor,
    workers: Executor,
) -> Tensor:
    """Choose displacements, voxels, of one image's points in the other: (d, [D,] H, W), x first."""
    dimension = still[0].dim() - 2
    features = extract(still[0])
    weight = weights(*still)
    margin = [reach] * (2 * dimension)
    other = functional.pad(extract(searched[0]), margin, mode="replicate")
    known = functional.pad(searched[1], margin)
    line = range(-reach, reach + 1)
    labels = list(itertools.product(line, repeat=dimension))  # slowest axis first
    share = -(-len(labels) // _PARTS)
    parts = [labels[start : start + share] for start in range(0, len(labels), share)]
    cost = partial(_costs, features, weight, other, known, reach)
    costs = torch.cat(list(workers.map(cost, parts)))
    costs = costs / costs.std().clamp(min=1e-6)
    steps = torch.tensor(labels, dtype=costs.dtype, device=costs.device)
    shape = costs.shape[1:]
    flat = costs.flatten(1)
    chosen = steps[flat.argmin(0)]
    for coupling in _COUPLINGS:
        smooth = _smoothed(chosen.T.reshape(dimension, *shape)).flatten(1)
        far = (steps**2).sum(1)[:, None] - 2 * steps @ smooth + (smooth**2).sum(0)
        chosen = steps[(flat + coupling * far).argmin(0)]
    field = _smoothed(chosen.T.reshape(dimension, *shape))
    return _read(field, _voxels(still[0][0, 0]) / _STRIDE).flip(0)


def _costs(
    features: Tensor,
    weight: Tensor,
    other: Tensor,
    known: Tensor,
    reach: int,
    labels: list[tuple[int, ...]],
) -> Tensor:
    """Give each displacement's mean difference around each point: (n, [D,] H, W)."""
    pool = functional.avg_pool3d if features.dim() == 5 else functional.avg_pool2d
    found = []
    for label in labels:
        there, seen = other, known
        for axis, step in enumerate(label):
            size = features.shape[axis + 2]
            there, seen = (each.narrow(axis + 2, reach + step, size) for each in (there, seen))
        difference = ((features - there) ** 2).mean(1, keepdim=True)
        # What is not seen is as unlike as features that have nothing to do with each other.
        difference = torch.where(seen > 0, difference, _UNLIKE) * weight
        found.append(pool(difference, _STRIDE + 1, _STRIDE, 1)[0, 0])
    return torch.stack(found)


def _smoothed(field: Tensor) -> Tensor:
    """Average over three points along each axis, twice: (d, [D,] H, W)."""
    pool = functional.avg_pool3d if field.dim() == 4 else functional.avg_pool2d
    for _ in range(2):
        field = pool(field[None], 3, 1, 1, count_include_pad=False)[0]
    return field


def _voxels(image: Tensor) -> Tensor:
    """Give the indices of an image's voxels: ([D,] H, W, d), x first."""
    axes = [torch.arange(n, dtype=image.dtype, device=image.device) for n in image.shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def _read(field: Tensor, places: Tensor) -> Tensor:
    """Take a field (c, [D,] H, W) at places ([D,] H, W, d), in its voxels, x first."""
    size = torch.tensor(field.shape[:0:-1]).to(places)
    found: Tensor = functional.grid_sample(
        field[None],
        (places * (2 / (size - 1)) - 1)[None],
        padding_mode="border",
        align_corners=True,
    )[0]
    return found


def _agreeing(there: Tensor, back: Tensor) -> Tensor:
    """Make two displacements, voxels, each other's inverse, half way from each."""
    voxels = _voxels(there[0])
    for _ in range(_AGREEING):
        ahead = _read(back, voxels + there.movedim(0, -1))
        behind = _read(there, voxels + back.movedim(0, -1))
        there, back = (there - ahead) / 2, (back - behind) / 2
    return there
