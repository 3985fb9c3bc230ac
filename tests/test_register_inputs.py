"""Images of every library, and what is refused before elastix starts."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.images import Array, Grid
from helpers.pairs import shift_error, sitk_pair, squares, voxels
from impact_plugin import _versions, models
from impact_plugin.engine import process
from impact_plugin.images import conversion
from impact_plugin.images.array import ImageArray
from impact_plugin.pairwise import model_files


def oblique() -> sitk.Image:
    """Three different sizes and spacings, an origin, axes that are oblique and left-handed."""
    a, b = np.deg2rad(25), np.deg2rad(-40)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    image = sitk.GetImageFromArray(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6))
    image.SetSpacing((1.0, 1.5, 2.5))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((about_z @ about_x @ np.diag([1, 1, -1])).ravel().tolist())
    return image


def ras_affine(image: sitk.Image) -> Array:
    """Give the matrix to RAS, by where four voxels are."""
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    places = [np.array(image.TransformIndexToPhysicalPoint(c)) * (-1, -1, 1) for c in corners]
    affine = np.eye(4)
    affine[:3, 3] = places[0]
    affine[:3, :3] = np.transpose([place - places[0] for place in places[1:]])
    return affine


def as_array(image: sitk.Image) -> ImageArray:
    return ImageArray(
        voxels(image),
        image.GetSpacing(),
        image.GetOrigin(),
        np.reshape(image.GetDirection(), (3, 3)),
    )


def as_nibabel(image: sitk.Image) -> Any:  # noqa: ANN401
    return nibabel.Nifti1Image(voxels(image).T, ras_affine(image))


def as_monai(image: sitk.Image) -> Any:  # noqa: ANN401
    import torch
    from monai.data import MetaTensor

    array = torch.from_numpy(np.ascontiguousarray(voxels(image).T))[None]
    return MetaTensor(array, affine=torch.from_numpy(ras_affine(image)))


def as_torchio(image: sitk.Image) -> Any:  # noqa: ANN401
    import torchio

    return torchio.ScalarImage.from_sitk(image)


def as_torchio_labels(image: sitk.Image) -> Any:  # noqa: ANN401
    import torchio

    return torchio.LabelMap(
        tensor=np.ascontiguousarray(voxels(image).T)[None], affine=ras_affine(image)
    )


KINDS = {
    "array": as_array,
    "nibabel": as_nibabel,
    "monai": as_monai,
    "torchio": as_torchio,
    "labels": as_torchio_labels,
}


@pytest.fixture(autouse=True)
def quiet_libraries() -> Any:  # noqa: ANN401
    """What other libraries warn of when they are imported is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_voxels_are_where_they_were(kind: str) -> None:
    """There and back: every voxel keeps its value, its type and its place in the world."""
    image = oblique()
    original = KINDS[kind](image)
    converted = conversion.to_sitk(original)
    for got in (converted, conversion.to_sitk(conversion.like(converted, original))):
        assert got.GetPixelID() == image.GetPixelID()
        np.testing.assert_array_equal(voxels(got), voxels(image))
        for index in itertools.product((0, 3), (0, 4), (0, 3)):
            np.testing.assert_allclose(
                got.TransformIndexToPhysicalPoint(index),
                image.TransformIndexToPhysicalPoint(index),
                atol=1e-5,
            )
    assert type(conversion.like(image, original)) is type(original)


def test_nibabel_and_itk_read_a_file_alike(tmp_path: Path) -> None:
    image = oblique()
    sitk.WriteImage(image, str(tmp_path / "i.nii.gz"))
    converted = conversion.to_sitk(nibabel.load(tmp_path / "i.nii.gz"))
    np.testing.assert_array_equal(voxels(converted), voxels(image))
    for index in itertools.product((0, 3), (0, 4), (0, 3)):
        np.testing.assert_allclose(
            converted.TransformIndexToPhysicalPoint(index),
            image.TransformIndexToPhysicalPoint(index),
            atol=1e-4,
        )


def test_monai_in_lps_and_torch_types() -> None:
    import torch

    image = oblique()
    tensor = as_monai(image)
    flip = torch.diag(torch.tensor([-1.0, -1, 1, 1], dtype=torch.float64))
    tensor.meta["space"] = "LPS"
    tensor.affine = flip @ tensor.affine
    converted = conversion.to_sitk(tensor)
    assert converted.GetOrigin() == pytest.approx(image.GetOrigin())
    assert conversion.to_sitk(conversion.like(converted, tensor)).GetOrigin() == pytest.approx(
        image.GetOrigin()
    )
    half = ImageArray(torch.ones(2, 3, 4, dtype=torch.bfloat16))
    assert conversion.to_sitk(half).GetPixelID() == sitk.sitkFloat32
    assert conversion.to_sitk(half).GetSize() == (4, 3, 2)
    truth = ImageArray(np.ones((2, 3), dtype=bool))
    assert conversion.to_sitk(truth).GetPixelID() == sitk.sitkUInt8


def test_itk_images_and_transforms(tmp_path: Path) -> None:
    """In a process of its own, since importing itk takes seconds and memory."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np, itk
import impact_plugin
from helpers.pairs import shift_error, sitk_pair, squares, voxels
from impact_plugin.images import conversion
images = []
for image in sitk_pair():
    converted = conversion.like(image, itk.image_from_array(voxels(image)))
    assert isinstance(converted, itk.Image[itk.F, 3])
    again = conversion.to_sitk(converted)
    assert np.array_equal(voxels(again), voxels(image))
    np.testing.assert_allclose(again.GetDirection(), image.GetDirection())
    np.testing.assert_allclose(again.GetOrigin(), image.GetOrigin())
    images.append(converted)
parameters = squares(Transform="EulerTransform")
result = impact_plugin.register_images(*images, parameter_maps=parameters)
assert shift_error(result) < 0.1
transform = result.itk_transform()
points = [[-15.0, 45.0, 120.0], [-5.0, 50.0, 130.0]]
mapped = [list(transform.TransformPoint(point)) for point in points]
np.testing.assert_allclose(mapped, result.map_points(points), atol=1e-9)
after = impact_plugin.register_images(
    *images, parameter_maps=parameters, initial_transform=transform, iterations=1
)
assert shift_error(after) < 0.2
warped = result.warp(images[1])
assert isinstance(warped, itk.Image[itk.F, 3])
print("done")
"""
    import subprocess
    import sys

    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.stdout == "done\n", run.stderr
    assert run.returncode == 0


def test_registering_images_of_other_libraries() -> None:
    fixed, moving = sitk_pair()
    moving = as_nibabel(moving)
    result = impact_plugin.register_images(as_torchio(fixed), moving, parameter_maps=squares())
    assert shift_error(result) < 0.1
    assert isinstance(result.warp(moving), nibabel.Nifti1Image)


# What is refused


@pytest.fixture
def no_elastix(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> int:
        pytest.fail("elastix was started")

    monkeypatch.setattr(process, "run", run)


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
    "no image": (__file__, ValueError, r"'.*test_register_inputs\.py' cannot be read as an image"),
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
        (sitk.Compose(*sitk_pair()), r"fixed_mask has several channels"),
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
    ({"iterations": 2.5}, ValueError, r"iterations is 2\.5, expected a whole number"),
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(error, match=match):
        impact_plugin.register_images(*sitk_pair(), **arguments)


@pytest.mark.usefixtures("no_elastix")
def test_presets_for_three_dimensions_only() -> None:
    with pytest.raises(ValueError, match=r"'ct_cbct' is for 3D images.*rigid_mind, affine_mind"):
        impact_plugin.register_images(*sitk_pair(2), preset="ct_cbct")


@pytest.mark.usefixtures("no_elastix")
def test_wrong_parameter_files(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    for text, match in (
        ('(Metric "Impact")\nMode Static\n', r"p\.txt, line 2: expected \(Name values\)"),
        ('(Metric "Impact")\n(Metric "Impact")\n', r"p\.txt, line 2: Metric stands there twice"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=match):
            impact_plugin.register_images(*sitk_pair(), parameter_maps=path)


@pytest.mark.usefixtures("no_elastix")
def test_versions_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_versions, "installed", lambda _: "0.1")
    with pytest.raises(impact_plugin.VersionMismatchError, match=r"found torch 0\.1"):
        impact_plugin.register_images(*sitk_pair())


# Maps and models


def test_presets_are_what_the_files_say() -> None:
    names = impact_plugin.preset_names()
    assert {"rigid_mind", "affine_mind", "mind", "ct_cbct", "mr_ct"} <= set(names)
    assert all(names.values())
    rigid = impact_plugin.preset_map("rigid_mind")
    affine = impact_plugin.preset_map("affine_mind")
    assert {name for name in rigid if rigid[name] != affine[name]} == {"Transform"}
    flat = impact_plugin.preset_map("mind", 2)
    assert flat["VoxelSize"] == ["3*3", "1.5*1.5"]
    assert flat["ImagePyramidRescaleSchedule"] == ["1"] * 4
    assert flat["ModelsPath"] == ["MIND_R1D2_2D.pt"] * 2
    assert impact_plugin.preset_map("affine_mind", 2)["VoxelSize"] == ["8", "8", "4", "4", "2", "2"]


def test_models_that_were_downloaded_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def download(name: str, *, offline: bool) -> Path:
        assert offline
        asked.append(name)
        if name == "TS/M730.pt":
            return tmp_path / "hub.pt"
        message = "not in the cache"
        raise OSError(message)

    monkeypatch.setattr(models, "download", download, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parameters = {"FixedModelsPath": ["TS/M730.pt TS/M730.pt"], "Metric": ["Impact"]}
    found = model_files.resolve(parameters, None, "map", tmp_path)
    assert found["FixedModelsPath"] == [f"{tmp_path / 'hub.pt'} {tmp_path / 'hub.pt'}"]
    with pytest.raises(FileNotFoundError, match=r"map names the model 'TS/M291\.pt', which is in"):
        model_files.resolve({"ImpactModelsPath0": ["TS/M291.pt"]}, None, "map", tmp_path)
    assert asked == ["TS/M730.pt", "TS/M730.pt", "TS/M291.pt"]


def test_device_and_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mind: dict[int, str]
) -> None:
    """They reach elastix's parameter file, in the map's own dialect."""
    texts: list[str] = []

    def run(_: str, arguments: list[str | Path], *__: object) -> int:
        texts.append(Path(arguments[arguments.index("-p") + 1]).read_text())
        return 1

    monkeypatch.setattr(process, "run", run)
    (tmp_path / "other.pt").write_bytes(b"")
    for preset, places, gpu, model in (
        ("ct_cbct", {"M730_1_Layers.pt": tmp_path / "other.pt"}, "(ImpactGPU 1)", "other.pt"),
        ("mind", Path(mind[3]).parent, "(GPU 1)", "MIND_R1D2_3D.pt"),
    ):
        with pytest.raises(impact_plugin.RegistrationError) as caught:
            impact_plugin.register_images(
                *sitk_pair(), preset=preset, models=places, device="cuda:1"
            )
        assert caught.value.log is not None
        caught.value.log.unlink()
        assert gpu in texts[-1]
        assert model in texts[-1]
    assert texts[0].count(str(tmp_path / "other.pt")) == 2
    assert texts[1].count(mind[3]) == 2
