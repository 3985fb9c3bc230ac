"""`impact-elastix -record FILE`: a record of what elastix's own program did, and the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs, tiny_models
from helpers.pairs import sitk_pair
from helpers.parameter_maps import Value, as_text, parameter_map
from helpers.programs import run
from helpers.registrations import impact


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Images, masks, maps and a model, named relative to their folder."""
    fixed, moving = sitk_pair()
    sitk.WriteImage(fixed, str(tmp_path / "fixed.nii.gz"))
    sitk.WriteImage(sitk.Cast(moving, sitk.sitkInt16), str(tmp_path / "moving.mha"))
    sitk.WriteImage(sitk.Cast(fixed > -250, sitk.sitkUInt8), str(tmp_path / "mask.mha"))
    sitk.WriteImage(255 * sitk.Cast(fixed > -250, sitk.sitkUInt8), str(tmp_path / "mask255.mha"))
    tiny_models.save(tiny_models.Layers(3), tmp_path / "my layers.pt")
    both: dict[str, Value] = {"LayersMask": "010", "MaximumNumberOfIterations": 4}
    both |= {"WriteResultImage": "true", "ResultImageFormat": "mha", "WriteFeatureMaps": "seen"}
    both |= {"NumberOfSpatialSamples": 200, "AutomaticParameterEstimation": "false"}
    maps = [
        parameter_map(3, **(impact(3, "Static", "my layers.pt") | both)),
        parameter_map(
            3,
            **(impact(3, "Jacobian", "my layers.pt") | both),
            Transform="BSplineTransform",
            FinalGridSpacingInPhysicalUnits=12,
        ),
    ]
    del maps[0]["RandomSeed"]
    for number, parameters in enumerate(maps):
        (tmp_path / f"map{number}.txt").write_text(as_text(parameters))
    start = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.02, 0.0, (1.0, 0.5, -0.5))
    sitk.WriteTransform(start, str(tmp_path / "start.tfm"))
    (tmp_path / "out").mkdir()
    return tmp_path


PAIR = ("-f", "fixed.nii.gz", "-m", "moving.mha", "-out", "out")


def invoke(*arguments: str | Path) -> Any:  # noqa: ANN401  (click's results have no exported type)
    return programs.plugin("rerun", *arguments, "-q")


def test_two_stages_with_a_mask_and_again(files: Path) -> None:
    arguments = (*PAIR, "-fMask", "mask.mha", "-p", "map0.txt", "-p", "map1.txt", "-threads", "1")
    plain = run("elastix", *arguments, folder=files)
    assert plain.returncode == 0, plain.stdout
    before = [(files / "out" / f"TransformParameters.{n}.txt").read_text() for n in (0, 1)]
    process = run("elastix", *arguments, "-record", "record.json", folder=files)
    assert (process.returncode, process.stderr) == (0, ""), process.stdout
    # elastix ran as it does without, and said so.
    for number in (0, 1):
        text = (files / "out" / f"TransformParameters.{number}.txt").read_text()
        assert text == before[number]
    assert "Running elastix with parameter file 1" in process.stdout
    assert (files / "out" / "result.1.mha").is_file()

    record = json.loads((files / "record.json").read_text())
    jsonschema.validate(record, impact_plugin.records.schema())
    assert record["images"]["fixed"]["path"] == str(files / "fixed.nii.gz")
    assert [stage["name"] for stage in record["stages"]] == ["map0", "map1"]
    assert [stage["seed"] for stage in record["stages"]] == [121212, 7]
    assert [stage["devices"] for stage in record["stages"]] == [["cpu"], ["cpu"]]
    assert [len(stage["levels"]) for stage in record["stages"]] == [1, 1]
    assert record["stages"][0]["levels"][0]["iterations"] == 4
    assert record["stages"][0]["parameters"]["WriteResultImage"] == ["true"]
    assert {each["path"] for each in record["models"]} == {str(files / "my layers.pt")}
    assert record["arguments"]["threads"] == 1
    assert record["versions"]["elastix"] == "5.3.1"
    assert record["transform"]["file"] == "out/TransformParameters.1.txt"
    assert record["log"] == "out/elastix.log"
    assert sum(record["timings"].values()) > 0

    there = {*files.rglob("*")}
    again = invoke(files / "record.json", "--threads", "2")
    assert again.exit_code == 0, again.output
    assert {*files.rglob("*")} == there


def test_from_an_initial_transform(files: Path) -> None:
    """An elastix file, the result of another run; and the record lies in the output folder."""
    assert run("elastix", *PAIR, "-p", "map0.txt", folder=files).returncode == 0
    (files / "second").mkdir()
    process = run(
        "elastix",
        *(*PAIR[:4], "-out", "second", "-p", "map1.txt"),
        *("-t0", "out/TransformParameters.0.txt", "-record", "second/record.json"),
        folder=files,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    record = json.loads((files / "second" / "record.json").read_text())
    assert record["initial_transform"]["path"] == str(files / "out" / "TransformParameters.0.txt")
    assert record["transform"]["file"] == "TransformParameters.0.txt"
    again = invoke(files / "second", "-o", files / "again")
    assert again.exit_code == 0, again.output
    loaded = impact_plugin.RegistrationResult.load(files / "again")
    assert loaded.record is not None
    assert loaded.record.result_image.voxels_sha256 == record["result_image"]["voxels_sha256"]
    assert not (files / "again" / "seen").exists()


def test_a_run_that_fails_leaves_no_record(files: Path) -> None:
    (files / "record.json").write_text("{}")
    text = (files / "map0.txt").read_text()
    (files / "map0.txt").write_text(text.replace('"Static"', '"Statik"'))
    process = run("elastix", *PAIR, "-p", "map0.txt", "-record", "record.json", folder=files)
    assert process.returncode != 0
    assert "Statik" in process.stdout
    assert not (files / "record.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "map0.txt", "-fp", "points.txt"), "a record has no place for -fp. It knows -f, "),
        (("-p", "map0.txt", "-f", "b.mha"), "a record has no place for -f a second time"),
        ((), "missing of elastix's arguments: -p"),
        (("-p", "map0.txt", "-fMask", "mask255.mha"), "has values other than 0 and 1: write it w"),
        (("-p", "map0.txt", "-threads", "0"), "-threads is 0, expected a whole number of at"),
        (("-p", "nothing.txt"), "there is no file 'nothing.txt'"),
        (("-p", "map0.txt", "-t0", "nothing.txt"), "-t0: there is no file"),
    ],
)
def test_what_cannot_be_recorded_is_said_before(
    files: Path, arguments: tuple[str, ...], message: str
) -> None:
    process = run("elastix", *PAIR, *arguments, "-record", "record.json", folder=files)
    assert process.returncode == 1
    assert message in process.stderr
    assert process.stderr.startswith("impact-elastix: -record record.json: ")
    assert process.stdout == ""
    assert list((files / "out").iterdir()) == []


def test_folders_are_no_records(files: Path) -> None:
    for place in ("out", "nowhere/record.json"):
        process = run("elastix", *PAIR, "-p", "map0.txt", "-record", place, folder=files)
        assert process.returncode == 1
        assert "give a file in a folder" in process.stderr
