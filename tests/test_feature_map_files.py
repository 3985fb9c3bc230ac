"""WriteFeatureMaps: the files, their geometry, and folders that cannot be written to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import tiny_models
from helpers.images import Array, Grid, Image, read
from helpers.itk_process import ItkError, ItkProcess, Registration
from helpers.parameter_maps import Value, parameter_map
from helpers.registrations import impact, pair
from impact_plugin import _core, _networks


@pytest.fixture(scope="module")
def images() -> tuple[Image, Image]:
    """One scene on two grids, the moving one mirrored and turned."""
    fixed, moving = pair(3)
    grid = moving.grid
    flipped = Grid(
        grid.size,
        grid.spacing,
        tuple(grid.at(np.array([[grid.size[0] - 1, 0, 0]]))[0]),
        grid.direction * [-1, 1, 1],
    )
    return fixed, Image(moving.voxels[:, :, ::-1], flipped)


def register(
    process: ItkProcess, images: tuple[Image, Image], model: str, **changes: Value
) -> Registration:
    parameters = impact(
        3,
        "Static",
        model,
        LayersMask="010",
        VoxelSize="1.5*2*1.25",
        MaximumNumberOfIterations=3,
        AutomaticParameterEstimation="false",
    )
    return process.register(*images, parameter_map(3, **{**parameters, **changes}))


def test_inputs_and_features(
    itk_process: ItkProcess, images: tuple[Image, Image], layers: dict[int, str], tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "for it"
    register(itk_process, images, layers[3], WriteFeatureMaps=str(folder), LayersMask="011")
    stems = ("1.5_2_1.25", "3_1", "3_2")
    assert {path.name for path in folder.iterdir()} == {
        f"{side}_0_{stem}.mha" for side in ("Fixed", "Moving") for stem in stems
    }
    for side, image in zip(("Fixed", "Moving"), images, strict=True):
        # The input overlays the image: the same intensities at the same places ...
        seen, grid = read(folder / f"{side}_0_1.5_2_1.25.mha")
        assert grid.spacing == (1.5, 2.0, 1.25)
        np.testing.assert_allclose(grid.direction, images[0].grid.direction, atol=1e-9)
        places = image.grid.random_points(200, margin=0.15)
        np.testing.assert_allclose(
            linear(seen[..., 0], grid, places),
            linear(image.voxels, image.grid, places),
            atol=0.12 * np.ptp(image.voxels),  # both interpolate, on different grids
        )
        # ... and the features are what the model makes of it.
        parameters = {"ModelsPath": [layers[3]], "VoxelSize": ["1.5*2*1.25"]}
        parameters |= {"LayersMask": ["011"], "Mode": ["Static"]}
        settings = _core.parse_settings(parameters, 1, 3)[0][0].fixed_models[0]
        again = _core.Image(seen[..., 0], grid.spacing, grid.origin, grid.direction)
        for layer, (features, where) in zip(
            (1, 2), _networks.feature_maps(again, settings), strict=True
        ):
            written, written_grid = read(folder / f"{side}_0_3_{layer}.mha")
            np.testing.assert_allclose(written, features, atol=1e-5)
            np.testing.assert_allclose(written_grid.spacing, where.spacing)
            np.testing.assert_allclose(written_grid.origin, where.origin, atol=1e-9)
            np.testing.assert_allclose(written_grid.direction, where.direction, atol=1e-9)


def linear(voxels: NDArray[np.float32], grid: Grid, places: Array) -> Array:
    """Values at places (N, 3), mm, by linear interpolation."""
    index = (places - grid.origin) @ grid.direction / grid.spacing
    lower = np.floor(index).astype(int)
    total = np.zeros(len(places))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, index - lower, 1 - index + lower), axis=1)
        at = np.clip(lower + corner, 0, np.array(grid.size) - 1)
        total += weight * voxels[at[:, 2], at[:, 1], at[:, 0]]
    return total


def test_names_levels_and_2d_images(
    itk_process: ItkProcess, layers: dict[int, str], tmp_path: Path
) -> None:
    """One layer: no number. Two models of one name: told apart. A level without a folder: none."""
    other = tmp_path / "other" / Path(layers[2]).name
    other.parent.mkdir()
    tiny_models.save(tiny_models.Layers(2, seed=9), other)
    folder = tmp_path / "features"
    parameters = impact(
        2,
        "Static",
        f"{layers[2]} {other}",
        LayersMask="010 010",
        VoxelSize=["2*1.5 1*1", "1*1 1*1"],
        PCA=["2 0", "0"],
        WriteFeatureMaps=[str(folder), "false"],
        NumberOfResolutions=2,
        MaximumNumberOfIterations=2,
    )
    itk_process.register(*pair(2), parameter_map(2, **parameters))
    assert {path.name for path in folder.iterdir()} == {
        f"{side}_0_{stem}.mha"
        for side in ("Fixed", "Moving")
        for stem in ("2_1.5", "1_1", "2-0", "2-1")
    }
    reduced, _ = read(folder / "Fixed_0_2-0.mha")
    whole, _ = read(folder / "Fixed_0_2-1.mha")
    assert (reduced.shape[-1], whole.shape[-1]) == (2, 6)


def test_true_is_a_folder_in_elastix_s_output(
    itk_process: ItkProcess, images: tuple[Image, Image], layers: dict[int, str]
) -> None:
    result = register(itk_process, images, layers[3], ImpactWriteFeatureMaps="true")
    assert '/out/FeatureMaps"' in result.log
    folder = Path(result.log.rsplit('WriteFeatureMaps "', 1)[1].split('"')[0])
    assert (folder / "Fixed_0_3.mha").stat().st_mode & 0o777 in (0o644, 0o664)
    assert folder.stat().st_mode & 0o777 in (0o755, 0o775)


def test_other_name_and_updates(
    itk_process: ItkProcess, images: tuple[Image, Image], layers: dict[int, str], tmp_path: Path
) -> None:
    """With updates the moving files are those of the warped image, on the fixed image's grid."""
    folder = tmp_path / "updated"
    register(
        itk_process,
        images,
        layers[3],
        ImpactFeatureMapOutputDirectory=str(folder),
        FeaturesMapUpdateInterval=1,
    )
    fixed, fixed_grid = read(folder / "Fixed_0_1.5_2_1.25.mha")
    warped, warped_grid = read(folder / "Moving_0_1.5_2_1.25.mha")
    assert fixed_grid.size == warped_grid.size
    assert fixed_grid.origin == warped_grid.origin
    assert not np.array_equal(fixed, warped)


def test_jacobian_mode_says_that_it_does_not_apply(
    itk_process: ItkProcess, images: tuple[Image, Image], layers: dict[int, str], tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    result = register(
        itk_process,
        images,
        layers[3],
        Mode="Jacobian",
        PatchSize="3*3*3",
        ImpactWriteFeatureMaps=str(folder),
    )
    assert "ImpactWriteFeatureMaps (resolution level 0): it has no effect in Jacob" in result.log
    assert not folder.exists()


def test_folder_that_cannot_be_written_to(
    itk_process: ItkProcess, images: tuple[Image, Image], layers: dict[int, str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/features")):
        with pytest.raises(ItkError) as error:
            register(itk_process, images, layers[3], WriteFeatureMaps=str(folder))
        expected = f'WriteFeatureMaps (resolution level 0): folder "{folder}" cannot be written to'
        assert expected in error.value.text
        assert "1:ItNr" not in error.value.log
