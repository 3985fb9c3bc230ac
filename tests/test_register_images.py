"""impact_plugin.register_images: what it finds, and what its result can do."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.images import mean_distance
from helpers.pairs import grid_of, shift_error, sitk_pair, squares, voxels, write_pair
from helpers.parameter_maps import as_text
from helpers.registrations import SHIFTS

Result = impact_plugin.RegistrationResult


@pytest.fixture(scope="module")
def result() -> Result:
    """Of two stages, both with IMPACT."""
    return impact_plugin.register_images(
        *sitk_pair(), preset=["rigid_mind", "mind"], iterations=60, progress=False
    )


def test_presets_in_a_row_find_the_shift(result: Result) -> None:
    assert result.stages == ("rigid_mind", "mind")
    assert shift_error(result) < 0.35
    names = [parameters["Transform"][0] for parameters in result.elastix_parameters]
    assert names == ["EulerTransform", "BSplineTransform"]


def test_the_default_suits_a_pair_of_two_dimensions() -> None:
    result = impact_plugin.register_images(*sitk_pair(2), iterations=60)
    assert result.stages == ("affine_mi", "mind_mi")
    assert shift_error(result) < 0.35
    assert result.image.GetDimension() == 2


def test_image_is_the_moving_one_on_the_fixed_grid(result: Result) -> None:
    fixed, moving = sitk_pair()
    image = voxels(result.image)
    assert result.image.GetPixelID() == moving.GetPixelID()
    assert result.fixed.difference(type(result.fixed).of(result.image)) == ""
    inside = (slice(6, -6),) * 3
    before = np.abs(voxels(moving) - voxels(fixed))[inside].mean()
    assert np.abs(image - voxels(fixed))[inside].mean() < 0.25 * before
    # Outside the moving image: its least value.
    assert np.isclose(image, voxels(moving).min()).sum() > 100


def test_history(result: Result) -> None:
    history = result.history
    assert len(history) == 60 * 5
    assert history.level.tolist() == [level for level in (0, 1, 2, 0, 1) for _ in range(60)]
    assert history.stage.tolist() == [0] * 180 + [1] * 120
    assert history.iteration[:61].tolist() == [*range(60), 0]
    assert np.isfinite(history.metric).all()
    assert (history.gradient_norm > 0).all()
    assert (history.step > 0).all()
    assert history.metric[170:180].mean() < 0.7 * history.metric[:10].mean()
    table = history.to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table.groupby(["stage", "level"]).size().tolist() == [60] * 5


def test_timings_add_up(result: Result) -> None:
    assert {"step size estimation", "iterations, level 5 (60)", "warped image"} <= set(
        result.timings
    )
    iterations = sum(s for name, s in result.timings.items() if name.startswith("iterations, "))
    assert 0 < iterations < sum(result.timings.values())
    assert "300 iterations, metric 0.0" in repr(result)


def test_timings_are_of_all_the_time_and_are_kept(tmp_path: Path) -> None:
    """Each phase is there, the sum is what a clock beside says, and files have the same."""
    fixed, moving = sitk_pair()
    begun = time.perf_counter()
    result = impact_plugin.register_images(
        fixed,
        moving,
        preset="mind",
        iterations=20,
        output_directory=tmp_path,
        initial_transform="center",
    )
    took = time.perf_counter() - begun
    assert list(result.timings) == [
        *("checks", "reading the images", "initial transform", "record"),
        *("images for elastix", "start of elastix"),
        *("image pyramids", "trying the models", "features", "step size estimation"),
        *("iterations, level 1 (20)", "iterations, level 2 (20)", "resampling and writing"),
        *("the rest of elastix", "warped image", "writing the results"),
    ]
    assert 0.9 * took < sum(result.timings.values()) <= took
    for name in ("start of elastix", "trying the models", "features", "writing the results"):
        assert result.timings[name] > 0.001, name
    assert impact_plugin.RegistrationResult.load(tmp_path).timings == result.timings
    assert impact_plugin.records.read(tmp_path).timings == result.timings
    again = result.save(tmp_path / "again")
    assert impact_plugin.RegistrationResult.load(again).timings == result.timings


def test_points_field_and_inverse_agree(result: Result) -> None:
    fixed = grid_of(result.image)
    points = fixed.random_points(20, margin=0.2)
    mapped = result.map_points(points)
    field = result.displacement_field()
    at = [field.EvaluateAtPhysicalPoint(point, sitk.sitkLinear) for point in points.tolist()]
    assert mean_distance(points + np.array(at), mapped) < 0.01
    inverse = result.inverse()
    back = [inverse.TransformPoint(point) for point in mapped.tolist()]
    assert mean_distance(np.array(back), points) < 0.02
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(N, 3\)"):
        result.map_points([1, 2, 3])


def test_warping_labels(result: Result) -> None:
    labels = sitk.Cast(sitk_pair()[1] > 100, sitk.sitkUInt8) * 7
    warped = result.warp(labels, labels=True)
    assert warped.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(voxels(warped))) == {0, 7}
    with pytest.raises(ValueError, match=r"interpolation is 3, and labels cannot be interpolated"):
        result.warp(labels, labels=True, interpolation=3)
    with pytest.raises(
        ValueError,
        match=r"interpolation is 7, expected one of 'nearest', .*, 0 to 5",
    ):
        result.warp(labels, interpolation=7)


def test_values_outside_another_image(result: Result) -> None:
    """With a preset the rule is the registered image's, its least value, and not that number."""
    assert result.elastix_parameters[-1]["DefaultPixelValue"] != ["3"]
    away = result.fixed.centre + 1000
    for kind, default in ((sitk.sitkUInt8, 24), (sitk.sitkFloat32, -0.5)):
        image = sitk.Cast((sitk_pair()[1] > 0) * 4 + 3, kind)
        image.SetOrigin(away.tolist())
        assert (voxels(result.warp(image)) == 3).all()
        assert not voxels(result.warp(image, labels=True)).any()
        assert (voxels(result.warp(image, default_pixel_value=default)) == default).all()
    for bad in (-1000, 256, 0.5, np.nan):
        with pytest.raises(
            ValueError,
            match=r"default_pixel_value is .*\(8-bit unsigned integer\) hold .* from 0 to 255",
        ):
            result.warp(sitk.Cast(sitk_pair()[1], sitk.sitkUInt8), default_pixel_value=bad)


def test_values_outside_the_moving_image_fit_its_type() -> None:
    fixed, moving = sitk_pair()
    moving = sitk.Cast(sitk.RescaleIntensity(moving, 0, 255), sitk.sitkUInt8)
    for parameters, value, match in (
        (squares(), -1000, r"default_pixel_value is -1000, .* from 0 to 255"),
        (squares(DefaultPixelValue=-1000), None, r"DefaultPixelValue of the map 'map 0' is -1000"),
        (
            squares(DefaultPixelValue="x"),
            None,
            r"DefaultPixelValue of .* 'x', expected a finite number",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            impact_plugin.register_images(
                fixed, moving, parameter_maps=parameters, default_pixel_value=value
            )


def test_wrong_arguments_of_methods(result: Result, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1 of 2 points are not finite"):
        result.map_points(np.array([[1, 2, 3], [1, np.nan, 3]]))
    with pytest.raises(ValueError, match=r"image has 2 dimensions, and .* registered have 3"):
        result.warp(sitk_pair(2)[1])
    nowhere = sitk.Image(sitk_pair()[1])
    nowhere.SetOrigin((0, np.nan, 0))
    with pytest.raises(ValueError, match=r"image: origin \[0\.0, nan, 0\.0\], expected finite"):
        result.warp(nowhere)
    for name, value in (("spacing", 0), ("spacing", -1), ("tolerance", 0), ("spacing", np.nan)):
        with pytest.raises(ValueError, match=rf"{name} is .*, expected mm above 0"):
            result.inverse(**{name: value})
    for text, match in (
        ("{}", r"not of a saved registration: transform is missing, expected a string or null"),
        ("[1]", r"not of a saved registration"),
        ("{", r"result\.json is no JSON file"),
    ):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(ValueError, match=match):
            Result.load(tmp_path)


def same(one: Result, other: Result) -> None:
    points = grid_of(one.image).random_points(5)
    np.testing.assert_allclose(other.map_points(points), one.map_points(points), atol=1e-12)
    np.testing.assert_array_equal(voxels(other.image), voxels(one.image))
    for name, column in one.history.as_dict().items():
        np.testing.assert_array_equal(other.history.as_dict()[name], column)
    assert (other.stages, other.timings, other.stopped) == (one.stages, one.timings, one.stopped)


def test_pickle(result: Result) -> None:
    same(result, pickle.loads(pickle.dumps(result)))


def test_save_and_load(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "new" / "result")
    assert {path.name for path in folder.iterdir()} == {
        *("result.mha", "TransformParameters.0.txt", "TransformParameters.1.txt"),
        *("transform.h5", "history.csv", "result.json", "record.json", "elastix.log"),
    }
    same(result, Result.load(folder))
    assert "torch 2.13" in json.loads((folder / "result.json").read_text())["versions"]
    moved = folder.rename(tmp_path / "moved")  # files name each other without folders
    same(result, Result.load(moved))
    transform = sitk.ReadTransform(str(moved / "transform.h5"))
    points = grid_of(result.image).random_points(3)
    mapped = [transform.TransformPoint(point) for point in points.tolist()]
    np.testing.assert_allclose(mapped, result.map_points(points), atol=1e-9)
    with pytest.raises(FileNotFoundError, match=r"holds no registration: neither result.json"):
        Result.load(tmp_path)


# What it is given


def test_own_maps_files_and_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("// a comment\n" + as_text(squares()))
    result = impact_plugin.register_images(
        *sitk_pair(), parameter_maps=[path, {**squares(), "Transform": "EulerTransform"}]
    )
    assert result.stages == ("own", "map 1")
    assert shift_error(result) < 0.1
    # 30 more iterations of another seed begin where these ended.
    after = impact_plugin.register_images(
        *sitk_pair(), parameter_maps=path, initial_transform=result, seed=3, iterations=30
    )
    assert len(after.elastix_parameters) == 3
    assert shift_error(after) < 0.1
    assert after.history.metric[:5].mean() < 0.2 * result.history.metric[:5].mean()


def test_masks_seed_and_threads() -> None:
    """A mask of any type; the same result for the same seed, another for another."""
    fixed, moving = sitk_pair()
    box = np.zeros(voxels(fixed).shape)
    box[4:-4, 4:-4, 4:-4] = 0.5
    mask = sitk.GetImageFromArray(box)
    mask.CopyInformation(fixed)
    results = [
        impact_plugin.register_images(
            fixed,
            moving,
            parameter_maps=squares(),
            seed=seed,
            threads=threads,
            fixed_mask=given,
            moving_mask=given,
        )
        for seed, threads, given in (
            (1, 1, None),
            (1, 1, None),
            (2, 1, None),
            (1, 1, mask),
        )
    ]
    found = [result.elastix_parameters[0]["TransformParameters"] for result in results]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[0] != found[3]
    assert max(shift_error(result) for result in results) < 0.1


def test_files_are_read_and_kept(tmp_path: Path) -> None:
    names = write_pair(tmp_path, "fixed.nii.gz", "moving.png.nrrd")
    out = tmp_path / "deep" / "out"
    result = impact_plugin.register_images(
        str(names[0]),
        names[1],
        parameter_maps=squares(),
        initial_transform="center",
        output_directory=out,
        default_pixel_value=-5,
    )
    assert result.output_directory == out
    written = {path.name for path in out.iterdir()}
    assert {"elastix.log", "TransformParameters.0.txt", "Parameters.0.txt"} <= written
    assert "result.0.mha" not in written
    assert str(names[0]) in (out / "elastix.log").read_text()
    assert shift_error(result) < 0.1
    assert (voxels(result.image) == -5).sum() > 100


def test_model_files_in_folders_with_spaces(tmp_path: Path, mind: dict[int, str]) -> None:
    """Where elastix's parameter file has several paths separated by spaces."""
    folder = tmp_path / "a folder" / "of models"
    folder.mkdir(parents=True)
    (folder / "MIND_R1D2_3D.pt").write_bytes(Path(mind[3]).read_bytes())
    result = impact_plugin.register_images(
        *sitk_pair(), preset="rigid_mind", models=folder, iterations=30
    )
    assert shift_error(result) < 0.3


def test_whole_numbers_stay_whole() -> None:
    """The result has the moving image's type: cubic interpolation overshoots it, but not over."""
    fixed, moving = sitk_pair()
    moving = sitk.Cast(sitk.RescaleIntensity(moving, 0, 255), sitk.sitkUInt8)
    result = impact_plugin.register_images(
        fixed,
        moving,
        parameter_maps=squares(Metric="AdvancedNormalizedCorrelation"),
        default_pixel_value=255,
    )
    assert result.image.GetPixelID() == sitk.sitkUInt8
    assert shift_error(result) < 0.1


def test_kinds_of_transform_that_only_elastix_has() -> None:
    """They are applied by transformix."""
    result = impact_plugin.register_images(
        *sitk_pair(),
        parameter_maps=[squares(), squares(Transform="AffineLogTransform")],
        iterations=20,
    )
    with pytest.raises(ValueError, match="no transform like elastix's AffineLogTransform"):
        _ = result.transform
    points = grid_of(result.image).random_points(5, margin=0.3)
    assert mean_distance(result.map_points(points) - points, np.tile(SHIFTS[3], (5, 1))) < 1
    field = result.displacement_field()
    at = [field.EvaluateAtPhysicalPoint(point, sitk.sitkLinear) for point in points.tolist()]
    assert mean_distance(points + np.array(at), result.map_points(points)) < 0.01
    assert result.warp(sitk_pair()[1]).GetSize() == result.image.GetSize()
    # Cubic interpolation overshoots it.
    steep = sitk.Cast((sitk_pair()[1] > 100) * 255, sitk.sitkUInt8)
    near, cubic = (voxels(result.warp(steep, interpolation=order)) for order in (1, 3))
    assert np.abs(near.astype(float) - cubic).max() < 128
    assert np.any(near != cubic)
    assert set(np.unique(voxels(result.warp(steep, labels=True)))) == {0, 255}
