"""What :func:`impact_plugin.models.inspect` finds out, printable and as plain values."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One layer of a model. Axes are x, y (, z).

    Args:
        channels: Features per voxel.
        stride: Input voxels from one voxel of the layer to the next, along each axis: measured by
            gradient, or from the layer's size where that tells nothing.
        field_of_view: Input voxels along each axis that a voxel of the layer depends on, measured
            by gradient on a few inputs (pooling by maxima may see further in others); None where
            the layer cannot be differentiated, or depends on voxels at the edges of the largest
            input that it was measured on.
        differentiable: With respect to the image, so that Jacobian mode can use it.
        memory: Bytes of its features for each voxel of the input.
        chain: Whether the metric computes it by its own kernels on the CPU: see
            ``docs/performance.md``.
        chains: How many parts of it are so computed in Static mode where the whole is not in both
            modes; 1 for MIND, which is whole.
    """

    channels: int
    stride: tuple[float, ...]
    field_of_view: tuple[int, ...] | None
    differentiable: bool
    memory: float
    chain: bool
    chains: int = 0


@dataclass(frozen=True)
class ModelReport:
    """What a model file is. The fields from ``run`` on are measured, and empty unless ``run``.

    Args:
        path: The file.
        size: Its size in bytes.
        sha256: Its SHA-256.
        signature: ``forward`` as the file has it.
        weights: Number of weights by type (``float32``).
        operators: How often each operator is written in its code, by name.
        outside: The operators that can touch more than tensors: files, the network, extensions.
        runs_on_load: Classes whose code runs as soon as the file is opened.
        run: Whether the model was run.
        arguments: What the metric calls ``forward`` with: x, and nb_layers, stats, direction.
        dimensions: 2 and 3, as far as the model takes them (``Dimension``).
        input_channels: The numbers of channels that it takes, of 1 to 8 and what its weights
            suggest (``NumberOfChannels``).
        measured: Dimension and number of input channels that the rest was measured with.
        input_size: Voxels along each axis of the first input that the model took.
        measuring_size: Voxels along each axis of the largest input that layers were measured on.
        intensities: Least and greatest intensity of the inputs that layers were measured on.
        layers: Its layers, in order.
        memory_static: Bytes at the peak for each voxel of the input, all layers, as Static mode
            runs the model.
        memory_jacobian: The same with the derivative, as Jacobian mode runs it.
    """

    path: str
    size: int
    sha256: str
    signature: str
    weights: dict[str, int]
    operators: dict[str, int]
    outside: tuple[str, ...]
    runs_on_load: tuple[str, ...]
    run: bool = False
    arguments: tuple[str, ...] = ()
    dimensions: tuple[int, ...] = ()
    input_channels: tuple[int, ...] = ()
    measured: tuple[int, int] | None = None
    input_size: int | None = None
    measuring_size: int | None = None
    intensities: tuple[float, float] | None = None
    layers: tuple[LayerReport, ...] = ()
    memory_static: float | None = None
    memory_jacobian: float | None = None

    @property
    def differentiable(self) -> bool:
        """Whether every layer can be differentiated, so that Jacobian mode can use it."""
        return bool(self.layers) and all(layer.differentiable for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Give the report as values that JSON has."""
        values = dataclasses.asdict(self)
        if self.run:
            values["differentiable"] = self.differentiable
        return values

    def describe(self, *, operators: bool = False) -> str:
        """Give the report as text, with the table of its layers.

        Args:
            operators: Whether to list the operators too.
        """
        weights = ", ".join(f"{number} {kind}" for kind, number in self.weights.items()) or "none"
        rows = [
            ("File", self.path),
            ("Size", f"{self.size} bytes"),
            ("SHA-256", self.sha256),
            ("Call", self.signature),
            ("Weights", weights),
        ]
        if self.outside:
            rows.append(("Reaches outside", ", ".join(self.outside)))
        if self.runs_on_load:
            rows.append(("Runs when opened", ", ".join(self.runs_on_load)))
        rows += self._measured_rows() if self.run else [("Layers", "not run, so not known")]
        lines = [f"{name + ':':<18}{text}" for name, text in rows]
        if self.run:
            lines += ["", *self._table()]
        if operators:
            lines += ["", "Operators:"]
            lines += [f"  {number:5}  {name}" for name, number in self.operators.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.describe()

    def _measured_rows(self) -> list[tuple[str, str]]:
        assert self.measured is not None
        low, high = self.intensities or (-100.0, 100.0)
        several = len(self.dimensions) * len(self.input_channels) > 1
        shown = f" (measured: {self.measured[0]}D, {self.measured[1]})" if several else ""
        return [
            ("Called with", ", ".join(self.arguments)),
            ("Dimension", " or ".join(map(str, self.dimensions)) + shown),
            ("Input channels", " or ".join(map(str, self.input_channels))),
            ("Differentiable", "yes" if self.differentiable else "not all layers"),
            ("Memory per voxel", self._memory()),
            *(
                []
                if (low, high) == (-100, 100)
                else [("Measured with", f"intensities {low:g} to {high:g}")]
            ),
        ]

    def _memory(self) -> str:
        if not self.memory_static and not self.memory_jacobian:
            return "not measurable: too little beside what torch holds anyway"
        return (
            f"{_bytes(self.memory_static)} in Static mode, "
            f"{_bytes(self.memory_jacobian)} in Jacobian mode, all layers"
        )

    def _table(self) -> list[str]:
        head = ("Layer", "Channels", "Stride", "Field of view", "Differentiable", "Own kernels")
        rows = [
            (
                str(number),
                str(layer.channels),
                " x ".join(f"{stride:g}" for stride in layer.stride),
                self._field_of_view(layer),
                "yes" if layer.differentiable else "no",
                "yes" if layer.chain else _parts(layer.chains) if layer.chains else "no",
            )
            for number, layer in enumerate(self.layers)
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        return [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]

    def _field_of_view(self, layer: LayerReport) -> str:
        if layer.field_of_view is not None:
            return " x ".join(map(str, layer.field_of_view))
        if not layer.differentiable:
            return "-"
        return f"not within {self.measuring_size}"


def _parts(number: int) -> str:
    return "1 part" if number == 1 else f"{number} parts"


def _bytes(number: float | None) -> str:
    if not number or not math.isfinite(number):  # nothing is what no model takes
        return "not measurable"
    return f"{number / 1000:.1f} kB" if number >= 1000 else f"{number:.0f} B"
