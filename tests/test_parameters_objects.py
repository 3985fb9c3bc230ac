"""Settings as typed objects: what they take, what they refuse, and what they are by default."""

from __future__ import annotations

import dataclasses
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import impact_plugin
from helpers import tiny_models
from helpers.itk_process import ItkProcess
from impact_plugin import _core
from impact_plugin.parameters import (
    Distance,
    FeatureNormalization,
    Layer,
    Level,
    Model,
    Network,
    ParameterError,
    Parameters,
    Transform,
    patch_size_for,
    recommended,
    stock_defaults,
)

TRANSFORMS: tuple[Any, ...] = get_args(Transform)


def model(**changes: Any) -> Model:  # noqa: ANN401  (whatever a Model takes)
    return Model(**{"path": "a.pt", "voxel_size": 2, **changes})


def test_values_are_made_uniform() -> None:
    made = model(
        path=Path("folder") / "a.pt",
        voxel_size=np.array([1, 2.5, 3]),
        patch_size=np.array([4, 5, 6]),
        channels=np.int64(3),
        layers_mask="101",
        layers=Layer("L1"),
    )
    assert made == model(
        path="folder/a.pt",
        voxel_size=(1.0, 2.5, 3.0),
        patch_size=(4, 5, 6),
        channels=3,
        layers_mask="101",
        layers=(Layer("L1"), Layer("L1")),
    )
    assert model(voxel_size=2, dimension=2).voxel_size == (2.0, 2.0)
    assert made.selected_layers == (0, 2)
    assert hash(made) == hash(dataclasses.replace(made))
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(dataclasses.FrozenInstanceError, match="path"):
        made.path = "b.pt"  # type: ignore[misc]  # that is the point


def test_whole_can_be_pickled_and_hashed() -> None:
    parameters = Parameters.around(Level(models=model(), mode="Static"))
    again = pickle.loads(pickle.dumps(parameters))
    assert again == parameters
    assert hash(again) == hash(parameters)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"path": " "}, "path is empty"),
        ({"dimension": 4}, "dimension is 4, expected 2 or 3"),
        ({"voxel_size": 0}, "voxel_size is 0. Allowed: 3 numbers of mm greater than 0"),
        ({"voxel_size": (1, 2)}, "voxel_size is (1, 2). Allowed: 3 numbers"),
        ({"voxel_size": (1, 2, float("nan"))}, "Allowed: 3 numbers"),
        ({"channels": 0}, "channels is 0, expected a whole number of at least 1"),
        ({"channels": True}, "channels is True"),
        ({"patch_size": (5, 0, 5)}, "patch_size is (5, 0, 5). Allowed: 3 whole numbers"),
        ({"patch_size": -1}, "patch_size is -1"),
        ({"patch_size": (5.5, 5, 5)}, "patch_size is 5.5"),
        ({"layers_mask": "02"}, "layers_mask is '02'"),
        ({"layers_mask": "00"}, "at least one 1"),
        ({"layers_mask": "110", "layers": [Layer()]}, "layers has 1 entries, but"),
        ({"moving": Network(path="b.pt", voxel_size=1, dimension=2)}, "Give both the same."),
        ({"moving": Model(path="b.pt", voxel_size=1)}, "moving is a Model. Give a Network"),
    ],
)
def test_models_that_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        model(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"distance": "L3"}, "distance is 'L3', expected 'L1', 'L2', 'Cosine'"),
        ({"weight": -1}, "weight is -1"),
        ({"weight": float("inf")}, "weight is inf"),
        ({"pca": 1.5}, "pca is 1.5"),
        ({"subset_features": -1}, "subset_features is -1"),
    ],
)
def test_layers_that_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Layer(**changes)


def test_old_names_say_what_they_are_called_now() -> None:
    with pytest.warns(DeprecationWarning, match=r"Extractor is now called .*\.Network"):
        assert impact_plugin.parameters.Extractor is Network
    with pytest.warns(DeprecationWarning, match=r"JSON_SCHEMA is now called .*SCHEMA_VERSION"):
        assert impact_plugin.check.JSON_SCHEMA == impact_plugin.check.SCHEMA_VERSION
    with pytest.warns(DeprecationWarning, match=r"JSON_SCHEMA is now called .*SCHEMA_VERSION"):
        assert impact_plugin.evaluation.JSON_SCHEMA == impact_plugin.evaluation.SCHEMA_VERSION
    with pytest.warns(DeprecationWarning, match=r"Model\.extractor is now called Model\.network"):
        assert model().extractor == model().network
    with pytest.warns(DeprecationWarning, match=r"Model\.extractors is now called Model\.networks"):
        assert model().extractors == model().networks


@pytest.mark.parametrize(
    ("parameter", "kind"),
    [("Distance", Distance), ("FeatureNormalization", FeatureNormalization)],
)
def test_names_are_those_of_the_parser(parameter: str, kind: Any) -> None:  # noqa: ANN401
    (entry,) = (entry for entry in _core.parameter_table() if entry.name == parameter)
    assert entry.allowed == ", ".join(f'"{name}"' for name in get_args(kind))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"models": []}, "models is empty"),
        ({"mode": "static"}, "mode is 'static', expected 'Static' or 'Jacobian'"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"mode": "Jacobian", "update_interval": 5}, "Without effect: update_interval in Jac"),
        ({"mode": "Jacobian", "feature_maps": "maps"}, "Without effect: feature_maps in Jac"),
        (
            {"mode": "Jacobian", "mixed_precision": True},
            "Without effect: mixed_precision in Jacobian mode on the CPU",
        ),
        ({"feature_maps": " "}, "feature_maps is ' '"),
        ({"bending_energy_weight": -1}, "bending_energy_weight is -1. Allowed: a number from 0 up"),
        ({"bending_energy_weight": math.nan}, "bending_energy_weight is nan, expected a finite"),
        ({"bending_energy_limit": -1}, "bending_energy_limit is -1. Allowed: a number from 0 up"),
        ({"bending_energy_limit": 1}, "bending_energy_limit without bending_energy_weight"),
        ({"bending_energy_weight": None}, "bending_energy_weight is None. Allowed: a number"),
        ({"mode": "Jacobian", "models": model(patch_size=0)}, "possible in Static mode only"),
    ],
)
def test_levels_that_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Level(**{"models": model(), "mode": "Static", **changes})


def test_truth_values() -> None:
    of_numpy: Any = np.bool_(True)
    assert Level(models=model(), normalize_losses=of_numpy).normalize_losses is True
    wrong: Any = "false"
    with pytest.raises(TypeError, match="normalize_losses is 'false', expected True or False"):
        Level(models=model(), normalize_losses=wrong)


def test_weights_of_the_bending_energy() -> None:
    of_numpy: Any = np.float32(2.5)
    assert Level(models=model(), bending_energy_weight=of_numpy).bending_energy_weight == 2.5
    assert Level(models=model(), bending_energy_weight=10).bending_energy_weight == 10.0
    wrong: Any = "stiff"
    with pytest.raises(TypeError, match="bending_energy_weight is 'stiff', expected a number"):
        Level(models=model(), bending_energy_weight=wrong)


def test_images_of_fewer_dimensions() -> None:
    with pytest.raises(ValueError, match="the images have dimension 2"):
        Parameters(Level(models=model(), mode="Static"), image_dimension=2)


def test_other_devices() -> None:
    level = Level(models=model(), mode="Static", device="cuda:0", mixed_precision=True)
    parameters = Parameters(level)
    assert parameters.on("cuda:1").resolution_levels[0].mixed_precision
    on_cpu = parameters.on("cpu").resolution_levels[0]
    assert (on_cpu.device, on_cpu.mixed_precision) == ("cpu", True)
    patches = Level(models=model(), mode="Jacobian", device="cuda:0", mixed_precision=True)
    assert not Parameters(patches).on("cpu").resolution_levels[0].mixed_precision


class Strided(torch.nn.Module):
    """Two layers: a convolution of 5 x 3 x 3 (z, y, x), and one of stride 2 upon it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.Conv3d(1, 4, (5, 3, 3), padding=(2, 1, 1))
        self.second = torch.nn.Conv3d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        first = self.first(x)
        return [first, self.second(first)]


def test_patch_sizes_are_measured(tmp_path: Path, mind: dict[int, str]) -> None:
    path = tiny_models.save(Strided(), tmp_path / "strided.pt")
    first = Network(path=path, voxel_size=1, layers_mask="10")
    assert patch_size_for(first) == (3, 3, 5)
    # The second one sees 5, 5, 7, and lies up to a voxel beside the patch's centre.
    second = dataclasses.replace(first, layers_mask="01")
    assert patch_size_for(second) == (7, 7, 9)
    assert patch_size_for(dataclasses.replace(first, layers_mask="11")) == (7, 7, 9)
    assert patch_size_for(Network(path=mind[3], voxel_size=1)) == (7, 7, 7)
    assert patch_size_for(Network(path=mind[2], voxel_size=1, dimension=2)) == (7, 7)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_measured_patch_suffices(layer: int, tmp_path: Path) -> None:
    """Voxels beyond it change nothing at the centre; one of its edge does."""
    network = Strided()
    path = tiny_models.save(network, tmp_path / "strided.pt")
    mask = "10" if layer == 0 else "01"
    x, y, z = patch_size_for(Network(path=path, voxel_size=1, layers_mask=mask))
    image = torch.rand(1, 1, 33, 33, 33, requires_grad=True)
    features = network(image)[layer]
    stride = 33 / features.shape[-1]
    place = round(16 / stride)
    features[0, :, place, place, place].sum().backward()
    assert image.grad is not None
    touched = image.grad[0, 0].nonzero()
    reach = (touched - 16).abs().max(0).values.tolist()
    assert all(r <= size // 2 for r, size in zip(reach, (z, y, x), strict=True))
    if layer == 0:
        assert reach == [z // 2, y // 2, x // 2]


def test_patch_sizes_by_mode(mind: dict[int, str]) -> None:
    for mode, expected in (("Static", ["0"] * 3), ("Jacobian", ["7"] * 3)):
        level = Level(models=model(path=mind[3]), mode=mode)  # type: ignore[arg-type]
        assert Parameters(level).to_parameter_map()["ImpactPatchSize0"] == expected
    moving = Network(path=mind[3], voxel_size=1)
    level = Level(models=model(path=mind[3], patch_size=9, moving=moving))
    written = Parameters(level).to_parameter_map()
    assert written["ImpactFixedPatchSize0"] == ["9"] * 3
    assert written["ImpactMovingPatchSize0"] == ["7"] * 3


def test_patch_sizes_that_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r'file "nowhere\.pt" does not exist'):
        Parameters(Level(models=model(path="nowhere.pt"))).to_parameter_map()
    path = tiny_models.save(tiny_models.Steps(), tmp_path / "steps.pt")
    with pytest.raises(ParameterError, match=r"cannot be measured\. Give patch_size"):
        patch_size_for(Network(path=path, voxel_size=1))
    layers = tiny_models.save(tiny_models.Layers(3), tmp_path / "layers.pt")
    with pytest.raises(ParameterError, match="it has 1 entries, but model file"):
        patch_size_for(Network(path=layers, voxel_size=1))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_recommended(transform: Transform, levels: int, dimension: int) -> None:
    made = recommended(transform, levels, dimension, jacobian=True)
    assert made["ImagePyramidRescaleSchedule"] == ["1"] * (levels * dimension)
    assert len(made["ImagePyramidSmoothingSchedule"]) == levels * dimension
    assert len(made["MaximumNumberOfIterations"]) == levels
    if transform == "bspline":
        assert len(made["GridSpacingSchedule"]) == levels
        assert made["GridSpacingSchedule"][-1] == "1"
    assert "NumberOfSamplesForExactGradient" in made
    assert "NumberOfSamplesForExactGradient" not in recommended(transform, levels, dimension)


def test_stock_defaults(itk_process: ItkProcess) -> None:
    """They are elastix's own, to the letter."""
    code = """
made = itk.ParameterObject.New().GetDefaultParameterMap(transform, levels, spacing)
result = {name: list(values) for name, values in made.items()}
"""
    for transform in TRANSFORMS:
        for levels, spacing in ((1, 10.0), (3, 7.5), (4, 12.0)):
            theirs = itk_process.execute(code, transform=transform, levels=levels, spacing=spacing)
            assert stock_defaults(transform, levels, spacing) == theirs


def test_unknown_transform() -> None:
    for function in (stock_defaults, recommended):
        with pytest.raises(ValueError, match=r"transform is 'spline', expected 'translation'"):
            function("spline")  # type: ignore[arg-type]  # that is the point


def test_nothing_heavy_is_imported() -> None:
    code = """
import sys
import impact_plugin
from impact_plugin.parameters import Level, Model, Parameters
level = Level(models=Model(path="a.pt", voxel_size=1), mode="Static")
Parameters.around(level).to_parameter_map()
import impact_plugin.cli.check, impact_plugin.check
heavy = {"torch", "itk", "SimpleITK", "numpy", "impact_plugin._core"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, impact_plugin; assert not {'click', 'tomlkit'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
