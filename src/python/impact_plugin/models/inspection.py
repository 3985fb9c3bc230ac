"""Finding out what a model file is: what it says of itself, and what it does when it is run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.models.archive import ModelFileError, file_facts, read_archive
from impact_plugin.models.report import LayerReport, ModelReport

if TYPE_CHECKING:
    from impact_plugin._core import Model

_CHANNELS = (1, 3, 2, 4, 5, 6, 7, 8)
# Voxels along each axis: for most networks, and for those that want more, or patches of 14 or 16.
_SIZES = (32, 64)
_OTHER_SIZES = {3: (96, 128, 29, 14), 2: (56, 29, 14, 224, 256, 512, 1024)}
_MOST_NUMBERS = 4_000_000  # in an input
_MEASURING_SIZES = {3: (64, 96, 128), 2: (64, 128, 256, 512)}
_MEASURING_TIME = 10.0  # seconds that a larger input may take
_MOST_LAYERS = 64


class ModelRefusedError(ModelFileError):
    """A model that takes none of the inputs that were tried."""


def inspect(
    path: str | Path,
    *,
    run: bool = True,
    trust: bool = False,
    dimension: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    intensities: tuple[float, float] = (-100.0, 100.0),
    memory_limit: float = 1e9,
) -> ModelReport:
    """Find out what a TorchScript file is.

    First its code is read, without running any of it: the calling convention, the operators, the
    types of its weights. Then it is run as the metric runs it, on irregular inputs: which
    dimensions and channels it takes, how many layers it gives, and for each the channels and, by
    gradient, the stride and the field of view. A TorchScript file is a program, which does what its
    author wrote: see ``docs/models.md``.

    Args:
        path: The file.
        run: Whether to run it. Without, the report has what the file says of itself alone.
        trust: Whether to run a model that can do more than compute: one with operators that touch
            files, the network or extensions of torch, or with code that runs when it is opened.
        dimension: 2 or 3, to try that alone.
        channels: Number of input channels, to try that alone.
        size: Voxels along each axis of the first input to try, for models that want a certain size.
        intensities: Least and greatest intensity of the inputs. Networks that clamp theirs show
            nothing beyond what they clamp to.
        memory_limit: Bytes up to which larger inputs are tried where the field of view of a layer
            does not show in smaller ones.

    Returns:
        The report; ``print()`` it, or take its fields. Axes are in the order x, y (, z).

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is no TorchScript model, or is damaged, or was not to be trusted.
        ModelRefusedError: It took none of the inputs that were tried. The message says which, and
            why it refused.
        ValueError: An argument is not allowed.
    """
    if dimension not in (None, 2, 3):
        message = f"dimension is {dimension}, expected 2 or 3, or None to try both"
        raise ValueError(message)
    for name, value in (("channels", channels), ("size", size)):
        if value is not None and value < 1:
            message = f"{name} is {value}, expected at least 1"
            raise ValueError(message)
    file = Path(path).expanduser()
    archive = read_archive(file)
    number_of_bytes, digest = file_facts(file)
    said = ModelReport(
        path=str(path),
        size=number_of_bytes,
        sha256=digest,
        signature=archive.signature,
        weights=archive.weights,
        operators=archive.operators,
        outside=archive.outside,
        runs_on_load=archive.runs_on_load,
    )
    if not run:
        return said
    if not trust and (archive.outside or archive.runs_on_load):
        what = [*archive.outside, *(f"{name}.__setstate__" for name in archive.runs_on_load)]
        message = (
            f'Model file "{path}" can do more than compute features: it has {", ".join(what)}. It '
            "was not run. Where you trust its author, say so (trust=True, or --trust); run=False "
            "(--no-run) reads it alone."
        )
        raise ModelFileError(message)

    from impact_plugin import _core

    try:
        model = _core.Model(str(file))
    except _core.Error as error:
        raise ModelFileError(str(error)) from error
    channels_to_try = [*dict.fromkeys((archive.input_channels or 1, *_CHANNELS))]
    trial = _Trial(model, file, intensities)
    return trial.report(
        said,
        (dimension,) if dimension else (3, 2),
        [channels] if channels else channels_to_try,
        size,
        memory_limit,
    )


class _Trial:
    """Runs one model on one input after the other."""

    def __init__(self, model: Model, file: Path, intensities: tuple[float, float]) -> None:
        self.model = model
        self.file = file
        self.intensities = intensities
        self.refusal = ""

    def report(
        self,
        said: ModelReport,
        dimensions: Sequence[int],
        channels: Sequence[int],
        size: int | None,
        memory_limit: float,
    ) -> ModelReport:
        """Complete a report by what the model does."""
        taken: dict[int, dict[int, int]] = {}
        for others in (False,) if size else (False, True):
            sizes_of = {d: (size,) if size else _OTHER_SIZES[d] if others else _SIZES for d in (2, 3)}
            likely = channels[:3] if others else channels
            for dimension in dimensions:
                if sizes := dict(self._taken(dimension, likely, sizes_of[dimension])):
                    taken[dimension] = sizes
            if taken:
                break
        else:
            raise ModelRefusedError(self._refused(dimensions, channels, size))
        dimension, sizes = next(iter(taken.items()))
        number = min(sizes)
        first = sizes[number]
        count = self._number_of_layers(first, dimension, number)
        static, jacobian = (
            self._memory_per_voxel(first, dimension, number, count, gradient=gradient)
            for gradient in (False, True)
        )
        limit = (memory_limit / max(jacobian, 1.0)) ** (1 / dimension)
        layers, measuring_size = self._layers(first, dimension, number, count, limit)
        return ModelReport(
            **{
                **{field: getattr(said, field) for field in said.__dataclass_fields__},
                "run": True,
                "arguments": ("x", *self.model.arguments),
                "dimensions": tuple(sorted(taken)),
                "input_channels": tuple(sorted(sizes)),
                "measured": (dimension, number),
                "input_size": first,
                "measuring_size": measuring_size,
                "layers": layers,
                "memory_static": static,
                "memory_jacobian": jacobian,
            }
        )

    def _taken(
        self, dimension: int, channels: Sequence[int], sizes: Sequence[int]
    ) -> Iterator[tuple[int, int]]:
        """Give the numbers of channels that the model takes, with the first size that it takes."""
        # Deep layers want larger inputs than the first one.
        asked = (_MOST_LAYERS, 1) if "nb_layers" in self.model.arguments else (1,)
        for number in channels:
            for layers, tried in ((layers, tried) for layers in asked for tried in sizes):
                if number * tried**dimension <= _MOST_NUMBERS and self._takes(tried, dimension, number, layers):
                    yield number, tried
                    sizes = (tried,)  # what suits one number of channels suits the others
                    break

    def _takes(self, size: int, dimension: int, channels: int, layers: int) -> bool:
        from impact_plugin import _core

        try:
            shapes = self.model.layer_shapes([size] * dimension, channels, layers, self.intensities)
        except _core.Error as error:
            self.refusal = str(error)
            return False
        for number, shape in enumerate(shapes):
            # Convolutions take one axis less than asked for, with the batch for the channels.
            if len(shape) != dimension + 2 or shape[0] != 1 or 0 in shape:
                self.refusal = (
                    f"layer {number} has the shape {' x '.join(map(str, shape))} for an input of "
                    f"1 x {channels} x {' x '.join([str(size)] * dimension)}; allowed: batch x "
                    "channels x voxels, with the input's batch and number of axes."
                )
                return False
        return bool(shapes)

    def _refused(
        self, dimensions: Sequence[int], channels: Sequence[int], size: int | None
    ) -> str:
        tried = "; ".join(
            f"{dimension}D, {' or '.join(map(str, channels))} channels, "
            f"{', '.join(map(str, (size,) if size else (*_SIZES, *_OTHER_SIZES[dimension])))} "
            "voxels along each axis"
            for dimension in dimensions
        )
        return (
            f'Model file "{self.file}" refused all inputs that were tried: {tried}. The last '
            f"reason: {self.refusal} Where it wants a certain size, give it (size=, --size)."
        )

    def _number_of_layers(self, size: int, dimension: int, channels: int) -> int:
        """Count the layers; a model that is told how many to give is asked for more and more."""
        from impact_plugin import _core

        def given(asked: int) -> int:
            box = [size] * dimension
            return len(self.model.layer_shapes(box, channels, asked, self.intensities))

        if "nb_layers" not in self.model.arguments:
            return given(1)
        try:
            return given(_MOST_LAYERS)
        except _core.Error:
            count = given(1)
        for asked in range(count + 1, _MOST_LAYERS):
            try:
                if given(asked) < asked:
                    return asked - 1
            except _core.Error:
                return asked - 1
        return _MOST_LAYERS

    def _memory_per_voxel(
        self, size: int, dimension: int, channels: int, count: int, *, gradient: bool
    ) -> float:
        """Measure the memory that a second image of a batch adds, or that the only one takes."""
        from impact_plugin import _core

        def peak(batch: int) -> int:
            box = [size] * dimension
            return self.model.peak_memory(
                box, channels, count, self.intensities, batch=batch, gradient=gradient
            )

        peak(1)  # at its first runs TorchScript also compiles
        one = peak(1)
        try:
            two = peak(2)
        except _core.Error:  # a model for one image at a time
            two = 2 * one
        return max(two - one, 0) / size**dimension

    def _layers(
        self, size: int, dimension: int, channels: int, count: int, limit: float
    ) -> tuple[tuple[LayerReport, ...], int]:
        """Measure the layers on larger and larger inputs until each field of view has shown."""
        from impact_plugin import _core

        measured: list[_core.MeasuredLayer] = []
        used = size
        seconds = 0.0
        larger = [s for s in _MEASURING_SIZES[dimension] if s == 64 or s <= limit]
        for tried in [*(s for s in larger if s >= size), size]:
            if measured and (
                tried < used
                or seconds * (tried / used) ** dimension > _MEASURING_TIME
                or all(m.layout or not m.differentiable for m in measured)
            ):
                break
            start = time.monotonic()
            try:
                found = self.model.measure(tried, dimension, channels, count, self.intensities)
            except _core.Error:
                continue
            seconds, used = time.monotonic() - start, tried
            measured = [
                old if old.layout else new
                for old, new in zip(measured or found, found, strict=True)
            ]
            sizes = [m.size[:dimension] for m in found]
        mask = "nb_layers" in self.model.arguments
        return tuple(
            LayerReport(
                channels=layer.channels,
                stride=tuple(
                    _stride(layer.layout.stride[axis] if layer.layout else None, used, n)
                    for axis, n in enumerate(sizes[i])
                ),
                field_of_view=(
                    tuple(round(2 * reach) + 1 for reach in layer.layout.reach[:dimension])
                    if layer.layout
                    else None
                ),
                differentiable=layer.differentiable,
                memory=4.0 * layer.channels * _product(n / used for n in sizes[i]),
                chain=_core.runs_as_chain(
                    str(self.file),
                    [n == i for n in range(i + 1 if mask else count)],
                    dimension,
                    channels,
                ),
            )
            for i, layer in enumerate(measured)
        ), used


def _stride(measured: float | None, voxels: int, layer_voxels: int) -> float:
    """Give a stride as measured, where that is a whole number that fits the sizes.

    Pooling by maxima depends on few voxels, and what a decoder makes of one voxel of a coarser layer
    depends on the same; then the sizes of input and layer tell, as they do in Static mode.
    """
    if measured and measured == round(measured) and measured * (layer_voxels - 1) < 1.5 * voxels:
        return measured
    ratio = voxels / layer_voxels
    return float(round(ratio)) if ratio >= 1 else ratio


def _product(factors: Iterator[float]) -> float:
    result = 1.0
    for factor in factors:
        result *= factor
    return result
