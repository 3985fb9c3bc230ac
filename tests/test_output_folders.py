"""Folders that registrations wrote: with all that elastix may be asked to write, moved, and used.

The truth is the same registration without such parameters.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import tomlkit

import impact_plugin
from helpers import programs
from helpers.images import Array
from helpers.pairs import grid_of, sitk_pair, squares, voxels, write_pair
from helpers.parameter_maps import ParameterMap, Value, as_text
from helpers.programs import run
from impact_plugin.evaluation import evaluate
from impact_plugin.transforms import apply, initial
from impact_plugin.transforms.chain import Chain, files_of

Result = impact_plugin.RegistrationResult

BASE: dict[str, Value] = {
    "MaximumNumberOfIterations": 6,
    "NumberOfResolutions": 2,
    "AutomaticScalesEstimation": "true",
    "ResampleInterpolator": "FinalBSplineInterpolator",
}
EACH: dict[str, Value] = {
    "WriteTransformParametersEachResolution": "true",
    "WriteTransformParametersEachIteration": "true",
}
OUTPUTS: dict[str, dict[str, Value]] = {
    "h5": {"ITKTransformOutputFileNameExtension": "h5"},
    "tfm": {"ITKTransformOutputFileNameExtension": "tfm", "WriteITKCompositeTransform": "true"},
    "mat": {"ITKTransformOutputFileNameExtension": "mat"},
    # As KonfAI's impact-reg asks for it.
    "itk.txt": {
        "ITKTransformOutputFileNameExtension": "itk.txt",
        "WriteITKCompositeTransform": "true",
    },
    "each": EACH,
    "each h5": {
        **EACH,
        "ITKTransformOutputFileNameExtension": "h5",
        "WriteITKCompositeTransform": "true",
    },
    "toml": {"OutputTransformParameterFileFormat": "TOML"},
    "no final": {"WriteFinalTransformParameters": "false"},
    "binary": {"UseBinaryFormatForTransformationParameters": "true"},
    "images": {
        "WriteResultImage": "true",
        "WriteResultImageAfterEachResolution": "true",
        "WriteResultImageAfterEachIteration": "true",
        "WritePyramidImagesAfterEachResolution": "true",
        "ResultImageFormat": "nii.gz",
        "ResultImageName": "warped",
        "ResultImagePixelType": "short",
        "CompressResultImage": "true",
        "WriteIterationInfo": "true",
    },
}
START = sitk.TranslationTransform(3, [1.0, 0.5, -0.5])


def maps(**parameters: Value) -> list[ParameterMap]:
    """Two stages: what the second one builds on is a transform of the same folder."""
    both = {**BASE, **parameters}
    return [
        squares(3, Transform="EulerTransform", ComputeZYX="true", **both),
        squares(3, Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits=12, **both),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_pair(folder, "fixed.mha", "moving.mha")
    sitk.WriteTransform(START, str(folder / "start.tfm"))
    return folder


@pytest.fixture(scope="module")
def truth(files: Path) -> Result:
    return impact_plugin.register_images(
        files / "fixed.mha",
        files / "moving.mha",
        parameter_maps=maps(),
        initial_transform=START,
        threads=1,
    )


@pytest.fixture(scope="module")
def points(truth: Result) -> Array:
    return grid_of(truth.image).random_points(20, margin=0.2)


def written(files: Path, folder: Path, parameters: list[ParameterMap]) -> list[str | Path]:
    """Write parameter files, and give elastix's flags for them."""
    flags: list[str | Path] = []
    for number, each in enumerate(parameters):
        (folder / f"map{number}.txt").write_text(as_text(each))
        flags += ["-p", f"map{number}.txt"]
    return ["-f", files / "fixed.mha", "-m", files / "moving.mha", *flags, "-threads", "1"]


def register(route: str, files: Path, folder: Path, parameters: list[ParameterMap]) -> None:
    """Register into the folder ``out`` of a folder, and with a record beside it or in it."""
    out = folder / "out"
    if route == "python":
        result = impact_plugin.register_images(
            files / "fixed.mha",
            files / "moving.mha",
            parameter_maps=parameters,
            initial_transform=START,
            threads=1,
            output_directory=out,
        )
        assert result.record == impact_plugin.records.read(out)
        return
    options = written(files, folder, parameters)
    if route == "register":
        given = [files / "fixed.mha", files / "moving.mha", "-o", out, "-t", files / "start.tfm"]
        options = [folder / each if "map" in str(each) else each for each in options[4:-2]]
        command = ["register", *given, *options, "--threads", "1", "-q"]
        invoked = programs.plugin(*command)
        assert invoked.exit_code == 0, invoked.output
        return
    out.mkdir()
    chain = initial.make_chain(files / "start.tfm", *sitk_pair())
    start = chain.write(folder, "InitialTransform")
    assert start is not None
    options += ["-out", "out", "-t0", start]
    if route == "recorded":
        options += ["-record", "out/record.json"]
    done = run("elastix", *options, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def report(folder: Path) -> str:
    done = programs.plugin("report", folder, "--slices", "2")
    assert done.exit_code == 0, done.output
    return (folder / "report.html").read_text(encoding="utf-8")


def check(folder: Path, truth: Result, points: Array) -> Result:
    """Hold a folder to the truth: evaluated, reported and loaded it is the same transform."""
    expected = truth.evaluate(fixed_points=points, moving_points=points)
    found = evaluate(folder, fixed_points=points, moving_points=points)
    for now, then in zip(found.steps, expected.steps, strict=True):
        assert now.landmarks
        assert then.landmarks
        assert now.jacobian
        assert then.jacobian
        np.testing.assert_allclose(now.landmarks.distances, then.landmarks.distances, atol=1e-6)
        np.testing.assert_allclose(now.jacobian.min, then.jacobian.min, atol=1e-6)
    loaded = Result.load(folder)
    np.testing.assert_allclose(loaded.map_points(points), truth.map_points(points), atol=1e-6)
    assert loaded.fixed.difference(truth.fixed) == ""
    np.testing.assert_allclose(loaded.history.metric, truth.history.metric, atol=1e-6)
    assert loaded.initial == 1
    assert np.abs(voxels(loaded.image) - voxels(truth.image)).max() < 1  # elastix cuts
    assert "after the initial transform" in report(folder)
    return loaded


def check_itk_files(folder: Path, ending: str, composite: bool, truth: Result) -> None:
    """Hold the files of ITK to the transforms of the stages, and together to the whole."""
    points = grid_of(truth.image).random_points(5, margin=0.2)
    for number, end in enumerate((2, 3)):
        stage = sitk.ReadTransform(str(folder / f"TransformParameters.{number}.{ending}"))
        started = apply.map_points(Chain(truth.chain.maps[: end - 1]), points)
        whole = apply.map_points(Chain(truth.chain.maps[:end]), points)
        found = [stage.TransformPoint(point) for point in started.tolist()]
        np.testing.assert_allclose(found, whole, atol=1e-6)
        if composite:
            file = folder / f"TransformParameters.{number}-Composite.{ending}"
            together = sitk.ReadTransform(str(file))
            mapped = [together.TransformPoint(point) for point in points.tolist()]
            np.testing.assert_allclose(mapped, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("route", "outputs"),
    [
        *(("python", name) for name in OUTPUTS),
        *((route, name) for route in ("register", "recorded") for name in ("each h5", "no final")),
    ],
)
def test_what_elastix_is_asked_to_write(
    route: str, outputs: str, files: Path, tmp_path: Path, truth: Result, points: Array
) -> None:
    """Written, moved, evaluated, reported, loaded and run again."""
    given = OUTPUTS[outputs]
    register(route, files, tmp_path, maps(**given))
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    (tmp_path / "out").mkdir()  # another registration, where this one was
    for path in moved.glob("*.txt"):
        (tmp_path / "out" / path.name).write_text("nothing\n")
    check(moved, truth, points)

    ending = str(given.get("ITKTransformOutputFileNameExtension", ""))
    if ending:
        check_itk_files(moved, ending, "WriteITKCompositeTransform" in given, truth)
    if outputs.startswith("each"):
        names = [f"TransformParameters.{n}.R{level}" for n in (0, 1) for level in (0, 1)]
        names += [f"{name}.It000000{k}" for name in names for k in range(6)]
        assert all((moved / f"{name}.txt").is_file() for name in names)
        if ending:
            assert all((moved / f"{name}.{ending}").is_file() for name in names)
            assert all((moved / f"{name}-Composite.{ending}").is_file() for name in names)
    if outputs == "toml":
        text = (moved / "TransformParameters.1.toml").read_text()
        assert tomlkit.parse(text)["Transform"] == "BSplineTransform"
    if outputs == "images":
        levels = [f"warped.{n}.R{level}" for n in (0, 1) for level in (0, 1)]
        assert all((moved / f"{name}.nii.gz").is_file() for name in levels)
        assert all((moved / f"{name}.It0000003.nii.gz").is_file() for name in levels)

    again = programs.plugin("rerun", moved, "-q")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("outputs", ["h5", "tfm", "itk.txt", "toml", "images"])
def test_elastix_folders(
    outputs: str, files: Path, tmp_path: Path, truth: Result, points: Array
) -> None:
    """What elastix alone wrote, by a relative path: the same, without a record."""
    register("elastix", files, tmp_path, maps(**OUTPUTS[outputs]))
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    loaded = check(moved, truth, points)
    assert loaded.stages == ("map0", "map1")
    assert loaded.output_directory == moved
    assert loaded.record is None
    assert loaded.inputs == (files / "fixed.mha", files / "moving.mha")
    assert "Total time elapsed" in loaded.log
    assert sum(loaded.timings.values()) > 0
    saved = loaded.save(tmp_path / "saved")
    check(saved, truth, points)


def test_each_of_elastix_s_files_is_named(files: Path, tmp_path: Path) -> None:
    register("elastix", files, tmp_path, maps(**OUTPUTS["h5"]))
    found = files_of(tmp_path / "out" / "TransformParameters.1.txt")
    assert [path.name for path in found] == [
        *("TransformParameters.1.txt", "TransformParameters.1.h5"),
        *("TransformParameters.0.txt", "TransformParameters.0.h5", "InitialTransform.0.txt"),
    ]
    (tmp_path / "out" / "TransformParameters.0.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"TransformParameters\.0\.h5'.*keep it beside"):
        Result.load(tmp_path / "out")


def test_a_transform_file_as_the_start(files: Path, tmp_path: Path) -> None:
    """What a folder of elastix ends with, as the start of another registration."""
    register("elastix", files, tmp_path, maps(**OUTPUTS["h5"]))
    before = Result.load(tmp_path / "out")
    for start in (tmp_path / "out" / "TransformParameters.1.txt", before):
        result = impact_plugin.register_images(
            *sitk_pair(), parameter_maps=squares(), initial_transform=start, iterations=1
        )
        assert result.initial == 3
        assert result.chain.maps[:3] == before.chain.maps


def test_a_copy_keeps_its_own_transforms(
    files: Path, tmp_path: Path, truth: Result, points: Array
) -> None:
    """Elastix's files name each other by where they were; another registration is there now."""
    register("elastix", files, tmp_path, maps())
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    for path in (tmp_path / "out").glob("TransformParameters.0.*"):
        text = path.read_text().replace("TransformParameters 0", "TransformParameters 1")
        path.write_text(text.replace("(TransformParameters ", "(TransformParameters 0 // "))
    np.testing.assert_allclose(
        Result.load(tmp_path / "copy").map_points(points), truth.map_points(points), atol=1e-6
    )


def test_names_without_a_folder_are_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: Result, points: Array
) -> None:
    """Whatever lies in the folder in which the program runs."""
    saved = truth.save(tmp_path / "saved")
    other = tmp_path / "other"
    other.mkdir()
    for path in saved.glob("*.txt"):
        (other / path.name).write_text("nothing\n")
    monkeypatch.chdir(other)
    assert np.array_equal(Result.load(saved).map_points(points), truth.map_points(points))


def test_intermediate_transforms_build_on_the_right_ones(files: Path, tmp_path: Path) -> None:
    """Those of the last iteration are the stage's, and those of stage 1 contain stage 0."""
    register("python", files, tmp_path, maps(**EACH))
    result = Result.load(tmp_path / "out")
    for stage, end in ((0, 2), (1, 3)):
        last = Chain.read(tmp_path / "out" / f"TransformParameters.{stage}.R1.txt")
        assert len(last.maps) == end
        assert [each["TransformParameters"] for each in last.maps] == [
            each["TransformParameters"] for each in result.chain.maps[:end]
        ]


def test_without_an_image(files: Path, tmp_path: Path, truth: Result) -> None:
    """Elastix wrote none: the moving image is warped, as long as it is there."""
    moving = tmp_path / "moving.mha"
    shutil.copy(files / "moving.mha", moving)
    options = written(files, tmp_path, [maps()[0]])
    options[options.index(files / "moving.mha")] = moving
    (tmp_path / "out").mkdir()
    assert run("elastix", *options, "-out", "out", folder=tmp_path).returncode == 0
    result = Result.load(tmp_path / "out")
    expected = result.warp(sitk.ReadImage(str(moving)))
    assert np.array_equal(voxels(result.image), voxels(expected))
    moving.unlink()
    with pytest.raises(FileNotFoundError, match=r"no registered image.*moving\.mha.*evaluate"):
        Result.load(tmp_path / "out")
    assert evaluate(tmp_path / "out").after.jacobian is not None


REFUSED: list[tuple[dict[str, Value], str]] = [
    (
        {"ITKTransformOutputFileNameExtension": "txt"},
        r'"txt"\)\. Allowed: \'h5\', .*without a dot',
    ),
    ({"ITKTransformOutputFileNameExtension": ".h5"}, r"without a dot"),
    ({"ITKTransformOutputFileNameExtension": "R0.txt"}, r"\'itk.txt\', without a dot"),
    ({"ITKTransformOutputFileNameExtension": "nii"}, r'FileNameExtension "nii"\)\. Allowed'),
    (
        {
            "ITKTransformOutputFileNameExtension": "mat",
            "WriteITKCompositeTransform": "true",
        },
        r'"mat"\) with \(WriteITKCompositeTransform "true"\)\. Allowed: \'h5\', ',
    ),
    (
        {
            "ITKTransformOutputFileNameExtension": "itk.mat",
            "WriteITKCompositeTransform": "true",
        },
        r'"itk\.mat"\) with \(WriteITKCompositeTransform "true"\)\. Allowed: \'h5\', ',
    ),
    (
        {"ITKTransformOutputFileNameExtension": "h5", "Transform": "AffineLogTransform"},
        r"ITK has no transform like elastix's AffineLogTransform\. Leave the parameter out",
    ),
    (
        {
            "ITKTransformOutputFileNameExtension": "h5",
            "Transform": "BSplineTransform",
            "UseCyclicTransform": "true",
        },
        r"elastix's cyclic BSplineTransform",
    ),
    (
        {
            "ITKTransformOutputFileNameExtension": "h5",
            "WriteITKCompositeTransform": "true",
            "HowToCombineTransforms": "Add",
        },
        r"compositions do not add",
    ),
    ({"OutputTransformParameterFileFormat": "toml"}, r'"toml"\)\. Allowed: "txt" and "TOML"'),
    (
        {"WriteResultImageAfterEachResolution": "true", "ResultImageFormat": "foo"},
        r'\(ResultImageFormat "foo"\), in which an image of 3 dimensions of the type short',
    ),
    (
        {"WriteResultImageAfterEachIteration": "true", "ResultImagePixelType": "half"},
        r'\(ResultImagePixelType "half"\)\. Allowed: \'char\', ',
    ),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_refused_before_elastix_starts(
    parameters: dict[str, Value], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"the map 'map 0' has .*" + message):
        impact_plugin.register_images(
            *sitk_pair(), parameter_maps=squares(3, **parameters), output_directory=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ITKTransformOutputFileNameExtension": "foo"}, r'"foo" is not allowed. Allowed: "h5"'),
        ({"ITKTransformOutputFileNameExtension": "txt"}, r'"txt" is not allowed. Allowed: "h5"'),
        (
            {"ITKTransformOutputFileNameExtension": "h5", "Transform": "AffineLogTransform"},
            "no transform like elastix's AffineLogTransform. Leave it out",
        ),
    ],
)
def test_elastix_s_own_program_would_lose_the_transform(
    parameters: dict[str, Any], message: str, files: Path, tmp_path: Path
) -> None:
    options = written(files, tmp_path, [squares(**parameters)])
    (tmp_path / "out").mkdir()
    done = run("elastix", *options, "-out", "out", folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_failure_leaves_no_earlier_result(files: Path, tmp_path: Path) -> None:
    """A folder that is used again does not pass the last result off as the new one."""
    register("python", files, tmp_path, [squares()])
    wrong = squares(Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits="x")
    with pytest.raises(impact_plugin.RegistrationError):
        impact_plugin.register_images(
            *sitk_pair(), parameter_maps=wrong, output_directory=tmp_path / "out"
        )
    assert not (tmp_path / "out" / "result.json").exists()


def test_nothing_of_later_stages_stays(files: Path, truth: Result, tmp_path: Path) -> None:
    """Which would build on what is there by now; other files in the folder are left alone."""
    register("python", files, tmp_path, maps(WriteIterationInfo="true"))
    out = tmp_path / "out"
    (out / "notes.txt").write_text("mine")
    register("python", files, tmp_path, [squares()])
    names = sorted(path.name for path in out.glob("*.[0-9].*"))
    assert [name for name in names if ".1." in name] == []
    assert (out / "notes.txt").read_text() == "mine"
    truth.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "TransformParameters.1.txt").exists()
    impact_plugin.RegistrationResult.load(out).save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "TransformParameters.1.txt").exists()


def test_an_input_behind_a_folder_that_is_not_there(files: Path, tmp_path: Path) -> None:
    """Folders on the way to that of the results are made."""
    register("python", files, tmp_path, [squares()])
    moving = tmp_path / "out" / "result.mha"
    before = moving.read_bytes()
    with pytest.raises(ValueError, match=r"would be overwritten"):
        impact_plugin.register_images(
            files / "fixed.mha",
            moving,
            parameter_maps=squares(),
            output_directory=tmp_path / "none" / ".." / "out",
        )
    assert moving.read_bytes() == before
