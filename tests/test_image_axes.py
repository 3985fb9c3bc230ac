"""Which axes of an array are spatial, where some have one voxel; slices in any plane."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.pairs import sitk_pair, squares
from helpers.registrations import SHIFTS
from impact_plugin.images import conversion

AFFINE = np.diag([2.0, 3.0, 5.0, 1.0])
AFFINE[:3, 3] = 10, 20, 50


def monai(shape: tuple[int, ...], affine: Any = AFFINE, **meta: Any) -> Any:  # noqa: ANN401
    import torch
    from monai.data import MetaTensor

    values = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)
    return MetaTensor(values, affine=torch.tensor(affine), meta={**meta})


def torchio(shape: tuple[int, ...], affine: Any = AFFINE) -> Any:  # noqa: ANN401
    import torch
    import torchio as library

    values = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)
    return library.ScalarImage(tensor=values, affine=affine)


def nib(shape: tuple[int, ...], affine: Any = AFFINE) -> Any:  # noqa: ANN401
    return nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), affine)


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (monai((1, 20, 30, 1)), (20, 30, 1)),
        (monai((1, 1, 30, 40)), (1, 30, 40)),
        (monai((1, 20, 1, 40)), (20, 1, 40)),
        (monai((1, 20, 30)), (20, 30)),
        (monai((20, 30)), (20, 30)),
        (monai((20, 30, 1)), (20, 30, 1)),
        (monai((1, 30, 40), spatial_shape=[1, 30, 40]), (1, 30, 40)),
        (monai((3, 30, 40), spatial_shape=[3, 30, 40]), (3, 30, 40)),
        (monai((1, 30, 40), spatial_shape=[30, 40]), (30, 40)),
        (monai((1, 30, 40), spatial_shape=[30, 40, 20]), (30, 40)),  # a slice of a volume
        (monai((30, 40), spatial_shape=[30, 40, 20]), (30, 40)),
        (monai((3, 40, 20), spatial_shape=[30, 40, 20]), (3, 40, 20)),  # a part of one
        (monai((4, 5, 6, 1), spatial_shape=[4, 5, 6], original_channel_dim=-1), (4, 5, 6)),
        (monai((1, 5, 6, 1), spatial_shape=[1, 5, 6], original_channel_dim=-1), (1, 5, 6)),
        (torchio((1, 20, 30, 1)), (20, 30)),
        (torchio((1, 1, 30, 40)), (1, 30, 40)),
        (torchio((1, 20, 1, 40)), (20, 1, 40)),
        (nib((20, 30)), (20, 30)),
        (nib((20, 30, 1)), (20, 30, 1)),
        (nib((1, 30, 40)), (1, 30, 40)),
        (nib((20, 30, 40, 1)), (20, 30, 40)),
        (nib((1, 30, 40, 1, 1)), (1, 30, 40)),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_spatial_axes(image: Any, size: tuple[int, ...]) -> None:  # noqa: ANN401
    converted = conversion.to_sitk(image)
    assert converted.GetSize() == size
    assert converted.GetSpacing() == (2, 3, 5)[: len(size)]
    assert converted.GetOrigin() == (-10, -20, 50)[: len(size)]
    # the last axis of these arrays is the fastest
    values = sitk.GetArrayFromImage(converted).T
    np.testing.assert_array_equal(values.ravel(), np.arange(values.size))
    again = conversion.like(converted, image)
    assert tuple(again.shape) == (
        tuple(size) if isinstance(image, nibabel.Nifti1Image) else tuple(image.shape)
    )
    np.testing.assert_allclose(np.asarray(again.affine), np.asarray(image.affine), atol=1e-5)
    assert conversion.to_sitk(again).GetOrigin() == converted.GetOrigin()


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (nib((1, 30, 40, 25)), r"shape \(1, 30, 40, 25\), expected one channel and one time"),
        (nib((30, 40, 1, 25)), r"shape \(30, 40, 1, 25\)"),
        (nib((1, 40, 20, 1, 3)), r"shape \(1, 40, 20, 1, 3\)"),
        (nib((30, 40, 1, 1, 2)), r"shape \(30, 40, 1, 1, 2\)"),
        (nib((30,)), r"shape \(30,\)"),
        (monai((3, 20, 30, 40)), "3 channels"),
        (monai((3, 20, 30)), r"a 2D image of 3 channels, or a volume without a channel axis"),
        (monai((3, 20, 30), spatial_shape=[20, 30]), "3 channels"),
        (monai((1, 1, 20, 30, 40)), r"shape \(1, 1, 20, 30, 40\), expected one image"),
        (torchio((3, 30, 40, 1)), "3 channels"),
        (torchio((4, 30, 40, 20)), "4 channels"),
    ],
    ids=lambda value: str(getattr(value, "shape", "")),
)
def test_other_axes_are_refused(image: Any, match: str) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match=match):
        conversion.to_sitk(image)


def test_four_dimensions_by_path(tmp_path: Any) -> None:  # noqa: ANN401
    nibabel.save(nib((1, 30, 40, 25)), tmp_path / "cine.nii.gz")
    with pytest.raises(
        ValueError, match=r"4 dimensions \(size \(1, 30, 40, 25\)\).*image\[:, :, :"
    ):
        impact_plugin.register_images(tmp_path / "cine.nii.gz", tmp_path / "cine.nii.gz")


SLICES = [
    lambda affine: torchio((1, 20, 30, 1), affine),
    lambda affine: monai((1, 20, 30), affine),
    lambda affine: nib((20, 30), affine),
]


def tilted(angle: float) -> Any:  # noqa: ANN401
    c, s = np.cos(angle), np.sin(angle)
    matrix = AFFINE.copy()
    matrix[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ AFFINE[:3, :3]
    return matrix


@pytest.mark.parametrize("make", SLICES)
def test_a_tilted_slice_has_its_own_spacing(make: Any, tmp_path: Any) -> None:  # noqa: ANN401
    """As ITK has it of the NIfTI file; and what is made like it lies in its plane."""
    affine = tilted(0.44)
    original = make(affine)
    image = conversion.to_sitk(original)
    nibabel.save(nib((20, 30), affine), tmp_path / "slice.nii")
    expected = sitk.ReadImage(str(tmp_path / "slice.nii"))
    np.testing.assert_allclose(image.GetSpacing(), (2, 3), rtol=1e-6)
    for got, wanted in (
        (image.GetSpacing(), expected.GetSpacing()),
        (image.GetOrigin(), expected.GetOrigin()),
        (image.GetDirection(), expected.GetDirection()),
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    again = conversion.like(image, original)
    np.testing.assert_allclose(np.asarray(again.affine), affine, atol=1e-5)
    shrunk = conversion.like(image[::2, 4:], original)
    np.testing.assert_allclose(
        np.asarray(shrunk.affine) @ [1, 0, 0, 1], affine @ [2, 4, 0, 1], atol=1e-5
    )


@pytest.mark.parametrize("make", SLICES)
def test_a_sagittal_slice_has_no_place_in_two_dimensions(make: Any) -> None:  # noqa: ANN401
    sagittal = np.array([[0, 0, 2.0, 7], [3, 0, 0, 8], [0, 5, 0, 9], [0, 0, 0, 1]])
    with pytest.raises(
        ValueError, match=r"plane is not that of x and y.*ImageArray\(array, spacing=\[3\.0, 5"
    ):
        conversion.to_sitk(make(sagittal))


def test_registering_tilted_slices() -> None:
    """A moving slice tilted out of the plane is registered as one that is not: its voxels count."""
    results = []
    for angle in (0.0, 0.44):
        images = []
        for image, tilt in zip(sitk_pair(2), (0.0, angle), strict=True):
            image.SetDirection((1, 0, 0, 1))
            turn = sitk.Euler3DTransform((0, 0, 0), 0, tilt, 0).GetMatrix()
            plane = np.eye(4)
            plane[:3, :3] = np.reshape(turn, (3, 3)) @ np.diag([*image.GetSpacing(), 1])
            plane[:2, 3] = image.GetOrigin()
            voxels = np.ascontiguousarray(sitk.GetArrayFromImage(image).T)[None, ..., None]
            images.append(torchio(voxels.shape, np.diag([-1.0, -1, 1, 1]) @ plane))
            images[-1].set_data(voxels)
        results.append(impact_plugin.register_images(*images, parameter_maps=squares(2)))
    points = results[0].fixed.points(5)
    found = [result.map_points(points) for result in results]
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)
    shift = np.linalg.norm(SHIFTS[2])
    assert np.linalg.norm((found[0] - points).mean(axis=0)) == pytest.approx(shift, abs=0.1)
