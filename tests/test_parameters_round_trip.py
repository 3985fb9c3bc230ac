"""What is written in any dialect and file reads back, by the metric's own parser, as it was."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any, get_args

import pytest

import impact_plugin
from helpers.itk_process import ItkProcess
from helpers.random_parameters import draw_parameters
from impact_plugin.parameters import (
    Dialect,
    Level,
    Model,
    Network,
    ParameterError,
    Parameters,
    open_file,
)
from impact_plugin.parameters.values import Value

DIALECTS: tuple[Any, ...] = get_args(Dialect)
MAPS = sorted((Path(impact_plugin.__file__).parent / "parameter_maps").glob("*.txt"))

READ = """
result = []
for path in paths:
    read = itk.ParameterObject.New()
    read.ReadParameterFile(path)
    result.append({name: list(values) for name, values in read.GetParameterMap(0).items()})
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_maps(dialect: Dialect) -> None:
    for seed in range(400):
        parameters = draw_parameters(seed)
        written = parameters.to_parameter_map(dialect)
        assert all(isinstance(v, str) for values in written.values() for v in values), seed
        assert Parameters.from_parameter_map(written) == parameters, seed


@pytest.mark.parametrize("ending", [".txt", ".toml"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_files(dialect: Dialect, ending: str, tmp_path: Path) -> None:
    for seed in range(1000, 1040):
        parameters = draw_parameters(seed)
        path = tmp_path / f"map{ending}"
        parameters.write(path, dialect)
        assert Parameters.read(path) == parameters, seed
        text = path.read_text()
        again = tmp_path / f"again{ending}"
        Parameters.read(path).write(again, dialect)
        assert again.read_text() == text
        file = open_file(path)
        file.update(parameters.to_parameter_map(dialect))
        assert file.text == text


def test_labels() -> None:
    for seed in range(50):
        drawn = draw_parameters(seed)
        metrics = {"Metric": ["Impact", "Impact"], "ImpactModelsPath0": ["shared.pt"]}
        parameters = Parameters(
            drawn.levels, {**drawn.elastix, **metrics}, drawn.image_dimension, "Metric1"
        )
        written = parameters.to_parameter_map()
        assert "Metric1ImpactModelsPath0" in written or "Metric1ImpactFixedModelsPath0" in written
        assert Parameters.from_parameter_map(written, label="Metric1") == parameters


def test_elastix_reads_the_same(itk_process: ItkProcess, tmp_path: Path) -> None:
    """Its own reader of .txt and .toml files gives the map that ours gives."""
    paths = list(MAPS)
    for seed in range(2000, 2012):
        for ending in (".txt", ".toml"):
            paths.append(tmp_path / f"{seed}{ending}")
            draw_parameters(seed).write(paths[-1], DIALECTS[seed % 3])
    odd = tmp_path / "odd.txt"
    odd.write_text(
        '// (A 1)\n\n  (Spaces   1  2.50   "three  of them"  ) // (B "2")\n(Tab\t1\t"a\tb")\n'
        '(Glued"one" "two""three")\r\n(Empty "" "x" "")\n(Mixed 1 "2" -3e-4 text)\n'
    )
    numbers = tmp_path / "numbers.toml"
    numbers.write_text('A = [1, 2.5, 1e-3, "4.0"]\nB = true\nC = 10.0\n# comment\nD = -7\n')
    paths += [odd, numbers]
    theirs = itk_process.execute(READ, paths=[str(path) for path in paths])
    for path, their in zip(paths, theirs, strict=True):
        assert open_file(path).parameters == their, path
    assert theirs[-2]["Spaces"] == ["1", "2.50", "three  of them"]


def test_what_we_take_elastix_takes(itk_process: ItkProcess, tmp_path: Path) -> None:
    """Of lines at random, elastix reads every one that we do, and the same from it."""
    draw = random.Random(7)
    taken: dict[str, dict[str, list[str]]] = {}
    for number in range(4000):
        inside = "".join(draw.choice('() "aB1.-/\t\r_*é') for _ in range(draw.randint(0, 12)))
        line = f"({draw.choice('AB')}{draw.choice((' ', chr(9), '', '  '))}{inside})"
        line += draw.choice(("", "", " // c", "//", " "))
        path = tmp_path / f"{number}.txt"
        path.write_bytes(f"{line}\n".encode())
        try:
            taken[str(path)] = open_file(path).parameters
        except ParameterError:
            continue
    assert len(taken) > 500
    assert itk_process.execute(READ, paths=list(taken)) == list(taken.values())


def test_parameter_object(itk_process: ItkProcess) -> None:
    parameters = draw_parameters(5)
    made = itk_process.execute(
        "made = parameters.to_parameter_object('plain').GetParameterMap(0)\n"
        "result = {name: list(values) for name, values in made.items()}",
        parameters=parameters,
    )
    assert made == parameters.to_parameter_map("plain")


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_curated_files(path: Path, tmp_path: Path) -> None:
    if path.stem == "affine_mi":
        with pytest.raises(ParameterError, match=r'Expected \(Metric "Impact"\)'):
            Parameters.read(path)
        return
    read = Parameters.read(path)
    for dialect in DIALECTS:
        assert Parameters.from_parameter_map(read.to_parameter_map(dialect)) == read
    copy = tmp_path / "copy.txt"
    copy.write_bytes(path.read_bytes())
    read.write_into(copy)
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "paths",
    [("a b", "c.pt"), ("a.pt b.pt",), ("a.bin", "b.pt"), (" a.pt",), ("a\tb.pt",), ("a b.bin",)],
)
def test_paths_that_spaces_would_split(paths: tuple[str, ...]) -> None:
    """Only elastix's own dialect has a way to write them; the others say so."""
    models = [Model(path=path, voxel_size=1) for path in paths]
    parameters = Parameters(Level(models=models, mode="Static")).with_patch_sizes()
    assert Parameters.from_parameter_map(parameters.to_parameter_map()) == parameters
    for dialect in DIALECTS[1:]:
        with pytest.raises(ValueError, match=r'cannot be written in this dialect.*"numbered"'):
            parameters.to_parameter_map(dialect)


@pytest.mark.parametrize("paths", [("a.bin", "b.bin"), ("a.pt", "b.bin"), ("a b.pt", "c d.ts")])
def test_paths_that_spaces_do_not_split(paths: tuple[str, ...]) -> None:
    models = [Model(path=path, voxel_size=1) for path in paths]
    parameters = Parameters(Level(models=models, mode="Static")).with_patch_sizes()
    for dialect in DIALECTS:
        assert Parameters.from_parameter_map(parameters.to_parameter_map(dialect)) == parameters


def test_voxel_sizes_that_no_map_can_say() -> None:
    models = [
        Model(path="a.pt", voxel_size=(1, 1), dimension=2, patch_size=0),
        Model(path="b.pt", voxel_size=(1, 1, 1), dimension=2, patch_size=0),
    ]
    parameters = Parameters(Level(models=models, mode="Static"))
    with pytest.raises(ValueError, match="two numbers and others of three"):
        parameters.to_parameter_map()


def test_moving_networks_are_written_apart() -> None:
    moving = Network(path="m.pt", voxel_size=2)
    model = Model(path="f.pt", voxel_size=2, moving=moving)
    written = Parameters(Level(models=model, mode="Static")).to_parameter_map()
    assert written["ImpactFixedModelsPath0"] == ["f.pt"]
    assert written["ImpactMovingModelsPath0"] == ["m.pt"]
    assert written["ImpactVoxelSize0"] == ["2", "2", "2"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_losses_are_settled_where_several_layers_are_weighed(dialect: Dialect) -> None:
    """Other components divide where a map does not say."""
    prefix = "" if dialect == "plain" else "Impact"
    for mask, expected in (("11", ["false", "true"]), ("1", None)):
        model = Model(path="f.pt", voxel_size=2, patch_size=0, layers_mask=mask)
        levels = [
            Level(models=model, mode="Static", normalize_losses=normalize)
            for normalize in (False, mask == "11")
        ]
        written = Parameters(levels).to_parameter_map(dialect)
        assert written.get(f"{prefix}NormalizeLosses") == expected
        assert not [name for name in written if "FeatureNormalization" in name]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_normalizations_are_written(dialect: Dialect) -> None:
    model = Model(
        path="f.pt",
        voxel_size=2,
        patch_size=0,
        feature_normalization="l2",
        moving=Network(path="f.pt", voxel_size=2, patch_size=0),
    )
    parameters = Parameters(
        Level(models=[model, dataclasses.replace(model, moving=None)], mode="Static")
    )
    written = parameters.to_parameter_map(dialect)
    sides = ("FixedFeatureNormalization", "MovingFeatureNormalization")
    found = [next(value for name, value in written.items() if side in name) for side in sides]
    apart = [["l2", "l2"], ["none", "l2"]]
    assert found == (apart if dialect == "numbered" else [[" ".join(words)] for words in apart])
    assert Parameters.from_parameter_map(written) == parameters
    given = {"Metric": ["Impact"], **written}
    assert parameters.merged_into(given) | given == parameters.merged_into(given)


def test_maps_as_python_writes_them() -> None:
    given: dict[str, Value] = {
        "Metric": "Impact",
        "NumberOfResolutions": 1,
        "ImpactMode0": "Static",
        "ImpactModelsPath0": Path("m.pt"),
        "ImpactDimension0": 3,
        "ImpactNumberOfChannels0": 1,
        "ImpactVoxelSize0": (3, 1.5, 3),
        "ImpactPatchSize0": [0, 0, 0],
        "ImpactLayersMask0": "1",
        "ImpactLayersWeight0": 1,
        "ImpactSubsetFeatures0": 8,
        "ImpactPCA0": 0,
        "ImpactDistance0": "L2",
        "WriteResultImage": False,
    }
    read = Parameters.from_parameter_map(given)
    assert read.resolution_levels[0].pairs[0].networks[0].voxel_sizes == (3, 1.5, 3)
    assert read.to_parameter_map()["WriteResultImage"] == ["false"]
    assert read.merged_into({"Metric": "Impact", "Transform": "EulerTransform"})["Metric"] == [
        "Impact"
    ]
    with pytest.raises(TypeError, match=r"ImpactPatchSize0: None \(NoneType\) is not allowed"):
        Parameters.from_parameter_map({**given, "ImpactPatchSize0": None})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"parameter_map is 'map.txt' \(str\), expected a dict"):
        Parameters.from_parameter_map("map.txt")  # type: ignore[arg-type]


def test_maps_of_itk(itk_process: ItkProcess) -> None:
    written = draw_parameters(1).to_parameter_map()
    code = """
from impact_plugin.parameters import Parameters
given = itk.ParameterObject.New()
given.AddParameterMap(written)
found = [
    Parameters.from_parameter_map(each).to_parameter_map()
    for each in (given, given.GetParameterMap(0))
]
given.AddParameterMap(written)
try:
    Parameters.from_parameter_map(given)
except ValueError as error:
    found.append(str(error))
result = found
"""
    first, second, error = itk_process.execute(code, written=written)
    assert first == second == written
    assert "parameter_map is an itk.ParameterObject of 2 parameter maps, expected one" in error
