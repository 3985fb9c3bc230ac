"""Model files that do what no model should: damaged ones, and programs of bad manners."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from helpers import tiny_models


class Model(nn.Module):
    """A convolution that suits all that derive from it: six features for each voxel."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny_models.Layers(3)

    def features(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inner.convolution(x / 300.0))


class Plain(Model):
    """Gives the features, and does nothing else."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Root(Model):
    """Numbers with a root of zero beside them, of which the derivative is infinite."""

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        return features + torch.sqrt(features - features)


class NoLayers(Model):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.features(x)][:0]


class NoChannels(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[:, :0]


class NoVoxels(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[:, :, :0]


class NotANumber(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) * float("nan")


class Infinite(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) * 1e30 * 1e30


class Flattened(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).flatten(2)


class WrongBatch(Model):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.features(x), self.features(x)], 0)


class Nothing(Model):
    def forward(self, x: Tensor) -> None:
        self.features(x)


class Number(Model):
    def forward(self, x: Tensor) -> float:
        return float(self.features(x).sum().item())


class Dictionary(Model):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"features": self.features(x)}


class ListOfTexts(Model):
    def forward(self, x: Tensor) -> list[str]:
        return ["features"]


class Nested(Model):
    def forward(self, x: Tensor) -> list[list[Tensor]]:
        return [[self.features(x)]]


class Complex(Model):
    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(self.features(x), self.features(x))


class Sparse(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).to_sparse()


class Quantised(Model):
    def forward(self, x: Tensor) -> Tensor:
        return torch.quantize_per_tensor(self.features(x), 0.01, 0, torch.qint8)


class Meta(Model):
    def forward(self, x: Tensor) -> Tensor:
        return torch.empty_like(self.features(x), device="meta")


class Whole(Model):
    """Whole numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.features(x) * 100).to(torch.int32)


class Half(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).half()


class Brain(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).to(torch.bfloat16)


class Double(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).double()


class Expanded(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[:, :1].expand(-1, 6, -1, -1, -1)


class Permuted(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).permute(0, 4, 3, 2, 1).contiguous().permute(0, 4, 3, 2, 1)


class Throws(Model):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() > 1:
            raise ValueError("I do not like you")
        return self.features(x)


class ThrowsMuch(Model):
    def forward(self, x: Tensor) -> Tensor:
        text = "much ado\n"
        for _ in range(16):
            text = text + text
        assert x.dim() == 0, text
        return self.features(x)


class DividesByZero(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) * (5 // (x.dim() - 5))


class RemainderOfZero(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) * (5 % (x.dim() - 5))


class LeastByMinusOne(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) * ((-9223372036854775807 - 1) // (4 - x.dim()))


class Beyond(Model):
    def forward(self, x: Tensor) -> Tensor:
        y = [self.features(x)]
        return y[x.dim()]


class Endless(Model):
    def forward(self, x: Tensor) -> Tensor:
        while x.dim() > 0:
            x = x + 0.0
        return self.features(x)


class InPlace(Model):
    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        x.zero_()
        return y


class Resizes(Model):
    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        x.resize_(1)
        return y


class Prints(Model):
    def forward(self, x: Tensor) -> Tensor:
        print("Resolution: 7")
        print("1:ItNr\t2:Metric\tTime[ms]")
        print("0\tnothing\tnever")
        print("5\t1\t1\t1")
        print("ERROR: a joke")
        print('Running elastix with parameter file 7: "x".')
        print("bytes \x1b[31m")
        return self.features(x)


class Floods(Model):
    def forward(self, x: Tensor) -> Tensor:
        text = "x"
        for _ in range(10):
            text = text + text
        for _ in range(2000):
            print(text)
        return self.features(x)


class Trains(Model):
    """Is in training mode in itself, as no call of eval() can undo."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.dropout(self.features(x), 0.5, True)
        return y


class Drops(Model):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm3d(6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.drop(self.features(x)))
        return y


class Noise(Model):
    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        return y + torch.randn_like(y)


class Counts(Model):
    """Changes with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.count = nn.Buffer(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return self.features(x) * self.count


class Forks(Model):
    def forward(self, x: Tensor) -> Tensor:
        future = torch.jit.fork(self.features, x)  # type: ignore[no-untyped-call]
        y: Tensor = torch.jit.wait(future)  # type: ignore[no-untyped-call]
        return y


class Greedy(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) + torch.zeros(1 << 60)


class Later(Model):
    """Is good for some calls, and then is not."""

    def __init__(self, calls: int, how: str) -> None:
        super().__init__()
        self.calls = calls
        self.how = how

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.features(x)
        self.calls -= 1
        if self.calls >= 0:
            return [y]
        if self.how == "nan":
            return [y * float("nan")]
        if self.how == "throws":
            assert x.dim() == 0, "no more"
        if self.how == "fewer channels":
            return [y[:, :3]]
        if self.how == "more channels":
            return [torch.cat([y, y], 1)]
        if self.how == "smaller":
            return [y[:, :, 1:-1, 1:-1, 1:-1]]
        if self.how == "larger":
            return [torch.cat([y, y], 2)]
        if self.how == "batch":
            return [torch.cat([y, y], 0)]
        if self.how == "no layers":
            return [y][:0]
        if self.how == "more layers":
            return [y, y]
        if self.how == "constant":
            return [torch.zeros_like(y)]
        if self.how == "detached":
            return [y.detach()]
        if self.how == "empty":
            return [y[:, :, :0]]
        if self.how == "flat":
            return [y.flatten(1)]
        return [y * 0.5]


HOW = (
    "nan",
    "throws",
    "fewer channels",
    "more channels",
    "smaller",
    "larger",
    "batch",
    "no layers",
    "more layers",
    "constant",
    "detached",
    "empty",
    "flat",
)


class AllKinds(nn.Module):
    """One layer, the image itself, and weights of all the types and layouts there are."""

    def __init__(self) -> None:
        super().__init__()
        for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool):
            self.register_buffer(str(kind).replace(".", "_"), torch.ones(3, dtype=kind))
        self.register_buffer("complex", torch.ones(3, dtype=torch.complex64).conj())
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("single", torch.tensor(3.0))
        grid = torch.arange(24.0).view(2, 3, 4)
        self.register_buffer("part", grid[:, 1:, ::2])
        self.register_buffer("turned", grid.permute(2, 0, 1))
        self.register_buffer("repeated", grid[:1].expand(5, 3, 4))
        self.listed = [torch.ones(2), torch.ones(3)]
        self.named = {"a": torch.ones(2)}
        self.mixed = (1, -(10**12), 2.5, "text", [[1, 2], [3]], torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return x
