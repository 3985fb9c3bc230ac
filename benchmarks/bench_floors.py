"""The least that has to be done for a registration, and the memory that the peer needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from benchmarks.bench_cases import CASES, FLOAT, Case, Sweep


def peer_memory(case: Case, voxels: float) -> float:
    """Bytes that the peer is expected to need, as measured on smaller cases.

    Static mode: 4.5 times the feature maps (13 GB for 32 channels of the lung pair at 1 mm).
    Jacobian mode: 4.5 times the activations of a convolution on all patches (4.8 GB for 32 channels
    of 5000 patches of 11x11x11).

    Args:
        case: The case.
        voxels: Of both images at the case's VoxelSize.
    """
    if case.mode == "Static":
        return 1e9 + 4.5 * voxels * case.channels * FLOAT
    width = max(shape[1] for network in case.networks for shape in network.convolutions)
    return 1e9 + 4.5 * case.samples * case.patch**3 * width * FLOAT


@dataclass(frozen=True)
class Work:
    """The least that has to be done: floating point operations, and bytes to and from memory."""

    flops: float
    bytes: float

    def seconds(self, machine: Mapping[str, float]) -> float:
        """The longer of both: `bandwidth` in bytes and `rate` in operations, per second."""
        return max(self.flops / machine["rate"], self.bytes / machine["bandwidth"])


def static_iteration(case: Case) -> Work:
    """An iteration in Static mode.

    Bytes: samples x 8 corners x channels x 4, for the values of the fixed and of the moving map,
    and once more for the moving gradient; 64 coefficients x 3 axes x 8 of the transform per sample,
    read for the value and added to for the derivative. Operations: one multiply-add for each of
    the corners' values and derivatives, and for each coefficient.
    """
    gathered = case.samples * 8 * case.channels * FLOAT
    coefficients = case.samples * 64 * 3
    flops = 2 * (case.samples * 8 * case.channels * (1 + 1 + 3) + 2 * coefficients)
    return Work(flops, 3 * gathered + 2 * coefficients * 8)


def static_start(case: Case, voxels: float) -> Work:
    """The features of both images: the networks' convolutions, done directly, and their traffic."""
    flops = sum(network.flops() for network in case.networks)
    traffic = sum(network.traffic() for network in case.networks)
    return Work(voxels * flops, voxels * traffic)


def jacobian_iteration(case: Case) -> Work:
    """An iteration in Jacobian mode.

    Operations: direct convolutions over every patch, three times: fixed forward, moving forward,
    moving backward; products with the zeros around a patch are left out. Bytes: 8 corners x 4 for
    each voxel of both patches, out of the images; activations may stay in the cache.
    """
    flops = sum(network.patch_flops(case.patch) for network in case.networks)
    return Work(3 * case.samples * flops, 2.0 * case.samples * case.patch**3 * 8 * FLOAT)


def voxels_at(
    sizes: list[tuple[int, ...]], spacings: list[tuple[float, ...]], voxel: float
) -> float:
    """Voxels of all images together once they are resampled to a VoxelSize in mm."""
    return float(
        sum(
            np.prod(np.round(np.array(size) * spacing / voxel))
            for size, spacing in zip(sizes, spacings, strict=True)
        )
    )


def iteration(case: Case) -> Work:
    """An iteration in the case's mode."""
    return jacobian_iteration(case) if case.mode == "Jacobian" else static_iteration(case)


def growth(sweep: Sweep) -> dict[int, float]:
    """How the least work grows: operations in Jacobian mode, bytes in Static mode."""
    known = {case.name: case for case in CASES}
    cases = {amount: known[name] for amount, name in sweep.cases.items()}
    return {
        amount: iteration(case).flops if case.mode == "Jacobian" else iteration(case).bytes
        for amount, case in cases.items()
    }
