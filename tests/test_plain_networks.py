"""Networks without what their arguments decide: the fast way through the field's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import field_network
from torch import Tensor, nn

import impact_testing
from helpers import field_networks, programs
from impact_plugin import _core, _networks
from impact_plugin.models import inspect

FEW = (8, 12, 16, 16, 20, 20)  # channels of the encoder's six layers
TURNS = {
    "LPS": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "sagittal": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("networks")
    return {
        name: field_network.save(network, folder / f"{name}.pt")
        for name, network in {
            "ct": field_network.Segmenter(FEW),
            "mr": field_network.Segmenter(FEW, field_network.MR_STRIDES, True),
            "transformer": field_networks.Transformer(),
            "windows": field_networks.Windows(),
            "anatomic": field_networks.Anatomic(),
            "residuals": field_networks.Residuals(),
            "mesh": field_networks.Mesh(8),
        }.items()
    }


@pytest.mark.parametrize("kind", ["ct", "mr"])
@pytest.mark.parametrize("layers", range(1, 7))
def test_encoders_of_the_field_are_chains(files: dict[str, str], kind: str, layers: int) -> None:
    network = _networks.Network(files[kind])
    assert network.arguments == ["nb_layers", "stats", "direction"]
    assert network.runs_as_chain([True] * layers, 3)
    assert network.runs_as_chain([False] * (layers - 1) + [True], 3)


def test_decoders_are_no_chains(files: dict[str, str]) -> None:
    assert not _networks.Network(files["ct"]).runs_as_chain([False] * 6 + [True], 3)


@pytest.mark.parametrize("direction", TURNS.values(), ids=TURNS)
def test_nothing_is_left_to_decide(files: dict[str, str], direction: np.ndarray) -> None:
    """No attributes, loops and lists; of branches only checks; no layer that is not asked for."""
    operators = impact_testing.plain_operators(
        files["mr"], [True, False, True], 5, direction.ravel().tolist()
    )
    assert operators.count("aten::conv3d") == 6
    assert operators.count("aten::flip") == 3  # of the image and of two layers
    assert not {"prim::Loop", "prim::GetAttr", "aten::append", "aten::item"} & set(operators)


class Stages(nn.Module):
    """Three layers in a list, the last of which is not always wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv3d(i, o, 3, padding=1), nn.InstanceNorm3d(o), nn.ReLU())
            for i, o in ((1, 4), (4, 4), (4, 4))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        layers: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            layers.append(x)
        return layers


def test_layers_that_are_not_selected_are_not_run(tmp_path: Path) -> None:
    """Although the network has no number of layers, and checks the size of each."""
    path = field_network.save(Stages(), tmp_path / "stages.pt")
    for mask, expected in (("111", 3), ("110", 2), ("100", 1), ("001", 3)):
        operators = impact_testing.plain_operators(path, [c == "1" for c in mask], 5)
        assert operators.count("aten::conv3d") == expected


def _features(
    path: str,
    mask: str,
    image: _core.Image,
    dimension: int,
    channels: int = 1,
    tile: str = "0",
) -> list[tuple[np.ndarray, _core.Grid]]:
    values = {
        "ModelsPath": [path],
        "Mode": ["Static"],
        "Dimension": [str(dimension)],
        "NumberOfChannels": [str(channels)],
        "LayersMask": [mask],
        "VoxelSize": ["*".join(["1.1"] * dimension)],
        "PatchSize": [tile],
    }
    levels, findings = _core.parse_settings(values, 1, dimension)
    assert not [finding for finding in findings if finding.is_error]
    return [
        (np.asarray(rows), grid)
        for rows, grid in _networks.feature_maps(image, levels[0].fixed_models[0])
    ]


def places(grid: _core.Grid) -> np.ndarray:
    """Where the voxels of a grid lie: (voxels, 3), mm, x fastest."""
    indices = np.indices(grid.size[::-1]).reshape(3, -1)[::-1] * np.reshape(grid.spacing, (3, 1))
    return np.asarray((np.asarray(grid.direction) @ indices).T + np.asarray(grid.origin))


BothWays = Callable[[str], tuple[list[np.ndarray], list[np.ndarray]]]


@pytest.fixture
def both_ways(tmp_path: Path) -> BothWays:
    """Runs code that fills `arrays`, as it is, and with every network left to torch."""

    def run(code: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
        results = []
        for value in ("on", "off"):
            saved = tmp_path / f"{value}.npz"
            program = (
                f"import numpy as np\narrays = []\n{code}\nnp.savez({str(saved)!r}, *arrays)\n"
            )
            done = programs.python("-c", program, environment={"IMPACT_CHAINS": value})
            assert done.returncode == 0, done.stderr
            with np.load(saved) as file:
                results.append([file[name] for name in file.files])
        return results[0], results[1]

    return run


class Subsampled(nn.Module):
    """Every second voxel of the image, counted from the first or from the last ones."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.every_second = nn.Conv3d(1, 1, 1, 2, bias=False)
        nn.init.ones_(self.every_second.weight)
        self.turned = turned

    def forward(self, x: Tensor) -> Tensor:
        axes = [2, 3, 4] if self.turned else [1]
        return torch.flip(self.every_second(torch.flip(x, axes)), axes)


@pytest.mark.parametrize("turned", [True, False])
def test_turned_layers_lie_where_their_voxels_were(
    tmp_path: Path, both_ways: BothWays, turned: bool
) -> None:
    """Of an image of its own coordinate, even and odd sizes, a feature is where it lies."""
    path = tmp_path / "subsampled.pt"
    torch.jit.save(torch.jit.script(Subsampled(turned).eval()), str(path))
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_plain_networks import _features, places
from impact_plugin import _core
for size in ((30, 31, 28), (33, 26, 27)):
    for axis in range(3):
        grid = (list(size), [1.1] * 3, [5.0, -3.0, 2.0], np.eye(3))
        voxels = (grid[2][axis] + 1.1 * np.indices(size[::-1])[2 - axis]).astype(np.float32)
        ((rows, of),) = _features({str(path)!r}, "1", _core.Image(voxels, *grid[1:]), 3)
        arrays += [np.ravel(rows), places(of)[:, axis]]
"""
    for arrays in both_ways(code):
        for values, places in zip(arrays[::2], arrays[1::2], strict=True):
            np.testing.assert_allclose(values, places, atol=1e-4)


@pytest.mark.parametrize("direction", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("mask", ["1", "01", "110", "000101", "0000001", "00000001"])
@pytest.mark.parametrize("kind", ["ct", "mr"])
def test_layers_are_those_of_the_file(
    files: dict[str, str], kind: str, mask: str, direction: np.ndarray
) -> None:
    """Of an image of odd sizes in every orientation."""
    image = np.random.default_rng(3).normal(40.0, 300.0, (44, 49, 53)).astype(np.float32)
    by_file, by_torch, by_kernels = impact_testing.layers_each_way(
        files[kind], [c == "1" for c in mask], image, direction.ravel().tolist()
    )
    assert len(by_file) == len(by_torch) == mask.count("1")
    for one, other in zip(by_torch, by_file, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(by_kernels) == (0 if len(mask) > 6 else mask.count("1"))
    for one, other in zip(by_kernels, by_file, strict=bool(by_kernels)):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("kind", "masks"),
    [
        ("anatomic", ["1"]),
        ("residuals", ["10", "11", "01"]),
        ("mesh", ["10000", "01010", "00001"]),
    ],
)
def test_other_networks_run_as_plain_graphs(
    files: dict[str, str], kind: str, masks: list[str]
) -> None:
    """To the bit, with neither lists nor loops, and without what layers left out would take."""
    image = np.random.default_rng(4).random((20, 24, 28), np.float32)
    counts = []
    for mask in masks:
        selected = [c == "1" for c in mask]
        operators = impact_testing.plain_operators(files[kind], selected, 5)
        assert not {"prim::Loop", "prim::GetAttr", "aten::append"} & set(operators)
        counts.append(sum(name.startswith("aten::conv") for name in operators))
        by_file, by_torch, by_kernels = impact_testing.layers_each_way(files[kind], selected, image)
        assert len(by_file) == len(by_torch) == mask.count("1")
        for one, other in zip(by_torch, by_file, strict=True):
            np.testing.assert_array_equal(one, other)
        assert len(by_kernels) in (0, mask.count("1"))
        for one, other in zip(by_kernels, by_file, strict=bool(by_kernels)):
            np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max())
    assert counts == {"anatomic": [5], "residuals": [3, 13, 13], "mesh": [2, 9, 10]}[kind]


@pytest.mark.parametrize(
    ("kind", "masks"), [("transformer", ["100", "011"]), ("windows", ["10", "11"])]
)
def test_networks_of_photographs_run_as_plain_graphs(
    files: dict[str, str], both_ways: BothWays, kind: str, masks: list[str]
) -> None:
    for mask in masks:
        operators = impact_testing.plain_operators(files[kind], [c == "1" for c in mask], 4)
        assert not {"prim::Loop", "prim::GetAttr", "aten::append"} & set(operators)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_plain_networks import _features
from impact_plugin import _core
voxels = np.random.default_rng(6).normal(0.0, 1.0, (1, 56, 70)).astype(np.float32)
image = _core.Image(voxels, [1.1] * 3, [0.0] * 3, np.eye(3))
for mask in {masks}:
    arrays += [rows for rows, _ in _features({files[kind]!r}, mask, image, 2, channels=3)]
"""
    ours, by_torch = both_ways(code)
    assert len(ours) == "".join(masks).count("1")
    for one, other in zip(ours, by_torch, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


class Branches(nn.Module):
    """Blocks of convolutions whose results, and what is within them, others look at, too.

    In 2D with a stem as of photographs, which no kernels of ours are for.
    """

    def __init__(self, dimension: int, width: int = 16) -> None:
        super().__init__()
        of = {2: nn.Conv2d, 3: nn.Conv3d}[dimension]
        norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dimension]
        batch = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimension]
        channels = 3 if dimension == 2 else 1
        self.stem = of(channels, width, 3, padding=1)
        self.block = nn.Sequential(
            of(width, width + 5, 3, padding=1), batch(width + 5), nn.ReLU(inplace=True),
            of(width + 5, 2 * width, 3, 2, padding=1), norm(2 * width), nn.LeakyReLU(0.2),
            of(2 * width, 2 * width, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.inner = of(2 * width, 2 * width, 3, padding=1)
        self.inner_norm = norm(2 * width, affine=True)
        self.last = of(2 * width, 2 * width, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.block(torch.sigmoid(self.stem(x)))
        y = self.inner(x)
        z = nn.functional.relu_(self.inner_norm(y))  # y is looked at below
        return [x, self.last(z) + x * torch.tanh(y), self.last(x)]


class OfSlices(nn.Module):
    """Sees the slices of a 3D image as so many 2D ones, and grows them."""

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.InstanceNorm2d(width), nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, 2, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.up = nn.ConvTranspose2d(width, 18, (2, 3), (2, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.block(x[0].transpose(0, 1)))
        return x.transpose(0, 1).unsqueeze(0)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    """Networks of at least 16 channels, and their dimension."""
    folder = tmp_path_factory.mktemp("wide")
    widths = (16, 24, 32, 32, 40, 40)
    return {
        name: (field_network.save(network, folder / f"{name}.pt"), dimension)
        for name, network, dimension in (
            ("ct", field_network.Segmenter(widths), 3),
            ("mr", field_network.Segmenter(widths, field_network.MR_STRIDES, True), 3),
            ("branches 3D", Branches(3), 3),
            ("branches 2D", Branches(2), 2),
            ("narrow", Branches(3, 8), 3),
            ("slices", OfSlices(), 3),
        )
    }


@pytest.mark.parametrize(
    ("kind", "mask", "chains"),
    [
        ("ct", "0000001", 11),  # six blocks down, five up
        ("mr", "0010001", 11),
        ("branches 3D", "111", 5),  # the stem, the block, `inner`, `last` twice
        ("branches 2D", "111", 4),
        ("slices", "1", 1),
        ("narrow", "111", 4),  # not the stem, and of the block the last convolution
    ],
)
def test_chains_within_networks(
    wide: dict[str, tuple[str, int]], both_ways: BothWays, kind: str, mask: str, chains: int
) -> None:
    """Run by our kernels in Static mode; layers are those of torch, of an image of many tiles."""
    path, dimension = wide[kind]
    channels = 3 if dimension == 2 else 1
    selected = [c == "1" for c in mask]
    network = _networks.Network(path)
    assert not network.runs_as_chain(selected, dimension, channels)
    assert network.chains_within(selected, dimension, channels) == chains
    if kind == "branches 3D":
        report = inspect(path)
        assert [(layer.chain, layer.chains) for layer in report.layers] == [
            (False, 2),
            (False, 4),
            (False, 2),  # `last` goes on from the block
        ]
        assert "4 parts" in str(report)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_plain_networks import TURNS, _features
from impact_plugin import _core, _networks
shape = {(1, 75, 61) if dimension == 2 else (38, 49, 43)}
voxels = np.random.default_rng(6).normal(40.0, 300.0, shape).astype(np.float32)
image = _core.Image(voxels, [1.1] * 3, [0.0] * 3, TURNS["sagittal" if {dimension} == 3 else "LPS"])
arrays += [rows for rows, _ in _features({path!r}, {mask!r}, image, {dimension}, {channels})]
"""
    ours, by_torch = both_ways(code)
    assert len(ours) == mask.count("1")
    for one, other in zip(ours, by_torch, strict=True):
        assert not np.array_equal(one, other)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())


class Early(nn.Module):
    """Returns early, counts down and up, and keeps lists of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(4.0).view(4, 1, 1, 1, 1))
        self.names = ["a", "b"]

    def forward(self, x: Tensor, nb_layers: Tensor) -> list[Tensor]:
        kept: list[list[Tensor]] = [[x]]
        left = int(nb_layers.item())
        while left > 1:
            kept[0].append(kept[0][-1] * 2.0)
            kept.append(kept[0])
            left -= 1
        if len(kept) == 1:
            return kept[0]
        kept[0].insert(1, torch.conv3d(x, self.weight))
        kept[0].pop()
        kept[0].reverse()
        for i, name in enumerate(self.names):
            kept[0][0] = kept[0][0] + float(i + len(name))
        return kept[1]


class Buffer(nn.Module):
    """Changes a tensor of its own after it was used."""

    def forward(self, x: Tensor) -> list[Tensor]:
        added = torch.zeros(1)
        first = x + added
        added += 1.0
        return [first, x + added]


class Remembers(nn.Module):
    """Keeps what it was called with last, one way or another."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.sum = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.times = 0
        self.sizes = [0]
        self.known = {"x": 1}

    def forward(self, x: Tensor) -> list[Tensor]:
        if self.how == "tensor":
            self.sum.add_(0.0)
        elif self.how == "number":
            self.times = self.times + 0
        elif self.how == "list":
            self.sizes[0] = 0
        elif self.how == "dictionary":
            self.known["x"] = 1
        return [x + float(self.sum) + float(self.times + self.sizes[0] + self.known["x"])]


class Decides(nn.Module):
    """How many layers there are is for the image to say."""

    def forward(self, x: Tensor) -> list[Tensor]:
        layers = [x]
        if float(x.mean()) > -1e6:
            layers.append(x * 3.0)
        return layers


class Bright(nn.Module):
    """What a layer is, is for the image to say."""

    def forward(self, x: Tensor) -> list[Tensor]:
        if float(x.mean()) > -1e6:
            x = x * 2.0
        return [x]


class Asks(nn.Module):
    """What is so at the time, and not when the network is prepared."""

    def forward(self, x: Tensor) -> list[Tensor]:
        if torch.is_grad_enabled():
            x = x * 2.0
        return [x]


WAYS: dict[str, tuple[nn.Module, str, str]] = {
    "early, one layer": (Early(), "1", ""),
    "early, three layers": (Early(), "111", ""),
    "early, the last of three": (Early(), "001", ""),
    "a tensor changed after it was used": (Buffer(), "11", "is changed by aten::add_"),
    "a tensor": (Remembers("tensor"), "1", "is changed by aten::add_"),
    "a number": (Remembers("number"), "1", "prim::SetAttr"),
    "a list": (Remembers("list"), "1", "a list of the module is changed"),
    "a dictionary": (Remembers("dictionary"), "1", "is changed by aten::_set_item"),
    "number of layers": (Decides(), "11", "depends on the image changes a list"),
    "intensities": (Bright(), "1", ""),
    "gradients": (Asks(), "1", ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_done_beforehand_changes_nothing(tmp_path: Path, way: str) -> None:
    """The file's own layers, call after call; and what cannot be done beforehand is not."""
    network, mask, reason = WAYS[way]
    path = str(tmp_path / "network.pt")
    torch.jit.save(torch.jit.script(network.eval()), path)
    selected = [c == "1" for c in mask]
    if reason:
        with pytest.raises(RuntimeError, match=reason):
            impact_testing.plain_operators(path, selected, 5)
    else:
        operators = impact_testing.plain_operators(path, selected, 5)
        assert not {"prim::Loop", "prim::GetAttr", "aten::append"} & set(operators)
    image = np.random.default_rng(5).normal(0.0, 100.0, (6, 5, 7)).astype(np.float32)
    for _ in range(2):
        by_file, by_torch, _ = impact_testing.layers_each_way(path, selected, image)
        assert len(by_file) == sum(selected)
        for one, other in zip(by_torch, by_file, strict=True):
            np.testing.assert_array_equal(one, other)


def test_deep_layers_in_tiles(files: dict[str, str]) -> None:
    """A reach of 47 voxels does not refuse tiles of 64, whose features are those of the image."""
    voxels = np.random.default_rng(7).normal(40.0, 300.0, (80, 80, 80)).astype(np.float32)
    image = _core.Image(voxels, [1.1] * 3, [0.0] * 3, np.eye(3))
    ((tiled, grid),) = _features(files["ct"], "00001", image, 3, tile="64*64*64")
    ((whole, expected),) = _features(files["ct"], "00001", image, 3)
    np.testing.assert_array_equal(places(grid), places(expected))
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.5
