"""Volumes of a few slices, masks of one, and fixed images much larger than the moving one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.images import Array
from impact_plugin import models
from impact_plugin.check import ImageHeader, check_map
from impact_plugin.registration import masks

SHIFT = np.array([4.0, -3.0, 0.0])


def draw(
    size: tuple[int, ...], spacing: tuple[float, ...], shift: Array, start: Array
) -> sitk.Image:
    """Draw eighty blobs that are as wide in all directions, mm, from a corner of the image on."""
    random = np.random.default_rng(3)
    whole = np.array([90.0, 90.0, 90.0])
    axes = [a + np.arange(n) * d for a, n, d in zip(start, size, spacing, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    voxels = np.zeros(size)
    for _ in range(80):
        centre = random.uniform(0, 1, 3)[: len(size)] * whole[: len(size)]
        squares = ((places - centre - shift) ** 2).sum(axis=-1)
        voxels += random.uniform(-1000, 1000) * np.exp(-squares / (2 * random.uniform(4, 8) ** 2))
    image = sitk.GetImageFromArray(voxels.T.astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin(start.tolist())
    return image


def pair(size: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[sitk.Image, sitk.Image]:
    start = np.zeros(len(size))
    return draw(size, spacing, 0 * start, start), draw(size, spacing, SHIFT[: len(size)], start)


def error(result: impact_plugin.RegistrationResult, points: Array) -> float:
    """Give the mean distance from the truth, mm, in the planes that were shifted."""
    found = np.asarray(result.map_points(points)) - points - SHIFT[: points.shape[1]]
    return float(np.linalg.norm(found[:, :2], axis=1).mean())


def points_in(size: tuple[int, ...], spacing: tuple[float, ...]) -> Array:
    random = np.random.default_rng(1)
    points: Array = random.uniform(0.3, 0.7, (40, len(size))) * (np.array(size) - 1) * spacing
    return points


@pytest.mark.parametrize("slices", [2, 3])
@pytest.mark.parametrize("preset", ["rigid_mind", None])
def test_few_slices(slices: int, preset: str | None) -> None:
    size, spacing = (90, 90, slices), (1.0, 1.0, 5.0)
    result = impact_plugin.register_images(
        *pair(size, spacing), preset=preset, iterations=80, progress=False
    )
    assert error(result, points_in(size, spacing)) < 0.5


@pytest.mark.parametrize(
    ("pyramids", "remedy"),
    [
        ("Generic", "Give (ImagePyramidSmoothingSchedule 0 0 0 0 0 0 0 0 0)"),
        ("Smoothing", 'Give (FixedImagePyramid "FixedGenericImagePyramid") and (ImagePyramid'),
    ],
)
def test_own_maps_that_would_smooth_few_slices_are_refused(pyramids: str, remedy: str) -> None:
    images = pair((40, 40, 3), (1.0, 1.0, 5.0))
    preset = impact_plugin.preset_map("rigid_mind") | {"ModelsPath": [str(models.mind())]}
    own = preset | {
        f"{side}ImagePyramid": [f"{side}{pyramids}ImagePyramid"] for side in ("Fixed", "Moving")
    }
    if pyramids == "Smoothing":
        del own["ImagePyramidRescaleSchedule"]
    report = check_map(own, *map(ImageHeader.of, images))
    found = [each for each in report.errors if each.code == "image-too-thin"]
    assert len(found) == 2
    assert "the fixed image has 40 x 40 x 3 voxels" in found[0].message
    assert found[0].remedy.startswith(remedy)
    with pytest.raises(impact_plugin.RegistrationError, match="none with fewer than 4 along"):
        impact_plugin.register_images(*images, parameter_maps=own, progress=False)
    preset["ImagePyramidSmoothingSchedule"] = ["0"] * 9
    assert check_map(preset, *map(ImageHeader.of, images)).ok


def turned(image: sitk.Image) -> sitk.Image:
    """Give the image with its first two axes 30 degrees from those of space."""
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    copy = sitk.Image(image)
    copy.SetDirection([c, -s, 0, s, c, 0, 0, 0, 1])
    return copy


def slab(image: sitk.Image, axis: int, first: int, number: int) -> sitk.Image:
    """Give a mask of some slices across an axis of the array."""
    voxels = np.zeros(image.GetSize()[::-1], np.uint8)
    voxels[(slice(None),) * axis + (slice(first, first + number),)] = 1
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(image)
    return mask


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("preset", ["rigid_mind", "mind"])
def test_fixed_masks_of_few_slices(number: int, preset: str) -> None:
    size, spacing = (44, 46, 40), (2.0, 2.0, 2.0)
    fixed, moving = pair(size, spacing)
    points = points_in(size, spacing)
    points[:, 2] = 2.0 * (19 + (number - 1) / 2)
    result = impact_plugin.register_images(
        fixed,
        moving,
        preset=preset,
        fixed_mask=slab(fixed, 0, 19, number),
        iterations=80,
        progress=False,
    )
    assert error(result, points) < 0.6


def test_a_slice_across_an_oblique_image() -> None:
    fixed, moving = map(turned, pair((44, 46, 40), (2.0, 2.0, 2.0)))
    for axis in (1, 2):
        result = impact_plugin.register_images(
            fixed,
            moving,
            preset="rigid_mind",
            fixed_mask=slab(fixed, axis, 21, 1),
            iterations=3,
            progress=False,
        )
        assert len(result.history) == 9


def test_a_mask_that_fills_little_of_its_box() -> None:
    size, spacing = (90, 88), (1.0, 1.0)
    fixed, moving = pair(size, spacing)
    voxels = np.zeros(size[::-1], np.uint8)
    voxels[np.arange(88), np.arange(88)] = 1
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(fixed)
    result = impact_plugin.register_images(
        fixed, moving, preset="rigid_mind", fixed_mask=mask, iterations=80, progress=False
    )
    along = np.linspace(25, 65, 40)
    assert error(result, np.stack([along, along], axis=1)) < 0.5
    own = impact_plugin.preset_map("rigid_mind", 2)
    with pytest.raises(ValueError, match=r'fills 0\.011 of it: give \(ImageSampler "RandomSparse'):
        impact_plugin.register_images(
            fixed, moving, parameter_maps=own, fixed_mask=mask, progress=False
        )


def test_masks_of_a_row_and_of_a_voxel() -> None:
    size, spacing = (90, 88), (1.0, 1.0)
    fixed, moving = pair(size, spacing)
    points = points_in(size, spacing)
    points[:, 1] = 44

    def masked(mask: sitk.Image) -> impact_plugin.RegistrationResult:
        return impact_plugin.register_images(
            fixed, moving, fixed_mask=mask, preset="rigid_mind", iterations=80, progress=False
        )

    row = slab(fixed, 0, 44, 1)
    assert error(masked(row), points) < 0.3
    assert len(masked(sitk.And(row, slab(fixed, 1, 40, 1))).history) == 240


def test_thin_moving_masks() -> None:
    fixed, moving = pair((90, 88), (1.0, 1.0))
    fixed_mask = slab(fixed, 0, 43, 3)
    moving_mask = slab(moving, 0, 38, 5)  # where the rows of the fixed mask are found
    result = impact_plugin.register_images(
        fixed,
        moving,
        preset="rigid_mind",
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        initial_transform=sitk.TranslationTransform(2, [3.5, -3.0]),
        iterations=60,
        progress=False,
    )
    points = points_in((90, 88), (1.0, 1.0))
    points[:, 1] = 44
    assert error(result, points) < 0.5


def test_other_masks_change_nothing() -> None:
    parameters = impact_plugin.preset_map("mind")
    image = sitk.Image([60, 50, 40], sitk.sitkUInt8)
    for first, number in ((5, 30), (0, 40), (10, 8)):
        mask = slab(image, 0, first, number)
        assert masks.changes(parameters, mask, mask) == {}
    assert masks.changes(parameters, None, None) == {}


def test_what_a_map_says_itself_stays() -> None:
    mask = slab(sitk.Image([60, 50, 40], sitk.sitkUInt8), 0, 20, 1)
    changed = masks.changes({}, mask, None)
    assert changed["ErodeFixedMask"] == ["false"]
    assert int(changed["NumberOfJacobianMeasurements"][0]) > 0
    own = {name: ["7"] for name in changed}
    assert masks.changes(own, mask, None, is_preset=False) == {}
    assert "ErodeFixedMask" not in masks.changes({"ErodeMask": ["true"]}, mask, None)


def test_a_preset_meets_thin_masks_although_it_says_how_many_points() -> None:
    """5000 points over a large mask are slices apart, and would miss the one that there is."""
    mask = slab(sitk.Image([300, 250, 200], sitk.sitkUInt8), 0, 100, 1)
    preset = impact_plugin.preset_map("mind")
    name = "NumberOfJacobianMeasurements"
    assert preset[name] == ["5000"]
    (better,) = masks.changes(preset, mask, None)[name]
    assert int(better) != 5000
    box = masks._in_bounding_box(mask)
    assert masks._met(box, masks._spacing(box, int(better))) >= masks._ENOUGH
    assert name not in masks.changes(preset, mask, None, is_preset=False)


def large_and_small() -> tuple[sitk.Image, sitk.Image]:
    spacing = (2.0, 2.0, 2.0)
    none = np.zeros(3)
    return (
        draw((60, 60, 60), spacing, none, none - 15),
        draw((20, 20, 20), spacing, SHIFT, none + 20),
    )


def test_a_fixed_image_much_larger_than_the_moving_one_is_refused_with_what_helps() -> None:
    fixed, moving = large_and_small()
    with pytest.raises(
        ValueError, match=r"only 3\.\d % of the fixed image lies in the moving"
    ) as no:
        impact_plugin.register_images(fixed, moving, preset="rigid_mind", progress=False)
    for help_ in ("with their centres on each other", "fixed_mask", "RequiredRatioOfValidSamples"):
        assert help_ in str(no.value)
    with pytest.raises(
        ValueError, match="lies in the moving image as they lie, and elastix demands 25"
    ):
        impact_plugin.register_images(fixed, moving, preset="mind", progress=False)


def test_what_that_message_says_does_help() -> None:
    fixed, moving = large_and_small()
    own = impact_plugin.preset_map("rigid_mind", fixed=fixed, moving=moving)
    own |= {"AutomaticTransformInitialization": ["false"], "MaximumNumberOfIterations": ["150"]}
    inside = np.zeros((60, 60, 60), np.uint8)
    inside[19:34, 19:34, 19:34] = 1
    mask = sitk.GetImageFromArray(inside)
    mask.CopyInformation(fixed)
    points = np.random.default_rng(1).uniform(28, 48, (40, 3))
    masked = impact_plugin.register_images(
        fixed, moving, parameter_maps=own, fixed_mask=mask, progress=False
    )
    assert error(masked, points) < 0.5
    own |= {"RequiredRatioOfValidSamples": ["0.01"], "NumberOfSpatialSamples": ["20000"]}
    without = impact_plugin.register_images(fixed, moving, parameter_maps=own, progress=False)
    assert error(without, points) < 0.5


def test_moving_masks_count(tmp_path: Path) -> None:
    fixed, moving = pair((60, 60, 40), (2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="of the fixed image lies in the moving mask"):
        impact_plugin.register_images(
            fixed, moving, preset="mind", moving_mask=slab(moving, 0, 10, 4), progress=False
        )
