"""Warping by a result: one rule for its image, for other images and for labels, of any type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.pairs import on_grid, sitk_pair, squares, voxels
from helpers.parameter_maps import ParameterMap, to_map
from helpers.registrations import forbid_elastix
from impact_plugin.images.grid import Geometry
from impact_plugin.images.validation import check_fits
from impact_plugin.transforms import apply, from_elastix, to_elastix
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.from_elastix import UnsupportedTransformError
from impact_plugin.transforms.resampling import least

RANDOM = np.random.default_rng(11)
SIZE = (9, 8, 7)
GRID = Geometry(SIZE, (1.0, 2.0, 1.5), (3.0, -4.0, 5.0), tuple(np.eye(3).ravel().tolist()))


def translation(steps: tuple[int, int, int], *, only_elastix: bool) -> Chain:
    """Make a translation by whole voxels (x, y, z), for SimpleITK or for transformix alone."""
    whole = to_elastix.translation(np.array(steps) * GRID.spacing, GRID)
    if only_elastix:
        none = to_elastix.translation([0, 0, 0], GRID)
        none.maps[0] |= to_map({"HowToCombineTransforms": "Add"})
        whole = whole + none
        with pytest.raises(UnsupportedTransformError, match="is added to its initial transform"):
            from_elastix.to_sitk(whole, 3)
    return whole


def shifted(array: Any, steps: tuple[int, int, int], outside: Any) -> Any:  # noqa: ANN401
    """Give array[k + steps] (z, y, x), and a value where that is outside."""
    found = np.full_like(array, outside)
    of = tuple(
        slice(max(0, s), n + min(0, s)) for s, n in zip(steps[::-1], array.shape, strict=True)
    )
    to = tuple(
        slice(max(0, -s), n - max(0, s)) for s, n in zip(steps[::-1], array.shape, strict=True)
    )
    found[to] = array[of]
    return found


LARGE = [
    (np.int32, [0, 2**24 + 1, 2**31 - 1, -(2**31)]),
    (np.uint32, [0, 2**24 + 1, 2**32 - 1]),
    (np.int64, [0, 2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**63)]),
    (np.uint64, [0, 2**53 + 1, 2**64 - 1]),
    (np.int16, [0, -(2**15), 2**15 - 1]),
    (np.float64, [0, 2.0**60, 1e-300, 0.1]),
]


@pytest.mark.parametrize("only_elastix", [False, True], ids=["sitk", "transformix"])
@pytest.mark.parametrize(("dtype", "values"), LARGE, ids=lambda each: getattr(each, "__name__", ""))
def test_nearest_neighbour_keeps_every_value(
    dtype: type, values: list[float], only_elastix: bool
) -> None:
    array = RANDOM.choice(np.array(values, dtype), SIZE[::-1])
    steps = (2, -1, 3)
    chain = translation(steps, only_elastix=only_elastix)
    warped = apply.warp(chain, on_grid(array, GRID), GRID, order=0, default=0)
    assert Geometry.of(warped) == GRID
    assert voxels(warped).dtype == dtype
    np.testing.assert_array_equal(voxels(warped), shifted(array, steps, 0))


def test_values_outside_of_64_bits() -> None:
    array = RANDOM.choice(np.array([5, 2**53 + 1]), SIZE[::-1])
    chain = translation((2, 0, 0), only_elastix=False)
    for default in (7, 0, 2**53):
        warped = apply.warp(chain, on_grid(array, GRID), GRID, order=0, default=default)
        np.testing.assert_array_equal(voxels(warped), shifted(array, (2, 0, 0), default))


def test_ends_of_64_bits_are_exact() -> None:
    unsigned = on_grid(np.full((2, 3, 4), 5, np.uint64), GRID)
    check_fits(2**64 - 1, unsigned, "default")
    with pytest.raises(ValueError, match=r"default is 1\.84467e"):
        check_fits(2**64, unsigned, "default")
    assert least(on_grid(np.full((2, 3, 4), 2**53 + 1), GRID)) == 2**53 + 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("only_elastix", [False, True], ids=["sitk", "transformix"])
def test_colours(dtype: type, only_elastix: bool) -> None:
    """Slides of a microscope have three channels; those of labels may be of any size."""
    array = RANDOM.choice(np.array([0, 3, 200], dtype), (*SIZE[::-1], 3))
    if dtype is np.int64:
        array *= 2**54
    chain = translation((0, 1, -2), only_elastix=only_elastix)
    warped = apply.warp(chain, on_grid(array, GRID, vectors=True), GRID, order=0, default=0)
    for channel in range(3):
        expected = shifted(array[..., channel], (0, 1, -2), 0)
        np.testing.assert_array_equal(voxels(warped)[..., channel], expected)


@pytest.mark.parametrize("order", range(6))
def test_both_ways_interpolate_alike(order: int) -> None:
    """An image at half a voxel's distance, by SimpleITK and by transformix's displacements."""
    image = on_grid(RANDOM.uniform(0, 1000, SIZE[::-1]), GRID)
    ways: list[Any] = []
    for only_elastix in (False, True):
        chain = translation((0, 0, 0), only_elastix=only_elastix)
        chain.maps[0] |= to_map({"TransformParameters": [0.4, -0.7, 0.3]})
        ways.append(voxels(apply.warp(chain, image, GRID, order, -1.0)))
    np.testing.assert_allclose(ways[0], ways[1], atol=0.01)


# ---- results


def registered(parameters: ParameterMap, moving: sitk.Image, **options: Any) -> Any:  # noqa: ANN401
    return impact_plugin.register_images(
        sitk_pair()[0], moving, parameter_maps=parameters, iterations=5, progress=False, **options
    )


def scan() -> sitk.Image:
    """Make the moving image as whole numbers, above 0, so far off that a part has no voxel."""
    moving = sitk.Cast(sitk.RescaleIntensity(sitk_pair()[1], 40, 3000), sitk.sitkInt16)
    moving.SetOrigin([value + 6 for value in moving.GetOrigin()])
    return moving


INTERPOLATORS: list[tuple[dict[str, Any], int]] = [
    ({"ResampleInterpolator": "FinalNearestNeighborInterpolator"}, 0),
    (
        {
            "ResampleInterpolator": "FinalNearestNeighborInterpolator",
            "FinalBSplineInterpolationOrder": 3,
        },
        0,
    ),
    (
        {"ResampleInterpolator": "FinalLinearInterpolator", "FinalBSplineInterpolationOrder": 0},
        1,
    ),
    ({"ResampleInterpolator": "FinalBSplineInterpolator"}, 3),
    (
        {
            "ResampleInterpolator": "FinalBSplineInterpolatorFloat",
            "FinalBSplineInterpolationOrder": 2,
        },
        2,
    ),
    ({"ResampleInterpolator": "FinalBSplineInterpolator", "FinalBSplineInterpolationOrder": 0}, 0),
]


@pytest.mark.parametrize(("asked", "order"), INTERPOLATORS)
def test_the_map_s_interpolator_and_value_outside(
    asked: dict[str, Any], order: int, tmp_path: Path
) -> None:
    """Of result.image, warp, the saved result, the record run again, and transformix."""
    moving = scan()
    parameters = squares(**asked, DefaultPixelValue=-77, ResultImagePixelType="float")
    out = tmp_path / "out"
    result = registered(parameters, moving, output_directory=out, record="inputs")
    expected = voxels(result.warp(moving, interpolation=order, default_pixel_value=-77))
    assert (expected == -77).sum() > 100
    assert expected.dtype == np.int16
    other = voxels(
        result.warp(moving, interpolation=1 if order != 1 else 3, default_pixel_value=-77)
    )
    assert np.any(other != expected)
    result.save(out)
    loaded = impact_plugin.RegistrationResult.load(out)
    again = impact_plugin.rerun(out, progress=False)
    assert again.same
    for image in (
        result.image,
        result.warp(moving),
        loaded.image,
        loaded.warp(moving),
        again.result.image,
        again.result.warp(moving),
    ):
        assert image.GetPixelID() == sitk.sitkInt16
        np.testing.assert_array_equal(voxels(image), expected)
    # Results of earlier versions do not say it; their transform does.
    summary = json.loads((out / "result.json").read_text())
    del summary["resampling"]
    (out / "result.json").write_text(json.dumps(summary))
    loaded = impact_plugin.RegistrationResult.load(out)
    np.testing.assert_array_equal(voxels(loaded.warp(moving)), expected)

    sitk.WriteImage(moving, str(tmp_path / "moving.mha"))
    done = programs.run(
        *("transformix", "-in", "moving.mha", "-tp", out / "TransformParameters.0.txt"),
        *("-out", tmp_path),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    theirs = voxels(sitk.ReadImage(str(next(tmp_path.glob("result.mh?")))))
    # elastix reads the image as float; SimpleITK cuts off what is behind the point.
    assert np.mean(np.abs(theirs - expected) > 1.01) < 2e-3


def test_with_a_preset_the_least_value_is_outside(tmp_path: Path) -> None:
    moving = scan()
    result = impact_plugin.register_images(
        sitk_pair()[0], moving, preset="rigid_mind", iterations=1, progress=False
    )
    assert (voxels(result.image) == 40).sum() > 100
    result.save(tmp_path)
    for each in (result, impact_plugin.RegistrationResult.load(tmp_path)):
        np.testing.assert_array_equal(voxels(each.warp(moving)), voxels(result.image))
        # Another image's is its own, which its pixel type holds.
        away = sitk.Cast((scan() > 1000) * 2 + 1, sitk.sitkUInt8)
        away.SetOrigin([5000.0, 0, 0])
        assert set(np.unique(voxels(each.warp(away)))) == {1}
        assert set(np.unique(voxels(each.warp(away, labels=True)))) == {0}
        assert set(np.unique(voxels(each.warp(away, default_pixel_value=9)))) == {9}


def test_a_value_outside_that_another_image_cannot_hold() -> None:
    result = registered(squares(DefaultPixelValue=-1000), scan())
    mask = sitk.Cast(scan() > 1000, sitk.sitkUInt8)
    with pytest.raises(ValueError, match=r"value outside, the default, is -1000, .* from 0 to 255"):
        result.warp(mask)
    assert set(np.unique(voxels(result.warp(mask, labels=True)))) == {0, 1}
    assert set(np.unique(voxels(result.warp(mask, default_pixel_value=0, interpolation=0)))) == {
        0,
        1,
    }


B_SPLINE = "FinalBSplineInterpolator"
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"ResampleInterpolator": "FinalNearestNeighbourInterpolator"},
        r"which elastix does not have; the nearest are FinalNearestNeighborInterpolator",
    ),
    (
        {"ResampleInterpolator": "FinalRayCastInterpolator"},
        r"FinalRayCastInterpolator\"\), by which no image is warped here; expected FinalBSpl",
    ),
    (
        {"ResampleInterpolator": B_SPLINE, "FinalBSplineInterpolationOrder": 6},
        r"\(FinalBSplineInterpolationOrder 6\), expected a whole number from 0 .* to 5",
    ),
    (
        {"ResampleInterpolator": B_SPLINE, "FinalBSplineInterpolationOrder": "x"},
        r"\(FinalBSplineInterpolationOrder x\), expected a whole number",
    ),
]


@pytest.mark.parametrize(("asked", "match"), REFUSED)
@pytest.mark.parametrize("stage", [0, 1])
def test_interpolators_that_there_are_not(
    asked: dict[str, Any], match: str, stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any stage, before elastix starts."""
    forbid_elastix(monkeypatch)
    maps = [squares(), squares()]
    maps[stage] = squares(**asked)
    with pytest.raises(ValueError, match=rf"the map 'map {stage}' has .*{match}"):
        impact_plugin.register_images(*sitk_pair(), parameter_maps=maps)


def test_a_registration_that_was_stopped_early_keeps_to_its_map() -> None:
    """A metric of elastix cannot end within a level: the transform is none, and has no map."""
    moving = scan()
    result = registered(
        squares(DefaultPixelValue=-5, ResampleInterpolator="FinalNearestNeighborInterpolator"),
        moving,
        callback=lambda _: True,
    )
    assert result.stopped
    assert not result.chain.maps
    assert set(np.unique(voxels(result.image))) <= {-5, *np.unique(voxels(moving)).tolist()}
    np.testing.assert_array_equal(voxels(result.warp(moving)), voxels(result.image))


def test_a_rerun_keeps_to_the_preset_s_rule(tmp_path: Path) -> None:
    """Though it runs the recorded map, which has the least value of that moving image."""
    out = tmp_path / "out"
    result = impact_plugin.register_images(
        sitk_pair()[0],
        scan(),
        preset="rigid_mind",
        iterations=1,
        progress=False,
        output_directory=out,
        record="inputs",
    )
    result.save(out)
    again = impact_plugin.rerun(out, output_directory=tmp_path / "again", progress=False)
    assert again.same
    third = impact_plugin.rerun(tmp_path / "again", fixed=sitk_pair()[0], moving=scan())
    loaded = impact_plugin.RegistrationResult.load(tmp_path / "again")
    other = sitk.Cast((scan() > 1000) * 2 + 1, sitk.sitkUInt8)
    for each in (again.result, third.result, loaded):
        np.testing.assert_array_equal(voxels(each.warp(other)), voxels(result.warp(other)))
    assert 1 in voxels(result.warp(other))
