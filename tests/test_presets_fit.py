"""Presets have lengths that fit the images: slides, small animals, micrometres written as mm."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.images import Array
from impact_plugin.check import ImageHeader
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Variant
from impact_plugin.images.grid import Geometry
from impact_plugin.registration.fitting import Fit, factor_of

SHIFT = np.array([4.0, -3.0, 2.0])
"""Voxels by which moving images lie elsewhere than fixed ones."""


def grid(size: tuple[int, ...], spacing: tuple[float, ...]) -> Geometry:
    return Geometry(size, spacing, (0.0,) * len(size), tuple(np.eye(len(size)).ravel().tolist()))


def blobs(size: tuple[int, ...], spacing: float, shift: Array) -> sitk.Image:
    """Draw forty blobs, in voxels, and set the spacing."""
    random = np.random.default_rng(3)
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    voxels = np.zeros(size)
    for _ in range(40):
        centre = random.uniform(0.05, 0.95, len(size)) * size
        width = random.uniform(0.05, 0.1) * min(size)
        squares = ((places - centre - shift) ** 2).sum(axis=-1)
        voxels += random.uniform(-1000, 1000) * np.exp(-squares / (2 * width**2))
    image = sitk.GetImageFromArray(voxels.T.astype(np.float32))
    image.SetSpacing([spacing] * len(size))
    return image


def pair(size: tuple[int, ...], spacing: float) -> tuple[sitk.Image, sitk.Image]:
    dimension = len(size)
    return blobs(size, spacing, np.zeros(dimension)), blobs(size, spacing, SHIFT[:dimension])


def middle(size: tuple[int, ...]) -> Array:
    """Give points in the middle of an image, voxels."""
    random = np.random.default_rng(1)
    points: Array = (0.5 + random.uniform(-0.25, 0.25, (40, len(size)))) * size
    return points


def moved(result: impact_plugin.RegistrationResult, spacing: float, points: Array) -> Array:
    """Give where points are in the moving image, all in voxels."""
    found: Array = np.asarray(result.map_points(points * spacing)) / spacing
    return found


@pytest.mark.parametrize(
    ("size", "spacing", "least", "most"),
    [
        ((152, 192, 160), (1.0, 1.0, 1.0), 0.95, 1.0),  # a head
        ((76, 96, 80), (2.0, 2.0, 2.0), 0.95, 1.0),
        ((512, 512, 300), (0.8, 0.8, 1.0), 1.0, 1.5),  # an abdomen
        ((512, 512, 120), (0.8, 0.8, 3.0), 1.0, 2.0),
        ((256, 256, 48), (0.9, 0.9, 3.0), 0.8, 1.1),
    ],
)
def test_bodies_have_about_the_lengths_of_the_maps(
    size: tuple[int, ...], spacing: tuple[float, ...], least: float, most: float
) -> None:
    assert least <= factor_of(grid(size, spacing)) <= most


def test_the_lung_pair_has_exactly_those_of_the_maps(elastix_testing: Path) -> None:
    fixed = elastix_testing / "Data" / "3DCT_lung_baseline.mha"
    moving = elastix_testing / "Data" / "3DCT_lung_followup.mha"
    for name in ("rigid_mind", "affine_mind", "mind", "ct_cbct"):
        fitted = impact_plugin.preset_map(name, fixed=fixed, moving=moving)
        assert fitted == impact_plugin.preset_map(name)


@pytest.mark.parametrize("size", [(160, 150), (48, 52, 44), (700, 900), (96, 90, 3), (1000,) * 3])
@pytest.mark.parametrize("times", [2.0**-13, 0.5, 1024.0])
def test_lengths_are_proportional_to_the_images(size: tuple[int, ...], times: float) -> None:
    spacing = (0.7, 0.9, 1.3)[: len(size)]
    other = tuple(times * each for each in spacing)
    assert factor_of(grid(size, other)) == (times * factor_of(grid(size, spacing)))


def test_features_lie_neither_too_close_nor_are_they_too_many() -> None:
    for size in ((20, 20, 20), (96, 90, 3), (60, 60), (200, 200, 200), (1000,) * 3, (20000, 20000)):
        factor = factor_of(grid(size, (0.01,) * len(size)))
        finest = 1.5 * factor / 0.01  # in voxels
        assert finest >= 0.73
        assert np.prod(size) / finest ** len(size) < 2e7


def test_the_factor_of_two_images_is_between_theirs() -> None:
    coarse, fine = grid((40, 40, 40), (4.0,) * 3), grid((400, 400, 400), (0.25,) * 3)
    fit = Fit.of(coarse, fine)
    assert fit == Fit.of(fine, coarse)
    assert factor_of(fine) < fit.factor < factor_of(coarse)


def test_all_lengths_of_a_preset_are_fitted_and_nothing_else() -> None:
    images = dict(zip(("fixed", "moving"), pair((96, 90), 0.004), strict=True))
    plain = impact_plugin.preset_map("mind", 2)
    fitted = impact_plugin.preset_map("mind", **images)
    changed = {name for name in plain if plain[name] != fitted[name]}
    assert changed == {
        "VoxelSize",
        "ImagePyramidSmoothingSchedule",
        "FinalGridSpacingInPhysicalUnits",
    }
    factor = factor_of(grid((96, 90), (0.004, 0.004)))
    assert [float(text) for text in fitted["FinalGridSpacingInPhysicalUnits"]] == [10 * factor]
    sizes = [float(text) for each in fitted["VoxelSize"] for text in each.split("*")]
    assert sizes == pytest.approx([3 * factor] * 2 + [1.5 * factor] * 2)
    # Networks that were trained on voxels of some size keep it.
    volumes = dict(zip(("fixed", "moving"), pair((30, 30, 30), 0.1), strict=True))
    assert impact_plugin.preset_map("mr_ct", **volumes) == impact_plugin.preset_map("mr_ct")


def test_preset_map_says_what_is_wrong_with_its_images() -> None:
    fixed, moving = pair((40, 40), 1.0)
    with pytest.raises(ValueError, match="only one image is given"):
        impact_plugin.preset_map("mind", fixed=fixed)
    with pytest.raises(ValueError, match="dimension is 3, and the images have 2"):
        impact_plugin.preset_map("mind", 3, fixed=fixed, moving=moving)
    with pytest.raises(ValueError, match="is for 3D images, and these are 2D"):
        impact_plugin.preset_map("mr_ct", fixed=fixed, moving=moving)
    with pytest.raises(FileNotFoundError):
        impact_plugin.preset_map("mind", fixed="nowhere.mha", moving=moving)


@pytest.mark.parametrize("preset", ["rigid_mind", "affine_mind", None])
@pytest.mark.parametrize("spacing", [0.00025, 0.004, 25.0])
def test_slides(preset: str | None, spacing: float) -> None:
    size = (160, 150)
    result = impact_plugin.register_images(
        *pair(size, spacing), preset=preset, iterations=100, progress=False
    )
    points = middle(size)
    errors = np.linalg.norm(moved(result, spacing, points) - points - SHIFT[:2], axis=1)
    assert errors.mean() < 0.2
    assert errors.max() < 0.5


@pytest.mark.parametrize("spacing", [0.025, 0.2, 25.0])
def test_small_volumes_and_micrometres_written_as_mm(spacing: float) -> None:
    size = (36, 40, 34)
    result = impact_plugin.register_images(
        *pair(size, spacing), preset="rigid_mind", iterations=80, progress=False
    )
    points = middle(size)
    errors = np.linalg.norm(moved(result, spacing, points) - points - SHIFT, axis=1)
    assert errors.max() < 0.15


@pytest.mark.parametrize("size", [(96, 90), (32, 36, 30)])
@pytest.mark.parametrize("preset", ["rigid_mind", "affine_mind", "mind", None])
def test_the_same_pair_in_another_unit_has_the_same_transform(
    size: tuple[int, ...], preset: str | None
) -> None:
    """By powers of two, but for rounding: elastix's own may lose the last row for other factors."""
    points = middle(size)
    found = []
    for spacing in (1.0, 2.0**-13, 2.0**10):
        fixed, moving = pair(size, spacing)
        result = impact_plugin.register_images(
            fixed, moving, preset=preset, iterations=40, progress=False, threads=1
        )
        found.append(moved(result, spacing, points))
    assert np.linalg.norm(found[0] - points, axis=1).mean() > 2
    for other in found[1:]:
        assert np.abs(other - found[0]).max() < 1e-4


def test_what_a_run_used_is_in_its_record_and_gives_the_same_again(tmp_path: Path) -> None:
    fixed, moving = pair((60, 64), 0.01)
    result = impact_plugin.register_images(
        fixed,
        moving,
        preset="rigid_mind",
        iterations=20,
        progress=False,
        output_directory=tmp_path / "out",
        record="inputs",
    )
    result.save(tmp_path / "out")
    fitted = impact_plugin.preset_map("rigid_mind", fixed=fixed, moving=moving)
    assert result.record is not None
    used = result.record.stages[0].parameters
    assert used["VoxelSize"] == fitted["VoxelSize"]
    assert used["VoxelSize"] != impact_plugin.preset_map("rigid_mind", 2)["VoxelSize"]
    again = impact_plugin.rerun(tmp_path / "out", progress=False)
    assert again.same
    assert again.result.record is not None
    assert again.result.record.stages[0].parameters == used


def test_the_lengths_are_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fixed, moving = pair((60, 64), 0.01)
    with caplog.at_level(logging.INFO, logger="impact_plugin.presets"):
        impact_plugin.register_images(
            fixed, moving, preset="rigid_mind", iterations=2, progress=False
        )
    (line,) = [r.getMessage() for r in caplog.records if r.name == "impact_plugin.presets"]
    factor = factor_of(grid((60, 64), (0.01, 0.01)))
    assert line.startswith(f"Lengths of the presets, times {factor:.4g} to fit the images, mm: ")
    assert f"(VoxelSize {8 * factor:.4g} {4 * factor:.4g} {2 * factor:.4g})" in line
    assert "\n" not in line


def write_pair(folder: Path, size: tuple[int, ...], spacing: float) -> tuple[str, str]:
    paths = str(folder / "f.mha"), str(folder / "m.mha")
    for path, image in zip(paths, pair(size, spacing), strict=True):
        sitk.WriteImage(image, path)
    return paths


def test_cohorts_fit_each_pair(tmp_path: Path) -> None:
    files = dict(zip(("fixed", "moving"), write_pair(tmp_path, (60, 64), 0.01), strict=True))
    headers = {path: ImageHeader.read(path) for path in files.values()}
    variant = Variant("rigid_mind", presets=("rigid_mind",))
    with Maps([variant], None) as maps:
        of_pair = maps.of(variant, Pair("a", files), headers)
        assert maps.check([Pair("a", files)], headers) == []
    fixed, moving = files["fixed"], files["moving"]
    assert of_pair.raw == [impact_plugin.preset_map("rigid_mind", fixed=fixed, moving=moving)]


def test_on_the_command_line_once(tmp_path: Path) -> None:
    fixed, moving = write_pair(tmp_path, (60, 64), 0.01)
    arguments = ["register", fixed, moving, "--preset", "rigid_mind", "--iterations", "2", "-o"]
    for more, times in (([], 1), (["-v"], 1), (["-q"], 0)):
        run = programs.python(
            "-m", "impact_plugin.cli", *arguments, tmp_path / "out", *more, check=True
        )
        assert run.stderr.count("Lengths of the presets, times") == times
        assert "Lengths of the presets" not in run.stdout


def test_thick_slices() -> None:
    """Of which the deformable stage must not undo what the affine one found."""
    size, spacing, shift = (80, 90, 12), np.array([0.4, 0.4, 5.0]), np.array([4.0, -3.0, 0.5])
    random = np.random.default_rng(1)
    extent = spacing * size
    centres = random.uniform(0.05, 0.95, (150, 3)) * extent
    widths = random.uniform(0.12, 0.25, 150) * extent.min()
    heights = random.uniform(300, 1000, 150) * random.choice([-1, 1], 150)
    axes = [mm * np.arange(number) for mm, number in zip(spacing, size, strict=True)]

    def drawn(by: Array) -> sitk.Image:
        voxels = np.zeros(size)
        for centre, width, height in zip(centres + by, widths, heights, strict=True):
            x, y, z = (
                np.exp(-((a - c) ** 2) / (2 * width**2)) for a, c in zip(axes, centre, strict=True)
            )
            voxels += height * x[:, None, None] * y[:, None] * z
        image = sitk.GetImageFromArray(voxels.T.astype(np.float32))
        image.SetSpacing(spacing.tolist())
        return image

    result = impact_plugin.register_images(
        drawn(np.zeros(3)), drawn(shift * spacing), progress=False, threads=1
    )
    points = (0.25 + 0.5 * random.random((100, 3))) * extent
    found = (result.map_points(points) - points) / spacing
    assert np.linalg.norm(found - shift, axis=1).mean() < 0.5


def test_what_the_default_has_of_its_own_in_pictures() -> None:
    weights = {dimension: impact_plugin.preset_map("mind_mi", dimension) for dimension in (2, 3)}
    assert weights[3]["MutualInformationWeight"] == ["0.3", "0.3"]
    assert weights[2]["MutualInformationWeight"] == ["0.5", "0.5"]
    for preset in weights.values():
        assert preset["BendingEnergyWeight"] == ["15", "100000"]
        assert preset["BendingEnergyLimit"] == ["0", "0.002"]
    # Of B-splines in 2D elastix itself takes fewer points.
    assert weights[3]["NumberOfJacobianMeasurements"] == ["5000"]
    assert "NumberOfJacobianMeasurements" not in weights[2]


def test_a_limit_without_unit_stays_where_the_weight_is_fitted() -> None:
    fixed, moving = (sitk.Image([50, 60, 55], sitk.sitkFloat32) for _ in range(2))
    for image in (fixed, moving):
        image.SetSpacing([2.0**-7] * 3)
    fitted = impact_plugin.preset_map("mind_mi", fixed=fixed, moving=moving)
    assert 0 < float(fitted["BendingEnergyWeight"][0]) < 0.01
    assert fitted["BendingEnergyLimit"] == ["0", "0.002"]


def test_mr_ct_is_held_as_the_default_is() -> None:
    """Mutual information beside its networks, and the bending energy."""
    default, mr_ct = (impact_plugin.preset_map(name) for name in ("mind_mi", "mr_ct"))
    for name in ("MutualInformationWeight", "BendingEnergyWeight", "BendingEnergyLimit"):
        assert mr_ct[name] == default[name], name
