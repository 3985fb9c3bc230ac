"""The parameter files that come with the package: all can be read, and run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from helpers import tiny_models
from helpers.images import Grid, Scene, shift
from helpers.parameter_maps import FOLDER, ParameterMap, read
from helpers.programs import iterations, run
from impact_plugin import _core, models

MAPS = sorted(FOLDER.glob("*.txt"))
DIALECTS = (r"Impact(Fixed|Moving)?ModelsPath0", r"Impact(Fixed|Moving)?ModelsPath", "ModelsPath")
PATHS = re.compile(r"(Impact)?(Fixed|Moving)?ModelsPath\d*")

# Large enough for patches of 87 mm, in two of the axes.
GRID = Grid((46, 44, 22), (2.0, 2.1, 2.5), (-20.0, 35.0, 110.0))
SAMPLES = "100"  # few: a run is to show that the file fits the models


@pytest.fixture(params=MAPS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    """Each of the files."""
    found: Path = request.param
    return found


def levels_of(parameters: ParameterMap) -> int:
    return int(parameters["NumberOfResolutions"][0])


def model_names(path: Path) -> set[str]:
    parameters = read(path)
    return {
        model
        for name, values in parameters.items()
        if PATHS.fullmatch(name)
        for value in values
        for model in value.split()
    }


def test_readme_has_every_file_and_no_other() -> None:
    text = (FOLDER / "README.md").read_text()
    assert len(MAPS) >= 8
    assert set(re.findall(r"`([\w-]+\.txt)`", text)) == {path.name for path in MAPS}
    links = set(re.findall(r"\]\((?!https?:)([^)#]+)\)", text))
    assert {link for link in links if link.endswith(".txt")} == {path.name for path in MAPS}


def test_readme_has_every_model() -> None:
    text = (FOLDER / "README.md").read_text()
    assert {name for path in MAPS for name in model_names(path) if f"`{name}`" not in text} == set()


def test_settings(path: Path) -> None:
    parameters = read(path)
    levels = levels_of(parameters)
    if "Impact" not in parameters["Metric"]:
        assert path.stem == "affine_mi"
        of_impact = {"Mode", "GPU", "ModelsPath", "VoxelSize", "LayersWeight", "Distance"}
        assert of_impact.isdisjoint(parameters)
        return
    settings, findings = _core.parse_settings(parameters, levels, 3)
    assert [finding.message for finding in findings] == []
    assert len(settings) == levels
    for level in settings:
        assert level.gpu == -1, "a file that needs a GPU does not run everywhere"


def test_levels_of_elastix(path: Path) -> None:
    """The metric resamples by itself; and what elastix knows per level has a value for each."""
    parameters = read(path)
    levels = levels_of(parameters)
    assert parameters["ImagePyramidRescaleSchedule"] == ["1"] * levels * 3
    assert len(parameters["ImagePyramidSmoothingSchedule"]) == levels * 3
    assert len(parameters["MaximumNumberOfIterations"]) == levels
    assert len(parameters.get("GridSpacingSchedule", ["1"] * levels)) == levels
    assert not any(name.endswith("ImagePyramidSchedule") for name in parameters)


def test_each_dialect_is_shown() -> None:
    for dialect in DIALECTS:
        assert any(re.fullmatch(dialect, name) for path in MAPS for name in read(path)), dialect


def test_all_options_has_all() -> None:
    """As many parameters as the table of them has, and each with what to know of it."""
    text = (FOLDER / "all_options.txt").read_text()
    names = {
        *("Mode", "GPU", "FeaturesMapUpdateInterval", "WriteFeatureMaps", "UseMixedPrecision"),
        *("ModelsPath", "Dimension", "NumberOfChannels", "VoxelSize", "PatchSize", "LayersMask"),
        *("LayersWeight", "Distance", "SubsetFeatures", "PCA"),
        *("FeatureNormalization", "NormalizeLosses", "MutualInformationWeight"),
        *("BendingEnergyWeight", "BendingEnergyLimit"),
    }
    for name in names:
        comment = re.search(rf"((?://[^\n]*\n)+)\({name} ", text)
        assert comment, name
        assert "default" in comment[1].lower(), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, elastix_testing: Path) -> Path:
    """A folder with a pair of images and all models; those that need a download are stand-ins."""
    folder = tmp_path_factory.mktemp("maps")
    scene = Scene(GRID)
    scene.seen(GRID).write(folder / "fixed.mha", "MET_SHORT")
    scene.seen(GRID, shift(1.5, -1.0, 0.5)).write(folder / "moving.mha", "MET_SHORT")

    shutil.copy(elastix_testing / "Data" / "M730_1_Layers.pt", folder)
    models.mind(radius=1, dilation=2, dimension=3, path=folder / "MIND_R1D2_3D.pt")
    encoder, strides = (32, 64, 128, 256, 320, 320), (1, 2, 4, 8, 16, 32)
    stand_ins = {  # channels and strides as they are in the repository of the models
        f"TS/{name}.pt": tiny_models.Network(
            3, (*encoder[:depth], 32, labels), (*strides[:depth], 1, 1), labels=True
        )
        for name, depth, labels in (
            ("M291", 6, 25),
            ("M730", 6, 30),
            ("M732", 5, 57),
            ("M733", 4, 57),
        )
    }
    stand_ins["SAM2.1/SAM2.1_Tiny.pt"] = tiny_models.Network(
        2, (96, 192, 384, 768), (4, 8, 16, 32), inputs=3
    )
    for name, network in stand_ins.items():
        (folder / name).parent.mkdir(exist_ok=True)
        tiny_models.save(network, folder / name)
    return folder


def changed(text: str, **parameters: str) -> str:
    """Give the text of a parameter file with other values, which stand at its end if new."""
    for name, values in parameters.items():
        text, count = re.subn(rf"(?m)^\({name} [^)]*\)", f"({name} {values})", text)
        if not count:
            text += f"({name} {values})\n"
    return text


def test_run(path: Path, folder: Path) -> None:
    """Two iterations of each level, with nothing changed that the models see, by elastix."""
    assert {name for name in model_names(path) if not (folder / name).is_file()} == set()
    levels = levels_of(read(path))
    out = folder / path.stem
    out.mkdir()
    (out / "parameters.txt").write_text(
        changed(
            path.read_text(),
            MaximumNumberOfIterations="2 " * levels,
            NumberOfSpatialSamples=SAMPLES,
            NumberOfSamplesForExactGradient=SAMPLES,
            NumberOfJacobianMeasurements=SAMPLES,
            NumberOfGradientMeasurements="1",
            WriteResultImage='"false"',
        )
    )
    process = run(
        "elastix",
        *("-f", "fixed.mha", "-m", "moving.mha", "-p", out / "parameters.txt", "-out", out),
        folder=folder,
    )
    assert process.returncode == 0, process.stdout[-3000:]
    for warning in re.findall(r"WARNING: (.*)", process.stdout):  # elastix's own
        expected = r"The parameter \"|You have set MaximumNumberOfSamplingAttempts"
        assert re.match(expected, warning), warning
    assert iterations(process.stdout) == 2 * levels
    assert (out / "TransformParameters.0.txt").is_file()
