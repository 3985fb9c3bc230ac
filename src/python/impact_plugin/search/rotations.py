"""Rotations spread evenly over all there are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrices = NDArray[np.float64]

_PHI = math.sqrt(2.0)
_PSI = 1.533751168755204288118041


def spread(dimension: int, number: int) -> Matrices:
    """Give rotations of the plane or of space, no two near each other; the first of 2D is none.

    In 3D the super-Fibonacci spiral of quaternions: M. Alexa, *Super-Fibonacci spirals: fast,
    low-discrepancy sampling of SO(3)*, CVPR 2022, pp. 8291-8300.

    Args:
        dimension: 2 or 3.
        number: How many.

    Returns:
        Shape (number, d, d).
    """
    if dimension == 2:
        angles = np.arange(number) * (2 * math.pi / number)
        cos, sin = np.cos(angles), np.sin(angles)
        return np.stack([cos, -sin, sin, cos], 1).reshape(-1, 2, 2)
    turn = np.arange(number) + 0.5
    one, other = np.sqrt(turn / number), np.sqrt(1 - turn / number)
    alpha, beta = 2 * math.pi * turn / _PHI, 2 * math.pi * turn / _PSI
    x, y, z, w = (
        one * np.sin(alpha),
        one * np.cos(alpha),
        other * np.sin(beta),
        other * np.cos(beta),
    )
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack(rows, 1).reshape(-1, 3, 3)


def nearest(matrix: Matrices) -> Matrices:
    """Give the rotation nearest to a matrix (d, d) whose determinant is positive."""
    left, _, right = np.linalg.svd(matrix)
    found: Matrices = left @ right
    return found
