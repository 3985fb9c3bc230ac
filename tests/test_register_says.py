"""What ``check`` says of maps and images, ``register`` says as well, before it runs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.pairs import sitk_pair, squares
from helpers.parameter_maps import as_text
from impact_plugin.check import ImageHeader, check_map
from impact_plugin.check.intensities import expects_hu
from impact_plugin.models.catalogue import catalogue

COARSE = {"VoxelSize": ["40"] * 9, "MaximumNumberOfIterations": ["2"]}


def own(**parameters: list[str]) -> dict[str, list[str]]:
    return impact_plugin.preset_map("rigid_mind") | COARSE | parameters


def volumes() -> tuple[sitk.Image, sitk.Image]:
    fixed, moving = sitk_pair()
    for image in (fixed, moving):
        image.SetSpacing([3.0, 3.0, 3.0])
    return fixed, moving


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, image in zip(("f.mha", "m.mha"), volumes(), strict=True):
        sitk.WriteImage(image, str(tmp_path / name))
    return tmp_path


def test_its_warnings_are_those_of_check(caplog: pytest.LogCaptureFixture) -> None:
    images = volumes()
    model = str(impact_plugin.models.mind())
    given = own(ModelsPath=[model])
    expected = [
        f"WARNING: map 0: {finding}"
        for finding in check_map(given, *map(ImageHeader.of, images)).warnings
    ]
    assert any("too few to tell where things are" in line for line in expected)
    with caplog.at_level(logging.WARNING, logger="impact_plugin"):
        impact_plugin.register_images(*images, parameter_maps=given, progress=False)
    said = [r.getMessage() for r in caplog.records if "map 0" in r.getMessage()]
    assert said == expected


def test_on_the_command_line_once_and_on_stderr(files: Path) -> None:
    (files / "own.txt").write_text(as_text(own()))
    options = ["-p", "own.txt", "-o", "out"]
    run = programs.python(
        "-m", "impact_plugin.cli", "register", "f.mha", "m.mha", *options, check=True, cwd=files
    )
    assert run.stderr.count("too few to tell where things are") == 1
    assert run.stderr.startswith("WARNING: own: VoxelSize (resolution levels 0, 1 and 2): 40 mm ")
    assert "too few" not in run.stdout


def test_a_later_stage_that_cannot_run_is_refused_before_the_first() -> None:
    first = impact_plugin.preset_map("rigid_mind") | {"MaximumNumberOfIterations": ["1000000"]}
    second = impact_plugin.preset_map("mind") | {"Distance": ["L9", "L9"]}
    seen: list[impact_plugin.Iteration] = []
    with pytest.raises(impact_plugin.RegistrationError, match=r"stage 2 of 2 \(map 1\)") as caught:
        impact_plugin.register_images(
            *volumes(), parameter_maps=[first, second], progress=False, callback=seen.append
        )
    assert seen == []
    assert caught.value.stage == 1
    assert caught.value.level is None
    assert caught.value.cause.startswith('Metric "Impact" cannot run:\nDistance')
    assert '"L9" is not allowed' in caught.value.cause


def test_the_first_stage_is_refused_in_the_metrics_own_words() -> None:
    given = impact_plugin.preset_map("rigid_mind") | {"Distance": ["L9"]}
    with pytest.raises(impact_plugin.RegistrationError, match="L9") as caught:
        impact_plugin.register_images(*volumes(), parameter_maps=given, progress=False)
    assert caught.value.stage == 0
    assert str(caught.value).count('"L9" is not allowed') == 1


def test_maps_without_impact_are_not_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="impact_plugin"):
        impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), progress=False)
    assert not [r for r in caplog.records if "map 0" in r.getMessage()]


def test_intensities_are_those_of_images_that_are_no_files(tmp_path: Path) -> None:
    voxels = np.linspace(0, 2000, 8 * 9 * 10, dtype=np.float32).reshape(8, 9, 10)
    header = ImageHeader.of(sitk.GetImageFromArray(voxels))
    assert header.intensity_range() == (0.0, 2000.0)
    assert header.path == ""
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.mha"))
    read = ImageHeader.read(tmp_path / "a.mha")
    assert (read.size, read.spacing, read.pixel_type) == (
        header.size,
        header.spacing,
        header.pixel_type,
    )
    assert read.intensity_range() == header.intensity_range()


def test_which_public_models_expect_hu_stands_in_the_catalogue_alone() -> None:
    for model in catalogue():
        for path in (model.file, f"/some/where/{model.file}", model.file.rpartition("/")[2]):
            assert (expects_hu(path) is not None) == (model.expects == "HU"), path
