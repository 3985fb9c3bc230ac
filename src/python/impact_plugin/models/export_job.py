"""One export: the network is traced, and the file compared with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from impact_plugin import _core, _networks
from impact_plugin._errors import InputError
from impact_plugin._numbers import spread
from impact_plugin.models.errors import ExportError
from impact_plugin.models.export_modules import (
    Core,
    ExportedModel,
    ExportedModelWithStatistics,
    Padded,
)
from impact_plugin.models.layer_outputs import LayerOutputs, changed_in_place
from impact_plugin.models.normalization import Normalization


@dataclass
class ExportJob:
    """One export."""

    module: nn.Module
    layers: list[str]
    steps: list[Normalization]
    repeat_grey: int
    dimension: int
    channels: int
    intensities: tuple[float, float]

    def __post_init__(self) -> None:
        self.copied: frozenset[str] = frozenset()
        # What voxels along each axis must be multiples of, for each number of layers.
        self.multiples = [1] * len(self.layers)

    def example(self, size: Sequence[int] | int | None) -> tuple[int, ...]:
        """Choose the size (x, y (, z)) to trace at, and look at the layers there."""
        if size is not None:
            size = list(spread(size, self.dimension))
        if size is not None and (len(size) != self.dimension or min(size) < 1):
            message = f"size is {size}, expected {self.dimension} numbers from 1 up"
            raise InputError(message)
        tried = [tuple(size)] if size else [(n,) * self.dimension for n in (32, 64, 128, 224)]
        reasons = []
        for box in tried:
            x = self._normalized(*self._image(box))
            try:
                self.copied = changed_in_place(self.module, self.layers, x)
                shapes = [tuple(layer.shape) for layer in self._reference(x, len(self.layers))]
            except ExportError:
                raise
            except Exception as error:  # whatever a network of any kind raises
                reasons.append(f"{_times(box)}: {_first_line(error)}")
                continue
            for name, shape in zip(self.layers, shapes, strict=True):
                if len(shape) != self.dimension + 2 or shape[0] != 1:
                    message = (
                        f'Layer "{name}" has the shape {_times(shape)} for an image of '
                        f"{_times(x.shape)}. A layer is batch x channels x voxels; name a "
                        "submodule that gives this, or put the network into one that rearranges it."
                    )
                    raise ExportError(message)
            return box
        message = (
            f"{type(self.module).__name__} refuses images of {self.channels} channel(s) and these "
            f"sizes. {' '.join(reasons)} Check dimension, channels, repeat_grey and size."
        )
        raise ExportError(message)

    def find_multiples(self, box: tuple[int, ...]) -> None:
        """Find what sizes must be multiples of, as where a decoder joins what an encoder halved.

        Raises:
            ExportError: The network takes the size ``box``, but none of the next larger ones.
        """
        count = len(self.layers)
        self.multiples = [self._multiple(box, count)] * count
        if self.multiples[-1] > 1:
            self.multiples = [self._multiple(box, n) for n in range(1, count + 1)]

    def _multiple(self, box: tuple[int, ...], count: int) -> int:
        common = math.gcd(*box)
        reason = ""
        divisors = [n for n in range(1, common + 1) if common % n == 0]
        for multiple in divisors:
            # A step of 1 alone tells little: a network may cut sizes to multiples of 4 first, and
            # fail where the quarter is odd.
            more = [n for n in divisors if n % multiple == 0 and n < common] or [multiple]
            try:
                for step in more:
                    larger = tuple(n + step for n in box)
                    with torch.no_grad():
                        self._outputs(count)(self._normalized(*self._image(larger)))
            except Exception as error:  # whatever a network of any kind raises
                reason = f"{_times(larger)}: {_first_line(error)}"
                continue
            return multiple
        message = (
            f"{type(self.module).__name__} takes {_times(box)} voxels, but not {reason} The metric "
            "gives it other sizes than this one. Give a size whose doubles it takes, or "
            "fixed_size=True where it takes this one alone."
        )
        raise ExportError(message)

    def write(self, box: tuple[int, ...], path: Path) -> None:
        """Trace the network and save it."""
        x = self._normalized(*self._image(box))
        depths = []
        for count in range(1, len(self.layers) + 1):
            try:
                with torch.no_grad():
                    traced = _trace(self._outputs(count).eval(), x)
            except Exception as error:  # whatever the tracer raises
                message = (
                    f"{type(self.module).__name__} cannot be traced up to layer "
                    f'"{self.layers[count - 1]}": {_first_line(error)}'
                )
                raise ExportError(message) from error
            multiple = self.multiples[count - 1]
            depths.append(Padded(traced, multiple) if multiple > 1 else traced)
        core = Core(depths, self.steps, self.repeat_grey, self.dimension)
        by_image = any(step.of_image for step in self.steps)
        model = (ExportedModelWithStatistics if by_image else ExportedModel)(core)
        with path.open("wb") as file:  # torch itself ends the process where a disk is full
            torch.jit.save(torch.jit.script(model.eval()), file)

    def compare(
        self, path: Path, box: tuple[int, ...], tolerance: float, *, fixed_size: bool
    ) -> None:
        """Compare the file with the module.

        Raises:
            ExportError: They differ.
        """
        model = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
        self._compare(model, [(box, 1)], tolerance, "It cannot be exported by tracing.")
        first, *others = box
        *before, last = box
        larger = [((2 * first, *others), 1), ((*before, 2 * last), 1), (box, 2)]
        larger += [(tuple(n + axis + 1 for axis, n in enumerate(box)), 1)]
        if not fixed_size:
            for other, batch in larger:
                try:
                    with torch.no_grad():
                        self._reference(self._normalized(*self._image(other, batch)), 1)
                except Exception as error:
                    message = (
                        f"{type(self.module).__name__} takes {_times(box)} voxels, but not "
                        f"{batch} x {_times(other)}: {_first_line(error)} The metric may give it "
                        "other sizes than this one. Give a size whose doubles it takes, or "
                        "fixed_size=True where it takes this one alone."
                    )
                    raise ExportError(message) from error
            self._compare(
                model,
                larger,
                tolerance,
                f"Tracing fixed what {type(self.module).__name__} computes from the size of its "
                f"input, at 1 x {_times(box)}: somewhere it turns sizes into Python numbers (a "
                "loop, an if, int(), a tensor made for one size). Write that with torch's "
                "operators, or give fixed_size=True if all inputs will have this size.",
            )
        try:
            _networks.Network(str(path)).layer_shapes(
                list(box), self.channels, len(self.layers), self.intensities
            )
        except _core.Error as error:
            message = f"The metric refuses the model: {error}"
            raise ExportError(message) from error

    def _compare(
        self,
        model: torch.jit.ScriptModule,
        inputs: Sequence[tuple[tuple[int, ...], int]],
        tolerance: float,
        advice: str,
    ) -> None:
        for box, batch in inputs:
            x, statistics = self._image(box, batch)
            x.requires_grad_(True)
            for count in range(1, len(self.layers) + 1):
                arguments = [torch.tensor([count])]
                if any(step.of_image for step in self.steps):
                    arguments.append(statistics)
                expected = self._reference(self._normalized(x, statistics), count)
                where = f"an input of {_times(x.shape)} and {count} layer(s)"
                try:
                    found = model(x, *arguments)
                except Exception as error:
                    message = f"The file refuses {where}: {_first_line(error)} {advice}"
                    raise ExportError(message) from error
                if len(found) != count:
                    message = f"The file gives {len(found)} layers for {where}. {advice}"
                    raise ExportError(message)
                pairs = [*zip(self.layers, found, expected, strict=False)]
                for name, ours, theirs in [*pairs, *_derivatives(x, found, expected)]:
                    _require_alike(name, ours, theirs, tolerance, where, advice)

    def _reference(self, x: Tensor, count: int) -> list[Tensor]:
        """What the module itself gives."""
        outputs: nn.Module = self._outputs(count)
        if self.multiples[count - 1] > 1:
            outputs = Padded(outputs, self.multiples[count - 1])
        layers: list[Tensor] = outputs(x)
        return layers

    def _outputs(self, count: int) -> LayerOutputs:
        return LayerOutputs(self.module, self.layers[:count], self.copied)

    def _image(self, box: tuple[int, ...], batch: int = 1) -> tuple[Tensor, Tensor]:
        """Make random images, and numbers of a whole image that they could come from."""
        generator = torch.Generator().manual_seed(batch + sum(box))
        shape = (batch, self.channels, *reversed(box))
        low, high = self.intensities
        x = torch.rand(shape, generator=generator, dtype=torch.float32) * (high - low) + low
        statistics = torch.stack([x.min() - 1.5, x.max() + 2.5, x.mean() + 0.5, x.std() * 1.25])
        return x, statistics

    def _normalized(self, x: Tensor, statistics: Tensor) -> Tensor:
        x = x.repeat_interleave(self.repeat_grey, 1) if x.shape[1] == 1 else x
        for step in self.steps:
            x = step.apply(x, statistics)
        return x


def _trace(module: nn.Module, x: Tensor) -> nn.Module:
    traced: nn.Module = torch.jit.trace(  # type: ignore[no-untyped-call]
        module, x, check_trace=False, strict=False
    )
    return traced


def _derivatives(
    x: Tensor, found: list[Tensor], expected: list[Tensor]
) -> list[tuple[str, Tensor, Tensor]]:
    """Give the derivatives of file and module, where the module's output has one."""
    pairs = [(f, e) for f, e in zip(found, expected, strict=True) if e.requires_grad]
    if not pairs:
        return []
    if not all(f.requires_grad for f, _ in pairs):
        message = "The file's layers cannot be differentiated, though the module's can."
        raise ExportError(message)
    ours, theirs = (
        torch.autograd.grad([layer.square().mean() for layer in side], x, materialize_grads=True)[0]
        for side in zip(*pairs, strict=True)
    )
    return [("the derivative", ours, theirs)]


def _require_alike(
    name: str, ours: Tensor, theirs: Tensor, tolerance: float, where: str, advice: str
) -> None:
    layer = name if name == "the derivative" else f'Layer "{name}"'
    if not torch.isfinite(theirs).all():
        message = (
            f"{layer} is infinite or not a number for {where}, in the module itself. Check the "
            "normalization, and the intensities that it is tried with (intensities)."
        )
        raise ExportError(message)
    if ours.shape != theirs.shape:
        message = (
            f"{layer} of the file has the shape {_times(ours.shape)} for {where}, the module's "
            f"{_times(theirs.shape)}. {advice}"
        )
        raise ExportError(message)
    difference = float((ours - theirs).abs().max())
    largest = float(theirs.abs().max())
    if not difference <= tolerance * largest:
        message = (
            f"{layer} of the file differs from the module's by up to {difference:.3g} for {where} "
            f"(its largest value: {largest:.3g}). {advice}"
        )
        raise ExportError(message)


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # TorchScript puts the reason last.
    line = lines[-1] if "Traceback" in str(error) else lines[0]
    return line.strip().rstrip(".") + "."
