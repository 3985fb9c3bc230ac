"""Networks that are chains of convolutions run by our own kernels: the same numbers as torch's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import impact_testing
from helpers import programs
from impact_plugin import _core, _networks

Parts = list[nn.Module]


class Layers(nn.Module):
    """Every stage's output, in a list; `opaque` hides the chain from the reader."""

    def __init__(self, stages: list[Parts], opaque: bool = False) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(*parts) for parts in stages)
        self.opaque = opaque

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of all stages."""
        layers = []
        for stage in self.stages:
            x = stage(x)
            layers.append(torch.cat([x], 1) if self.opaque else x)
        return layers


def _unit(
    dimension: int,
    channels: tuple[int, int],
    stride: int = 1,
    kernel: int = 3,
    norm: str = "instance",
) -> Parts:
    convolution = (nn.Conv2d, nn.Conv3d)[dimension - 2](
        *channels, kernel, stride=stride, padding=kernel // 2, bias=norm != "batch"
    )
    parts: Parts = [convolution]
    if norm == "instance":
        parts.append(
            (nn.InstanceNorm2d, nn.InstanceNorm3d)[dimension - 2](channels[1], affine=True)
        )
    elif norm == "batch":
        batch = (nn.BatchNorm2d, nn.BatchNorm3d)[dimension - 2](channels[1])
        nn.init.uniform_(batch.get_buffer("running_mean"), -1.0, 1.0)
        nn.init.uniform_(batch.get_buffer("running_var"), 0.5, 2.0)
        parts.append(batch)
    if norm != "none":
        nn.init.uniform_(parts[1].get_parameter("weight"), 0.5, 1.5)
        nn.init.uniform_(parts[1].get_parameter("bias"), -0.5, 0.5)
    parts.append(nn.LeakyReLU(0.01) if norm == "instance" else nn.ReLU())
    return parts


def _flat(channels: tuple[int, int], flat: int, stride: int = 1, dilation: int = 1) -> Parts:
    """A 3D unit without a reach along one axis (of torch's order: 0 is z)."""

    def each(along: int, across: int) -> tuple[int, int, int]:
        z, y, x = (along if axis == flat else across for axis in range(3))
        return z, y, x

    convolution = nn.Conv3d(
        *channels,
        each(1, 3),
        stride=each(1, stride),
        padding=each(0, dilation),
        dilation=each(1, dilation),
    )
    return [convolution, nn.InstanceNorm3d(channels[1]), nn.LeakyReLU(0.2)]


# Stages by name; every kind of unit and size of channels that the kernels tell apart.
NETWORKS: dict[str, Callable[[int, int], list[Parts]]] = {
    "like M730": lambda d, c: [_unit(d, (c, 32)) + _unit(d, (32, 32))],
    "encoder": lambda d, c: [
        _unit(d, (c, 32)) + _unit(d, (32, 32)),
        _unit(d, (32, 64), stride=2) + _unit(d, (64, 64)),
    ],
    "odd channels": lambda d, c: [
        _unit(d, (c, 5)) + _unit(d, (5, 40), kernel=5) + _unit(d, (40, 3))
    ],
    "batch norm": lambda d, c: [_unit(d, (c, 16), norm="batch"), _unit(d, (16, 33), norm="batch")],
    "no norm, strided first": lambda d, c: [
        _unit(d, (c, 32), stride=2, norm="none"),
        _unit(d, (32, 32), kernel=1, norm="none"),
    ],
    "steps wider than kernels": lambda d, c: [
        _unit(d, (c, 8)),
        _unit(d, (8, 16), stride=3, kernel=2),
    ],
}


FLAT_NETWORKS: dict[str, Callable[[], list[Parts]]] = {
    f"{kind} flat along {'zyx'[flat]}": stages
    for flat in range(3)
    for kind, stages in (
        ("two", lambda flat=flat: [_flat((1, 32), flat) + _flat((32, 32), flat)]),
        ("strided", lambda flat=flat: [_flat((1, 8), flat), _flat((8, 32), flat, stride=2)]),
        (
            "strided and dilated",
            lambda flat=flat: [_flat((1, 8), flat), _flat((8, 32), flat, stride=2, dilation=3)],
        ),
        ("dilated", lambda flat=flat: [_flat((1, 32), flat, dilation=2) + _flat((32, 9), flat)]),
    )
}


def _stages(name: str, dimension: int, channels: int) -> list[Parts]:
    if name in FLAT_NETWORKS:
        return FLAT_NETWORKS[name]()
    return NETWORKS[name](dimension, channels)


def _save(folder: Path, name: str, dimension: int, channels: int, opaque: bool = False) -> str:
    torch.manual_seed(1)
    network = Layers(_stages(name, dimension, channels), opaque).eval()
    path = folder / f"{name} {dimension} {channels} {opaque}.pt"
    torch.jit.save(torch.jit.script(network), str(path))
    return str(path)


def _image(size: tuple[int, ...], seed: int) -> _core.Image:
    generator = np.random.default_rng(seed)
    voxels = generator.normal(0.0, 100.0, size[::-1]).astype(np.float32)
    for axis in range(voxels.ndim):
        voxels = voxels + np.roll(voxels, 1, axis) + np.roll(voxels, 2, axis)
    n = len(size)
    return _core.Image(voxels, [1.2, 0.9, 1.5][:n], [5.0, -3.0, 2.0][:n], np.eye(n))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dimension", "channels"), [(2, 1), (3, 1), (3, 3), (2, 3)])
def test_is_read_as_a_chain(tmp_path: Path, name: str, dimension: int, channels: int) -> None:
    """What the other tests compare does run by our kernels, and what they compare with does not."""
    mask = [True] * len(NETWORKS[name](dimension, channels))
    for opaque in (False, True):
        path = _save(tmp_path, name, dimension, channels, opaque)
        assert _networks.Network(path).runs_as_chain(mask, dimension, channels) is not opaque


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_has_run_is_still_read_as_a_chain(tmp_path: Path, name: str) -> None:
    layers = len(NETWORKS[name](3, 1))
    network = _networks.Network(_save(tmp_path, name, 3, 1))
    network.layer_shapes([24, 24, 24], 1, layers, (-1.0, 1.0))
    assert network.runs_as_chain([True] * layers, 3, 1)


class Residual(Layers):
    """A connection past a stage: no chain."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The outputs of the stages."""
        layers = []
        for i, stage in enumerate(self.stages):
            y = stage(x)
            x = y + x if i > 0 else y
            layers.append(x)
        return layers


class BeforeRectifier(Layers):
    """A layer from within a unit: no chain."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the rectifier sees, and what it gives."""
        for stage in self.stages:
            x = stage(x)
        return [x, torch.relu(x)]


@pytest.mark.parametrize("kind", [Residual, BeforeRectifier])
def test_other_networks_are_left_to_torch(tmp_path: Path, kind: type[Layers]) -> None:
    """Networks that look like chains and are none."""
    stages = [_unit(3, (1, 32))[:1], _unit(3, (32, 32))[:1]]
    torch.jit.save(torch.jit.script(kind(stages).eval()), str(tmp_path / "network.pt"))
    assert not _networks.Network(str(tmp_path / "network.pt")).runs_as_chain([True, True], 3, 1)


def test_layers_beyond_the_mask_are_not_run(tmp_path: Path) -> None:
    """A mask that ends early makes a shorter chain."""
    path = _save(tmp_path, "encoder", 3, 1)
    assert _networks.Network(path).runs_as_chain([True, False], 3, 1)
    (found,) = _maps(path, 3, 1, "10")
    (expected,) = _maps(_save(tmp_path, "encoder", 3, 1, True), 3, 1, "10")
    _close(found, expected)


def _maps(
    path: str,
    dimension: int,
    channels: int,
    mask: str,
    tile: str = "0",
    size: tuple[int, ...] = (41, 26, 9),
) -> list[np.ndarray]:
    image = _image(size[:dimension], 3)
    values = {
        "ModelsPath": [path],
        "Mode": ["Static"],
        "NumberOfChannels": [str(channels)],
        "LayersMask": [mask],
        "VoxelSize": ["*".join(["1.1"] * dimension)],
        "PatchSize": [tile],
    }
    levels, findings = _core.parse_settings(values, 1, dimension)
    assert not [finding for finding in findings if finding.is_error]
    return [
        np.asarray(rows) for rows, _ in _networks.feature_maps(image, levels[0].fixed_models[0])
    ]


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dimension", "channels"), [(2, 1), (3, 1), (3, 3)])
def test_feature_maps(tmp_path: Path, name: str, dimension: int, channels: int) -> None:
    """Whole images through our kernels and through torch."""
    mask = "1" * len(NETWORKS[name](dimension, channels))
    found = _maps(_save(tmp_path, name, dimension, channels), dimension, channels, mask)
    expected = _maps(_save(tmp_path, name, dimension, channels, True), dimension, channels, mask)
    for one, other in zip(found, expected, strict=True):
        _close(one, other)


@pytest.mark.parametrize("name", FLAT_NETWORKS)
def test_flat_kernels(tmp_path: Path, name: str) -> None:
    """Kernels of one voxel along an axis: whole images and patches."""
    plain, opaque = (_save(tmp_path, name, 3, 1, hidden) for hidden in (False, True))
    layers = len(FLAT_NETWORKS[name]())
    assert _networks.Network(plain).runs_as_chain([True] * layers, 3)
    for one, other in zip(
        _maps(plain, 3, 1, "1" * layers), _maps(opaque, 3, 1, "1" * layers), strict=True
    ):
        _close(one, other)
    _compare(*(_evaluator(path, layers, 3, "7*6*5") for path in (plain, opaque)))


# The margin adds two voxels on each side: single tiles of 6 to 12, and what just takes two.
@pytest.mark.parametrize("voxels", [(2, 3, 4), (5, 6, 7), (8, 9, 3), (7, 13, 26), (3, 4, 50)])
def test_sizes_of_images(tmp_path: Path, voxels: tuple[int, ...]) -> None:
    """Few voxels along an axis, and many slices."""
    size = tuple(round(n * 1.1 / s) for n, s in zip(voxels, (1.2, 0.9, 1.5), strict=True))
    plain, opaque = (_save(tmp_path, "like M730", 3, 1, hidden) for hidden in (False, True))
    found = _maps(plain, 3, 1, "1", size=size)
    expected = _maps(opaque, 3, 1, "1", size=size)
    _close(found[0], expected[0])


def test_tiles_of_images(tmp_path: Path) -> None:
    """Static mode in tiles."""
    plain, opaque = (_save(tmp_path, "batch norm", 3, 1, hidden) for hidden in (False, True))
    for one, other in zip(
        _maps(plain, 3, 1, "11", tile="16*16*16"),
        _maps(opaque, 3, 1, "11", tile="16*16*16"),
        strict=True,
    ):
        _close(one, other)


def test_second_layer_alone(tmp_path: Path) -> None:
    """A mask that begins late."""
    plain, opaque = (_save(tmp_path, "encoder", 3, 1, hidden) for hidden in (False, True))
    (found,), (expected,) = (_maps(path, 3, 1, "01") for path in (plain, opaque))
    _close(found, expected)


class Arguments(nn.Module):
    """A chain whose bias depends on what else a network is told, or seems to."""

    def __init__(self, uses: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(32, 1, 3, 3, 3))
        self.bias = nn.Parameter(torch.randn(32))
        self.uses = uses

    def forward(
        self,
        x: torch.Tensor,
        nb_layers: torch.Tensor,
        stats: torch.Tensor,
        direction: torch.Tensor,
    ) -> list[torch.Tensor]:
        """One layer."""
        bias: torch.Tensor = self.bias
        if self.uses == "stats":
            bias = self.bias - stats[2]
        elif self.uses == "direction":
            bias = self.bias + (direction[0, 0] - 1)
        elif self.uses == "layers":
            bias = self.bias + nb_layers
        return [torch.relu(torch.conv3d(x, self.weight, bias, padding=[1, 1, 1]))]


@pytest.mark.parametrize("uses", ["nothing", "stats", "direction", "layers"])
def test_arguments(tmp_path: Path, uses: str) -> None:
    """No weight of a chain may use statistics; the rest that a network is told is known."""
    torch.manual_seed(0)
    path = tmp_path / "arguments.pt"
    torch.jit.save(torch.jit.script(Arguments(uses).eval()), str(path))
    assert _networks.Network(str(path)).runs_as_chain([True], 3) is (uses != "stats")


def _evaluator(
    model: str, layers: int, dimension: int, size: str, threads: int = 2, imaged: int = 0
) -> impact_testing.MetricEvaluator:
    imaged = imaged or dimension
    parameters = {
        "ModelsPath": [model],
        "Dimension": [str(dimension)],
        "LayersMask": ["1" * layers],
        "VoxelSize": ["*".join(["1.1"] * imaged)],
        "PatchSize": [size],
        "Mode": ["Jacobian"],
    }
    return impact_testing.MetricEvaluator(
        _image((23, 19, 17)[:imaged], 1),
        _image((23, 19, 17)[:imaged], 2),
        parameters,
        "BSpline",
        control_point_spacing=9.0,
        sample_spacing=5,
        threads=threads,
    )


def _compare(plain: impact_testing.MetricEvaluator, opaque: impact_testing.MetricEvaluator) -> None:
    identity = np.asarray(plain.identity_parameters)
    x = (identity + np.random.default_rng(4).normal(0.0, 0.3, identity.shape)).tolist()
    value, derivative = plain.value_and_derivative(x)
    expected_value, expected_derivative = opaque.value_and_derivative(x)
    assert value == pytest.approx(expected_value, rel=1e-5)
    expected = np.asarray(expected_derivative)
    difference = np.abs(np.asarray(derivative) - expected) / np.abs(expected).max()
    # Where a rectifier's input is all but zero, rounding decides which slope its gradient takes.
    assert np.quantile(difference, 0.95) < 2e-5
    assert difference.max() < 2e-3


PATCHES = {2: ("3*3", "7*9", "16*11"), 3: ("3*3*3", "5*5*5", "4*6*11", "13*5*9")}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("dimension", "size"), [(d, size) for d, sizes in PATCHES.items() for size in sizes]
)
def test_patches(tmp_path: Path, name: str, dimension: int, size: str) -> None:
    """Value and derivative of Jacobian mode by our kernels and by torch."""
    layers = len(NETWORKS[name](dimension, 1))
    _compare(
        _evaluator(_save(tmp_path, name, dimension, 1), layers, dimension, size),
        _evaluator(_save(tmp_path, name, dimension, 1, True), layers, dimension, size),
    )


@pytest.mark.parametrize("line", range(2, 10))
@pytest.mark.parametrize("dimension", [2, 3])
def test_lines_of_small_patches(tmp_path: Path, line: int, dimension: int) -> None:
    """Lines of every length that the first convolution has a kernel for, and of one more."""
    plain, opaque = (_save(tmp_path, "like M730", dimension, 1, hidden) for hidden in (False, True))
    size = "*".join(map(str, (line, 4, 3)[:dimension]))
    _compare(*(_evaluator(path, 1, dimension, size) for path in (plain, opaque)))


def test_patches_of_planes(tmp_path: Path) -> None:
    """A 2D network in 3D images."""
    _compare(
        _evaluator(_save(tmp_path, "like M730", 2, 1), 1, 2, "7*7", imaged=3),
        _evaluator(_save(tmp_path, "like M730", 2, 1, True), 1, 2, "7*7", imaged=3),
    )


def test_threads_change_nothing(tmp_path: Path) -> None:
    """The same bits whatever the number of threads."""
    path = _save(tmp_path, "encoder", 3, 1)
    results = []
    for threads in (1, 2, 5):
        evaluator = _evaluator(path, 2, 3, "5*5*5", threads)
        x = [0.1 + parameter for parameter in evaluator.identity_parameters]
        value, derivative = evaluator.value_and_derivative(x)
        results.append((value, np.asarray(derivative).tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3"])
def test_kernels_of_other_processors(processor: str) -> None:
    """All of this with the kernels of older processors, which this one runs, too.

    But for grey images in three channels, which their kernels see as one.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", "not of_other_processors and not 3-3 and not 2-3"]
    run = programs.captured(*command, environment={"IMPACT_PROCESSOR": processor})
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout


def test_chains_can_be_turned_off(tmp_path: Path) -> None:
    """By IMPACT_CHAINS; features differ by rounding alone. A wrong value is refused."""
    path = _save(tmp_path, "like M730", 3, 1)
    code = f"""
import numpy as np
from impact_plugin import _core, _networks
print(_networks.Network({path!r}).runs_as_chain([True], 3, 1))
pixels = np.random.default_rng(3).normal(0, 100, (9, 10, 11)).astype(np.float32)
image = _core.Image(pixels, np.ones(3), np.zeros(3), np.eye(3))
values = {{"ModelsPath": [{path!r}], "VoxelSize": ["1*1*1"], "Mode": ["Static"]}}
levels, findings = _core.parse_settings(values, 1, 3)
assert not findings, findings
maps = _networks.feature_maps(image, levels[0].fixed_models[0])
np.save({str(tmp_path)!r} + "/features.npy", maps[0][0])
"""

    def run(value: str) -> subprocess.CompletedProcess[str]:
        return programs.python("-c", code, environment={"IMPACT_CHAINS": value})

    features = []
    for value in ("on", "off", ""):
        done = run(value)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(value != "off")
        features.append(np.load(tmp_path / "features.npy"))
    np.testing.assert_allclose(features[0], features[1], rtol=1e-4, atol=1e-4)
    assert not np.array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])
    refused = run("no")
    assert refused.returncode != 0
    assert 'IMPACT_CHAINS is "no". Allowed: on, ' in refused.stderr


def test_unknown_processor(tmp_path: Path) -> None:
    """A wrong name is refused with what is allowed."""
    path = _save(tmp_path, "like M730", 3, 1)
    network = f"_networks.Network({path!r})"
    code = f"from impact_plugin import _networks; {network}.runs_as_chain([True], 3, 1)"
    run = programs.python("-c", code, environment={"IMPACT_PROCESSOR": "x86-64-v9"})
    assert run.returncode != 0
    assert "IMPACT_PROCESSOR" in run.stderr
    assert "x86-64-v9" in run.stderr
    assert "x86-64-v3" in run.stderr
