"""What checking a map finds: all that elastix refuses, and what is doubtful."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from helpers import tiny_models
from helpers.bad_input import CASES, good, write_files
from helpers.images import Array
from helpers.parameter_maps import FOLDER, ParameterMap, parameter_map
from helpers.registrations import pair
from impact_plugin import _core, models
from impact_plugin.check import Finding, ImageError, ImageHeader, Report, check_file, check_map
from impact_plugin.parameters import ElastixFile

# Only features of the images themselves can show it.
NOT_BEFOREHAND = "features that are no numbers"


class Deep(torch.nn.Module):
    """Two layers: the image, and every eighth voxel of its means over 3 x 3 x 3."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, torch.nn.functional.avg_pool3d(x, 3, stride=8, padding=1)]


class ForCt(torch.nn.Module):
    """One layer: the image in a window of CT, as 0 to 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.clamp(x, -1004.0, 1588.0) + 1004.0) / 2592.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of helpers.bad_input, more models, and images: fixed.mha, moving.mha."""
    folder = write_files(tmp_path_factory.mktemp("files"))
    tiny_models.save(Deep(), folder / "deep.pt")
    tiny_models.save(ForCt(), folder / "ct.pt")
    models.mind(path=folder / "mind.pt")
    for name, image in zip(("fixed", "moving"), pair(3), strict=True):
        image.write(folder / f"{name}.mha")
    return folder


def check(files: Path, **changes: Any) -> Report:  # noqa: ANN401
    """Check a map that is right but for the changes, with images."""
    return check_map(right(files, **changes), files / "fixed.mha", files / "moving.mha")


def right(files: Path, **changes: Any) -> ParameterMap:  # noqa: ANN401
    """Give a map with nothing doubtful but for the changes; the model sees 3 voxels."""
    return parameter_map(3, **good(files, **{"PatchSize": "3*3*3", **changes}))


def static(files: Path, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    path = str(files / "identity.pt")
    base = {"Mode": "Static", "ModelsPath": path, "LayersMask": "1", "PatchSize": "0*0*0"}
    return {**base, **changes}


def only(report: Report, code: str) -> Finding:
    """Give the only finding of a kind."""
    (finding,) = (finding for finding in report.findings if finding.code == code)
    return finding


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize("name", [name for name in CASES if name != NOT_BEFOREHAND])
def test_all_that_elastix_refuses(files: Path, name: str) -> None:
    """The same words, from the map alone; and with every error there is something to do."""
    changes, texts = CASES[name]
    filled = json.loads(json.dumps(changes).replace("{files}", str(files)))
    images = files / "fixed.mha", files / "moving.mha"
    report = check_map(parameter_map(3, **good(files, **filled)), *images)
    assert not report.ok
    said = "\n".join(map(str, report.errors))
    for text in texts:
        assert text.replace("{files}", str(files)) in said
    for finding in report.errors:
        assert finding.remedy, finding
        assert finding.parameter, finding


def test_nothing_to_say(files: Path) -> None:
    report = check(files)
    assert report.findings == ()
    assert report.ok
    assert [(level.level, level.mode, level.device) for level in report.memory] == [
        (0, "Jacobian", "cpu")
    ]
    assert check(files, **static(files)).findings == ()
    assert check_map(right(files)).findings == ()


def test_curated_maps(
    tmp_path: Path, elastix_testing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose models are at hand have nothing doubtful, with the images they are for."""
    monkeypatch.chdir(tmp_path)
    models.mind(path=tmp_path / "MIND_R1D2_3D.pt")
    (tmp_path / "M730_1_Layers.pt").symlink_to(elastix_testing / "Data" / "M730_1_Layers.pt")
    lung = [elastix_testing / "Data" / f"3DCT_lung_{x}.mha" for x in ("baseline", "followup")]
    for name in ("mind.txt", "ct_cbct.txt"):
        report = check_file(FOLDER / name, *lung)
        assert report.findings == (), report
        assert all(level.bytes and level.bytes > 1e6 for level in report.memory)


def test_missing_models_have_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path))  # nothing was made or fetched before
    report = check_file(FOLDER / "asymmetric.txt")
    file = ElastixFile.read(FOLDER / "asymmetric.txt")
    missing = [finding for finding in report.errors if finding.code == "model"]
    assert {finding.parameter for finding in missing} == {
        "ImpactFixedModelsPath",
        "ImpactMovingModelsPath",
    }
    for finding in missing:
        assert finding.line == file.line_of(finding.parameter)
        assert finding.levels == (0, 1)
        assert finding.remedy.startswith("Run `impact-plugin models ")


def test_all_at_once_in_the_order_of_the_file(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    path.write_text(
        '(Metric "Impact")\n(NumberOfResolutions 2)\n'
        '(FixedImagePyramid "FixedShrinkingImagePyramid")\n'
        f'(ModelsPath "{files}/layers.pt" "{files}/nowhere.pt")\n(VoxelSize 2 1)\n(Mode "Statik")\n'
        '(Distance "L9")\n(VoxelSizes 1)\n'
    )
    report = check_file(path)
    assert [(f.severity, f.code, f.line) for f in report.findings] == [
        ("warning", "pyramid-resamples", 3),
        ("error", "model", 4),
        ("error", "parameter", 6),
        ("error", "parameter", 7),
        ("warning", "parameter", 8),
    ]
    assert report.findings[-1].remedy == "The nearest is VoxelSize."
    assert (
        str(report)
        .splitlines()[1]
        .startswith(
            f'{path}:4: error: ModelsPath (resolution level 1): file "{files}/nowhere.pt" does not'
        )
    )
    assert not report.ok


def test_patches(files: Path) -> None:
    small = only(check(files, PatchSize="2*3*5"), "patch-too-small")
    assert small.severity == "warning"
    assert small.parameter == "PatchSize"
    assert "patches of 2 x 3 x 5 voxels cut off" in small.message
    assert "3 x 3 x 3 voxels" in small.message
    assert small.remedy == "Give 3 3 3."
    large = only(check(files, PatchSize="3*5*7"), "patch-wasteful")
    assert "3.9 times as many" in large.message
    assert large.remedy.startswith("3 3 3 suffices")
    without = check_map(right(files, PatchSize="3*5*7"))
    assert codes(without) == {"patch-wasteful"}, "no image is needed to see that"
    assert without.memory[0].bytes


PYRAMID = "FixedGenericImagePyramid"


@pytest.mark.parametrize(
    ("changes", "parameter", "levels", "remedy"),
    [
        ({}, "FixedImagePyramid", (0, 1), "Give (ImagePyramidRescaleSchedule 1 1 1 1 1 1 1 1 1)."),
        (
            {"FixedImagePyramid": "FixedRecursiveImagePyramid"},
            "FixedImagePyramid",
            (0, 1),
            "Give (ImagePyramidSchedule 1 1 1 1 1 1 1 1 1).",
        ),
        (
            {"ImagePyramidSchedule": [1, 1, 1, 1, 1, 2, 1, 1, 1]},
            "ImagePyramidSchedule",
            (1,),
            "Give (ImagePyramidSchedule 1 1 1 1 1 1 1 1 1).",
        ),
        (
            {
                "ImagePyramidSchedule": [1] * 9,
                "FixedImagePyramidRescaleSchedule": [2] * 3 + [1] * 6,
            },
            "FixedImagePyramidRescaleSchedule",
            (0,),
            "Give (FixedImagePyramidRescaleSchedule 1 1 1 1 1 1 1 1 1).",
        ),
        (
            {"ImagePyramidSchedule": [1] * 6},  # elastix then takes its own
            "ImagePyramidSchedule",
            (0, 1),
            "Give (ImagePyramidSchedule 1 1 1 1 1 1 1 1 1).",
        ),
    ],
)
def test_pyramids(
    files: Path, changes: dict[str, Any], parameter: str, levels: tuple[int, ...], remedy: str
) -> None:
    base = {
        "NumberOfResolutions": 3,
        "FixedImagePyramid": PYRAMID,
        "MovingImagePyramid": "MovingSmoothingImagePyramid",
        "ImagePyramidSchedule": [],
    }
    found = only(check(files, **{**base, **changes}), "pyramid-resamples")
    assert (found.parameter, found.levels, found.remedy) == (parameter, levels, remedy)
    assert found.severity == "warning"
    assert "the fixed image is made smaller" in found.message


def test_pyramids_that_change_nothing(files: Path) -> None:
    both = {"NumberOfResolutions": 2, "ImagePyramidSchedule": []}
    assert (
        "the images are made smaller by elastix's own schedule"
        in only(check(files, **both), "pyramid-resamples").message
    )
    ones = {"ImagePyramidRescaleSchedule": [1] * 6}
    assert codes(check(files, **both, **ones)) == set()
    smoothing = {
        "FixedImagePyramid": "FixedSmoothingImagePyramid",
        "MovingImagePyramid": "MovingSmoothingImagePyramid",
    }
    assert codes(check(files, **both, **smoothing)) == set()
    assert codes(check(files, NumberOfResolutions=1, ImagePyramidSchedule=[])) == set()


def test_what_elastix_makes_of_schedules(files: Path) -> None:
    """With pyramids missing from the map elastix takes those that only smooth."""
    given = right(files, NumberOfResolutions=2)
    for name in ("FixedImagePyramid", "MovingImagePyramid", "ImagePyramidSchedule"):
        del given[name]
    assert check_map(given).findings == ()


def test_images_that_are_a_few_voxels_wide(files: Path) -> None:
    found = only(check(files, **static(files, VoxelSize="12*2*2")), "image-too-small")
    assert "12 mm leaves 3 voxels of the fixed image along axis x" in found.message
    assert found.parameter == "VoxelSize"
    assert codes(check(files, **static(files, VoxelSize="8*2*2"))) == set()
    deep = static(files, ModelsPath=str(files / "deep.pt"), LayersMask="01", VoxelSize="2*2*2")
    found = only(check(files, **deep), "image-too-small")
    assert "of which a layer has one feature for every 8" in found.message


def test_deep_layers_alone(files: Path) -> None:
    deep = static(files, ModelsPath=str(files / "deep.pt"), LayersMask="01", VoxelSize="1*1*1")
    spline = {
        "NumberOfResolutions": 2,
        "Transform": "BSplineTransform",
        "FinalGridSpacingInPhysicalUnits": 5,
    }
    found = only(check(files, **deep, **spline), "coarse-features")
    assert "a feature every 8 mm" in found.message
    assert "5 mm apart" in found.message
    assert found.levels == (1,), "the first level's control points lie 10 mm apart"
    assert found.parameter == "LayersMask"
    assert "coarse-features" not in codes(check(files, **{**deep, "LayersMask": "11"}, **spline))
    assert "coarse-features" not in codes(
        check(files, **deep, **{**spline, "GridSpacingSchedule": [2, 2]})
    )
    images = (files / "fixed.mha", files / "moving.mha")
    given = right(files, **deep)
    for accuracy, expected in ((2.0, True), (5.0, False)):
        report = check_map(given, *images, accuracy=accuracy)
        assert ("coarse-features" in codes(report)) == expected


def test_memory_of_feature_maps(files: Path) -> None:
    """Four bytes for every voxel and channel, of both images, and what making the second takes."""
    fixed, moving = pair(3)
    report = check(files, **static(files, VoxelSize="1.5*1.5*1.5"))
    of_fixed, of_moving = (
        np.prod(np.ceil(np.array(i.grid.size) * np.array(i.grid.spacing) / 1.5 - 1e-6))
        for i in (fixed, moving)
    )
    whole = report.memory[0].bytes or 0
    # Making: the image four times, the map twice or the network's input, product and sum.
    assert 4 * (of_fixed + 6 * of_moving) <= whole < 4 * (of_fixed + 12 * of_moving)
    assert report.available_bytes > 2**20
    # The first is in half precision; while the second is made, it still is in single precision.
    halves = check(files, **static(files, VoxelSize="1.5*1.5*1.5", UseMixedPrecision="true"))
    assert whole - (halves.memory[0].bytes or 0) == pytest.approx(2 * of_fixed, abs=1)


def test_memory_of_patches(files: Path) -> None:
    few, many = (
        check(files, NumberOfSamplesForExactGradient=samples, NumberOfSpatialSamples=100)
        .memory[0]
        .bytes
        for samples in (100, 1000)
    )
    assert few is not None
    assert many == 10 * few
    # 27 voxels of 4 bytes: fixed, moving, three slopes and the gradient; six channels eight times,
    # and a quarter more of these
    assert few == 100 * 27 * 4 * (1 + 5 + 6 * 8 * 1.25)


def test_memory_that_is_hardly_there(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    bytes_needed = check(files, **static(files)).memory[0].bytes
    assert bytes_needed
    monkeypatch.setattr(_core, "available_memory", lambda: int(bytes_needed * 1.1))
    found = only(check(files, **static(files)), "memory")
    assert "the feature maps and making them will take some" in found.message
    assert found.parameter == "VoxelSize"
    monkeypatch.setattr(_core, "available_memory", lambda: 1000)
    found = only(check(files), "memory")
    assert found.parameter == "PatchSize"
    assert "NumberOfSamplesForExactGradient" in found.remedy


def test_samples_of_step_sizes(files: Path) -> None:
    given = right(files)
    del given["NumberOfSamplesForExactGradient"]
    found = only(check_map(given), "exact-gradient-samples")
    assert found.remedy == "Give (NumberOfSamplesForExactGradient 20000)."
    given["AutomaticParameterEstimation"] = ["false"]
    assert check_map(given).findings == ()


def write(path: Path, voxels: Array, kind: str = "int16") -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(voxels.astype(kind)), str(path))
    return path


@pytest.mark.parametrize(
    ("scale", "kind", "expected"),
    [
        ((-1000, 2000), "int16", None),
        ((-160, 240), "float32", None),
        ((0, 255), "uint8", "voxels of type 8-bit unsigned integer"),
        ((0, 255), "int16", "from 0 to 255, as 8-bit images have"),
        ((0, 1), "float32", "from 0 to 1, as normalised images have"),
        ((-3, 4), "float32", "from -3 to 4, as normalised images have"),
        ((24, 3000), "uint16", "as CT without its offset"),
    ],
)
def test_intensities(
    files: Path, tmp_path: Path, scale: tuple[float, float], kind: str, expected: str | None
) -> None:
    ramp = np.linspace(*scale, 24**3).reshape(24, 24, 24)
    path = write(tmp_path / "image.mha", ramp, kind)
    given = good(files, **static(files, ModelsPath=str(files / "ct.pt"), VoxelSize="1*1*1"))
    report = check_map(parameter_map(3, **given), path, path)
    assert codes(report) == ({"intensities"} if expected else set())
    for finding in report.findings:
        assert expected is not None
        assert expected in finding.message
        assert "it clips intensities at -1004" in finding.message
        assert finding.parameter == "ModelsPath"
    # Another network takes whatever comes.
    other = good(files, **static(files, VoxelSize="1*1*1"))
    assert check_map(parameter_map(3, **other), path, path).findings == ()


def test_names_of_networks_for_ct(files: Path, tmp_path: Path) -> None:
    from impact_plugin.check.intensities import expects_hu

    for name in ("TS/M291.pt", "M298_2_Layers.pt"):
        assert expects_hu(name) is not None
    for name in ("TS/M730.pt", "M2910.pt", "SAM2.1_Tiny.pt", str(files / "identity.pt"), "a.pt"):
        assert expects_hu(name) is None


def test_images_that_are_none(files: Path, tmp_path: Path) -> None:
    given = right(files)
    (tmp_path / "text.mha").write_text("no image")
    colour = tmp_path / "colour.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4, 3)), isVector=True), str(colour))
    for path, text in (
        (tmp_path / "text.mha", "is no image that can be read"),
        (tmp_path / "nowhere.mha", "is no image that can be read"),
        (colour, "has 3 channels, expected a grey image or colours"),
    ):
        with pytest.raises(ImageError, match=text):
            ImageHeader.read(path)
        report = check_map(given, path, files / "moving.mha")
        assert text in only(report, "image").message
        assert not report.ok
    with pytest.raises(ValueError, match="only one image is given"):
        check_map(given, files / "fixed.mha")


def test_images_of_other_dimensions(files: Path, tmp_path: Path) -> None:
    flat = write(tmp_path / "flat.mha", np.zeros((9, 8)))
    given = right(files)
    report = check_map(given, flat, files / "moving.mha")
    assert "the fixed image has dimension 2, the moving image 3" in only(report, "image").message
    report = check_map(given, flat, flat)
    assert [(finding.code, finding.parameter) for finding in report.errors][:3] == [
        ("image", "FixedImageDimension"),
        ("image", "MovingImageDimension"),
        ("parameter", "Dimension"),
    ]


def test_other_metrics(files: Path) -> None:
    found = only(check(files, Metric="AdvancedMeanSquares"), "metric")
    assert found.remedy == 'Give (Metric "Impact").'
    report = check(files, Metric=["AdvancedMeanSquares", "Impact"], Metric1Distance="L9")
    assert only(report, "parameter").parameter == "Metric1Distance"
    report = check(files, Metric=["Impact", "Impact"], Metric0Distance="L8", Metric1Distance="L9")
    assert [f.parameter for f in report.errors] == ["Metric0Distance", "Metric1Distance"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"NumberOfResolutions": ["none"]}, 'NumberOfResolutions: "none" is not allowed'),
        ({"NumberOfResolutions": ["1000000000"]}, "Allowed: whole numbers from 1 to 100."),
        ({"FixedImageDimension": ["4"]}, 'FixedImageDimension: "4" is not allowed'),
    ],
)
def test_what_nothing_can_be_read_without(files: Path, changes: ParameterMap, text: str) -> None:
    report = check_map({**right(files), **changes})
    (finding,) = report.findings
    assert text in str(finding)
    assert finding.remedy.startswith("Allowed: ")
    assert finding.kind == "value"


def test_file_that_is_no_map(tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    path.write_text("(A 1\n(B 1)\n(B 2)\n")
    report = check_file(path)
    assert [(f.code, f.line) for f in report.findings] == [("syntax", 1), ("syntax", 3)]
    assert report.findings[1].remedy.startswith("Keep one of the two")
    assert report.memory == ()
    path.write_bytes(b"\0")
    assert "not a text file" in only(check_file(path), "syntax").message
    with pytest.raises(FileNotFoundError, match="nowhere"):
        check_file(tmp_path / "nowhere.txt")


def test_maps_as_python_writes_them(files: Path) -> None:
    given = right(files)
    as_written = {name: v[0] if len(v) == 1 else v for name, v in given.items()}
    assert check_map({**as_written, "NumberOfResolutions": 1}).findings == check_map(given).findings
    with pytest.raises(TypeError, match=r"Metric: None \(NoneType\) is not allowed"):
        check_map({"Metric": None})  # type: ignore[dict-item]


def header(size: tuple[int, int, int], spacing: float) -> ImageHeader:
    direction = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    return ImageHeader(
        "image.mha", size, (spacing,) * 3, (0.0,) * 3, direction, "16-bit", (0.0, 1.0)
    )


def test_control_points_that_no_memory_holds(files: Path) -> None:
    """As of micrometres that were written as millimetres."""
    image = header((400, 500, 300), 25.0)
    changes = {
        "Transform": "BSplineTransform",
        "FinalGridSpacingInPhysicalUnits": 5,
        "NumberOfResolutions": 1,
    }
    found = only(
        check_map(right(files, VoxelSize="200*200*200", **changes), image, image), "memory"
    )
    assert (found.severity, found.parameter) == ("error", "FinalGridSpacingInPhysicalUnits")
    assert "control points at distances of 5 mm" in found.message


def test_patches_that_no_memory_holds(files: Path) -> None:
    image = header((200, 200, 200), 1.0)
    changes = {
        "Mode": "Jacobian",
        "ModelsPath": str(files / "mind.pt"),
        "LayersMask": "1",
        "PatchSize": "21*21*21",
        "NumberOfSpatialSamples": 5000000,
        "AutomaticParameterEstimation": "false",
    }
    found = only(check_map(right(files, **changes), image, image), "memory")
    assert found.severity == "error"
    assert "fewer NumberOfSpatialSamples" in found.remedy


@pytest.mark.parametrize(
    ("accuracy", "error"), [("a", TypeError), (float("nan"), ValueError), (0, ValueError)]
)
def test_accuracies_that_are_none(accuracy: Any, error: type[Exception]) -> None:  # noqa: ANN401
    with pytest.raises(error, match=f"accuracy is {accuracy!r}, expected"):
        check_map({"Metric": ["Impact"]}, accuracy=accuracy)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no parameter file"):
        check_file(tmp_path / "no.txt")
    with pytest.raises(TypeError, match="path is 3, expected a path"):
        check_file(3)  # type: ignore[arg-type]
