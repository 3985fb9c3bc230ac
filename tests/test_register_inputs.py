"""Images of every library; maps, models and devices as they reach elastix."""

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
from helpers import programs
from helpers.images import Array
from helpers.pairs import shift_error, sitk_pair, squares, voxels
from impact_plugin.elastix import process
from impact_plugin.images import conversion
from impact_plugin.images.array import ImageArray
from impact_plugin.models import resolve


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


def test_nibabel_in_two_dimensions() -> None:
    affine = np.diag([-2.0, -3.0, 1.0, 1.0])
    affine[:2, 3] = -7, -8
    array = np.arange(30, dtype=np.int16).reshape(5, 6)
    original = nibabel.Nifti1Image(array, affine)
    image = conversion.to_sitk(original)
    assert (image.GetSize(), image.GetSpacing(), image.GetOrigin()) == ((5, 6), (2, 3), (7, 8))
    assert image.GetDirection() == (1, 0, 0, 1)
    assert image[4, 2] == array[4, 2]
    again = conversion.like(image, original)
    np.testing.assert_array_equal(np.asarray(again.dataobj), array)
    np.testing.assert_allclose(again.affine, affine)


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


def test_monai_with_and_without_a_channel_axis() -> None:
    import torch
    from monai.data import MetaTensor

    affine = torch.diag(torch.tensor([-2.0, -3, 4, 1], dtype=torch.float64))
    for shape, size in (
        ((1, 5, 6, 7), (5, 6, 7)),
        ((5, 6, 7), (5, 6, 7)),
        ((1, 5, 6), (5, 6)),
        ((5, 6), (5, 6)),
    ):
        image = conversion.to_sitk(MetaTensor(torch.rand(shape), affine=affine))
        assert image.GetSize() == size
        assert image.GetSpacing() == (2, 3, 4)[: len(size)]
        assert image.GetDirection() == tuple(np.eye(len(size)).ravel())


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
labels = itk.LabelMap[itk.StatisticsLabelObject[itk.UL, 3]].New()
try:
    conversion.to_sitk(labels, "fixed_mask")
except TypeError as error:
    assert "itkLabelMap3, expected a path, an image" in str(error), error
else:
    raise AssertionError
assert isinstance(warped, itk.Image[itk.F, 3])
print("done")
"""

    run = programs.python("-W", "ignore::DeprecationWarning", "-c", code, cwd=tmp_path)
    assert run.stdout == "done\n", run.stderr
    assert run.returncode == 0


def test_registering_images_of_other_libraries() -> None:
    fixed, moving = sitk_pair()
    moving = as_nibabel(moving)
    result = impact_plugin.register_images(as_torchio(fixed), moving, parameter_maps=squares())
    assert shift_error(result) < 0.1
    assert isinstance(result.warp(moving), nibabel.Nifti1Image)


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

    monkeypatch.setattr(resolve, "download", download)
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path))
    parameters = {"FixedModelsPath": ["TS/M730.pt TS/M730.pt"], "Metric": ["Impact"]}
    found = resolve.resolve(parameters, None, "map", tmp_path)
    assert found["FixedModelsPath"] == [f"{tmp_path / 'hub.pt'} {tmp_path / 'hub.pt'}"]
    with pytest.raises(FileNotFoundError, match=r"map names the model 'TS/M291\.pt', which is in"):
        resolve.resolve({"ImpactModelsPath0": ["TS/M291.pt"]}, None, "map", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no public model has this name, .*: models=\{'my"):
        resolve.resolve({"ModelsPath": ["my-own.pt"]}, None, "map", tmp_path)
    assert asked.pop() == "my-own.pt"
    assert asked == ["TS/M730.pt", "TS/M730.pt", "TS/M291.pt"]


def test_device_and_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mind: dict[int, str]
) -> None:
    """They reach elastix's parameter file, in the map's own dialect."""
    texts: list[str] = []

    def run(_: str, arguments: list[str | Path], *__: object, **___: object) -> int:
        texts.append(Path(arguments[arguments.index("-p") + 1]).read_text())
        return 1

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
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
