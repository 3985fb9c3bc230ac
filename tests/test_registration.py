"""Registrations of images with known transforms, through the stock itk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers import tiny_models
from helpers.images import Grid, Image, Scene, mean_distance, shift, waves
from helpers.itk_process import ItkProcess
from helpers.parameter_maps import parameter_map
from helpers.registrations import (
    GRIDS,
    MODES,
    SHIFTS,
    first_value,
    impact,
    pair,
    translation_error,
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_translation(
    itk_process: ItkProcess, mind: dict[int, str], dimension: int, mode: str
) -> None:
    parameters = parameter_map(
        dimension,
        MaximumNumberOfIterations=40,
        **impact(dimension, mode, mind[dimension], voxel=1.5, patch=7),
    )
    result = itk_process.register(*pair(dimension), parameters)
    assert translation_error(result) < 0.1  # a tenth of the smallest voxel
    assert np.mean(result.values[-10:]) < 0.2 * result.values[0]


@pytest.mark.parametrize("mode", MODES)
def test_images_on_different_grids(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str], mode: str
) -> None:
    """The moving image's axes are others, as in sagittal and axial slices, and run elsewhere."""
    scene = Scene(GRIDS[3])
    turned = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    corner = GRIDS[3].at(np.array([-2.0, 31.0, 27.0]))
    moving = scene.seen(
        Grid((33, 28, 44), (1.3, 1.4, 0.9), tuple(corner), turned), shift(*-SHIFTS[3])
    )
    # Features that depend on the directions of the axes, as nearly all do.
    model, mask = (mind[3], "1") if mode == "Static" else (layers[3], "010")
    parameters = parameter_map(3, **impact(3, mode, model, LayersMask=mask))
    result = itk_process.register(scene.seen(GRIDS[3]), moving, parameters)
    assert translation_error(result) < 0.15


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_smooth_deformation(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str], dimension: int, mode: str
) -> None:
    grid = GRIDS[dimension]
    scene, truth = Scene(grid, count=80), waves(grid, amplitude=2.0)
    static = mode == "Static"
    model = mind[dimension] if static else layers[dimension]
    parameters = parameter_map(
        dimension,
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=10,
        MaximumNumberOfIterations=100,
        **impact(dimension, mode, model, LayersMask="1" if static else "010"),
    )
    result = itk_process.register(scene.seen(grid, truth), scene.seen(grid), parameters)
    points = grid.random_points(200, margin=0.12)
    before = mean_distance(points, truth(points))
    after = mean_distance(itk_process.transform_points(result, points), truth(points))
    assert before > 1.9
    # Features follow a deformation only approximately (Static); patches follow it exactly, and what
    # is left is what the B-spline cannot express: mean squares of intensities leave 0.14 and 0.35.
    assert after < before * (0.25 if static else 0.16)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_masks(itk_process: ItkProcess, layers: dict[int, str], dimension: int, mode: str) -> None:
    """A third of the moving image shows the opposite translation."""
    grid = GRIDS[dimension]
    scene, vector = Scene(grid, count=80), SHIFTS[dimension]

    def beginning(part: float) -> Image:
        """Make an image that is 1 in the first ``part`` along x."""
        inside = np.arange(grid.size[0]) < part * grid.size[0]
        return Image(np.broadcast_to(inside, grid.size[::-1]).astype(np.float32), grid)

    right = beginning(0.65).voxels
    moving = right * scene.seen(grid, shift(*-vector)).voxels
    moving += (1 - right) * scene.seen(grid, shift(*vector)).voxels
    images = (scene.seen(grid), Image(moving, grid))
    mask = {"Static": "100", "Jacobian": "010"}[mode]
    parameters = parameter_map(
        dimension,
        RequiredRatioOfValidSamples=0.05,  # many samples map outside the moving mask
        **impact(dimension, mode, layers[dimension], LayersMask=mask),
    )
    assert translation_error(itk_process.register(*images, parameters)) > 0.4
    fixed_mask, moving_mask = {"fixed": beginning(0.45)}, {"moving": beginning(0.55)}
    for masks in (fixed_mask, moving_mask, fixed_mask | moving_mask):
        result = itk_process.register(*images, parameters, masks=masks)
        assert translation_error(result) < 0.1, f"mask: {list(masks)}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_value_does_not_depend_on_the_world_s_axes(
    itk_process: ItkProcess, layers: dict[int, str], dimension: int, mode: str
) -> None:
    """Turned together, in the world, the images are as similar as before."""
    fixed, moving = pair(dimension)
    straight = Grid(fixed.grid.size, fixed.grid.spacing, (0.0,) * dimension)
    assert not np.allclose(straight.direction, fixed.grid.direction)
    values = [
        first_value(
            itk_process,
            (Image(fixed.voxels, grid), Image(moving.voxels, grid)),
            **impact(dimension, mode, layers[dimension], LayersMask="010", LayersWeight="100"),
            ImageSampler="Grid",
            # The same samples, none on the border, even where elastix's rounding takes the last
            # row of voxels for outside.
            SampleGridSpacing=[6, 9] if dimension == 2 else 6,
        )
        for grid in (straight, fixed.grid)
    ]
    assert values[0] > 1.0
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_model_of_2d_images_on_3d_images(
    itk_process: ItkProcess, mind: dict[int, str], mode: str
) -> None:
    parameters = parameter_map(
        3,
        MaximumNumberOfIterations=60,
        **impact(2, mode, mind[2], voxel=1.5, patch=7),
    )
    assert translation_error(itk_process.register(*pair(3), parameters)) < 0.2


@pytest.mark.parametrize("mode", MODES)
def test_short_pixels(itk_process: ItkProcess, layers: dict[int, str], mode: str) -> None:
    parameters = parameter_map(
        3,
        FixedInternalImagePixelType="short",
        MovingInternalImagePixelType="short",
        **impact(3, mode, layers[3], LayersMask="010" if mode == "Jacobian" else "100"),
    )
    images = pair(3)
    result = itk_process.register(*images, parameters)
    assert translation_error(result) < 0.1
    # It is another registration than that of floats: intensities are whole numbers.
    for side in ("Fixed", "Moving"):
        parameters[f"{side}InternalImagePixelType"] = ["float"]
    same = itk_process.register(*images, parameters).values[0] == result.values[0]
    assert not same


@pytest.mark.parametrize(
    "mode",
    ["Static", "Jacobian"],
)
def test_model_that_changes_its_input(itk_process: ItkProcess, tmp_path: Path, mode: str) -> None:
    """As networks do that normalise in place; the images stay what they are."""
    model = tiny_models.save(tiny_models.InPlace(), tmp_path / "in_place.pt")
    parameters = parameter_map(3, NumberOfResolutions=2, **impact(3, mode, str(model)))
    result = itk_process.register(*pair(3), parameters)
    assert translation_error(result) < 0.1
    # The same features in another level: not divided once more.
    assert result.values[60:][0] < 1e-2
    assert result.values[0] > 1e-2


def test_paths_with_spaces(itk_process: ItkProcess, layers: dict[int, str], tmp_path: Path) -> None:
    """Where each model has an entry of its own; elsewhere spaces separate models."""
    folder = tmp_path / "my models"
    folder.mkdir()
    model = Path(layers[3]).rename(folder / "größe 3.pt")
    try:
        parameters = parameter_map(
            3, ImpactModelsPath0=str(model), **impact(3, "Static", "nowhere.pt", LayersMask="100")
        )
        assert translation_error(itk_process.register(*pair(3), parameters)) < 0.1
    finally:
        model.rename(layers[3])
