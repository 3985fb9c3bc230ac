"""Making a model file of a torch module and the names of its layers.

The module is traced, not scripted: outputs of submodules can only be had by hooks, which run in
Python, and few networks compile as they are. A trace holds the operators that ran, so what the
network decides in Python, by the size of its input say, is fixed in it. That is found out: the
file is compared with the module on inputs of other sizes and of several images, and is not written
where they differ. For each number of layers there is a trace that ends with the last of them; the
weights are in the file once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.models.files import replacing, target_path
from impact_plugin.models.normalization import Normalization, parse

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class ExportError(ValueError):
    """A module that cannot be made into a model file."""


def export(
    module: nn.Module,
    layers: Sequence[str],
    path: str | Path | None = None,
    *,
    normalization: str | Normalization | Sequence[str | Normalization] = "none",
    repeat_grey: int = 1,
    dimension: int | None = None,
    channels: int | None = None,
    size: Sequence[int] | int | None = None,
    fixed_size: bool = False,
    intensities: tuple[float, float] = (-100.0, 100.0),
    tolerance: float = 1e-4,
) -> Path:
    """Write a feature extractor whose layers are the outputs of submodules of a network.

    The file is a TorchScript program ``forward(x, nb_layers)``, or ``forward(x, nb_layers, stats)``
    where the normalisation is by the whole image's numbers. It gives a list of tensors, the layers
    in the order of ``layers``, and computes no deeper than the first ``nb_layers`` of them need.
    The network runs in evaluation mode. Before the file gets its name it is opened again and
    compared with the module, for each number of layers, on random images of several sizes, with
    its derivative.

    Args:
        module: The network, on the CPU. It is left as it was.
        layers: Names of submodules as ``module.named_modules()`` has them, each of which runs once
            and gives a tensor batch x channels x voxels; ``""`` is the network itself.
        path: File to write, or a folder that gets ``<class of the module>.pt``; by default that
            name in the cache (see :func:`impact_plugin.models.mind`).
        normalization: What is done to the intensities first; one step or several in a row:
            ``"none"``, ``"window:-1000:400"`` (Hounsfield units, clamped, to 0 to 1),
            ``"zscore:0.5:0.25"``, ``"minmax"`` and ``"zscore"`` (by the numbers of the whole
            image), or :class:`Normalization`.
        repeat_grey: Channels to which a grey image is repeated before that, 3 for networks trained
            on photographs.
        dimension: 2 or 3; by default that of the network's first convolution.
        channels: Channels of the model's input (``NumberOfChannels``); by default 1 where
            ``repeat_grey`` is given, and else those of the first convolution.
        size: Voxels of the image that the network is traced on, along x, y (, z), or one number
            for all axes; by default the first of 32, 64, 128 and 224 that the network takes.
        fixed_size: For networks that take images of one size alone: the file is compared with the
            module at that size only.
        intensities: Least and greatest intensity of the random images.
        tolerance: How far file and module may differ, as a fraction of a layer's largest value.

    Returns:
        The absolute path of the file.

    Raises:
        ExportError: A layer is not there, does not run once or gives no map of features; the
            network refuses the images; or the file would not do what the module does, as where its
            size was fixed by tracing. Nothing is then written.
        ValueError: An argument is not allowed.
        OSError: The file cannot be written.
    """
    steps = parse(normalization)
    if repeat_grey < 1:
        message = f"repeat_grey is {repeat_grey}, expected at least 1"
        raise ValueError(message)
    dimension, channels = _kind_of_input(module, dimension, channels, repeat_grey)
    target = target_path(path, f"{type(module).__name__}.pt")

    from impact_plugin.models.layer_outputs import check_names

    check_names(module, layers)
    _check_place(module)
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        job = _Job(module, list(layers), steps, repeat_grey, dimension, channels, intensities)
        example = job.example(size)
        with warnings.catch_warnings(), replacing(target) as unfinished:
            # Tracing warns of each decision in Python; whether one matters, the comparison tells.
            warnings.simplefilter("ignore")
            job.write(example, unfinished)
            job.compare(unfinished, example, tolerance, fixed_size=fixed_size)
    finally:
        for part, was in training.items():
            part.training = was
    return target


def _kind_of_input(
    module: nn.Module, dimension: int | None, channels: int | None, repeat_grey: int
) -> tuple[int, int]:
    """Give dimension and channels of the model's input, from the network where not given."""
    from torch.nn import Conv2d, Conv3d

    first = next((part for part in module.modules() if isinstance(part, Conv2d | Conv3d)), None)
    if dimension is None and first is not None:
        dimension = len(first.kernel_size)
    if channels is None:
        channels = 1 if repeat_grey > 1 or first is None else first.in_channels
    if dimension not in (2, 3):
        message = (
            f"dimension is {dimension}, expected 2 or 3; it can be left away where the network has "
            "a Conv2d or Conv3d"
        )
        raise ValueError(message)
    if channels < 1:
        message = f"channels is {channels}, expected at least 1"
        raise ValueError(message)
    return dimension, channels


def _check_place(module: nn.Module) -> None:
    for name, weight in module.named_parameters():
        if weight.device.type != "cpu":
            message = (
                f'The weights "{name}" are on {weight.device}. Move the network to the CPU first '
                "(module.cpu()); the model file runs on either."
            )
            raise ExportError(message)


@dataclass
class _Job:
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

    def example(self, size: Sequence[int] | int | None) -> tuple[int, ...]:
        """Choose the size (x, y (, z)) to trace at, and look at the layers there."""
        from impact_plugin.models.layer_outputs import changed_in_place

        if isinstance(size, int):
            size = [size] * self.dimension
        if size is not None and (len(size) != self.dimension or min(size) < 1):
            message = f"size is {size}, expected {self.dimension} numbers from 1 up"
            raise ValueError(message)
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

    def write(self, box: tuple[int, ...], path: Path) -> None:
        """Trace the network and save it."""
        import torch

        from impact_plugin.models._extractor import Core, Extractor, ImageExtractor
        from impact_plugin.models.layer_outputs import LayerOutputs

        x = self._normalized(*self._image(box))
        depths = []
        for count in range(1, len(self.layers) + 1):
            outputs = LayerOutputs(self.module, self.layers[:count], self.copied).eval()
            try:
                with torch.no_grad():
                    depths.append(torch.jit.trace(outputs, x, check_trace=False, strict=False))
            except Exception as error:  # whatever the tracer raises
                message = (
                    f"{type(self.module).__name__} cannot be traced up to layer "
                    f'"{self.layers[count - 1]}": {_first_line(error)}'
                )
                raise ExportError(message) from error
        core = Core(depths, self.steps, self.repeat_grey, self.dimension)
        by_image = any(step.of_image for step in self.steps)
        extractor = (ImageExtractor if by_image else Extractor)(core)
        torch.jit.save(torch.jit.script(extractor.eval()), str(path))

    def compare(
        self, path: Path, box: tuple[int, ...], tolerance: float, *, fixed_size: bool
    ) -> None:
        """Compare the file with the module.

        Raises:
            ExportError: They differ.
        """
        import torch

        model = torch.jit.load(str(path))
        self._compare(model, [(box, 1)], tolerance, "It cannot be exported by tracing.")
        first, *others = box
        *before, last = box
        larger = [((2 * first, *others), 1), ((*before, 2 * last), 1), (box, 2)]
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
        from impact_plugin import _core

        try:
            _core.Model(str(path)).layer_shapes(
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
        import torch

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
        from impact_plugin.models.layer_outputs import LayerOutputs

        layers: list[Tensor] = LayerOutputs(self.module, self.layers[:count], self.copied)(x)
        return layers

    def _image(self, box: tuple[int, ...], batch: int = 1) -> tuple[Tensor, Tensor]:
        """Make random images, and numbers of a whole image that they could come from."""
        import torch

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


def _derivatives(
    x: Tensor, found: list[Tensor], expected: list[Tensor]
) -> list[tuple[str, Tensor, Tensor]]:
    """Give the derivatives of file and module, where the module's output has one."""
    import torch

    pairs = [(f, e) for f, e in zip(found, expected, strict=True) if e.requires_grad]
    if not pairs:
        return []
    if not all(f.requires_grad for f, _ in pairs):
        message = "The file's layers cannot be differentiated, though the module's can."
        raise ExportError(message)
    ours, theirs = (
        torch.autograd.grad([layer.square().mean() for layer in side], x, allow_unused=True)[0]
        for side in zip(*pairs, strict=True)
    )
    if ours is None or theirs is None:
        return []
    return [("the derivative", ours, theirs)]


def _require_alike(
    name: str, ours: Tensor, theirs: Tensor, tolerance: float, where: str, advice: str
) -> None:
    import torch

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
