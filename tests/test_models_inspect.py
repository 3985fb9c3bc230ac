"""What inspect() says of model files, beside what is known of them."""

from __future__ import annotations

import doctest
import json
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from helpers import programs, tiny_models
from impact_plugin import _networks, models
from impact_plugin.models.files import sha256


class Writes(nn.Module):
    """Writes a file whenever it is run."""

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "written-by-a-model.pt")
        return x


class RunsWhenOpened(nn.Module):
    """Prints as soon as it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 1

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return self.number, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        print("opened")
        self.number = state[0]
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.number


class Picky(nn.Module):
    """Takes images of 14 x 14 with three channels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 14, 14)

    def forward(self, x: Tensor, nb_layers: Tensor, stats: Tensor) -> Tensor:
        assert x.size(2) == 14, "expected 14 x 14"
        result: Tensor = self.convolution(x - stats[2])
        return result


class Refuses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(99, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        assert x.size(1) == 100, "no image is good enough"
        result: Tensor = self.convolution(x)
        return result


class Deep(nn.Module):
    """Convolutions of stride 1, 2 and 2, which need more layers the deeper they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv3d(i, o, (3, 3, 5), stride, (1, 1, 2))
            for i, o, stride in ((1, 4, 1), (4, 6, 2), (6, 8, (2, 1, 2)))
        )

    def forward(self, x: Tensor, nb_layers: Tensor) -> list[Tensor]:
        count = int(nb_layers.item())
        layers: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            if i < count:
                x = block(x)
                layers.append(x)
        return layers


def test_first_layer_of_a_real_network(elastix_testing: Path) -> None:
    path = elastix_testing / "Data" / "M730_1_Layers.pt"
    report = models.inspect(path)
    assert (report.size, report.sha256) == (path.stat().st_size, sha256(path))
    assert report.signature == "forward(input: Tensor) -> List[Tensor]"
    assert report.weights == {"float32": 27 * 32 + 27 * 32 * 32 + 6 * 32}
    assert report.operators["aten::conv3d"] >= 1
    assert (report.outside, report.runs_on_load) == ((), ())
    assert (report.dimensions, report.input_channels, report.arguments) == ((3,), (1,), ("x",))
    (layer,) = report.layers
    assert layer.channels == 32
    assert layer.stride == (1, 1, 1)
    assert layer.field_of_view == (5, 5, 5)  # two convolutions of 3 x 3 x 3
    assert layer.differentiable
    assert layer.chain
    assert layer.memory == 4 * 32
    # Some of the network's tensors of 32 channels live side by side.
    assert report.memory_static is not None
    assert 2 * 128 <= report.memory_static <= 5 * 128
    assert report.memory_jacobian is not None
    assert report.memory_jacobian > report.memory_static


def test_measured_numbers_are_those_of_the_table(elastix_testing: Path) -> None:
    for name in ("M730_1_Layers", "R1D2_2D"):
        entry = models.find(name)
        report = models.inspect(elastix_testing / "Data" / f"{name}.pt")
        assert entry.verified
        assert entry.measured_on == report.sha256
        assert report.dimensions == (entry.dimension,)
        assert report.input_channels == (entry.input_channels,)
        assert tuple(layer.channels for layer in report.layers) == entry.layers
        for layer, stride, view in zip(
            report.layers, entry.strides, entry.field_of_view, strict=True
        ):
            assert layer.stride == (stride,) * entry.dimension
            assert layer.field_of_view == (view,) * entry.dimension


@pytest.mark.parametrize("dimension", [2, 3])
def test_mind(mind: dict[int, str], dimension: int) -> None:
    report = models.inspect(mind[dimension])
    assert report.dimensions == (dimension,)
    (layer,) = report.layers
    assert layer.channels == {2: 4, 3: 12}[dimension]
    assert layer.field_of_view == (7,) * dimension
    assert not layer.chain
    assert report.weights == {}


@pytest.mark.parametrize(
    ("dimension", "remedy"),
    [(2, "models mind --dimension 2` writes"), (3, "sees 3D images slice by slice")],
)
def test_the_other_dimension_is_asked_for(
    mind: dict[int, str], dimension: int, remedy: str
) -> None:
    other = 5 - dimension
    with pytest.raises(models.ModelFileError, match=f"is a {other}D model, which refused") as error:
        models.inspect(mind[other], dimension=dimension)
    assert remedy in str(error.value)
    assert len(str(error.value)) < 400 + len(mind[other])


def test_strides_and_fields_of_view_by_axis(tmp_path: Path) -> None:
    report = models.inspect(tiny_models.save(Deep(), tmp_path))
    assert report.arguments == ("x", "nb_layers")
    assert [layer.channels for layer in report.layers] == [4, 6, 8]
    # x is the last axis of a tensor: its kernels have 5 voxels.
    assert [layer.stride for layer in report.layers] == [(1, 1, 1), (2, 2, 2), (4, 2, 4)]
    assert [layer.field_of_view for layer in report.layers] == [
        (5, 3, 3),
        (5 + 4, 3 + 2, 3 + 2),
        (9 + 8, 5 + 4, 5 + 4),
    ]
    assert [layer.memory for layer in report.layers] == [16, 24 / 8, 32 / 32]


def test_three_layers_of_one_model(layers: dict[int, str]) -> None:
    for dimension, path in layers.items():
        report = models.inspect(path)
        assert [layer.channels for layer in report.layers] == [1, 6, 6]
        assert [layer.field_of_view for layer in report.layers] == [
            (size,) * dimension for size in (1, 3, 4)
        ]
        assert report.layers[2].stride == (2,) * dimension


def test_model_of_any_dimension_and_channels(tmp_path: Path) -> None:
    report = models.inspect(tiny_models.save(tiny_models.Identity(), tmp_path))
    assert report.dimensions == (2, 3)
    assert report.input_channels == tuple(range(1, 9))
    assert report.measured == (3, 1)
    report = models.inspect(tmp_path / "Identity.pt", dimension=2, channels=5)
    assert report.measured == (2, 5)
    assert [layer.channels for layer in report.layers] == [5]


@pytest.mark.parametrize("seed", range(3))
def test_clamped_intensities_and_rectifiers_hide_no_voxels_for_long(
    tmp_path: Path, seed: int
) -> None:
    """As the metric measures it: half of the voxels are outside of the window."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Hardtanh(0.0, 255.0), nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1)
    )
    model = _networks.Network(str(tiny_models.save(network, tmp_path)))
    (layer,) = model.measure(64, 2, 1, 1, (-100.0, 100.0))
    assert layer.layout is not None
    assert layer.layout.stride[:2] == [2, 2]
    assert layer.layout.offset[:2] == [0, 0]
    assert layer.layout.reach[:2] == [2, 2]


def test_layers_without_derivative(tmp_path: Path) -> None:
    report = models.inspect(
        tiny_models.save(
            tiny_models.Network(2, [3, 9], [1, 4], inputs=3, labels=True), tmp_path / "m.pt"
        )
    )
    assert (report.dimensions, report.input_channels) == ((2,), (3,))
    first, labels = report.layers
    assert first.differentiable
    assert not labels.differentiable
    assert not report.differentiable
    assert labels.field_of_view is None
    assert labels.stride == (4, 4)  # by its size


def test_what_depends_on_all_of_the_input_has_no_field_of_view(tmp_path: Path) -> None:
    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(torch.cumsum(x, 2), 3)

    report = models.inspect(tiny_models.save(Whole(), tmp_path), dimension=2)
    (layer,) = report.layers
    assert layer.differentiable
    assert layer.field_of_view is None
    assert report.measuring_size is not None
    assert report.measuring_size >= 64
    assert f"not within {report.measuring_size}" in str(report)


def test_model_for_one_size(tmp_path: Path) -> None:
    report = models.inspect(tiny_models.save(Picky(), tmp_path))
    assert (report.dimensions, report.input_channels, report.input_size) == ((2,), (3,), 14)
    assert report.arguments == ("x", "nb_layers", "stats")
    assert [layer.stride for layer in report.layers] == [(14, 14)]


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_type_of_weights(tmp_path: Path, kind: torch.dtype) -> None:
    report = models.inspect(tiny_models.save(nn.Conv2d(1, 2, 3, padding=1).to(kind), tmp_path))
    assert report.weights == {str(kind).removeprefix("torch."): 20}
    assert [layer.field_of_view for layer in report.layers] == [(3, 3)]


def test_a_model_that_can_write_files_is_not_run_unless_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_models.save(Writes(), tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(models.ModelFileError, match=r"aten::save\. It was not run.*trust=True"):
        models.inspect(path)
    report = models.inspect(path, run=False)
    assert report.outside == ("aten::save",)
    assert not (tmp_path / "written-by-a-model.pt").exists()
    assert models.inspect(path, trust=True).layers
    assert (tmp_path / "written-by-a-model.pt").exists()


def test_code_that_runs_when_a_file_is_opened_is_found_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tiny_models.save(RunsWhenOpened(), tmp_path)
    report = models.inspect(path, run=False)
    assert len(report.runs_on_load) == 1
    assert report.runs_on_load[0].endswith("RunsWhenOpened")
    with pytest.raises(models.ModelFileError, match=r"RunsWhenOpened.__setstate__"):
        models.inspect(path)
    assert "opened" not in capfd.readouterr().out
    models.inspect(path, trust=True)
    assert "opened" in capfd.readouterr().err


def test_reading_alone_needs_no_torch(tmp_path: Path, layers: dict[int, str]) -> None:

    program = (
        "import sys; sys.modules['torch'] = None; from impact_plugin import models; "
        "print(models.inspect(sys.argv[1], run=False).operators['aten::tanh'])"
    )
    said = programs.python("-c", program, layers[3], check=True)
    assert said.stdout.strip() == "1"


def test_report_as_text_and_as_json(layers: dict[int, str]) -> None:
    report = models.inspect(layers[2])
    values = json.loads(json.dumps(report.to_dict()))
    assert values["layers"][2]["field_of_view"] == [4, 4]
    assert values["differentiable"] is True
    text = str(report)
    assert "2 x 2" in text
    assert report.sha256 in text
    assert "aten::tanh" not in text
    assert "aten::tanh" in report.describe(operators=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is not a TorchScript file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer to a file in git LFS"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x80\x02ctorch", "pickled Python objects"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(content)
    with pytest.raises(models.ModelFileError, match=message):
        models.inspect(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none.pt\" does not exist"):
        models.inspect(tmp_path / "none.pt")
    with pytest.raises(models.ModelFileError, match="is a folder"):
        models.inspect(tmp_path)


def test_weights_alone_and_other_archives(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(models.ModelFileError, match=r"holds weights alone.*export\(\)"):
        models.inspect(tmp_path / "weights.pt")
    torch.save(nn.Sequential(nn.Conv2d(1, 1, 1)), tmp_path / "module.pt")
    message = r"is a whole Python object, torch\.nn\.modules\.container\.Sequential"
    with pytest.raises(models.ModelFileError, match=message):
        models.inspect(tmp_path / "module.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(models.ModelFileError, match="zip archive, and not a TorchScript"):
        models.inspect(tmp_path / "other.pt")


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97])
def test_truncated_file(tmp_path: Path, layers: dict[int, str], kept: float) -> None:
    content = Path(layers[3]).read_bytes()
    path = tmp_path / "m.pt"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(models.ModelFileError, match=rf"damaged.*{path.stat().st_size} bytes"):
        models.inspect(path)


def test_changed_byte(tmp_path: Path, elastix_testing: Path) -> None:
    content = bytearray((elastix_testing / "Data" / "M730_1_Layers.pt").read_bytes())
    content[40_000] ^= 1
    path = tmp_path / "m.pt"
    path.write_bytes(content)
    with pytest.raises(models.ModelFileError, match=r"damaged: .*data/4"):
        models.inspect(path)


def test_model_that_refuses_everything(tmp_path: Path) -> None:
    path = tiny_models.save(Refuses(), tmp_path)
    with pytest.raises(
        models.ModelRefusedError, match=r"3D, 99 or 1 or 3.*2D.*no image is good enough.*--size"
    ):
        models.inspect(path)


def test_layer_that_is_no_map(tmp_path: Path) -> None:
    with pytest.raises(models.ModelRefusedError, match="has the shape 1 x 1"):
        models.inspect(tiny_models.save(tiny_models.Sums(), tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimension": 4}, "dimension is 4, expected 2 or 3"),
        ({"channels": 0}, "channels is 0, expected a whole number of at least 1"),
        ({"size": -1}, "size is -1, expected a whole number of at least 1"),
    ],
)
def test_bad_arguments(layers: dict[int, str], arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.inspect(layers[2], **arguments)  # type: ignore[arg-type]


def test_examples_of_the_manual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path))
    manual = Path(__file__).resolve().parent.parent / "docs" / "models.md"
    results = doctest.testfile(str(manual), module_relative=False)
    assert results.attempted >= 4
    assert results.failed == 0
