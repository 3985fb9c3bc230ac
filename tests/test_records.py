"""Records of registrations: that what they say is so, and that JSON Schema and docs agree."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import SimpleITK as sitk
from msgspec import structs

import impact_plugin
from helpers.host_versions import folder_of
from helpers.pairs import image_array, sitk_pair, squares, voxels
from helpers.parameter_maps import parameter_map
from helpers.registrations import forbid_elastix, impact, pair
from impact_plugin.folders import record_file
from impact_plugin.registration import records

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = records.schema()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_pair(folder: Path) -> tuple[Path, Path, Path]:
    """Write fixed image, moving image and a mask of the fixed one."""
    fixed, moving = sitk_pair()
    mask = sitk.GetImageFromArray((np.arange(26 * 30 * 34).reshape(26, 30, 34) > 3000) * 7)
    mask.CopyInformation(fixed)
    paths = (folder / "fixed.nii.gz", folder / "moving.mha", folder / "mask.mha")
    for path, image in zip(paths, (fixed, moving, sitk.Cast(mask, sitk.sitkInt16)), strict=True):
        sitk.WriteImage(image, str(path))
    return paths


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, layers: dict[int, str]) -> Path:
    """The folder of a registration of files: a mask, two stages, one of them with a network."""
    folder = tmp_path_factory.mktemp("saved")
    fixed, moving, mask = write_pair(folder)
    maps = [
        squares(MaximumNumberOfIterations=20, RandomSeed=[]),
        parameter_map(
            3, **impact(3, "Static", layers[3], LayersMask="010", MaximumNumberOfIterations=15)
        ),
    ]
    del maps[0]["RandomSeed"]
    result = impact_plugin.register_images(
        str(fixed),
        moving,
        fixed_mask=mask,
        parameter_maps=maps,
        initial_transform="center",
        threads=np.int64(2),
        output_directory=folder / "out",
    )
    result.save(folder / "out")
    return folder


@pytest.fixture(scope="module")
def record(saved: Path) -> records.Record:
    return records.read(saved / "out")


@pytest.fixture(scope="module")
def written(saved: Path) -> dict[str, Any]:
    """The same as JSON has it."""
    found: dict[str, Any] = json.loads((saved / "out" / "record.json").read_text())
    return found


def test_schema(written: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(written, SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="'transform' is a required property"):
        jsonschema.validate({k: v for k, v in written.items() if k != "transform"}, SCHEMA)


def test_every_field_is_described(written: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "records.md").read_text()
    kinds = SCHEMA["$defs"]
    names = {name for kind in kinds.values() for name in kind["properties"]}
    assert list(written) == list(kinds["Record"]["properties"])
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_records_of_newer_versions_are_read(
    tmp_path: Path, record: records.Record, written: dict[str, Any]
) -> None:
    """New fields may come without another record_version."""
    newer = written | {"weather": "fine", "transform": written["transform"] | {"kind": "rigid"}}
    (tmp_path / "record.json").write_text(json.dumps(newer))
    assert records.read(tmp_path) == record


def test_fields_by_their_names(record: records.Record) -> None:
    with pytest.warns(DeprecationWarning, match=r"attributes: write \.stages in place of \['st"):
        assert record["stages"] == record.stages
    with pytest.warns(DeprecationWarning, match=r"write \.sha256 in place"):
        assert record.transform["sha256"] == record.transform.sha256
    with pytest.raises(KeyError, match="weather"):
        record["weather"]


def test_images(saved: Path, record: records.Record) -> None:
    fixed, moving = sitk_pair()
    images = record.images
    assert images.fixed_mask is not None
    for found, path, image in (
        (images.fixed, saved / "fixed.nii.gz", sitk.ReadImage(str(saved / "fixed.nii.gz"))),
        (images.moving, saved / "moving.mha", moving),
    ):
        assert found.path == str(path)
        assert found.file_sha256 == sha256(path.read_bytes())
        assert found.voxels_sha256 == sha256(voxels(image).astype("<f4").tobytes())
        assert found.size == [34, 30, 26]
        assert found.spacing == [1.0, 1.25, 1.5]
        assert found.origin == list(image.GetOrigin())
        assert found.direction == list(image.GetDirection())
        assert found.pixel_type == "float32"
    assert images.fixed.voxels_sha256 == sha256(voxels(fixed).tobytes())
    mask = voxels(sitk.ReadImage(str(saved / "mask.mha"))) != 0
    assert images.fixed_mask.voxels_sha256 == sha256(mask.astype(np.uint8).tobytes())
    assert images.fixed_mask.file_sha256 == sha256((saved / "mask.mha").read_bytes())
    assert images.moving_mask is None


def test_parameters_are_those_that_elastix_read(saved: Path, record: records.Record) -> None:
    from impact_plugin.parameters import map_files

    assert record.log is not None
    log = (saved / "out" / record.log).read_text()
    assert len(record.stages) == 2
    for number, stage in enumerate(record.stages):
        text = (saved / "out" / f"Parameters.{number}.txt").read_text()
        assert map_files.dump(stage.parameters) == text
        assert text.strip() in log
    assert [stage.seed for stage in record.stages] == [121212, 7]
    assert [stage.devices for stage in record.stages] == [[], ["cpu"]]
    assert [stage.name for stage in record.stages] == ["map 0", "map 1"]


def test_models(record: records.Record, layers: dict[int, str]) -> None:
    data = Path(layers[3]).read_bytes()
    (model,) = record.models
    assert (model.name, model.path) == (layers[3], layers[3])
    assert (model.bytes, model.sha256) == (len(data), sha256(data))


def test_what_came_out(saved: Path, record: records.Record) -> None:
    result = impact_plugin.RegistrationResult.load(saved / "out")
    assert result.record == record
    assert result.log == (saved / "out" / "elastix.log").read_text()
    history = result.history
    for number, stage in enumerate(record.stages):
        (level,) = stage.levels
        assert level.iterations == (20, 15)[number]
        assert level.metric == history.metric[history.stage == number][-1]
    assert record.transform.file == "TransformParameters.1.txt"
    assert record.transform.sha256 == record.stages[-1].transform_sha256
    assert record.result_image.voxels_sha256 == sha256(voxels(result.image).tobytes())
    assert record.stopped is False
    assert record.started < record.finished
    assert record.timings == result.timings


def test_versions_and_machine(record: records.Record) -> None:
    versions = {name: version or "" for name, version in record.versions.items()}
    for name in ("impact-plugin", "torch", "itk-elastix", "numpy", "SimpleITK"):
        assert versions[name] == importlib.metadata.version(name)
    assert versions["python"] == platform.python_version()
    assert versions["elastix"] == "5.3.1"
    assert versions["ITK headers"].startswith("5.4.")
    assert versions["glibc"] == platform.libc_ver()[1]
    package = Path(impact_plugin.__file__).parent
    torch = ".".join(versions["torch"].split(".")[:2])
    libraries = (
        package / folder_of(versions["itk-elastix"]) / "libimpact_elastix.so",
        package / "libimpact_base.so",
        package / f"torch-{torch}" / "libimpact_core.so",
    )
    machine = record.machine
    sums = "".join(sha256(library.read_bytes()) for library in libraries)
    assert machine.plugin_sha256 == sha256(sums.encode())
    assert machine.processor in Path("/proc/cpuinfo").read_text()
    assert machine.gpus == {}


def test_variables_that_matter_are_recorded_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from impact_plugin.registration.records import machine

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    variables = machine.describe().variables
    assert variables["OMP_NUM_THREADS"] == "3"
    assert "x" not in variables.values()
    assert "PATH" not in variables


def test_arguments_are_plain_numbers(record: records.Record) -> None:
    assert record.arguments.threads == 2
    assert record.arguments.seed is None
    assert record.initial_transform is not None
    assert record.initial_transform.given == "center"


def test_a_transform_s_checksum_tells_the_last_bit() -> None:
    from impact_plugin.registration.records.contents import transform_sha256
    from impact_plugin.transforms.chain import Chain

    one = {"Transform": ["TranslationTransform"], "TransformParameters": ["0.1", "0.2", "0.3"]}
    other = one | {"TransformParameters": ["0.1", "0.2", repr(np.nextafter(0.3, 1))[11:-1]]}
    turned = dict(reversed(one.items()))
    assert transform_sha256(Chain([one])) == transform_sha256(Chain([turned]))
    field = sitk.GetImageFromArray(np.zeros((3, 3, 3, 3)), isVector=True)
    moved = sitk.GetImageFromArray(np.ones((3, 3, 3, 3)), isVector=True)
    shifted = sitk.GetImageFromArray(np.zeros((3, 3, 3, 3)), isVector=True)
    shifted.SetOrigin((1.0, 0.0, 0.0))
    named = {"Transform": ["DeformationFieldTransform"], "DeformationFieldFileName": ["field0.mha"]}
    chains = [
        Chain([one]),
        Chain([other]),
        Chain([one, one]),
        *(Chain([named], {"field0.mha": image}) for image in (field, moved, shifted)),
    ]
    assert len({transform_sha256(chain) for chain in chains}) == len(chains)


def test_without_a_record(saved: Path, tmp_path: Path) -> None:
    """One of an earlier registration does not stay beside the files of a later one."""
    (tmp_path / "record.json").write_text("{}")
    result = impact_plugin.register_images(
        *sitk_pair(),
        parameter_maps=squares(MaximumNumberOfIterations=3),
        output_directory=tmp_path,
        record=False,
    )
    assert result.record is None
    assert not (tmp_path / "record.json").exists()
    (tmp_path / "record.json").write_text("{}")
    result.save(tmp_path)
    assert not (tmp_path / "record.json").exists()
    assert impact_plugin.RegistrationResult.load(tmp_path).record is None


def test_record_without_a_folder() -> None:
    """It is there, with the log, before anything is saved."""
    fixed, moving = pair(3)
    result = impact_plugin.register_images(
        image_array(fixed),
        image_array(moving),
        parameter_maps=squares(MaximumNumberOfIterations=3),
    )
    assert result.record is not None
    jsonschema.validate(json.loads(record_file.text(result.record)), SCHEMA)
    assert result.record.images.fixed.path is None
    assert result.record.images.fixed.voxels_sha256 == sha256(fixed.voxels.tobytes())
    assert "elastix version: 5.3.1" in result.log


def test_a_function_sees_it_before_elastix_starts(monkeypatch: pytest.MonkeyPatch) -> None:

    forbid_elastix(monkeypatch)
    seen: list[records.BegunRecord] = []

    def look(begun: records.BegunRecord) -> None:
        seen.append(begun)
        raise KeyError("done already")

    with pytest.raises(KeyError, match="done already"):
        impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), record=look)
    (begun,) = seen
    assert begun.stages[0].parameters["Metric"] == ["AdvancedMeanSquares"]
    assert begun.images.moving.size == [34, 30, 26]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": "all"}, "record is 'all', expected True, False"),
        ({"record": "inputs"}, "no folder to keep the images in: give output_directory"),
    ],
)
def test_wrong_wishes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), **options)


# As files


def test_a_record_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, record: records.Record
) -> None:
    path = tmp_path / "record.json"
    records.write(record, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write(structs.replace(record, timings={"a": float("nan")}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_text_of_a_record_reads_as_what_was_written() -> None:
    odd = {
        "a": ["x [\n 1, 2]", "\udcff", "größe", ']"'],
        "b": [1.5, 2],
        "c": [[1], [2, 3]],
        "d": [],
    }
    text = record_file.text(odd)
    assert json.loads(text) == odd
    assert '"b": [1.5, 2]' in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON file"),
        ("[]", "is no record of a registration: it has no record_version"),
        ('{"record_version": 99}', "has record_version 99, and this impact-plugin reads 1"),
        (
            '{"record_version": 1, "images": {}}',
            "no whole record: images.fixed is missing, expected an object",
        ),
        ("[" * 200_000, "is no JSON file: maximum recursion depth"),
    ],
)
def test_files_that_are_no_records(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        records.read(tmp_path)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there is no record '.*nowhere/record.json'"):
        records.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["stages"], None, "stages is null, expected an array"),
        (["stages"], [], "stages is an array of 0 items, expected an array of length >= 1"),
        (
            ["stages", 0, "name"],
            [[]],
            r"stages\[0\].name is an array of 1 items, expected a string",
        ),
        (
            ["stages", 1, "parameters", "Metric"],
            5,
            r"stages\[1\].parameters.Metric is 5, expected an array",
        ),
        (
            ["stages", 0, "parameters", "a b"],
            [1],
            r'stages\[0\].parameters\["a b"\]\[0\] is 1, expected a string',
        ),
        (
            ["stages", 0, "parameters", "RandomSeed"],
            [],
            "RandomSeed is an array of 0 items",
        ),
        (["transform", "sha256"], None, "transform.sha256 is null, expected a string"),
        (
            ["transform", "sha256"],
            "x" * 999,
            r"is \"x{79}..., expected a string matching regex '\^\[0-9a-f\]",
        ),
        (["images", "fixed", "size"], "abc", 'images.fixed.size is "abc", expected an array'),
        (["images", "fixed", "size", 1], True, r"size\[1\] is true, expected an integer"),
        (["images", "moving_mask"], 1, "images.moving_mask is 1, expected an object or null"),
        (
            ["images", "fixed", "spacing", 0],
            float("nan"),
            r"spacing\[0\] is NaN, expected a number > 0",
        ),
        (["arguments", "threads"], -1, "arguments.threads is -1, expected an integer >= 0"),
        (["arguments", "threads"], "2", 'arguments.threads is "2", expected an integer or null'),
        (["models", 0, "path"], {}, r"models\[0\].path is an object of 0 items, expected a string"),
        (["initial_transform", "parameters"], "a", 'initial_transform.parameters is "a", expected'),
        (["machine", "gpus", "abc"], "GPU", r'name machine.gpus is "abc", expected a string m'),
        (["stopped"], "no", 'stopped is "no", expected a boolean'),
    ],
)
def test_records_of_another_shape(
    tmp_path: Path, written: dict[str, Any], place: list[Any], value: object, message: str
) -> None:
    changed = json.loads(json.dumps(written))
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (tmp_path / "record.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=f"record.json is no whole record: .*{message}"):
        records.read(tmp_path)
    if not isinstance(value, float):  # of NaN, JSON Schema says nothing
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(changed, SCHEMA)


def test_paths_as_text(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="record is a int, expected"):
        record_file.write(3, str(tmp_path / "r.json"))  # type: ignore[arg-type]
    history = impact_plugin.History.of([])
    history.write(str(tmp_path / "h.csv"))
    read = impact_plugin.History.read(str(tmp_path / "h.csv"))
    assert repr(read) == "<History of 0 iterations in 0 levels>"
    with pytest.raises(impact_plugin.MissingFileError, match="there is no history"):
        impact_plugin.History.read(str(tmp_path / "no.csv"))
