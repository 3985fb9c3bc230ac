"""Labels of every library and type, and images of SimpleITK that are none of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.pairs import sitk_pair, squares, voxels
from helpers.registrations import forbid_elastix
from impact_plugin import ImageArray
from impact_plugin.evaluation import labels as label_maps

RANDOM = np.random.default_rng(12)


def nifti(array: Any, dtype: type) -> Any:  # noqa: ANN401
    return nibabel.Nifti1Image(array.T.astype(dtype), ras(), dtype=dtype)


def ras() -> Any:  # noqa: ANN401
    moving = sitk_pair()[1]
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(moving.GetDirection(), (3, 3)) * moving.GetSpacing()
    affine[:3, 3] = moving.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


def as_monai(array: Any, dtype: type) -> Any:  # noqa: ANN401
    from monai.data import MetaTensor

    return MetaTensor(np.ascontiguousarray(array.T[None].astype(dtype)), affine=ras())


def as_torchio(array: Any, dtype: type) -> Any:  # noqa: ANN401
    import torchio

    return torchio.LabelMap(tensor=np.ascontiguousarray(array.T[None].astype(dtype)), affine=ras())


def as_array(array: Any, dtype: type) -> Any:  # noqa: ANN401
    moving = sitk_pair()[1]
    direction = np.reshape(moving.GetDirection(), (3, 3))
    return ImageArray(array.astype(dtype), moving.GetSpacing(), moving.GetOrigin(), direction)


VALUES = {
    "nibabel": lambda image: np.asarray(image.dataobj).T,
    "monai": lambda image: image.numpy()[0].T,
    "torchio": lambda image: image.data.numpy()[0].T,
    "array": lambda image: image.array,
}
KINDS = [
    ("nibabel", nifti, np.int64, 2**53 + 1),
    ("nibabel", nifti, np.uint64, 2**64 - 1),
    ("nibabel", nifti, np.int32, 2**24 + 1),
    ("nibabel", nifti, np.int16, -7),
    ("nibabel", nifti, np.float32, 0.25),
    ("monai", as_monai, np.int64, 2**53 + 1),
    ("torchio", as_torchio, np.int64, 2**53 + 1),
    ("torchio", as_torchio, np.uint8, 200),
    ("array", as_array, np.int64, 2**53 + 1),
    ("array", as_array, np.uint64, 2**64 - 1),
]


@pytest.fixture(scope="module")
def result() -> Any:  # noqa: ANN401
    return impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), progress=False)


@pytest.mark.parametrize(("library", "make", "dtype", "label"), KINDS)
def test_labels_of_other_libraries(
    result: Any,  # noqa: ANN401
    library: str,
    make: Any,  # noqa: ANN401
    dtype: type,
    label: float,
    tmp_path: Path,
) -> None:
    there = voxels(sitk_pair()[1]) > 100
    labels = make(np.where(there, np.asarray(label, dtype), np.asarray(0, dtype)), dtype)
    warped = result.warp(labels, labels=True)
    assert type(warped) is type(labels)
    values = VALUES[library](warped)
    assert values.dtype == dtype
    truth = voxels(result.warp(sitk.Cast(sitk_pair()[1] > 100, sitk.sitkUInt8), labels=True)) > 0
    # Places of RAS matrices are rounded.
    assert np.mean((values == np.asarray(label, dtype)) != truth) < 1e-3
    assert set(np.unique(values).tolist()) == {0, np.asarray(label, dtype).item()}
    if library == "nibabel":
        warped.to_filename(tmp_path / "labels.nii.gz")
        kept = nibabel.load(tmp_path / "labels.nii.gz")
        np.testing.assert_array_equal(np.asarray(kept.dataobj).T, values)


def image_of(array: Any) -> sitk.Image:  # noqa: ANN401
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 1.5))
    return image


def test_agreement_of_labels_of_64_bits() -> None:
    """Overlap and distances are those of small labels, whatever numbers stand for them."""
    large = {1: 2**32 + 1, 2: 2**40, 3: 2**63 - 1}
    small = [RANDOM.integers(0, 4, (7, 8, 9)) for _ in range(2)]
    wide = [sum(np.where(each == k, v, 0) for k, v in large.items()) for each in small]
    ours, theirs = (image_of(each.astype(np.uint8)) for each in small)
    expected = label_maps.compare(ours, theirs, [1, 2, 3])
    found = label_maps.compare(image_of(wide[0]), image_of(wide[1]), list(large.values()))
    assert found == {large[label]: agreement for label, agreement in expected.items()}


def test_evaluate_takes_labels_of_64_bits(result: Any) -> None:  # noqa: ANN401
    small = [sitk.Cast(image > 100, sitk.sitkUInt8) for image in sitk_pair()]
    wide = [sitk.Cast(image, sitk.sitkInt64) * 2**40 for image in small]
    expected, found = (
        result.evaluate(fixed_labels=fixed, moving_labels=moving, jacobian=False).steps
        for fixed, moving in (small, wide)
    )
    assert [each.labels[2**40] for each in found] == [each.labels[1] for each in expected]
    assert found[-1].labels[2**40].dice > 0.8 > found[0].labels[2**40].dice + 0.1


# ---- odd kinds of SimpleITK


def odd(kind: str) -> sitk.Image:
    image = sitk_pair()[0]
    if kind == "label map":
        return sitk.Cast(sitk.Cast(image > 100, sitk.sitkUInt8), sitk.sitkLabelUInt8)
    if kind == "vector":
        return sitk.Compose(image, image)
    if kind == "one vector":
        return sitk.Compose(image)
    return sitk.RealAndImaginaryToComplex(image, image)


ODD = {
    "label map": r"is a LabelMap of SimpleITK, .*LabelMapToLabel\(image\)",
    "vector": r"has 2 channels, expected a grey image",
    "one vector": r"is an image of vectors of one component, .*VectorIndexSelectionCast",
    "complex": r"has complex values, expected real ones",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("role", ["fixed", "moving", "fixed_mask", "moving_mask"])
def test_odd_images_are_refused(role: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_elastix(monkeypatch)
    fixed, moving = sitk_pair()
    given: dict[str, Any] = {"fixed": fixed, "moving": moving, role: odd(kind)}
    if role == "moving_mask":
        given["moving"] = fixed
    name = role if "mask" in role else f"the {role} image"
    with pytest.raises(ValueError, match=f"{name} {ODD[kind]}"):
        impact_plugin.register_images(**given, parameter_maps=squares())


@pytest.mark.parametrize("kind", ODD)
def test_odd_labels_are_refused(result: Any, kind: str) -> None:  # noqa: ANN401
    labels = sitk.Cast(sitk_pair()[1] > 100, sitk.sitkUInt8)
    with pytest.raises(ValueError, match=f"moving_labels {ODD[kind]}"):
        result.evaluate(fixed_labels=labels, moving_labels=odd(kind))
    with pytest.raises(ValueError, match=f"mask {ODD[kind]}"):
        result.evaluate(mask=odd(kind))
    if "vector" not in kind:
        with pytest.raises(ValueError, match=f"image {ODD[kind]}"):
            result.warp(odd(kind), labels=True)
