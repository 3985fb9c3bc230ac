"""A NIfTI file is in one place: by its path, as an image of nibabel or MONAI, for elastix."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.pairs import shift_error, sitk_pair, squares
from helpers.programs import run
from impact_plugin import FrameWarning
from impact_plugin.check import ImageHeader
from impact_plugin.images import conversion
from impact_plugin.images.nifti_frames import Frames

VOXELS = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)


def affine(*, turn: float = 0.0, shift: float = 0.0, scale: float = 1.0) -> Any:  # noqa: ANN401
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.diag([2, 3, 5]) * scale
    matrix[:3, 3] = 10 + shift, 20, 30
    return matrix


def nifti(
    qform: tuple[Any, int],
    sform: tuple[Any, int],
    units: int = 2,
    kind: Any = nibabel.Nifti1Image,  # noqa: ANN401
    voxels: Any = VOXELS,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Make an image with both affines as given, and the units as a number."""
    image = kind(voxels, None)
    image.header.set_qform(*qform)
    image.header.set_sform(*sform)
    image.header["xyzt_units"] = units
    return kind(voxels, image.header.get_best_affine(), image.header)


def same_place(one: sitk.Image, other: sitk.Image) -> None:
    assert one.GetSize() == other.GetSize()
    for index in itertools.product(*((0, n - 1) for n in one.GetSize())):
        np.testing.assert_allclose(
            one.TransformIndexToPhysicalPoint(index),
            other.TransformIndexToPhysicalPoint(index),
            rtol=1e-5,
            atol=1e-4 * min(one.GetSpacing()),
        )


def all_ways(image: Any, file: Path) -> dict[str, Any]:  # noqa: ANN401
    from monai.transforms import LoadImage

    nibabel.save(image, file)
    loaded = nibabel.load(file)
    return {
        "in memory": image,
        "loaded": loaded,
        "monai": LoadImage(image_only=True, reader="NibabelReader")(file),
        "monai by itk": LoadImage(image_only=True, reader="ITKReader")(file),
        "with channel": LoadImage(image_only=True, ensure_channel_first=True)(file),
        "again": conversion.like(conversion.to_sitk(image), loaded),
    }


@pytest.mark.parametrize("units", [0, 1, 2, 3, 8, 10, 11, 16])
@pytest.mark.filterwarnings("ignore::impact_plugin.images.nifti_frames.FrameWarning")
def test_units(tmp_path: Path, units: int) -> None:
    image = nifti((affine(), 1), (affine(), 1), units)
    ways = all_ways(image, tmp_path / "i.nii.gz")
    expected = sitk.ReadImage(str(tmp_path / "i.nii.gz"))
    mm = {1: 1000.0, 3: 0.001}.get(units & 7, 1.0)
    np.testing.assert_allclose(expected.GetSpacing(), np.array([2, 3, 5]) * mm, rtol=1e-6)
    same_place(conversion.to_sitk(tmp_path / "i.nii.gz"), expected)
    for way in ways.values():
        same_place(conversion.to_sitk(way), expected)
    again = ways["again"]
    np.testing.assert_allclose(again.affine, affine(), rtol=1e-6)
    assert again.header["xyzt_units"] == units
    nibabel.save(again, tmp_path / "again.nii")
    same_place(conversion.to_sitk(tmp_path / "again.nii"), expected)


CODES = [(1, 1), (1, 2), (2, 1), (4, 4), (1, 0), (0, 2), (0, 1), (0, 0)]
OTHER = {
    "shifted": affine(shift=8),
    "turned": affine(turn=0.3),
    "scaled": affine(scale=2.0),
    "sheared": affine() + np.array([[0, 0.4, 0, 0], [0] * 4, [0] * 4, [0] * 4]),
    "the same": affine(),
}


@pytest.mark.parametrize(("codes", "other"), [*itertools.product(CODES, OTHER)])
@pytest.mark.filterwarnings("ignore::impact_plugin.images.nifti_frames.FrameWarning")
def test_itk_and_we_have_one_rule(tmp_path: Path, codes: tuple[int, int], other: str) -> None:
    image = nifti((affine(), codes[0]), (OTHER[other], codes[1]), 2)
    if other == "sheared" and codes[0] == 0 and codes[1]:
        nibabel.save(image, tmp_path / "i.nii")
        for way in (image, tmp_path / "i.nii"):
            with pytest.raises(ValueError, match=r"right angles|orthonormal"):
                conversion.to_sitk(way)
        return
    ways = all_ways(image, tmp_path / "i.nii")
    expected = sitk.ReadImage(str(tmp_path / "i.nii"))
    for way in ways.values():
        same_place(conversion.to_sitk(way), expected)
    converted = conversion.like(expected, ways["monai"])
    same_place(conversion.to_sitk(converted), expected)


def random_pair(random: np.random.Generator) -> tuple[Any, Any]:
    """Make two affines that ITK may take for similar: axes turned, exchanged or sheared."""
    steps = random.choice(np.array([[2, 2, 2], [2, 2, 5], [1, 2, 3], [0.5, 0.75, 0.5]]))
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    start = np.eye(3) if random.random() < 0.4 else turn
    one = np.eye(4)
    one[:3, :3] = start @ np.diag(steps)
    one[:3, 3] = random.uniform(-50, 50, 3)
    other = one.copy()
    axes = np.diag(random.choice([-1.0, 1.0], 3))
    kind = random.integers(6)
    if kind == 1:
        axes = axes[random.permutation(3)]
    other[:3, :3] = one[:3, :3] @ axes if kind else axes @ one[:3, :3]
    if kind == 2:
        other[0, 1] += random.choice([1e-5, 1e-4, 1e-3, 1e-2])
    if kind == 3:
        other[:3, :3] += random.normal(scale=random.choice([1e-6, 1e-5, 1e-4]), size=(3, 3))
    if kind == 4:
        other[:3, 3] += random.choice([1e-6, 1e-4, 1e-2])
    if kind == 5:
        other[:3, :3] *= random.choice([1 + 1e-4, 1.01, 2])
    return one, other


@pytest.mark.parametrize("seed", range(400))
@pytest.mark.filterwarnings("ignore::impact_plugin.images.nifti_frames.FrameWarning")
def test_random_pairs_are_where_itk_has_them(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    qform, sform = random_pair(random)
    codes = random.choice([1, 2, 3, 4]), random.choice([1, 2, 3, 4])
    image = nifti((qform, codes[0]), (sform, codes[1]), random.choice([0, 2, 3]))
    nibabel.save(image, tmp_path / "i.nii")
    expected = sitk.ReadImage(str(tmp_path / "i.nii"))
    same_place(conversion.to_sitk(nibabel.load(tmp_path / "i.nii")), expected)


@pytest.mark.parametrize("flips", [*itertools.product([-1, 1], repeat=3)][:-1])
def test_axes_of_other_signs(tmp_path: Path, flips: tuple[int, ...]) -> None:
    """ITK takes the sform, if it begins at the same place: the signs are lost in its comparison."""
    qform = np.diag([-2.0, -2, 2, 1])
    qform[:3, 3] = 10, 20, 30
    for shift, taken in ((0, "sform"), (8, "qform")):
        sform = qform @ np.diag([*flips, 1])
        sform[0, 3] += shift
        image = nifti((qform, 2), (sform, 3))
        nibabel.save(image, tmp_path / "i.nii")
        expected = flips if taken == "sform" else (1, 1, 1)
        for way in (tmp_path / "i.nii", nibabel.load(tmp_path / "i.nii")):
            with pytest.warns(FrameWarning, match=f"The {taken} is taken, as elastix does"):
                found = conversion.to_sitk(way)
            assert found.GetDirection() == pytest.approx(np.diag(expected).ravel())
            assert found.GetOrigin() == pytest.approx((-10, -20, 30))


def test_a_header_that_says_two_things(tmp_path: Path) -> None:
    image = nifti((affine(), 1), (affine(shift=8), 2))
    file = tmp_path / "i.nii.gz"
    nibabel.save(image, file)
    match = re.escape(
        "the qform and the sform of its header put it up to 8 mm apart. The qform is taken"
    )
    for way in (file, image, nibabel.load(file)):
        with pytest.warns(FrameWarning, match=match) as seen:
            conversion.to_sitk(way, "the moving image")
        assert str(seen[0].message).startswith("the moving image: ")
        assert seen[0].filename == __file__
    with pytest.warns(FrameWarning, match=match):
        ImageHeader.read(file)
    ran = run("elastix", "-f", file, "-m", file, "-p", "none.txt", "-out", ".", folder=tmp_path)
    assert match.replace("\\", "") in ran.stderr
    ran = run("plugin", "register", file, file, "-o", "o", "-p", "none.txt", folder=tmp_path)
    assert "Warning: the fixed image: " in ran.stderr or "none.txt" in ran.stderr


def test_the_distance_is_in_mm(tmp_path: Path) -> None:
    image = nifti((affine(), 1), (affine(shift=8000), 2), units=3)
    nibabel.save(image, tmp_path / "i.nii")
    with pytest.warns(FrameWarning, match="up to 8 mm apart"):
        conversion.to_sitk(tmp_path / "i.nii")
    turned = nifti((affine(), 1), (affine(turn=0.3), 1))
    frames = Frames.of(turned.header)
    corners = np.array([[x, y, z, 1] for x in (0, 3) for y in (0, 4) for z in (0, 5)]).T
    apart = np.linalg.norm(((affine(turn=0.3) - affine()) @ corners)[:3], axis=0).max()
    assert frames.disagreement() == pytest.approx(apart, rel=1e-5)
    assert frames.chosen == "sform"


@pytest.mark.filterwarnings("error")
def test_rounding_is_no_disagreement(tmp_path: Path) -> None:
    matrix = affine(turn=0.37)
    matrix[:3, 3] = -123.456, 87.654, -999.99
    image = nifti((matrix, 1), (matrix, 1))
    nibabel.save(image, tmp_path / "i.nii")
    same_place(conversion.to_sitk(tmp_path / "i.nii"), conversion.to_sitk(image))


def test_pairs_of_files_and_nifti_2(tmp_path: Path) -> None:
    pair = nifti((affine(), 1), (affine(shift=8), 2), 3, nibabel.Nifti1Pair)
    nibabel.save(pair, tmp_path / "i.img")
    with pytest.warns(FrameWarning, match="up to 0.008 mm apart"):
        by_path = conversion.to_sitk(tmp_path / "i.img")
    with pytest.warns(FrameWarning, match="up to 0.008 mm apart"):
        same_place(conversion.to_sitk(nibabel.load(tmp_path / "i.img")), by_path)
    one, two = (
        nifti((affine(turn=0.2), 1), (affine(shift=8), 2), 3, kind)
        for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image)
    )
    nibabel.save(two, tmp_path / "two.nii")
    read = Frames.read(tmp_path / "two.nii")
    assert read is not None
    np.testing.assert_allclose(read.affine, Frames.of(one.header).affine, rtol=1e-6)
    with pytest.warns(FrameWarning):
        same_place(conversion.to_sitk(two), conversion.to_sitk(one))


def test_no_affine(tmp_path: Path) -> None:
    header = nifti((affine(), 1), (affine(), 1)).header
    image = nibabel.Nifti1Image(VOXELS, None, header)
    nibabel.save(image, tmp_path / "i.nii")
    same_place(conversion.to_sitk(image), conversion.to_sitk(tmp_path / "i.nii"))
    assert conversion.like(conversion.to_sitk(image), image).shape == VOXELS.shape
    with pytest.raises(ValueError, match="image has no affine"):
        conversion.to_sitk(nibabel.MGHImage(VOXELS, None))


def test_an_affine_that_the_header_does_not_have(tmp_path: Path) -> None:
    """It replaces the header's where nibabel writes the image, and so it does here."""
    header = nifti((affine(), 1), (affine(), 1)).header
    image = nibabel.Nifti1Image(VOXELS, affine(turn=0.3, shift=4), header)
    nibabel.save(image, tmp_path / "i.nii")
    same_place(conversion.to_sitk(image), conversion.to_sitk(tmp_path / "i.nii"))


def test_other_formats_of_nibabel() -> None:
    mgh = nibabel.MGHImage(VOXELS, affine(turn=0.3))
    image = conversion.to_sitk(mgh)
    np.testing.assert_allclose(image.GetSpacing(), (2, 3, 5), rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), (-10, -20, 30), rtol=1e-6)
    again = conversion.like(image, mgh)
    assert type(again) is nibabel.MGHImage
    np.testing.assert_allclose(again.affine, mgh.affine, atol=1e-5)
    analyze = nibabel.AnalyzeImage(VOXELS, np.diag([-2.0, 3, 5, 1]))
    with pytest.warns(FrameWarning, match=r"Analyze image.* up to [\d.]+ mm from where nibabel"):
        conversion.to_sitk(analyze)


def test_registering_and_warping_in_micrometres(tmp_path: Path) -> None:
    """By path, with nibabel and with both, the same; what is warped has the moving image's unit."""
    files, loaded = [], []
    for name, image in zip("fm", sitk_pair(), strict=True):
        matrix = np.diag([-1.0, -1, 1, 1]) @ affine_of(image)
        matrix[:3] *= 1000
        made = nibabel.Nifti1Image(sitk.GetArrayFromImage(image).T, matrix)
        made.header.set_xyzt_units("micron", "sec")
        nibabel.save(made, tmp_path / f"{name}.nii.gz")
        files.append(tmp_path / f"{name}.nii.gz")
        loaded.append(nibabel.load(files[-1]))
    for fixed, moving in (files, loaded, (files[0], loaded[1])):
        result = impact_plugin.register_images(fixed, moving, parameter_maps=squares())
        assert shift_error(result) < 0.1
    warped = result.warp(loaded[1])
    assert warped.header.get_xyzt_units() == ("micron", "sec")
    np.testing.assert_allclose(warped.affine, loaded[0].affine, rtol=1e-5, atol=1e-2)
    by_path = sitk.GetArrayFromImage(result.warp(files[1]))
    np.testing.assert_allclose(np.asarray(warped.dataobj).T, by_path, atol=1e-3)  # of some 100


def affine_of(image: sitk.Image) -> Any:  # noqa: ANN401
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix
