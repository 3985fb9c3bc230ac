"""A 2D NIfTI file of a tilted slice is one image: by path, of nibabel and of MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from impact_plugin.images import conversion


def turned(degrees: float, axis: int) -> Any:  # noqa: ANN401
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    first, second = (each for each in range(3) if each != axis)
    matrix[first, first] = matrix[second, second] = c
    matrix[first, second], matrix[second, first] = -s, s
    return matrix


def saved(file: Path, axes: Any) -> Path:  # noqa: ANN401
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1, -1, 1]) @ axes
    affine[:3, 3] = 10, 20, 30
    nibabel.save(nibabel.Nifti1Image(np.zeros((7, 5), np.float32), affine), file)
    return file


def of_monai(file: Path) -> Any:  # noqa: ANN401
    from monai.transforms import LoadImage

    return LoadImage(image_only=True, ensure_channel_first=True)(file)


@pytest.mark.parametrize("degrees", [0, 25, -40])
def test_a_tilted_slice_has_the_spacing_of_its_voxels(tmp_path: Path, degrees: float) -> None:
    file = saved(tmp_path / "i.nii", turned(degrees, 1))
    for way in (file, nibabel.load(file), of_monai(file)):
        image = conversion.to_sitk(way)
        np.testing.assert_allclose(image.GetSpacing(), (1, 1), rtol=1e-6)
        np.testing.assert_allclose(image.GetOrigin(), (-10, -20), rtol=1e-6)
        np.testing.assert_allclose(image.GetDirection(), (1, 0, 0, 1), atol=1e-6)


def test_what_monai_did_since_and_back(tmp_path: Path) -> None:
    from monai.transforms import Spacing

    image = of_monai(saved(tmp_path / "i.nii", turned(25, 1)))
    coarse = conversion.to_sitk(Spacing(pixdim=(2 * np.cos(np.deg2rad(25)), 2))(image))
    np.testing.assert_allclose(coarse.GetSpacing(), (2, 2), rtol=1e-5)
    grid = sitk.Image([9, 8], sitk.sitkFloat32)
    grid.SetSpacing((0.5, 2))
    again = conversion.to_sitk(conversion.like(grid, image))
    np.testing.assert_allclose(again.GetSpacing(), (0.5, 2), rtol=1e-5)


def test_a_slice_tilted_about_both_axes_is_told_its_spacing(tmp_path: Path) -> None:
    file = saved(tmp_path / "i.nii", turned(25, 1) @ turned(30, 0) @ turned(20, 1))
    for way in (nibabel.load(file), of_monai(file)):
        with pytest.raises(ValueError, match=r"spacing=\[1\.0, 1\.0\]\)"):
            conversion.to_sitk(way)
