"""The metric put into elastix's default maps and into users' maps and files."""

from __future__ import annotations

import dataclasses
import difflib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.itk_process import ItkProcess
from helpers.parameter_maps import FOLDER
from helpers.random_parameters import draw_parameters
from helpers.registrations import SHIFTS, pair
from impact_plugin import _core
from impact_plugin.parameters import (
    ElastixFile,
    Layer,
    Level,
    Model,
    ParameterError,
    Parameters,
    stock_defaults,
)


def static(path: str = "a.pt", voxel_size: float = 2, levels: int = 1) -> Parameters:
    model = Model(path=path, voxel_size=voxel_size, layers=Layer("L1"))
    return Parameters([Level(models=model, mode="Static")] * levels)


def test_into_elastix_defaults() -> None:
    defaults = stock_defaults("bspline", 4)
    merged = static(levels=2).merged_into(defaults)
    kept = set(defaults) - {"Metric", "NumberOfResolutions", "GridSpacingSchedule"}
    assert {name: merged[name] for name in kept} == {name: defaults[name] for name in kept}
    assert merged["Metric"] == ["Impact", "TransformBendingEnergyPenalty"]
    assert merged["NumberOfResolutions"] == ["2"]
    assert merged["GridSpacingSchedule"] == ["4", "1"]
    assert merged["ImagePyramidSchedule"] == ["1"] * 6
    assert (
        Parameters.from_parameter_map(merged).levels == static(levels=2).with_patch_sizes().levels
    )
    assert defaults == stock_defaults("bspline", 4), "the map that was given has changed"


def test_elastix_runs_what_was_merged(itk_process: ItkProcess, mind: dict[int, str]) -> None:
    fixed, moving = pair(3)
    parameters = static(mind[3], levels=2)
    merged = parameters.merged_into(stock_defaults("translation", 2), "plain")
    merged |= {"MaximumNumberOfIterations": ["40"], "NumberOfSpatialSamples": ["300"]}
    merged |= {"WriteResultImage": ["false"]}
    result = itk_process.register(fixed, moving, merged)
    assert np.linalg.norm(result.parameters - SHIFTS[3]) < 0.3


def test_recommended_runs(itk_process: ItkProcess, mind: dict[int, str]) -> None:
    fixed, moving = pair(2)
    model = Model(path=mind[2], voxel_size=1.5, dimension=2)
    parameters = Parameters.around(
        [Level(models=model, mode="Static"), Level(models=model)],
        "translation",
        2,
        MaximumNumberOfIterations=40,
        NumberOfSpatialSamples=300,
        WriteResultImage=False,
        AutomaticTransformInitialization=False,
    )
    result = itk_process.register(fixed, moving, parameters.to_parameter_map())
    assert np.linalg.norm(result.parameters - SHIFTS[2]) < 0.3


def finer(parameters: Parameters) -> Parameters:
    """Give the last level voxels of 1 mm."""
    *first, last = parameters.resolution_levels
    models = [dataclasses.replace(model, voxel_size=1) for model in last.pairs]
    return dataclasses.replace(
        parameters, levels=[*first, dataclasses.replace(last, models=models)]
    )


def longer(parameters: Parameters) -> Parameters:
    """Add a level like the last one."""
    levels = parameters.resolution_levels
    return dataclasses.replace(parameters, levels=[*levels, levels[-1]])


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("mind.txt", finer, ['-(VoxelSize "3*3*3" "1.5*1.5*1.5")', '+(VoxelSize "3*3*3" "1*1*1")']),
        ("ct_cbct.txt", finer, ["-(ImpactVoxelSize1 1.5 1.5 1.5)", "+(ImpactVoxelSize1 1 1 1)"]),
        (
            "ct_cbct.txt",
            longer,
            [
                "-(NumberOfResolutions 2)",
                "+(NumberOfResolutions 3)",
                "-(ImagePyramidRescaleSchedule 1 1 1  1 1 1)",
                "+(ImagePyramidRescaleSchedule 1 1 1 1 1 1 1 1 1)",
                "-(ImagePyramidSmoothingSchedule 1 1 1  1 1 1)",
                "+(ImagePyramidSmoothingSchedule 1 1 1 1 1 1 1 1 1)",
                "-(GridSpacingSchedule 4.0 1.0)",
                "+(GridSpacingSchedule 4 2 1)",
                "+(ImpactVoxelSize2 1.5 1.5 1.5)",
            ],
        ),
        ("affine.txt", lambda parameters: parameters.on("cuda:0"), ["-(GPU -1)", "+(GPU 0 0 0)"]),
    ],
)
def test_files_in_place(
    name: str, change: Callable[[Parameters], Parameters], expected: list[str], tmp_path: Path
) -> None:
    """What means the same stays as it is written; the rest changes where it stands."""
    path = tmp_path / name
    shutil.copy(FOLDER / name, path)
    before = path.read_text().splitlines()
    wanted = change(Parameters.read(path))
    written = wanted.write_into(path)
    after = path.read_text().splitlines()
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert [re.sub(r"^(.) |\s*//.*", r"\1", line) for line in changed] == expected
    assert [re.findall("//.*", line) for line in changed if line[0] == "-"] == [
        re.findall("//.*", line) for line in changed if line[0] == "+" and "Size2" not in line
    ]
    assert Parameters.read(path).levels == wanted.with_patch_sizes().levels
    assert ElastixFile.read(path).parameters == written


@pytest.mark.parametrize("name", ["mind.txt", "several_models.txt", "asymmetric.txt"])
def test_other_settings_in_place(name: str, tmp_path: Path) -> None:
    """Whatever goes in comes out again, and comments that belong to no parameter stay."""
    comments = [line for line in (FOLDER / name).read_text().splitlines() if line.startswith("//")]
    for seed in range(300, 312):
        drawn = dataclasses.replace(draw_parameters(seed), elastix={})
        if drawn.image_dimension == 2:
            continue
        path = tmp_path / name
        shutil.copy(FOLDER / name, path)
        drawn.write_into(path)
        assert Parameters.read(path).levels == drawn.levels
        left = [line for line in path.read_text().splitlines() if line.startswith("//")]
        assert left == comments
        parsed = ElastixFile.read(path).parameters
        _, findings = _core.parse_settings(parsed, len(drawn.resolution_levels), 3, "Metric0")
        assert [finding.message for finding in findings] == [], "something old was left"


def test_toml_in_place(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    text = (
        '# Mine.\nMetric = "Impact" # ours\nNumberOfResolutions = 2\nMode = "Static"\n'
        'ModelsPath = "a.pt"\n\n# In mm:\nVoxelSize = ["3*3*3", "2*2*2"]   # coarse to fine\n'
    )
    path.write_text(text)
    wanted = finer(Parameters.read(path))
    wanted.write_into(path)
    kept = text.replace("2*2*2", "1*1*1")
    assert path.read_text().startswith(kept)
    assert Parameters.read(path).levels == wanted.levels


def test_dialect_of_the_map_is_kept() -> None:
    plain = static().to_parameter_map("plain")
    assert "VoxelSize" in static(voxel_size=3).merged_into(plain)
    assert "VoxelSize" not in static(voxel_size=3).merged_into(plain, "prefixed")
    assert "ImpactVoxelSize" in static(voxel_size=3).merged_into(plain, "prefixed")
    assert "ImpactVoxelSize0" in static(voxel_size=3).merged_into({})


def test_schedules_that_fit_are_kept() -> None:
    user = {
        "FixedImagePyramid": ["FixedRecursiveImagePyramid"],
        "FixedImagePyramidSchedule": ["2", "2", "2", "1", "1", "1"],
        "ImagePyramidSmoothingSchedule": ["3", "3", "3", "2", "2", "2", "1", "1", "1"],
    }
    merged = static(levels=2).merged_into(user)
    assert merged["FixedImagePyramidSchedule"] == user["FixedImagePyramidSchedule"]
    assert merged["ImagePyramidSmoothingSchedule"] == ["2", "2", "2", "1", "1", "1"]
    assert static(levels=1).merged_into(user)["ImagePyramidSchedule"] == ["1"] * 3
    assert "FixedImagePyramidSchedule" not in static(levels=1).merged_into(user)


def test_which_metric_becomes_the_metric() -> None:
    both = {"Metric": ["AdvancedMeanSquares", "Impact"], "Metric1ImpactMode": ["Static"]}
    merged = static().merged_into(both)
    assert merged["Metric"] == both["Metric"]
    assert Parameters.from_parameter_map(merged).levels == static().with_patch_sizes().levels
    two = {"Metric": ["Impact", "Impact"], "VoxelSize": ["4"], "Metric0Mode": ["Static"]}
    labelled = dataclasses.replace(static(), label="Metric1")
    merged = labelled.merged_into(two)
    assert merged["VoxelSize"] == ["4"]
    assert merged["Metric0Mode"] == ["Static"]
    assert (
        Parameters.from_parameter_map(merged, label="Metric1").levels
        == labelled.with_patch_sizes().levels
    )
    shared = {**two, "Distance": ["Dice"], "Metric1VoxelSize": ["1"]}
    plain = dataclasses.replace(
        labelled, levels=Level(models=Model(path="a", voxel_size=2), mode="Static")
    )
    merged = plain.merged_into(shared)
    assert merged["Distance"] == ["Dice"]
    assert (
        Parameters.from_parameter_map(merged, label="Metric1").levels
        == plain.with_patch_sizes().levels
    )
    with pytest.raises(ValueError, match="label is 'Metric1', but the map has 1 metrics"):
        labelled.merged_into({"Metric": ["Impact"]})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Metric": ["AdvancedMeanSquares"]}, 'Metric: "AdvancedMeanSquares". Expected'),
        ({"Metric": ["Impact", "Impact"]}, "there are several Impact metrics. Choose one by label"),
        ({"NumberOfResolutions": ["two"]}, 'NumberOfResolutions: "two" is not allowed'),
        ({"FixedImageDimension": ["4"]}, "FixedImageDimension: 4 is not allowed. Allowed: 2 or 3."),
        ({"ImpactDistance0": ["L3"]}, 'ImpactDistance0 (resolution level 0): "L3" is not allowed'),
    ],
)
def test_maps_that_are_refused(change: dict[str, list[str]], text: str, tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    file = ElastixFile()
    file.update({**static().to_parameter_map(), **change})
    file.write(path)
    with pytest.raises(ParameterError, match=re.escape(text)) as error:
        Parameters.read(path)
    (problem,) = error.value.problems
    assert text in str(problem)
    assert problem.line == file.line_of(next(iter(change)))
    assert str(error.value).startswith(f"{path}:{problem.line}: ")
    with pytest.raises(ParameterError, match=re.escape(text)):
        Parameters.from_parameter_map(file.parameters)


def test_all_reasons_at_once(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('Metric = "Impact"\nNumberOfResolutions = 1\nMode = "x"\nDistance = "y"\n')
    with pytest.raises(ParameterError, match="no model is given") as error:
        Parameters.read(path)
    assert {problem.line for problem in error.value.problems} == {None, 3}
    with pytest.raises(ParameterError, match="there is no Impact metric Metric3"):
        Parameters.read(path, label="Metric3")
