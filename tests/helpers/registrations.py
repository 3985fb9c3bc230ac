"""Small registrations by the metric: two images of one scene, some millimetres apart."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.images import Grid, Image, Scene, shift
from helpers.itk_process import ItkProcess, Registration
from helpers.parameter_maps import Value, parameter_map
from impact_plugin.elastix import process

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


def impact(
    dimension: int,
    mode: str,
    model: str,
    voxel: float = 1.0,
    patch: int = 5,
    **parameters: Value,
) -> dict[str, Value]:
    """Give the metric's parameters for one level.

    Args:
        dimension: Of images and model.
        mode: Static or Jacobian.
        model: Its path, or several.
        voxel: Size of voxels, mm.
        patch: Size of patches in Jacobian mode, voxels.
        parameters: Further parameters, and others in the place of those made here.
    """
    return {
        "Metric": "Impact",
        "ModelsPath": model,
        "Dimension": dimension,
        "Mode": mode,
        "VoxelSize": "*".join([str(voxel)] * dimension),
        "PatchSize": "*".join([str(patch if mode == "Jacobian" else 0)] * dimension),
        "NumberOfSpatialSamples": 300 if mode == "Static" else 100,
        **parameters,
    }


def pair(dimension: int) -> tuple[Image, Image]:
    """Make two images that differ by the translation."""
    scene, grid = Scene(GRIDS[dimension]), GRIDS[dimension]
    return scene.seen(grid), scene.seen(grid, shift(*-SHIFTS[dimension]))


def forbid_elastix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail where it starts elastix from now on."""
    monkeypatch.setattr(process, "run", lambda *_, **__: pytest.fail("elastix was started"))


def translation_error(registration: Registration) -> float:
    found = registration.parameters
    return float(np.linalg.norm(found - SHIFTS[len(found)]))


def first_value(itk_process: ItkProcess, images: tuple[Image, Image], **parameters: Value) -> float:
    """Give the metric's value where nothing is registered yet, as the log prints it."""
    dimension = images[0].grid.dimension
    given = parameter_map(
        dimension, MaximumNumberOfIterations=1, AutomaticParameterEstimation="false", **parameters
    )
    return itk_process.register(*images, given).values[0]
