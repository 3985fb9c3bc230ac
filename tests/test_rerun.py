"""impact_plugin.rerun and `impact-plugin rerun`: the same again, to the bit, or what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import Result

import impact_plugin
from helpers import programs, tiny_models
from helpers.pairs import sitk_pair, squares, write_pair
from helpers.parameter_maps import Value, parameter_map
from helpers.registrations import forbid_elastix, impact


def invoke(*arguments: str | Path) -> Result:
    return programs.plugin("rerun", *arguments, "-q")


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change what a record says."""
    path = folder / "record.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in a folder, and the record of a quick registration of them in `out`."""
    folder = tmp_path_factory.mktemp("original")
    result = impact_plugin.register_images(
        *write_pair(folder, "fixed.nii.gz", "moving.mha"),
        parameter_maps=squares(MaximumNumberOfIterations=5),
        threads=1,
    )
    result.save(folder / "out")
    return folder


@pytest.fixture
def files(original: Path, tmp_path: Path) -> Path:
    """A copy, in which the record names the copied files."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)

    def move(record: dict[str, Any]) -> None:
        for name in ("fixed", "moving"):
            record["images"][name]["path"] = str(folder / Path(record["images"][name]["path"]).name)

    change(folder / "out", move)
    return folder


def test_same_to_the_bit(tmp_path: Path) -> None:
    """Networks in both modes, normalised; a mask, a field to start from; other threads."""
    fixed, moving = sitk_pair()
    paths = [tmp_path / name for name in ("f.nii.gz", "m.mha", "mask.mha", "my model.pt")]
    sitk.WriteImage(fixed, str(paths[0]))
    sitk.WriteImage(moving, str(paths[1]))
    sitk.WriteImage(sitk.Cast(fixed > -250, sitk.sitkUInt8), str(paths[2]))
    model = tiny_models.save(tiny_models.Layers(3), paths[3])
    field = sitk.Image(fixed.GetSize(), sitk.sitkVectorFloat64, 3) + 0.25
    field.CopyInformation(fixed)
    start = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    both: dict[str, Value] = {
        "LayersMask": "011",
        "FeatureNormalization": "l2",
        "NormalizeLosses": "true",
        "MaximumNumberOfIterations": 12,
    }
    maps = [
        parameter_map(3, **(impact(3, "Static", "here.pt") | both)),
        parameter_map(
            3,
            **(impact(3, "Jacobian", "here.pt") | both),
            Transform="BSplineTransform",
            FinalGridSpacingInPhysicalUnits=12,
        ),
    ]
    result = impact_plugin.register_images(
        paths[0],
        paths[1],
        fixed_mask=paths[2],
        parameter_maps=maps,
        models={"here.pt": model},
        initial_transform=start,
        threads=1,
        output_directory=tmp_path / "out",
    )
    result.save(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    # The link without a space, which elastix read, is gone; the file is not.
    assert {named["path"] for named in record["models"]} == {str(model)}
    assert not any(Path(named["name"]).exists() for named in record["models"])
    again = impact_plugin.rerun(tmp_path / "out", threads=2, output_directory=tmp_path / "again")
    assert (again.same, again.differences, again.remarks) == (True, (), ())
    assert np.array_equal(
        sitk.GetArrayViewFromImage(again.result.image), sitk.GetArrayViewFromImage(result.image)
    )
    assert again.result.record is not None
    assert [stage.transform_sha256 for stage in again.result.record.stages] == [
        stage["transform_sha256"] for stage in record["stages"]
    ]
    # And so can that one be, though the field is another file now.
    assert invoke(tmp_path / "again").exit_code == 0
    next((tmp_path / "again").glob("*field0.mha")).unlink()
    run = invoke(tmp_path / "again")
    assert run.exit_code == 1
    assert "initial_transform: its displacement fields are part of" in run.output


@pytest.mark.parametrize("given", [[4, 3, 2], np.array([4, 3, 2], np.int16), (np.int64(4), 3, 2)])
def test_iterations_of_levels(tmp_path: Path, given: Sequence[int]) -> None:
    """One number for each level of every stage; the record has them, and so has a rerun."""
    fixed, moving = sitk_pair()
    maps = [squares(NumberOfResolutions=2), squares(Transform="EulerTransform")]
    result = impact_plugin.register_images(
        fixed, moving, parameter_maps=maps, iterations=given, threads=1, output_directory=tmp_path
    )
    assert result.record
    assert result.record.arguments.iterations == [4, 3, 2]
    again = impact_plugin.rerun(tmp_path, fixed=fixed, moving=moving)
    assert again.same
    history = again.result.history
    assert np.bincount(10 * history.stage + history.level)[[0, 1, 10]].tolist() == [4, 3, 2]


def test_command_line(files: Path) -> None:
    run = invoke(files / "out" / "record.json", "-o", files / "again")
    assert run.exit_code == 0, run.output
    assert "The same transform and the same image, to the bit." in run.output
    first, again = (
        impact_plugin.RegistrationResult.load(files / name) for name in ("out", "again")
    )
    assert first.chain.maps == again.chain.maps
    assert invoke(files / "again").exit_code == 0


def test_another_transform_is_told_with_its_distance(files: Path) -> None:
    change(
        files / "out",
        lambda record: record["stages"][0]["parameters"].update(RandomSeed=["8"]),
    )
    run = invoke(files / "out")
    assert run.exit_code == 3
    text = "Not the same: the transform differs, from stage 1 (map 0) on, by up to "
    distance, unit = run.output.partition(text)[2].split()[:2]
    assert unit == "mm"
    assert 1e-4 < float(distance) < 3
    (files / "out" / "TransformParameters.0.txt").unlink()
    run = invoke(files / "out")
    assert run.exit_code == 3
    assert "from stage 1 (map 0) on.\n" in run.output


def test_other_versions_and_machines_are_named(files: Path) -> None:
    def edit(record: dict[str, Any]) -> None:
        record["versions"] |= {"numpy": "1.0", "elastix": "5.3.1"}
        record["machine"]["processor"] = "Z80"
        record["machine"]["variables"]["ATEN_CPU_CAPABILITY"] = "avx2"

    change(files / "out", edit)
    run = invoke(files / "out")
    assert run.exit_code == 0
    assert "Not as it was: numpy was 1.0 and is " in run.output
    assert "Not as it was: the processor was Z80 and is " in run.output
    assert "the variable ATEN_CPU_CAPABILITY was avx2 and is unset" in run.output
    assert run.output.count("Not as it was") == 3
    with pytest.warns(impact_plugin.RecordWarning) as warned:
        impact_plugin.rerun(files / "out")
    assert len(warned) == 3
    assert {warning.filename for warning in warned} == {__file__}


def test_changed_files_are_refused_by_name(
    files: Path, monkeypatch: pytest.MonkeyPatch, layers: dict[int, str]
) -> None:
    forbid_elastix(monkeypatch)
    fixed, moving = sitk_pair()
    fixed[3, 4, 5] += 1
    moving.SetOrigin((0, 0, 0))
    sitk.WriteImage(fixed, str(files / "fixed.nii.gz"))
    sitk.WriteImage(moving, str(files / "moving.mha"))
    model = files / "model.pt"
    shutil.copy(layers[3], model)

    def edit(record: dict[str, Any]) -> None:
        record["stages"][0]["parameters"]["ModelsPath"] = [str(model)]
        record["models"] = [
            {"name": str(model), "path": str(model), "bytes": 3, "sha256": "0" * 64}
        ]

    change(files / "out", edit)
    with pytest.raises(impact_plugin.RecordMismatchError) as caught:
        impact_plugin.rerun(files / "out")
    first, second, third = caught.value.problems
    assert first == f"fixed ({files / 'fixed.nii.gz'}): its voxels have other values"
    assert second.startswith(
        f"moving ({files / 'moving.mha'}): origin was [-20.0, 35.0, 110.0] and"
    )
    assert third.startswith(f"{model} (for {model}) has another content: its SHA-256 was 000")
    run = invoke(files / "out")
    assert run.exit_code == 1
    assert "Error: This is not what was registered then:" in run.output


def test_same_voxels_in_another_file(files: Path) -> None:
    fixed = sitk.ReadImage(str(files / "fixed.nii.gz"))
    (files / "fixed.nii.gz").unlink()
    sitk.WriteImage(fixed, str(files / "elsewhere.nii"))
    run = invoke(files / "out")
    assert run.exit_code == 1
    assert "fixed: there is no file" in run.output
    assert "give it with --fixed FILE" in run.output
    run = invoke(files / "out", "--fixed", files / "elsewhere.nii")
    assert run.exit_code == 0, run.output
    assert "elsewhere.nii) has the same voxels in another file than then" in run.output


def test_a_model_that_has_moved(tmp_path: Path) -> None:
    images = write_pair(tmp_path)
    model = tiny_models.save(tiny_models.Layers(3), tmp_path / "layers.pt")
    parameters = parameter_map(
        3, **impact(3, "Static", str(model), MaximumNumberOfIterations=3, LayersMask="010")
    )
    impact_plugin.register_images(*images, parameter_maps=parameters).save(tmp_path / "out")
    model.rename(tmp_path / "moved.pt")
    run = invoke(tmp_path / "out")
    assert run.exit_code == 1
    assert "give it with --model layers.pt=FILE" in run.output
    run = invoke(tmp_path / "out", "--model", "other.pt=moved.pt")
    assert run.exit_code == 1
    assert "models has 'other.pt'" in run.output
    run = invoke(tmp_path / "out", "--model", f"layers.pt={tmp_path / 'moved.pt'}")
    assert run.exit_code == 0, run.output


def test_feature_maps_are_not_written_where_the_record_says(
    tmp_path: Path, layers: dict[int, str]
) -> None:
    images = write_pair(tmp_path)
    settings = impact(3, "Static", layers[3], MaximumNumberOfIterations=2, LayersMask="010")
    places = {
        "ImpactWriteFeatureMaps": "here",
        "ImpactFeatureMapOutputDirectory0": "there",
        "WriteFeatureMaps": "here",
        "Metric0FeatureMapOutputDirectory": "there",
    }
    maps = [
        parameter_map(3, **settings, **{name: str(tmp_path / folder)})
        for name, folder in places.items()
    ]
    out = tmp_path / "out"
    impact_plugin.register_images(*images, parameter_maps=maps).save(out)
    for folder in ("here", "there"):
        assert len(list((tmp_path / folder).iterdir())) == 4
        shutil.rmtree(tmp_path / folder)
    before = set(tmp_path.rglob("*"))
    run = invoke(out)
    assert run.exit_code == 0, run.output
    assert set(tmp_path.rglob("*")) == before
    again = tmp_path / "again"
    run = invoke(out, "-o", again)
    assert run.exit_code == 0, run.output
    assert {path for path in set(tmp_path.rglob("*")) - before if again not in path.parents} == {
        again
    }
    for folder in ("FeatureMaps0", "FeatureMaps1"):
        assert len(list((again / folder).iterdir())) == 4
    assert not (again / "FeatureMaps2").exists()


def test_images_that_were_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving = sitk_pair()
    fixed = sitk.Cast(fixed, sitk.sitkFloat64) / 3  # elastix gets single precision
    maps = squares(MaximumNumberOfIterations=5)
    out = tmp_path / "out"
    impact_plugin.register_images(fixed, moving, parameter_maps=maps).save(out)
    with monkeypatch.context() as patch:
        forbid_elastix(patch)
        with pytest.raises(impact_plugin.RecordMismatchError, match="it was no file") as caught:
            impact_plugin.rerun(out)
        assert len(caught.value.problems) == 2
        with pytest.raises(impact_plugin.RecordMismatchError, match="given as an object"):
            impact_plugin.rerun(out, fixed=fixed, moving=moving + 1)
    assert impact_plugin.rerun(out, fixed=fixed, moving=moving).same

    kept = tmp_path / "kept"
    result = impact_plugin.register_images(
        fixed, moving, parameter_maps=maps, output_directory=kept, record="inputs"
    )
    assert impact_plugin.rerun(kept).same  # as register_images leaves it
    result.save(kept)
    result.save(tmp_path / "copy")
    for folder in (kept, tmp_path / "copy"):
        assert invoke(folder).exit_code == 0
    (kept / "inputs" / "fixed.mha").unlink()
    with pytest.raises(impact_plugin.RecordMismatchError, match=r"there is no file .*inputs/fixed"):
        impact_plugin.rerun(kept)


def test_refused_records(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_elastix(monkeypatch)
    run = invoke(files / "out", "-o", files / "out")
    assert run.exit_code == 1
    assert "that of the record that is run again: give another one" in run.output
    change(files / "out", lambda record: record.update(stopped=True))
    with pytest.raises(ValueError, match="that its callback ended early"):
        impact_plugin.rerun(files / "out")
    run = invoke(files / "nowhere.json")
    assert run.exit_code == 1
    assert "there is no record" in run.output


def test_a_registration_that_was_stopped(tmp_path: Path) -> None:
    result = impact_plugin.register_images(
        *sitk_pair(), parameter_maps=squares(), callback=lambda _: True, output_directory=tmp_path
    )
    assert result.record is not None
    assert result.record.stopped is True
    assert result.record.stages[0].transform_sha256 is None


def test_register_can_leave_it_out(files: Path) -> None:
    run = programs.plugin(
        *("register", files / "fixed.nii.gz", files / "moving.mha", "-o", files / "none"),
        *["-q", "--preset", "rigid_mind", "--iterations", "1", "--no-record"],
    )
    assert run.exit_code == 0, run.output
    assert not (files / "none" / "record.json").exists()
