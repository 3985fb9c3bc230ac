"""The linear search: all rotations and translations, the best of them refined."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from impact_plugin.search.correlation import (
    Extractor,
    FixedFeatures,
    Level,
    Translations,
    scored,
    taken,
    weights,
)
from impact_plugin.search.rotations import Matrices, nearest, spread

ROTATIONS = {2: 72, 3: 500}
_BATCH = 16
_GROUPS = 4
"""In how many parts places are refined at once."""
_KEPT = (16, 4, 2)
"""How many places go on, after the rotations and after each level."""
_STEPS = (20, 15, 10, 20)
"""Of each level, and of the affine transform."""
_NEARLY = 0.02
"""What the place that the images are in may score less than the best, and is taken all the same."""
_FIRST, _LAST = 0.5, 0.03  # voxels, of a step
_APART = 0.5
"""Two places are others where their points lie further apart than this part of the radius."""


@dataclass(frozen=True)
class Place:
    """A transform T(x) = A x + b, from the fixed to the moving image, and its score.

    Args:
        matrix: A, (d, d).
        offset: b, mm.
        score: At most 1.
    """

    matrix: Matrices
    offset: Matrices
    score: float

    def mapped(self, points: Matrices) -> Matrices:
        """Map points (N, d)."""
        found: Matrices = points @ self.matrix.T + self.offset
        return found


@dataclass(frozen=True)
class Balls:
    """What both images show: middles, mm, and radii."""

    centres: tuple[Matrices, Matrices]
    radii: tuple[float, float]


def search(
    levels: list[Level], balls: Balls, extract: Extractor, workers: Executor, *, affine: bool
) -> list[Place]:
    """Find where the fixed image is in the moving one.

    The place that the images are in is climbed from as well, and taken where it scores nearly as
    much as the best: headers are seldom wrong by so little.

    Args:
        levels: Both images, from coarse to fine: two, and for an affine transform a third.
        balls: What they show.
        extract: Gives features.
        workers: Their number changes nothing but the time.
        affine: Refine all of A at the end; else A is a rotation.

    Returns:
        The best, and the best that lies elsewhere, if there is one.
    """
    fixed = FixedFeatures(levels[0], extract)
    places = _everywhere(fixed, balls, workers)
    dimension = levels[0].dimension
    here = Place(np.eye(dimension), np.zeros(dimension), 0.0)
    for number, level in enumerate(levels[: len(_KEPT) - 1]):
        if number:
            fixed = FixedFeatures(level, extract)
        climb = partial(_refined, fixed, balls, _STEPS[number], affine=False)
        groups = [[here], *(places[start::_GROUPS] for start in range(min(_GROUPS, len(places))))]
        (here,), *climbed = workers.map(climb, groups)
        places = _distinct(
            [place for group in climbed for place in group], balls, _KEPT[number + 1]
        )
    if here.score >= places[0].score - _NEARLY:
        places = _distinct([replace(here, score=places[0].score), *places], balls, _KEPT[-1])
    if affine:
        finest = FixedFeatures(levels[-1], extract)
        (best,) = _refined(finest, balls, _STEPS[2], places[:1], affine=False)
        (best,) = _refined(finest, balls, _STEPS[3], [best], affine=True)
        # The scores stay those of one level, so that they can be compared.
        places[0] = replace(best, score=places[0].score)
    return places


def _everywhere(fixed: FixedFeatures, balls: Balls, workers: Executor) -> list[Place]:
    translations = Translations(fixed, balls.centres[1], balls.radii[1])
    matrices = spread(fixed.level.dimension, ROTATIONS[fixed.level.dimension])
    parts = [matrices[start : start + _BATCH] for start in range(0, len(matrices), _BATCH)]
    found = [
        Place(matrix, offset, score)
        for part, answer in zip(parts, workers.map(translations.best, parts), strict=True)
        for matrix, (score, offset) in zip(part, answer, strict=True)
    ]
    return sorted(found, key=lambda place: -place.score)[: _KEPT[0]]


def _distinct(places: list[Place], balls: Balls, most: int) -> list[Place]:
    """Keep the best of those that are the same, and of these the best few, best first."""
    points = _around(balls.centres[0], balls.radii[0])
    kept: list[Place] = []
    for place in sorted(places, key=lambda each: -each.score):
        here = place.mapped(points)
        if all(
            np.linalg.norm(here - other.mapped(points), axis=1).mean() > _APART * min(balls.radii)
            for other in kept
        ):
            kept.append(place)
    return kept[:most]


def _around(centre: Matrices, radius: float) -> Matrices:
    ends = np.vstack([np.eye(len(centre)), -np.eye(len(centre))])
    found: Matrices = centre + radius * ends
    return found


def _refined(
    fixed: FixedFeatures, balls: Balls, steps: int, places: list[Place], *, affine: bool
) -> list[Place]:
    """Climb from each place to the best one near it, by derivatives through the features (Adam)."""
    level = fixed.level
    dimension, like = level.dimension, fixed.values
    unit = level.spacing / min(balls.radii)  # a turn that moves the content by a voxel
    centre = balls.centres[0]
    start, to = (
        torch.as_tensor(np.stack(each), dtype=like.dtype, device=like.device)
        for each in (
            [place.matrix for place in places],
            [place.mapped(centre[None])[0] for place in places],
        )
    )
    points = _points(fixed) - torch.as_tensor(centre, dtype=like.dtype, device=like.device)
    turns = dimension**2 if affine else dimension * (dimension - 1) // 2
    values = like.new_zeros(len(places), turns + dimension)
    mean, square = torch.zeros_like(values), torch.zeros_like(values)
    best, kept = like.new_full((len(places),), -2.0), torch.zeros_like(values)
    for step in range(steps + 1):
        values.requires_grad_()
        matrix = _turned(values[:, :turns] * unit, affine=affine) @ start
        scores = _scores(fixed, points, matrix, to + values[:, turns:] * level.spacing)
        (slope,) = torch.autograd.grad(scores.sum(), values)
        # A place that is no number would have grid_sample read outside its image.
        slope = torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
        values, scores = values.detach(), scores.detach()
        kept = torch.where((scores > best)[:, None], values, kept)
        best = torch.maximum(scores, best)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        direction = mean / (1 - 0.9 ** (step + 1))
        direction = direction / ((square / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8)
        values = values + _FIRST * (_LAST / _FIRST) ** (step / steps) * direction
    matrices = (_turned(kept[:, :turns] * unit, affine=affine) @ start).double().cpu().numpy()
    ends = (to + kept[:, turns:] * level.spacing).double().cpu().numpy()
    refined = []
    for matrix, end, score in zip(matrices, ends, best.tolist(), strict=True):
        exact = matrix if affine else nearest(matrix)
        refined.append(Place(exact, end - exact @ centre, score))
    return refined


def _points(fixed: FixedFeatures) -> Tensor:
    level = fixed.level
    shape = level.fixed[0].shape
    axes = torch.meshgrid(
        *[torch.arange(n, device=fixed.values.device) for n in shape], indexing="ij"
    )
    origin = torch.as_tensor(level.origins[0], dtype=torch.float32).to(fixed.values.device)
    return torch.stack(axes[::-1], -1).float() * level.spacing + origin


def _turned(turns: Tensor, *, affine: bool) -> Tensor:
    """Give matrices of small numbers (N, n): I plus all of its entries, or rotations."""
    zero = torch.zeros_like(turns[:, 0])
    if affine:
        dimension = round(turns.shape[1] ** 0.5)
        one = torch.eye(dimension, dtype=turns.dtype, device=turns.device)
        return one + turns.view(-1, dimension, dimension)
    if turns.shape[1] == 1:
        rows = [[zero, -turns[:, 0]], [turns[:, 0], zero]]
    else:
        x, y, z = turns.unbind(1)
        rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    found: Tensor = torch.linalg.matrix_exp(torch.stack([torch.stack(row, -1) for row in rows], -2))
    return found


def _scores(fixed: FixedFeatures, points: Tensor, matrix: Tensor, to: Tensor) -> Tensor:
    """Score transforms x -> A (x - centre) + to, whose points are given around the centre."""
    dimension = fixed.level.dimension
    places = torch.einsum("nij,...j->n...i", matrix, points)
    image, inside = taken(fixed.level, places + to.view(-1, *[1] * dimension, dimension))
    axes = tuple(range(1, dimension + 2))
    with torch.no_grad():
        weight = fixed.weight * weights(image, inside)
        share = weight.sum(axes) / fixed.least
    values = fixed.extract(image) - fixed.mean
    both = (fixed.values * values * weight).sum(axes)
    one = (fixed.energy * weight).sum(axes)
    other = (values * values * weight).sum(axes)
    return scored(both, one, other, share)
