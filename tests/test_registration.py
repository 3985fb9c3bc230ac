"""Registrations of images with known transforms, through the stock itk and the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from helpers import tiny_models
from helpers.images import Array, Grid, Image, Map, Scene, mean_distance, shift, waves
from helpers.itk_process import ItkProcess, Registration
from helpers.parameter_maps import ParameterMap, Value, as_text, parameter_map

ANGLE = np.deg2rad(20)
OBLIQUE = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
)
# Sizes that differ along all axes, anisotropic voxels, an oblique direction, an offset origin.
GRIDS = {
    2: Grid((46, 33), (1.0, 1.3), (-20.0, 35.0), OBLIQUE),
    3: Grid((34, 30, 26), (1.0, 1.25, 1.5), (-20.0, 35.0, 110.0), OBLIQUE),
}
SHIFTS = {2: np.array([2.6, -1.9]), 3: np.array([2.6, -1.9, 2.3])}  # mm, from fixed to moving
MODES = ("Static", "Jacobian")


def impact(dimension: int, mode: str, model: str, **parameters: Value) -> dict[str, Value]:
    """Give the metric's parameters, sizes for one level."""
    voxel, patch = {"Static": ("1.5", "0"), "Jacobian": ("1.5", "7")}[mode]
    return {
        "Metric": "Impact",
        "ModelsPath": model,
        "Dimension": dimension,
        "Mode": mode,
        "VoxelSize": "*".join([voxel] * dimension),
        "PatchSize": "*".join([patch] * dimension),
        "NumberOfSpatialSamples": 300 if mode == "Static" else 100,
    } | parameters


def pair(dimension: int, widths: tuple[float, float] = (2.0, 5.0)) -> tuple[Image, Image]:
    """Make two images that differ by the translation."""
    scene, grid = Scene(GRIDS[dimension], widths), GRIDS[dimension]
    return scene.seen(grid), scene.seen(grid, shift(*-SHIFTS[dimension]))


def translation_error(registration: Registration) -> float:
    found = registration.parameters
    return float(np.linalg.norm(found - SHIFTS[len(found)]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_translation(
    itk_process: ItkProcess, mind: dict[int, str], dimension: int, mode: str
) -> None:
    parameters = parameter_map(dimension, **impact(dimension, mode, mind[dimension]))
    result = itk_process.register(*pair(dimension), parameters)
    # a tenth of the smallest voxel, 3 % of the translation
    assert translation_error(result) < 0.1
    # half of the first value is the noise of a finite number of samples and of interpolation
    assert np.mean(result.values[-10:]) < 0.2 * result.values[0]


@pytest.mark.parametrize("mode", MODES)
def test_images_on_different_grids(
    itk_process: ItkProcess, mind: dict[int, str], mode: str
) -> None:
    """Two images that share nothing but the world, with their voxels off by a rotation."""
    scene = Scene(GRIDS[3])
    turned = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    moving_grid = Grid(
        (33, 28, 44), (1.3, 1.4, 0.9), tuple(GRIDS[3].at(np.array([-2.0, 31.0, 27.0]))), turned
    )
    result = itk_process.register(
        scene.seen(GRIDS[3]),
        scene.seen(moving_grid, shift(*-SHIFTS[3])),
        parameter_map(3, **impact(3, mode, mind[3])),
    )
    assert translation_error(result) < 0.15
