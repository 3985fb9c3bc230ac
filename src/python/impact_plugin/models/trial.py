"""What a model does, found out by running it on one input after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from impact_plugin import _core, _networks
from impact_plugin.models.report import LayerReport, ModelReport
from impact_plugin.models.trial_process import ModelRefusedError

# Voxels along each axis: for most networks, and for those that want more, or patches of 14 or 16.
_SIZES = (32, 64)
_OTHER_SIZES = {3: (96, 128, 29, 14), 2: (56, 29, 14, 224, 256, 512, 1024)}
_MOST_NUMBERS = 4_000_000  # in an input
_MEASURING_SIZES = {3: (64, 96, 128), 2: (64, 128, 256, 512)}
_INPUTS = 2  # to measure on, at least: rectifiers let only some of the voxels show in each
_MEASURING_TIME = 10.0  # seconds that a larger input may take
_MOST_LAYERS = 64
_INTENSITIES = (-100.0, 100.0)
_NORMALIZED = (0.0, 1.0)
_CLAMPS = ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_max", "hardtanh", "hardtanh_")


class Trial:
    """Runs one model on one input after the other."""

    def __init__(
        self, model: _networks.Network, file: Path, intensities: tuple[float, float] | None
    ) -> None:
        self.model = model
        self.file = file
        self.given = intensities
        self.intensities = intensities or _INTENSITIES
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
            sizes_of = {
                d: (size,) if size else _OTHER_SIZES[d] if others else _SIZES for d in (2, 3)
            }
            likely = channels[:3] if others else channels
            for dimension in dimensions:
                if sizes := dict(self._taken(dimension, likely, sizes_of[dimension])):
                    taken[dimension] = sizes
            if taken:
                break
        else:
            refused = self._refused(dimensions, channels, size)
            if len(dimensions) == 1 and self._takes_the_other(dimensions[0], channels, size):
                refused = self._of_the_other(dimensions[0])
            raise ModelRefusedError(refused)
        dimension, sizes = next(iter(taken.items()))
        number = min(sizes)
        first = sizes[number]
        count = self._number_of_layers(first, dimension, number)
        if self.given is None and any(f"aten::{name}" in said.operators for name in _CLAMPS):
            self.intensities = self._intensities(first, dimension, number, count)
        static, jacobian = (
            self._memory_per_voxel(first, dimension, number, count, gradient=gradient)
            for gradient in (False, True)
        )
        limit = (memory_limit / max(jacobian, 1.0)) ** (1 / dimension)
        layers, measuring_size = self._layers(first, dimension, number, count, limit)
        return replace(
            said,
            run=True,
            arguments=("x", *self.model.arguments),
            dimensions=tuple(sorted(taken)),
            input_channels=tuple(sorted(sizes)),
            measured=(dimension, number),
            input_size=first,
            measuring_size=measuring_size,
            intensities=self.intensities,
            layers=layers,
            memory_static=static,
            memory_jacobian=jacobian,
        )

    def _taken(
        self, dimension: int, channels: Sequence[int], sizes: Sequence[int]
    ) -> Iterator[tuple[int, int]]:
        """Give the numbers of channels that the model takes, with the first size that it takes."""
        # Deep layers want larger inputs than the first one.
        asked = (_MOST_LAYERS, 1) if "nb_layers" in self.model.arguments else (1,)
        for number in channels:
            for layers, tried in ((layers, tried) for layers in asked for tried in sizes):
                if number * tried**dimension <= _MOST_NUMBERS and self._takes(
                    tried, dimension, number, layers
                ):
                    yield number, tried
                    sizes = (tried,)  # what suits one number of channels suits the others
                    break

    def _takes(self, size: int, dimension: int, channels: int, layers: int) -> bool:
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

    def _refused(self, dimensions: Sequence[int], channels: Sequence[int], size: int | None) -> str:
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

    def _takes_the_other(self, dimension: int, channels: Sequence[int], size: int | None) -> bool:
        """Tell whether the model takes inputs of 3 dimensions where 2 were tried, or of 2."""
        sizes = (size,) if size else _SIZES
        return next(self._taken(5 - dimension, channels[:3], sizes), None) is not None

    def _of_the_other(self, dimension: int) -> str:
        asked, remedy = (
            (
                "a 2D image, or --dimension 2, wants a 2D model",
                "Take one, such as `impact-plugin models mind --dimension 2` writes.",
            )
            if dimension == 2
            else (
                "--dimension 3 wants a 3D model",
                "Leave the dimension out: a 2D model sees 3D images slice by slice.",
            )
        )
        return (
            f'Model file "{self.file}" is a {5 - dimension}D model, which refused all inputs of '
            f"{dimension} dimensions; {asked}. {remedy}"
        )

    def _number_of_layers(self, size: int, dimension: int, channels: int) -> int:
        """Count the layers; a model that is told how many to give is asked for more and more."""

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

    def _intensities(
        self, size: int, dimension: int, channels: int, count: int
    ) -> tuple[float, float]:
        """Choose those that hide no part of what the layers see, where a network clamps its own."""

        def seen(intensities: tuple[float, float]) -> list[float | None]:
            measured = self.model.measure(size, dimension, channels, count, intensities, _INPUTS)
            return [sum(m.layout.reach) if m.layout else None for m in measured]

        try:
            usual, normalized = seen(_INTENSITIES), seen(_NORMALIZED)
        except _core.Error:
            return _INTENSITIES
        # A layer without a reach sees the edges of the input, or nothing of it.
        more = any(
            other is not None and (one < other if one is not None else not any(usual))
            for one, other in zip(usual, normalized, strict=True)
        )
        return _NORMALIZED if more else _INTENSITIES

    def _memory_per_voxel(
        self, size: int, dimension: int, channels: int, count: int, *, gradient: bool
    ) -> float:
        """Measure the memory that a second image of a batch adds, or that the only one takes."""

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
        return max(two - one, 0) / float(size**dimension)

    def _layers(
        self, size: int, dimension: int, channels: int, count: int, limit: float
    ) -> tuple[tuple[LayerReport, ...], int]:
        """Measure the layers on larger and larger inputs until each field of view has shown."""
        measured: list[_networks.MeasuredLayer] = []
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
                found = self.model.measure(
                    tried, dimension, channels, count, self.intensities, _INPUTS
                )
            except _core.Error:
                continue
            seconds, used = time.monotonic() - start, tried
            measured = [
                old if old.layout else new
                for old, new in zip(measured or found, found, strict=True)
            ]
            sizes = [m.size[:dimension] for m in found]
        mask = "nb_layers" in self.model.arguments
        masks = [[n == i for n in range(i + 1 if mask else count)] for i in range(len(measured))]
        whole = [self.model.runs_as_chain(each, dimension, channels) for each in masks]
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
                memory=4.0 * layer.channels * math.prod(n / used for n in sizes[i]),
                chain=whole[i],
                chains=0 if whole[i] else self.model.chains_within(masks[i], dimension, channels),
            )
            for i, layer in enumerate(measured)
        ), used


def _stride(measured: float | None, voxels: int, layer_voxels: int) -> float:
    """Give a stride as measured, where that is a whole number that fits the sizes.

    Pooling by maxima depends on few voxels, and what a decoder makes of one voxel of a coarser
    layer depends on the same; then the sizes of input and layer tell, as they do in Static mode.
    """
    if measured and measured == round(measured) and measured * (layer_voxels - 1) < 1.5 * voxels:
        return measured
    ratio = voxels / layer_voxels
    return float(round(ratio)) if ratio >= 1 else ratio
