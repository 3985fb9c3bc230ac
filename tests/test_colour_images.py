"""Colour images are registered by their luminance, or a channel that is named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

import impact_plugin
from helpers.pairs import sitk_pair, squares, voxels
from helpers.parameter_maps import as_text, parameter_map
from impact_plugin import ColourWarning, cohort
from impact_plugin.check import ImageError, ImageHeader, check_file, check_map
from impact_plugin.cli.program import program
from impact_plugin.cohort import preflight
from impact_plugin.images import colour


def bytes_of(image: sitk.Image) -> sitk.Image:
    return sitk.Cast(sitk.RescaleIntensity(image, 0, 255), sitk.sitkUInt8)


def in_colours(image: sitk.Image, opacity: bool = False) -> sitk.Image:
    """The image is red; green and blue are constant, and have nothing in them to align."""
    red = bytes_of(image)
    channels = [red, red * 0 + 90, red * 0 + 30, *([red * 0 + 255] if opacity else [])]
    return sitk.Compose(*channels)


@pytest.fixture(params=[".png", ".tif", ".jpg"])
def slides(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    paths = (tmp_path / f"fixed{request.param}", tmp_path / f"moving{request.param}")
    for path, image in zip(paths, sitk_pair(2), strict=True):
        sitk.WriteImage(in_colours(image), str(path))
    return paths


def register(fixed: Any, moving: Any, **options: Any) -> impact_plugin.RegistrationResult:  # noqa: ANN401
    dimension = 2 if isinstance(fixed, Path) else fixed.GetDimension()
    return impact_plugin.register_images(
        fixed,
        moving,
        parameter_maps=squares(dimension),
        iterations=options.pop("iterations", 5),
        progress=False,
        **options,
    )


def test_luminance_is_that_of_bt_709() -> None:
    array = np.random.default_rng(1).integers(0, 256, (5, 6, 4), np.uint8)
    image = sitk.GetImageFromArray(array, isVector=True)
    image.SetSpacing([0.3, 0.7])
    expected = array[..., :3] @ [0.2126, 0.7152, 0.0722]
    grey = colour.to_grey(image, "the image", "luminance")
    np.testing.assert_allclose(voxels(grey), expected, atol=1e-3)
    assert grey.GetSpacing() == (0.3, 0.7)
    for k, name in enumerate(("red", "green", "blue")):
        for channel in (name, k):
            found = colour.to_grey(image, "the image", channel)  # type: ignore[arg-type]
            np.testing.assert_array_equal(voxels(found), array[..., k])
            assert found.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(voxels(colour.to_grey(image, "the image", 3)), array[..., 3])


def test_files(slides: tuple[Path, Path], tmp_path: Path) -> None:
    """With a notice for each, at the caller's line; and the record knows what was registered."""
    with pytest.warns(ColourWarning, match=r"0\.2126 R .*BT\.709.*\"luminance\"") as caught:
        result = register(*slides, iterations=40, output_directory=tmp_path / "out")
    assert [str(each.message)[:16] for each in caught] == ["the fixed image ", "the moving image"]
    assert {each.filename for each in caught} == {__file__}
    assert result.record is not None
    assert result.record.arguments.channel == "luminance"
    assert impact_plugin.rerun(tmp_path / "out", progress=False).same
    red = register(*slides, channel="red")
    assert red.image.GetPixelID() == sitk.sitkUInt8
    assert result.image.GetPixelID() == sitk.sitkFloat32
    result.report(tmp_path / "report.html")


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("opacity", [False, True])
def test_a_channel_is_as_the_grey_image(dimension: int, opacity: bool) -> None:
    fixed, moving = sitk_pair(dimension)
    grey = register(bytes_of(fixed), bytes_of(moving))
    red = register(in_colours(fixed, opacity), in_colours(moving, opacity), channel="red")
    np.testing.assert_array_equal(voxels(red.image), voxels(grey.image))
    assert red.elastix_parameters == grey.elastix_parameters
    mixed = register(bytes_of(fixed), in_colours(moving, opacity), channel=0)
    assert mixed.elastix_parameters == grey.elastix_parameters
    slide = red.warp(in_colours(moving, opacity), interpolation=1, default_pixel_value=0)
    assert slide.GetNumberOfComponentsPerPixel() == 3 + opacity


def test_images_of_itk() -> None:
    itk = pytest.importorskip("itk")
    converted = []
    for image in sitk_pair(2):
        made = itk.image_from_array(sitk.GetArrayFromImage(in_colours(image)), is_vector=True)
        made.SetSpacing(image.GetSpacing())
        made.SetOrigin(image.GetOrigin())
        converted.append(made)
    found = impact_plugin.register_images(
        *converted, parameter_maps=squares(2), iterations=5, progress=False, channel="red"
    )
    assert found.image.GetPixelID() == sitk.sitkUInt8


def floats(number: int) -> sitk.Image:
    return sitk.Compose(*[sitk_pair()[0]] * number)


REFUSED: dict[str, tuple[sitk.Image, Any, str]] = {
    "field of 3": (floats(3), None, "may be those of a displacement field"),
    "field of 2": (floats(2), None, "may be those of a displacement field"),
    "five": (floats(5), None, "are no colours .* channel, 0 to 4"),
    "two bytes": (sitk.Compose(*map(bytes_of, sitk_pair())), None, "are no colours"),
    "red of two": (floats(2), "red", "channel is 'red', and the fixed image has 2 channels"),
    "luminance of five": (floats(5), "luminance", "not red, green and blue"),
    "number": (in_colours(sitk_pair()[0]), 3, "expected a number from 0 to 2"),
    "name": (in_colours(sitk_pair()[0]), "grey", "'luminance', 'red', 'green', 'blue', or a whole"),
    "negative": (in_colours(sitk_pair()[0]), -1, "channel is -1, expected"),
    "truth": (in_colours(sitk_pair()[0]), True, "channel is True, expected"),
    "constant": (in_colours(sitk_pair()[0]), "blue", "is constant: every voxel is 30"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    image, channel, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as error:
        register(image, image, channel=channel)
    assert "VectorIndexSelectionCast" not in str(error.value)


def test_floats_are_colours_where_that_is_said() -> None:
    fixed, moving = sitk_pair()
    found = register(sitk.Compose(fixed, fixed, fixed), moving, channel="luminance")
    assert found.image.GetPixelID() == sitk.sitkFloat32


def test_command(slides: tuple[Path, Path], tmp_path: Path) -> None:
    maps = tmp_path / "p.txt"
    maps.write_text(as_text(squares(2, MaximumNumberOfIterations=3)))
    arguments = ["register", *map(str, slides), "-p", str(maps), "-o", str(tmp_path / "out")]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run = CliRunner().invoke(program, arguments)
    assert run.exit_code == 0, run.output
    assert run.output.count("Warning: the fixed image is a colour image") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = CliRunner().invoke(program, [*arguments, "--channel", "0"])
    assert run.exit_code == 0, run.output
    assert "colour" not in run.output
    run = CliRunner().invoke(program, [*arguments, "--channel", "grey"])
    assert run.exit_code == 1
    assert "channel is 'grey', expected 'luminance'" in run.output


def test_headers(slides: tuple[Path, Path], tmp_path: Path) -> None:
    """They tell of what is registered, its type and its range; the notice is at the caller's."""
    with pytest.warns(ColourWarning, match=r"luminance.*BT\.709") as caught:
        header = ImageHeader.read(slides[0])
    assert [each.filename for each in caught] == [__file__]
    grey = voxels(colour.to_grey(sitk.ReadImage(str(slides[0])), "image", "luminance"))
    assert (header.channel, header.pixel_type) == ("luminance", "32-bit float")
    assert header.intensity_range() == pytest.approx((grey.min(), grey.max()))
    red = ImageHeader.read(slides[0], "red")
    assert (red.channel, red.pixel_type) == ("red", "8-bit unsigned integer")
    array = voxels(sitk.ReadImage(str(slides[0])))[..., 0]
    assert red.intensity_range() == (array.min(), array.max())
    assert red.grid == header.grid
    with pytest.raises(ImageError, match=r"channel is 3.* has 3 channels"):
        ImageHeader.read(slides[0], 3)
    with pytest.raises(ImageError, match="3 values per voxel"):
        ImageHeader.read(slides[0], colours=False)
    field = tmp_path / "field.mha"
    sitk.WriteImage(floats(3), str(field))
    with pytest.raises(ImageError, match="may be those of a displacement field"):
        ImageHeader.read(field)


def test_check(slides: tuple[Path, Path], mind: dict[int, str], tmp_path: Path) -> None:
    given = parameter_map(2, ModelsPath=mind[2], Dimension="2", VoxelSize="1 1", LayersMask="1")
    with pytest.warns(ColourWarning) as caught:
        found = check_map(given, *slides)
    assert len(caught) == 2
    assert not [each for each in found.findings if each.code == "image"]
    path = tmp_path / "p.txt"
    path.write_text(as_text(given))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_map(given, *slides, channel="red").errors == found.errors
        run = CliRunner().invoke(
            program,
            ["check", str(path), "-f", str(slides[0]), "-m", str(slides[1]), "--channel", "0"],
        )
    assert "colour" not in run.output
    assert run.exit_code == (1 if found.errors else 0), run.output
    wrong = check_file(path, *slides, channel=7).errors
    assert "channel is 7" in wrong[0].message
    with pytest.raises(ValueError, match="channel is 'grey', expected 'luminance'"):
        check_file(path, *slides, channel="grey")  # type: ignore[arg-type]


def test_features(slides: tuple[Path, Path], mind: dict[int, str], tmp_path: Path) -> None:
    """Those of a channel are those of the grey image."""
    out = [tmp_path / name for name in ("red", "grey", "told")]
    options: dict[str, Any] = {"samples": 200, "scan_range": 4.0, "scan_steps": 5}
    image = sitk.ReadImage(str(slides[0]))
    red = impact_plugin.view_features(image, mind[2], out[0], channel="red", **options)
    grey = sitk.VectorIndexSelectionCast(image, 0)
    same = impact_plugin.view_features(grey, mind[2], out[1], **options)
    np.testing.assert_array_equal(red.fixed[0].features, same.fixed[0].features)
    with pytest.warns(ColourWarning, match="image is a colour image") as caught:
        told = impact_plugin.view_features(
            slides[0], mind[2], out[2], moving=slides[1], distances=["L2"], **options
        )
    assert [each.filename for each in caught] == [__file__, __file__]
    assert not np.array_equal(told.fixed[0].features, same.fixed[0].features)


@pytest.mark.usefixtures("shared")
def test_cohorts(slides: tuple[Path, Path], tmp_path: Path) -> None:
    """One notice for all; a pair's own channel; the report shows them."""
    maps = tmp_path / "p.txt"
    maps.write_text(as_text(squares(2, MaximumNumberOfIterations=3)))
    table = tmp_path / "pairs.csv"
    fixed, moving = (path.name for path in slides)
    table.write_text(
        "pair,fixed,moving,channel\n"
        f"plain,{fixed},{moving},\nred,{fixed},{moving},red\nfirst,{moving},{fixed},0\n"
    )
    options: dict[str, Any] = {"parameter_files": [maps], "progress": False}
    with pytest.warns(ColourWarning, match=r"pair 'plain': .* in all: 2$") as caught:
        result = cohort.register_cohort(table, tmp_path / "out", **options)
    assert [each.filename for each in caught] == [__file__]
    assert list(result.table["status"]) == ["done"] * 3, list(result.table["error"])
    folders = [tmp_path / "out" / "pairs" / name / "p" for name in ("plain", "red", "first")]
    found = [impact_plugin.RegistrationResult.load(folder) for folder in folders]
    assert [each.image.GetPixelID() for each in found] == [
        sitk.sitkFloat32,
        sitk.sitkUInt8,
        sitk.sitkUInt8,
    ]
    assert found[0].record is not None
    assert found[0].record.arguments.channel == "luminance"
    assert result.report is not None
    assert "No pictures" not in result.report.read_text()
    table.write_text(f"pair,fixed,moving,channel\na,{fixed},{moving},5\n")
    with pytest.raises(cohort.CohortError, match="channel is 5, and") as error:
        cohort.register_cohort(table, tmp_path / "other", **options)
    assert error.value.problems[0].kind == "image"


@pytest.mark.filterwarnings("ignore::impact_plugin.ColourWarning")
def test_masks_of_cohorts_have_no_colours(slides: tuple[Path, Path]) -> None:
    files = {"fixed": str(slides[0]), "moving": str(slides[1]), "fixed_mask": str(slides[0])}
    for channel in ("red", "luminance", 0, None):
        problems, _ = preflight.check_pairs(
            [cohort.Pair("a", files, options={} if channel is None else {"channel": channel})]
        )
        assert [each.kind for each in problems] == ["image"]
        assert "pair 'a': fixed_mask: " in problems[0]
        assert "3 values per voxel" in problems[0]


def test_a_result_in_a_notebook(slides: tuple[Path, Path]) -> None:
    shown = register(*slides, channel="red")._repr_html_()
    assert "left out" not in shown
    assert "fixed magenta" in shown
