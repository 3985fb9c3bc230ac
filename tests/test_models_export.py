"""Model files made of torch modules and the names of their layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from impact_plugin import models

# TorchScript works on, though torch says at each load that its successor is torch.export.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning"
)


class Residual(nn.Module):
    """Two convolutions beside a shortcut, with rectifiers that work in place, as torchvision's."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += shortcut
        result: Tensor = self.relu(y)
        return result


class Photographs(nn.Module):
    """A small residual network of photographs, built as those of torchvision are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Residual(8, 8, 1), Residual(8, 8, 1))
        self.layer2 = nn.Sequential(Residual(8, 16, 2), Residual(16, 16, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layer2(self.layer1(x)))
        result: Tensor = self.fc(torch.flatten(x, 1))
        return result


class Plain(nn.Module):
    """A chain of convolution, instance norm and rectifier, as encoders of nnU-Net are."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv3d(1, 8, 3, 1, 1), nn.InstanceNorm3d(8, affine=True), nn.LeakyReLU(0.01)
        )
        self.second = nn.Sequential(
            nn.Conv3d(8, 12, 3, 2, 1), nn.InstanceNorm3d(12, affine=True), nn.LeakyReLU(0.01)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(x))
        return result


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(5)
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):  # numbers that a training would leave
            part.running_mean = torch.randn(part.num_features) * 0.1
            part.running_var = torch.rand(part.num_features) + 0.5
    return module


def load(path: Path) -> Any:  # noqa: ANN401  (a ScriptModule)
    return torch.jit.load(str(path))  # type: ignore[no-untyped-call]


def asked(model: Any, x: Tensor, count: int, *more: Tensor) -> list[Tensor]:  # noqa: ANN401
    layers: list[Tensor] = model(x, torch.tensor([count]), *more)
    return layers


def test_monai_unet(tmp_path: Path) -> None:
    from monai.networks import nets as networks

    net = seeded(
        lambda: networks.UNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=3,
            channels=(4, 8, 16),
            strides=(2, 2),
            norm="batch",
        )
    )
    names = ["model.0", "model.1.submodule.0", "model.1.submodule.1", "model.2"]
    path = models.export(net, names, tmp_path, normalization="window:-1000:1000")
    assert path == tmp_path / "UNet.pt"
    report = models.inspect(path)
    assert (report.dimensions, report.input_channels) == ((3,), (1,))
    assert report.arguments == ("x", "nb_layers")
    assert [layer.channels for layer in report.layers] == [4, 8, 24, 3]
    assert [layer.stride[0] for layer in report.layers] == [2, 4, 4, 1]
    assert report.differentiable

    # The decoder's end is the network's own output; intensities are in Hounsfield units.
    net.eval()
    x = torch.rand(2, 1, 24, 16, 40) * 3000 - 1500
    normalized = ((x + 1000) / 2000).clamp(0, 1)
    torch.testing.assert_close(asked(load(path), x, 4)[3], net(normalized), rtol=0, atol=1e-5)
    first = net.get_submodule("model.0")(normalized)
    torch.testing.assert_close(asked(load(path), x, 1), [first], rtol=0, atol=1e-5)

    # It takes multiples of 4 alone, the file all sizes: an image's last voxels are repeated.
    x = torch.rand(1, 1, 23, 17, 18) * 3000 - 1500
    normalized = ((x + 1000) / 2000).clamp(0, 1)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        net(normalized)
    far = [torch.arange(n).clamp(max=m - 1) for n, m in ((24, 23), (20, 17), (20, 18))]
    padded = normalized[:, :, far[0]][:, :, :, far[1]][:, :, :, :, far[2]]
    layers = asked(load(path), x, 4)
    assert [tuple(layer.shape[2:]) for layer in layers] == [
        (12, 9, 9),
        (6, 5, 5),
        (6, 5, 5),
        (23, 17, 18),
    ]
    torch.testing.assert_close(layers[3], net(padded)[..., :23, :17, :18], rtol=0, atol=1e-5)
    # An encoder alone needs no padding.
    first = net.get_submodule("model.0")(normalized)
    torch.testing.assert_close(asked(load(path), x, 1), [first], rtol=0, atol=1e-5)


def test_network_of_photographs_takes_grey_images(tmp_path: Path) -> None:
    net = seeded(Photographs)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    path = models.export(
        net,
        ["conv1", "layer1", "layer2"],
        tmp_path / "photographs.pt",
        normalization=["minmax", models.Normalization.zscore(mean, std)],
        repeat_grey=3,
    )
    assert net.training, "the module is left as it was"
    report = models.inspect(path)
    assert report.arguments == ("x", "nb_layers", "stats")
    assert (report.dimensions, report.input_channels) == ((2,), (1, 3))
    assert [layer.channels for layer in report.layers] == [8, 8, 16]
    assert [layer.stride for layer in report.layers] == [(2, 2), (4, 4), (8, 8)]
    assert report.layers[0].field_of_view == (7, 7)

    net.eval()
    x = torch.randn(1, 1, 48, 80) * 300
    stats = torch.tensor([-1000.0, 2000.0, 5.0, 300.0])
    rgb = ((x + 1000) / 3000).expand(1, 3, 48, 80)
    rgb = (rgb - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    # An in-place rectifier comes after the first layer: what it gave itself is kept.
    expected = functional.conv2d(rgb, net.get_parameter("conv1.weight"), None, 2, 3)
    for count in (1, 3):
        found = asked(load(path), x, count, stats)
        assert len(found) == count
        torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-4)


def test_layers_beyond_those_asked_for_are_not_computed(tmp_path: Path) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, :32] + torch.ones(1, 1, 32, 1, 1)

    class Net(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.fails = Fails()

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.second(self.fails(self.first(x)))
            return result

    path = models.export(seeded(Net), ["first", "second"], tmp_path, size=32, fixed_size=True)
    small = torch.zeros(1, 1, 8, 32, 32)  # too small for what stands between the layers
    (layer,) = asked(load(path), small, 1)
    assert layer.shape == (1, 8, 8, 32, 32)
    with pytest.raises(RuntimeError, match="size of tensor"):
        asked(load(path), small, 2)


def test_chain_stays_a_chain_for_our_own_kernels(tmp_path: Path) -> None:
    path = models.export(seeded(Plain), ["first", "second"], tmp_path)
    assert [layer.chain for layer in models.inspect(path).layers] == [True, True]


def test_order_of_layers_is_the_one_given(tmp_path: Path) -> None:
    path = models.export(seeded(Plain), ["second", "first"], tmp_path)
    assert [layer.channels for layer in models.inspect(path).layers] == [12, 8]


def test_weights_are_in_the_file_once(tmp_path: Path) -> None:
    net = seeded(Plain)
    sizes = [
        models.inspect(models.export(net, names, tmp_path / "m.pt"), run=False)
        for names in (["second"], ["first", "second"])
    ]
    weights = sum(4 * weight.numel() for weight in net.parameters())
    assert sizes[1].size - sizes[0].size < 0.7 * weights + 8000


def test_the_network_itself_is_a_layer(tmp_path: Path) -> None:
    net = seeded(Plain)
    path = models.export(net, [""], tmp_path / "new" / "m.pt")
    x = torch.randn(1, 1, 8, 10, 12)
    torch.testing.assert_close(asked(load(path), x, 1), [net.eval()(x)])


def test_sizes_fixed_by_tracing_are_refused(tmp_path: Path) -> None:
    class Bakes(Plain):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            for _ in range(y.shape[-1]):
                y = y * 1.01
            return y

    with pytest.raises(models.ExportError, match=r"Tracing fixed what Bakes.*fixed_size=True"):
        models.export(seeded(Bakes), [""], tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert models.export(seeded(Bakes), [""], tmp_path, fixed_size=True).is_file()


def test_batch_fixed_by_tracing_is_refused(tmp_path: Path) -> None:
    class Bakes(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float(x.shape[0])

    with pytest.raises(models.ExportError, match="Tracing fixed"):
        models.export(seeded(Bakes), [""], tmp_path)


def test_network_of_one_size(tmp_path: Path) -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 4, 4, 4)
            self.positions = nn.Parameter(torch.randn(1, 4, 7, 7))

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.convolution(x) + self.positions
            return result

    net = seeded(Positions)
    with pytest.raises(models.ExportError, match=r"refuses images .*32 x 32: .*size"):
        models.export(net, [""], tmp_path)
    with pytest.raises(models.ExportError, match=r"takes 28 x 28 voxels, but not 56 x 56"):
        models.export(net, [""], tmp_path, size=28)
    assert list(tmp_path.iterdir()) == []
    path = models.export(net, [""], tmp_path, size=28, fixed_size=True)
    assert models.inspect(path, size=28).layers[0].stride == (4, 4)


@pytest.mark.parametrize("text", ["zscore", "zscore:100:50", "window:-200:300", "minmax", "none"])
def test_normalization(tmp_path: Path, text: str) -> None:
    net = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(net.weight)
    model = load(models.export(net, [""], tmp_path / "m.pt", normalization=text))
    x = torch.tensor([-500.0, -200.0, 50.0, 300.0]).view(1, 1, 2, 2)
    stats = torch.tensor([-1000.0, 1000.0, 40.0, 500.0])
    arguments = [stats] if text in ("zscore", "minmax") else []
    expected = {
        "zscore": (x - 40) / 500,
        "zscore:100:50": (x - 100) / 50,
        "window:-200:300": torch.tensor([0.0, 0.0, 0.5, 1.0]).view(1, 1, 2, 2),
        "minmax": (x + 1000) / 2000,
        "none": x,
    }[text]
    torch.testing.assert_close(asked(model, x, 1, *arguments), [expected])


@pytest.mark.parametrize(
    ("normalization", "message"),
    [
        ("minmac", '"minmac" is not known. Allowed: "none"'),
        ("window:100", "is not known"),
        ("window:300:100", "LOWER is 300 and UPPER is 100. LOWER must be below UPPER"),
        ("zscore:0:0", "STD is 0, expected greater than 0"),
        ("zscore:1,2,3:1,2", "3 and 2 numbers"),
        ("zscore:nan:1", "expected finite numbers"),
        ("zscore:a:b", "is not known"),
        (["window:0:1", "minmax"], "must be the first step"),
    ],
)
def test_bad_normalization(tmp_path: Path, normalization: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match=message):
        models.export(Plain(), ["first"], tmp_path, normalization=normalization)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["first_"], r'"first_" is no submodule of Plain. Nearest: first'),
        ([], r"No layers are named. The submodules: first, first.0"),
        (["first", "first"], "named twice"),
    ],
)
def test_bad_names(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(models.ExportError, match=message):
        models.export(Plain(), names, tmp_path)


def test_layers_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(models.ExportError, match=r'"fc" has the shape 1 x 10 .*batch x channels'):
        models.export(seeded(Photographs), ["fc"], tmp_path)
    with pytest.raises(models.ExportError, match=r'"layer1.0.relu" runs 2 times'):
        models.export(seeded(Photographs), ["layer1.0.relu"], tmp_path)

    class Idle(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.idle = nn.Identity()

    with pytest.raises(models.ExportError, match='"idle" does not run'):
        models.export(seeded(Idle), ["idle"], tmp_path)

    class Several(Plain):
        def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            return {"features": super().forward(x)}

    with pytest.raises(models.ExportError, match='"" gives dict, and not a tensor'):
        models.export(seeded(Several), [""], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    class Root(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sqrt(super().forward(x) - 1e9)

    with pytest.raises(
        models.ExportError, match=r"infinite or not a number .* in the module itself"
    ):
        models.export(seeded(Root), [""], tmp_path)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dimension is None, expected 2 or 3"):
        models.export(nn.Identity(), [""], tmp_path)
    with pytest.raises(ValueError, match="repeat_grey is 0"):
        models.export(Plain(), ["first"], tmp_path, repeat_grey=0)
    with pytest.raises(ValueError, match=r"size is \[32, 32\], expected 3 numbers"):
        models.export(Plain(), ["first"], tmp_path, size=[32, 32])
    with pytest.raises(models.ExportError, match=r'"weight" are on meta. Move the network'):
        models.export(nn.Conv2d(1, 1, 1, device="meta"), [""], tmp_path)


def test_failed_export_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_text("old")
    with pytest.raises(models.ExportError, match="runs 2 times"):
        models.export(seeded(Photographs), ["layer1.0.relu"], path)
    assert path.read_text() == "old"


@pytest.mark.gpu
def test_file_made_on_the_cpu_runs_on_a_gpu(tmp_path: Path) -> None:
    path = models.export(
        seeded(Plain), ["first", "second"], tmp_path, normalization=["zscore", "zscore:0.1:2"]
    )
    on_gpu: Any = torch.jit.load(str(path), map_location="cuda")  # type: ignore[no-untyped-call]
    x, stats = torch.randn(1, 1, 24, 20, 16), torch.tensor([-4.0, 4.0, 0.1, 1.1])
    expected = asked(load(path), x, 2, stats)
    found = on_gpu(x.cuda(), torch.tensor([2]).cuda(), stats.cuda())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=1e-3)
