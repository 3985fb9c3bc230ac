"""What register_images refuses before elastix starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.images import Grid
from helpers.pairs import sitk_pair, squares
from impact_plugin import _versions
from impact_plugin.images import validation
from impact_plugin.images.array import ImageArray
from impact_plugin.images.grid import Geometry


def changed(value: float, everywhere: bool = False) -> sitk.Image:
    image = sitk.Image(sitk_pair()[0])
    if everywhere:
        return image * 0 + value
    image[3, 4, 5] = value
    return image


def far_away() -> sitk.Image:
    image = sitk.Image(sitk_pair()[0])
    image.SetOrigin((900, 35, 110))
    return image


def nowhere() -> sitk.Image:
    image = sitk.Image(sitk_pair()[0])
    image.SetOrigin((np.nan, 35, 110))
    return image


def sheared() -> Any:  # noqa: ANN401
    affine = np.eye(4)
    affine[0, 1] = 0.3
    return nibabel.Nifti1Image(np.random.default_rng(1).random((5, 6, 7), np.float32), affine)


def grid_image(size: tuple[int, int, int]) -> sitk.Image:
    grid = Grid(size, (1, 1, 1), (0, 0, 0))
    return sitk.Cast(sitk.GaussianSource(size=grid.size, mean=(9, 9, 9)), sitk.sitkFloat32)


BAD_IMAGES: dict[str, tuple[Any, type[Exception], str]] = {
    "dimension": (sitk_pair(2)[0], ValueError, r"fixed image has 2 dimensions .*moving image 3"),
    "overlap": (
        far_away(),
        ValueError,
        r'do not overlap as they lie: the fixed image fills \[\d+, \d+\] x .*"center"',
    ),
    "empty": (ImageArray(np.zeros((0, 3, 4))), ValueError, r"is empty: .*\(0, 3, 4\)"),
    "one slice": (sitk_pair()[0][:, :, 3:4], ValueError, r"single voxel along an axis: .*30, 1\)"),
    "constant": (changed(7, everywhere=True), ValueError, r"constant: every voxel is 7\.0"),
    "nan": (changed(np.nan), ValueError, r"the fixed image has 1 values that are NaN or infin"),
    "infinite": (changed(np.inf), ValueError, r"1 values that are NaN or infinite"),
    "channels": (
        sitk.Compose(sitk_pair()[0], sitk_pair()[0]),
        ValueError,
        r"has 2 channels, expected a grey",
    ),
    "complex": (
        sitk.RealAndImaginaryToComplex(*sitk_pair()),
        ValueError,
        r"has complex values, expected real",
    ),
    "missing": ("nowhere/x.mha", FileNotFoundError, r"there is no file 'nowhere/x\.mha' \(in /"),
    "no image": (__file__, ValueError, r"'.*test_register_refused\.py' cannot be read as an image"),
    "no DICOM": (str(Path(__file__).parent), ValueError, r"holds no DICOM series"),
    "numpy": (np.zeros((3, 4, 5)), TypeError, r"numpy\.ndarray, expected .*ImageArray\(array, sp"),
    "spacing": (
        ImageArray(np.ones((3, 4, 5)), spacing=(1, 2)),
        ValueError,
        r"spacing has the shape \(2,\), expected \(3,\)",
    ),
    "negative spacing": (
        ImageArray(np.ones((3, 4)), spacing=(1, -2)),
        ValueError,
        r"spacing \[1\.0, -2\.0\] mm, expected numbers above 0",
    ),
    "array nowhere": (
        ImageArray(np.ones((3, 4, 5)), origin=(0, np.nan, 0)),
        ValueError,
        r"the fixed image: origin \[0\.0, nan, 0\.0\], expected finite numbers",
    ),
    "endless spacing": (
        ImageArray(np.ones((3, 4)), spacing=(1, np.inf)),
        ValueError,
        r"spacing \[1\.0, inf\], expected finite",
    ),
    "nowhere": (nowhere(), ValueError, r"the fixed image: origin \(?\[nan, .*, expected finite"),
    "four axes": (ImageArray(np.ones((2, 3, 4, 5))), ValueError, r"shape \(2, 3, 4, 5\), expect"),
    "shear": (sheared(), ValueError, r"axes are not at right angles"),
    "text": (ImageArray(np.full((3, 4), "a")), ValueError, r"type <U1, expected real numbers"),
    "times": (
        nibabel.Nifti1Image(np.ones((3, 4, 5, 6), np.float32), np.eye(4)),
        ValueError,
        r"shape \(3, 4, 5, 6\), expected one channel",
    ),
}


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images(case: str) -> None:
    image, error, match = BAD_IMAGES[case]
    with pytest.raises(error, match=match):
        impact_plugin.register_images(image, sitk_pair()[1], parameter_maps=squares())


@pytest.mark.usefixtures("no_elastix")
def test_overlap_counts_after_the_initial_transform() -> None:
    fixed, moving = sitk_pair()
    away = sitk.TranslationTransform(3, (500.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="do not overlap after the initial transform"):
        impact_plugin.register_images(
            fixed, moving, parameter_maps=squares(), initial_transform=away
        )


def test_a_transform_may_bring_them_together() -> None:
    moving = far_away()
    back = sitk.TranslationTransform(3, (920.0, 0.0, 0.0))
    for start in (back, "center"):
        impact_plugin.register_images(
            sitk_pair()[0],
            moving,
            parameter_maps=squares(),
            initial_transform=start,
            iterations=1,
        )


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (grid_image((34, 30, 26)), r"fixed_mask does not lie on the grid of the fixed image: spac"),
        (
            grid_image((3, 4, 5)),
            r"fixed_mask does not .*: size \(3, 4, 5\) instead of \(34, 30, 26",
        ),
        (changed(0, everywhere=True), r"fixed_mask is empty: no voxel"),
        (changed(np.nan), r"fixed_mask has values that are NaN"),
        (sitk.Compose(*sitk_pair()), r"fixed_mask has 2 channels, expected a grey"),
        (sitk_pair(2)[0], r"fixed_mask does not lie on the grid"),
    ],
)
def test_bad_masks(mask: sitk.Image, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), fixed_mask=mask)


BAD_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"preset": "ct-cbct"}, ValueError, r"no preset 'ct-cbct'; did you mean 'ct_cbct'\? The "),
    ({"preset": ["mind", "xyzzy"]}, ValueError, r"no preset 'xyzzy'\. The presets are: rigid_mind"),
    ({"preset": "mind", "parameter_maps": squares()}, ValueError, r"exclude each other.*'mind'"),
    ({"parameter_maps": []}, ValueError, r"parameter_maps is empty"),
    ({"parameter_maps": 7}, TypeError, r"parameter_maps is a int, expected a dict"),
    (
        {"parameter_maps": "no.txt"},
        FileNotFoundError,
        r"parameter_maps: there is no file 'no\.txt'",
    ),
    (
        {"parameter_maps": squares(2)},
        ValueError,
        r"'map 0' has \(FixedImageDimension 2\), and the images have 3",
    ),
    ({"device": "gpu"}, ValueError, r"device is 'gpu', expected \"cpu\", \"cuda\""),
    ({"threads": 0}, ValueError, r"threads is 0, expected a whole number of at least 1"),
    ({"seed": -1}, ValueError, r"seed is -1, expected a whole number of at least 0"),
    ({"iterations": 2.5}, ValueError, r"iterations is 2\.5, expected a whole number"),
    (
        {"iterations": "5,5"},
        ValueError,
        r"iterations is '5,5', .* or a list with one for each level",
    ),
    ({"iterations": []}, ValueError, r"iterations is empty, expected"),
    ({"iterations": [5, 0]}, ValueError, r"iterations\[1\] is 0, expected a whole number of at le"),
    ({"iterations": [5, None]}, ValueError, r"iterations\[1\] is None, expected a whole number"),
    ({"iterations": [5, 1.5]}, ValueError, r"iterations\[1\] is 1\.5, expected a whole number"),
    ({"iterations": [True]}, ValueError, r"iterations\[0\] is True, expected a whole number"),
    ({"iterations": {5: 5}}, ValueError, r"iterations is \{5: 5\}, expected a whole number"),
    (
        {"iterations": [200, 200, 500]},
        ValueError,
        r"iterations is \[200, 200, 500\], of 3 numbers, expected one number for all levels, or "
        r"5, one for each level: 3 of 'affine_mi', 2 of 'mind_mi'$",
    ),
    (
        {"iterations": [5, 5], "parameter_maps": {**squares(), "NumberOfResolutions": ["x"]}},
        ValueError,
        r"'map 0' has \(NumberOfResolutions x\), expected a whole number of at least 1",
    ),
    ({"seed": 2**32}, ValueError, r"seed is 4294967296, .* at least 0 and at most 4294967295"),
    ({"seed": True}, ValueError, r"seed is True, expected a whole number"),
    ({"default_pixel_value": np.nan}, ValueError, r"default_pixel_value is nan, expected a fini"),
    ({"default_pixel_value": "x"}, TypeError, r"default_pixel_value is 'x', expected a number"),
    ({"callback": 3}, TypeError, r"callback is 3, expected a function"),
    ({"preset": []}, ValueError, r"preset is empty, expected the name of a preset"),
    ({"progress": "yes"}, TypeError, r"progress is 'yes', expected True or False"),
    ({"output_directory": ""}, ValueError, r"output_directory is empty, expected a path"),
    ({"output_directory": 3}, TypeError, r"output_directory is 3, expected a path"),
    ({"models": 3}, TypeError, r"models is 3, expected a dict of files by name, or a path"),
    ({"preset": 3}, TypeError, r"preset is 3, expected the name of a preset, or several"),
    ({"preset": ["mind", 3]}, TypeError, r"preset is \['mind', 3\], expected"),
    ({"parameter_maps": {}}, ValueError, r"the map 'map 0' is empty, expected elastix's par"),
    (
        {"parameter_maps": squares(Metric="AdvancedMeanSquare")},
        ValueError,
        r'\(Metric "AdvancedMeanSquare"\), which elastix .*; the nearest are AdvancedMeanSquares',
    ),
    (
        {"parameter_maps": squares(Transform="Rigid")},
        ValueError,
        r"'map 0' has \(Transform \"Rigid\"\), which elastix does not have; ",
    ),
    (
        {"output_directory": __file__},
        ValueError,
        r"refused\.py', expected a folder .*: it is a file",
    ),
    ({"output_directory": f"{__file__}/x"}, ValueError, r"py/x', expected a folder .*: Not a dir"),
    ({"output_directory": "/proc/x"}, ValueError, r"output_directory is '/proc/x', expected a fol"),
    ({"models": "nowhere"}, FileNotFoundError, r"models is 'nowhere', expected a folder \(in /"),
    (
        {"preset": "ct_cbct", "models": {"M7.pt": __file__}},
        ValueError,
        r"models has 'M7\.pt', and no map names it; the models of the maps: M730_1_Layers\.pt$",
    ),
    (
        {"preset": "ct_cbct", "models": {"M730_1_Layers.pt": "x.pt"}},
        FileNotFoundError,
        r"models: there is no file 'x\.pt' \(in /.*\), for 'M730_1_Layers\.pt'",
    ),
    (
        {"preset": "mr_ct"},
        FileNotFoundError,
        r"(?s)'mr_ct' names the model 'TS/M730\.pt', which is in none.*Hugging Face hub.*models=",
    ),
]


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize(("arguments", "error", "match"), BAD_ARGUMENTS)
def test_bad_arguments(
    arguments: dict[str, Any],
    error: type[Exception],
    match: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path))
    with pytest.raises(error, match=match):
        impact_plugin.register_images(*sitk_pair(), **arguments)


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize(("number", "found"), [(0, "none"), (2, "2, from cuda:0 to cuda:1")])
def test_gpus_that_are_not_there(number: int, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: number)
    with pytest.raises(ValueError, match=f"device is 'cuda:2', and of GPUs torch sees {found}"):
        impact_plugin.register_images(*sitk_pair(), device="cuda:2")


def test_presets_have_two_or_three_dimensions() -> None:
    with pytest.raises(ValueError, match=r"dimension is 4, expected 2 or 3"):
        impact_plugin.preset_map("mind", dimension=4)


@pytest.mark.usefixtures("no_elastix")
def test_presets_for_three_dimensions_only() -> None:
    with pytest.raises(ValueError, match=r"'ct_cbct' is for 3D images.*rigid_mind, affine_mind"):
        impact_plugin.register_images(*sitk_pair(2), preset="ct_cbct")


@pytest.mark.usefixtures("no_elastix")
def test_wrong_parameter_files(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    for text, match in (
        ('(Metric "Impact")\nMode Static\n', r"p\.txt:2: expected \(Name value"),
        ('(Metric "Impact")\n(Metric "Impact")\n', r"p\.txt:2: Metric stands in line 1 already"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=match):
            impact_plugin.register_images(*sitk_pair(), parameter_maps=path)


@pytest.mark.usefixtures("no_elastix")
def test_versions_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_versions, "installed", lambda _: "0.1")
    with pytest.raises(impact_plugin.VersionMismatchError, match=r"found torch 0\.1"):
        impact_plugin.register_images(*sitk_pair())


def placed(
    size: tuple[int, ...],
    spacing: float,
    centre: tuple[float, ...],
    turns: tuple[float, float, float] = (0, 0, 0),
) -> Geometry:
    """Give a grid with its middle at a place, turned about x, y and z."""
    direction = np.reshape(sitk.Euler3DTransform((0, 0, 0), *turns, (0, 0, 0)).GetMatrix(), (3, 3))
    origin = np.array(centre) - direction @ (np.array(size) - 1) * spacing / 2
    return Geometry(size, (spacing,) * 3, tuple(origin), tuple(direction.ravel()))


TURNED = (0.3, -0.5, 0.7)
PLACES = {
    "small in a large": (
        placed((512, 512, 512), 2.0, (0, 0, 0)),
        placed((10, 10, 10), 1.0, (2, 2, 2)),
        True,
    ),
    "oblique, small in a large": (
        placed((512, 512, 512), 2.0, (0, 0, 0), TURNED),
        placed((10, 10, 10), 1.0, (2, 2, 2)),
        True,
    ),
    "slabs across": (
        placed((500, 500, 3), 1.0, (0, 0, 0)),
        placed((3, 500, 500), 1.0, (10.5, 0, 0)),
        True,
    ),
    "side by side": (
        placed((10, 10, 10), 1.0, (0, 0, 0)),
        placed((10, 10, 10), 1.0, (10.5, 0, 0)),
        False,
    ),
    # Axis-aligned boxes around the two overlap.
    "past a corner": (
        placed((100, 100, 10), 1.0, (0, 0, 0), (0, 0, np.pi / 4)),
        placed((20, 20, 10), 1.0, (55, 55, 0)),
        False,
    ),
}


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_overlap(case: str, swapped: bool, shift: float) -> None:
    """The initial transform is undone by where the moving image lies."""
    fixed, moving, overlap = PLACES[case]
    if swapped:
        fixed, moving = moving, fixed
    moving = replace(moving, origin=tuple(np.add(moving.origin, shift)))
    if overlap:
        validation.check_overlap(fixed, moving, lambda points: points + shift, "as they lie")
        return
    with pytest.raises(ValueError, match="the images do not overlap as they lie"):
        validation.check_overlap(fixed, moving, lambda points: points + shift, "as they lie")


def test_overlap_in_two_dimensions() -> None:
    large = Geometry((4000, 4000), (1.0, 1.0), (0.0, 0.0), (0.8, -0.6, 0.6, 0.8))
    for x, overlap in ((250.0, True), (-3000.0, False)):
        small = Geometry((3, 3), (1.0, 1.0), (x, 1111.0), (1.0, 0.0, 0.0, 1.0))
        for fixed, moving in ((large, small), (small, large)):
            if overlap:
                validation.check_overlap(fixed, moving, lambda points: points, "")
                continue
            with pytest.raises(ValueError, match="do not overlap"):
                validation.check_overlap(fixed, moving, lambda points: points, "")
