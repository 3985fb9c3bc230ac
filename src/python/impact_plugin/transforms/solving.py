"""Transforms of many points at once, and equations of them solved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK as sitk

Points = NDArray[np.float64]

_AT_ONCE = 1_000_000


def mapped(transform: sitk.Transform, points: Points) -> Points:
    """Map points (N, d), mm, all at once.

    SimpleITK maps single points, or the voxels of a grid on all processors: so the points are given
    as what a displacement field makes of a row of voxels.
    """
    import SimpleITK as sitk

    found = np.empty_like(points)
    dimension = points.shape[1]
    for start in range(0, len(points), _AT_ONCE):
        some = points[start : start + _AT_ONCE]
        row = np.zeros_like(some)
        row[:, 0] = np.arange(len(some))
        shape = (*[1] * (dimension - 1), len(some), dimension)
        field = sitk.GetImageFromArray((some - row).reshape(shape), isVector=True)
        composite = sitk.CompositeTransform(dimension)
        composite.AddTransform(transform)
        composite.AddTransform(sitk.DisplacementFieldTransform(field))
        size = [len(some), *[1] * (dimension - 1)]
        moved = sitk.TransformToDisplacementField(composite, sitk.sitkVectorFloat64, size)
        array = sitk.GetArrayViewFromImage(moved).reshape(some.shape)
        found[start : start + _AT_ONCE] = array + row
    return found


def jacobian(transform: sitk.Transform, places: Points) -> NDArray[np.float64]:
    """Give dT/dx at places (N, d): shape (N, d, d), a column for each coordinate of x."""
    small = 1e-3  # mm: what has control points millimetres apart is straight over it
    columns = [
        (mapped(transform, places + shift) - mapped(transform, places - shift)) / (2 * small)
        for shift in small * np.eye(places.shape[1])
    ]
    return np.stack(columns, axis=-1)


def folds(transform: sitk.Transform, places: Points) -> NDArray[np.bool_]:
    """Tell at which places (N, d) a transform folds: det(dT/dx) is not above 0."""
    folded: NDArray[np.bool_] = np.linalg.det(jacobian(transform, places)) <= 0
    return folded


def solve(
    transform: sitk.Transform,
    targets: Points,
    tolerance: float,
    guess: sitk.Transform | None = None,
) -> Points:
    """Find what a transform maps to each of some points.

    By the fixed-point iteration of Chen et al., Medical Physics 35 (2008) 81, on the transform
    itself; where that does not converge, by Newton's method with shorter steps where a whole one
    leads further away. Where the transform folds there may be no solution: the nearest that was
    met is given.

    Args:
        transform: Maps points (N, d) to points, not far from the identity.
        targets: Shape (N, d), mm.
        tolerance: mm; what is found is mapped nearer than a hundredth of it.
        guess: An inverse that is not near enough; by default the identity.

    Returns:
        Shape (N, d), mm.
    """
    enough = tolerance / 100
    found = targets.copy() if guess is None else mapped(guess, targets)
    residual = mapped(transform, found) - targets
    error = np.linalg.norm(residual, axis=1)
    for _ in range(12):
        left = np.flatnonzero(error > enough)
        if not len(left):
            return found
        _take(transform, targets, left, -residual[left], found, residual, error)
    left = np.flatnonzero(error > enough)
    for _ in range(12):
        if not len(left):
            break
        before = error.copy()
        steps = _newton_steps(transform, found[left], residual[left])
        away = left
        for _ in range(5):
            better = _take(transform, targets, away, steps, found, residual, error)
            away, steps = away[~better], steps[~better] / 2
            if not len(away):
                break
        # What no longer comes nearer is where the transform folds.
        left = left[(error[left] > enough) & (error[left] < 0.9 * before[left])]
    return found


def _take(
    transform: sitk.Transform,
    targets: Points,
    left: NDArray[np.int64],
    steps: Points,
    found: Points,
    residual: Points,
    error: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Take the steps that lead nearer, and tell which these were."""
    tried = found[left] + steps
    remaining = mapped(transform, tried) - targets[left]
    distance = np.linalg.norm(remaining, axis=1)
    better: NDArray[np.bool_] = distance < error[left]
    chosen = left[better]
    found[chosen], residual[chosen] = tried[better], remaining[better]
    error[chosen] = distance[better]
    return better


def _newton_steps(transform: sitk.Transform, places: Points, residual: Points) -> Points:
    """Give the steps to where the transform's linear approximation has no residual."""
    derivative = jacobian(transform, places)
    # Where it is (nearly) singular, a step along what it stretches least would be endless.
    damped = derivative.transpose(0, 2, 1) @ derivative + 1e-6 * np.eye(places.shape[1])
    downhill = (derivative.transpose(0, 2, 1) @ residual[..., None])[..., 0]
    steps: Points = -np.linalg.solve(damped, downhill[..., None])[..., 0]
    return steps
