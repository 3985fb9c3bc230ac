"""What plain runs print: only what the user can act on."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.pairs import sitk_pair, squares, voxels
from helpers.parameter_maps import ParameterMap, as_text
from helpers.programs import program_path
from impact_plugin.images.files import read_image, write_image
from impact_plugin.images.silence import itk_silent


@pytest.fixture(autouse=True)
def _warnings() -> Iterator[None]:
    """Have ITK warn, which torchio turns off for the process."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    yield
    sitk.ProcessObject.SetGlobalWarningDisplay(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("quiet")
    for name, image in zip(("fixed", "moving"), sitk_pair(), strict=True):
        sitk.WriteImage(image, str(place / f"{name}.nii.gz"))
        everywhere = sitk.Cast(image > -1e9, sitk.sitkUInt8)
        sitk.WriteImage(everywhere, str(place / f"{name}_mask.nii.gz"))
        (place / name).mkdir()
        _write_slices(sitk.Cast(image, sitk.sitkInt16), place / name)
    # Voxels of 1 mm in one place of the header, and others in another.
    odd = nibabel.load(place / "moving.nii.gz")
    odd = nibabel.Nifti1Image(np.asarray(odd.dataobj), odd.affine)
    odd.header["pixdim"][1:4] = 1
    odd.header["qform_code"] = 0
    odd.to_filename(place / "odd.nii.gz")
    return place


def _write_slices(image: sitk.Image, place: Path) -> None:
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    rows = image.GetDirection()
    for number in range(image.GetDepth()):
        piece = image[:, :, number]
        origin = image.TransformIndexToPhysicalPoint((0, 0, number))
        for key, value in (
            ("0008|0060", "CT"),
            ("0020|000d", "1.2.3.1"),
            ("0020|000e", "1.2.3.2"),
            ("0020|0013", str(number)),
            ("0020|0032", "\\".join(f"{value:.6f}" for value in origin)),
            ("0020|0037", "\\".join(f"{rows[k]:.8f}" for k in (0, 3, 6, 1, 4, 7))),
        ):
            piece.SetMetaData(key, value)
        writer.SetFileName(str(place / f"{number:03}.dcm"))
        writer.Execute(piece)


def series(place: Path) -> sitk.Image:
    """Read a series with what its first file says, as SimpleITK's examples do."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(place)))
    reader.MetaDataDictionaryArrayUpdateOn()
    image = reader.Execute()
    for key in reader.GetMetaDataKeys(0):
        image.SetMetaData(key, reader.GetMetaData(0, key))
    return image


def as_torchio(path: Path) -> Any:  # noqa: ANN401
    import torchio

    return torchio.ScalarImage(path)


def as_monai(path: Path) -> Any:  # noqa: ANN401
    from monai.transforms import LoadImage

    return LoadImage(image_only=True)(path)


KINDS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "path": (str, ".nii.gz"),
    "folder": (str, ""),
    "SimpleITK of NIfTI": (lambda path: sitk.ReadImage(str(path)), ".nii.gz"),
    "SimpleITK of DICOM": (series, ""),
    "nibabel": (nibabel.load, ".nii.gz"),
    "torchio": (as_torchio, ".nii.gz"),
    "monai": (as_monai, ".nii.gz"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_registration_says_nothing(
    kind: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor does what is done with its result: ITK's writers warn of what they do not know."""
    load, ending = KINDS[kind]
    fixed, moving = (load(folder / f"{name}{ending}") for name in ("fixed", "moving"))
    masks = {}
    if ending:
        names = ("fixed_mask", "moving_mask")
        masks = {name: load(folder / f"{name}{ending}") for name in names}
    keys = fixed.GetMetaDataKeys() if isinstance(fixed, sitk.Image) else ()
    assert keys or "SimpleITK" not in kind
    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    capfd.readouterr()
    result = impact_plugin.register_images(
        fixed,
        moving,
        **masks,
        parameter_maps=squares(),
        iterations=2,
        progress=False,
        output_directory=tmp_path,
        record="inputs",
    )
    result.save(tmp_path)
    result.warp(moving)
    loaded = impact_plugin.RegistrationResult.load(tmp_path)
    loaded.evaluate(moving_image=moving)
    loaded.report(fixed=fixed, moving=moving)
    assert impact_plugin.rerun(tmp_path, progress=False).same
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    if keys:  # the caller's image keeps them
        assert fixed.GetMetaDataKeys() == keys
        assert not sitk.ReadImage(str(tmp_path / "inputs" / "fixed.mha")).HasMetaDataKey(keys[0])


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = programs.captured(program_path("plugin"), *arguments, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    assert not done.stderr.startswith("Error: ")
    return done


def test_commands_with_a_doubtful_header(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """ITK names a line of its sources, several times; elastix's copy of it does so, too."""
    sitk.ReadImage(str(folder / "odd.nii.gz"))
    assert "WARNING: In " in capfd.readouterr().err
    (folder / "map.txt").write_text(as_text(squares(MaximumNumberOfIterations=2)))
    out = str(tmp_path / "out")
    images = ("fixed.nii.gz", "odd.nii.gz")
    register = ("register", *images, "-o", out, "-q", "-p", "map.txt")
    for command in (
        (*register, "--labels", "odd.nii.gz"),
        ("evaluate", out, "-q", "--moving-image", "odd.nii.gz"),
        ("report", out),
        ("rerun", out, "-q"),
        ("check", f"{out}/Parameters.0.txt", "-f", images[0], "-m", images[1]),
    ):
        assert "WARNING: In " not in run(folder, *command).stderr


# ---- elastix's warnings


def without(parameters: ParameterMap, *names: str) -> ParameterMap:
    return {name: values for name, values in parameters.items() if name not in names}


def warned(parameters: ParameterMap, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.DEBUG, "impact_plugin.elastix")
    impact_plugin.register_images(
        *sitk_pair(), parameter_maps=parameters, iterations=1, progress=False
    )
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("pyramid", ["GenericImagePyramid", "RecursiveImagePyramid"])
def test_no_warning_of_defaults(pyramid: str, caplog: pytest.LogCaptureFixture) -> None:
    parameters = without(
        squares(FixedImagePyramid=f"Fixed{pyramid}", MovingImagePyramid=f"Moving{pyramid}"),
        "ImagePyramidSchedule",
        "UseDirectionCosines",
    )
    assert warned(parameters, caplog) == []
    # All of it is in the log, for whoever wants it.
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "schedule is not fully specified" in text
    assert 'The option "UseDirectionCosines" was not found' in text


def test_a_schedule_that_is_too_short_is_said_in_whole(caplog: pytest.LogCaptureFixture) -> None:
    parameters = squares(
        NumberOfResolutions=2,
        ImagePyramidSchedule=[2, 2],
        FixedImagePyramid="FixedRecursiveImagePyramid",
        MovingImagePyramid="MovingRecursiveImagePyramid",
    )
    rest = "  A default pyramid schedule is used."
    assert warned(parameters, caplog) == [
        "WARNING: the fixed pyramid schedule is not fully specified!",
        rest,
        "WARNING: the moving pyramid schedule is not fully specified!",
        rest,
    ]


def test_a_warning_of_several_lines_is_said_in_whole(caplog: pytest.LogCaptureFixture) -> None:
    parameters = squares(ImageSampler="Full", NewSamplesEveryIteration="true")
    assert warned(parameters, caplog) == [
        "WARNING: You want to select new samples every iteration,",
        "but the selected ImageSampler is not suited for that.",
    ]


# ---- the mechanisms


def test_itk_is_silent_while_anybody_wants_it() -> None:
    switch = sitk.ProcessObject
    assert switch.GetGlobalWarningDisplay()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with itk_silent():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with itk_silent():
        thread.start()
        inside.wait(10)
    assert not switch.GetGlobalWarningDisplay()
    leave.set()
    thread.join()
    assert switch.GetGlobalWarningDisplay()
    switch.SetGlobalWarningDisplay(False)
    try:
        with itk_silent():
            pass
        assert not switch.GetGlobalWarningDisplay()
    finally:
        switch.SetGlobalWarningDisplay(True)


def test_files_are_written_without_a_dictionary(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = sitk_pair()[0]
    image.SetMetaData("qto_xyz", "")
    for name in ("a.mha", "a.nii.gz", "a.nrrd"):
        write_image(image, tmp_path / name)
        again = read_image(tmp_path / name)
        np.testing.assert_array_equal(voxels(again), voxels(image))
    assert capfd.readouterr().err == ""
    assert image.GetMetaDataKeys() == ("qto_xyz",)


def test_commands_show_own_warnings_as_sentences() -> None:
    code = """
import sys, warnings
import click
from impact_plugin import RecordWarning, cli
from impact_plugin.cli.program import LazyGroup
@click.command()
def command():
    warnings.warn("the machine is another", RecordWarning)
    warnings.warn("somebody else's", UserWarning)
LazyGroup.get_command = lambda *_: command
sys.argv = ["impact-plugin", "command"]
cli.main()
"""
    done = programs.python("-c", code, check=True, timeout=60)
    lines = done.stderr.splitlines()
    assert lines[0] == "Warning: the machine is another"
    assert "UserWarning: somebody else's" in lines[1]
