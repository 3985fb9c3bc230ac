"""The registrations of `make bench`: networks and parameter maps.

Most cases have one level of a few iterations, to measure the time of one: with steps given
(AutomaticParameterEstimation "false") and so small (SP_a) that the transform stays where it starts,
for the peer spends most of a minute on estimating steps in Jacobian mode. The cases named whole are
elastix's own two test maps as they stand, with 2000 samples and a written result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FLOAT = 4  # bytes

METRICS = {
    "peer": "Impact",
    "ours": "Impact",
    "torch": "Impact",  # ours, with its own chains of convolutions off: torch runs the networks
    "mi": "AdvancedMattesMutualInformation",
    "ncc": "AdvancedNormalizedCorrelation",
}
ALL = tuple(METRICS)
BOTH = ("peer", "ours", "torch")


@dataclass(frozen=True)
class Network:
    """The shape of a network of 3x3x3 convolutions.

    Args:
        name: Its file without the ending, unless `file` is given.
        convolutions: Input channels, output channels and stride, in order.
        outputs: The convolutions whose channels, after norm and activation, are its layers.
        file: The file's name without the ending, where it is not `name`.
        mask: Of the file's layers those that are these; by default all.
    """

    name: str
    convolutions: tuple[tuple[int, int, float], ...]
    outputs: tuple[int, ...]
    file: str = ""
    mask: str = ""

    @property
    def layers_mask(self) -> str:
        """A digit for each layer of the file."""
        return self.mask or "1" * len(self.outputs)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each layer."""
        return tuple(self.convolutions[index][1] for index in self.outputs)

    def flops(self) -> float:
        """Floating point operations of the convolutions, done directly, per voxel of the input."""
        total, share = 0.0, 1.0
        for inputs, outputs, stride in self.convolutions:
            share /= stride**3
            total += 2 * 27 * inputs * outputs * share
        return total

    def patch_flops(self, side: int) -> float:
        """The same on a whole cubic patch, without the products with the zeros around it."""
        total = 0.0
        for inputs, outputs, stride in self.convolutions:
            zeros = 1 if stride > 1 and side % 2 == 0 else 2  # taps beyond the ends of an axis
            side = math.ceil(side / stride)
            total += 2 * inputs * outputs * (3 * side - zeros) ** 3
        return total

    def traffic(self) -> float:
        """Bytes moved per voxel of the input, each operation reading and writing once.

        A convolution reads its input and writes its output; the norm reads that for its mean and
        variance, and once more to write it normalised and activated.
        """
        total, share = 0.0, 1.0
        for inputs, outputs, stride in self.convolutions:
            total += inputs * share * FLOAT
            share /= stride**3
            total += 4 * outputs * share * FLOAT
        return total


def plain(channels: int, name: str = "") -> Network:
    """Two convolutions, each with norm and activation, of so many channels."""
    shape = ((1, channels, 1), (channels, channels, 1))
    return Network(name or f"random-{channels}", shape, (1,))


M730 = plain(32, "M730_1_Layers")  # of elastix's test data; the others have random weights
ENCODER = Network("encoder", ((1, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1)), (1, 3))
CHANNELS = (1, 8, 32, 128, 256)


def field(layer: int) -> Network:
    """One layer of a network as the field's files have it (field_network.py), all in one file.

    Args:
        layer: 1 to 6, of the encoder; 7, the last one of the decoder.
    """
    channels = (32, 64, 128, 256, 320, 320)
    down = [
        unit
        for number, (inputs, outputs) in enumerate(zip((1, *channels), channels, strict=False))
        for unit in ((inputs, outputs, 2.0 if number else 1.0), (outputs, outputs, 1.0))
    ]
    up = [unit for c in channels[-2::-1] for unit in ((2 * c, c, 0.5), (c, c, 1.0))]
    units = down[: 2 * layer] if layer < 7 else [*down, *up]
    mask = "0" * (layer - 1) + "1"
    return Network(f"field-{layer}", tuple(units), (len(units) - 1,), "field", mask)


FIELD = (field(1), field(2), field(7))
RANDOM_NETWORKS = (*map(plain, CHANNELS), ENCODER, *FIELD)


@dataclass(frozen=True)
class Case:
    """One registration, done by several methods.

    Args:
        name: Folder of its results.
        mode: Of the metric.
        samples: Spatial samples of an iteration.
        iterations: How many; the first is not counted.
        networks: One or several models.
        patch: Voxels along a side of a patch, in Jacobian mode.
        voxel: VoxelSize in mm. The control points lie 30 mm apart at 3 mm, 10 mm at 1 mm.
        methods: Keys of METRICS.
        repeats: At most so many times; few where a run is long.
        single_thread: Whether it runs on one thread, whatever was asked for.
        quick: Whether it belongs to `--quick`.
    """

    name: str
    mode: str
    samples: int = 2000
    iterations: int = 30
    networks: tuple[Network, ...] = (M730,)
    patch: int = 5
    voxel: float = 3
    methods: tuple[str, ...] = BOTH
    repeats: int = 3
    single_thread: bool = False
    quick: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is a whole registration of elastix's test map."""
        return self.name.startswith("whole")

    @property
    def channels(self) -> int:
        """Channels of all layers of all models."""
        return sum(sum(network.channels) for network in self.networks)

    def values(self) -> dict[str, str]:
        """The parameters of a map that differ from elastix's test map; the models are not named."""
        size = " ".join([f"{self.voxel:g}"] * 3)
        patch = " ".join([str(self.patch if self.mode == "Jacobian" else 0)] * 3)
        layers = [channels for network in self.networks for channels in network.channels]
        models = len(self.networks)

        def each(value: str, count: int) -> str:
            return " ".join([value] * count)

        return {
            **single_level(self.samples, self.iterations, 30 if self.voxel > 1 else 10),
            "Metric": '"Impact"',
            "ImpactMode": f'"{self.mode}"',
            "ImpactDimension0": each("3", models),
            "ImpactNumberOfChannels0": each("1", models),
            "ImpactPatchSize0": each(patch, models),
            "ImpactVoxelSize0": each(size, models),
            "ImpactLayersMask0": " ".join(f'"{n.layers_mask}"' for n in self.networks),
            "ImpactSubsetFeatures0": " ".join(map(str, layers)),
            "ImpactLayersWeight0": each("1", len(layers)),
            "ImpactPCA0": each("0", len(layers)),
            "ImpactDistance0": each('"L2"', len(layers)),
        }


def single_level(samples: int, iterations: int, grid: float) -> dict[str, str]:
    """The parameters of one level of small, given steps."""
    return {
        "NumberOfResolutions": "1",
        "ImagePyramidRescaleSchedule": "1 1 1",
        "ImagePyramidSmoothingSchedule": "1 1 1",
        "ImagePyramidSchedule": "1 1 1",
        "GridSpacingSchedule": "1",
        "FinalGridSpacingInPhysicalUnits": f"{grid:g}",
        "MaximumNumberOfIterations": str(iterations),
        "NumberOfSpatialSamples": str(samples),
        "AutomaticParameterEstimation": '"false"',
        "UseAdaptiveStepSizes": '"false"',
        "SP_a": "0.001",
        "WriteTransformParametersEachResolution": '"false"',
    }


def _cases() -> tuple[Case, ...]:
    static = [
        Case("static-500", "Static", 500, 60, methods=ALL),
        Case("static-2000", "Static", 2000, 40, methods=ALL, quick=True),
        Case("static-20000", "Static", 20000, 10, methods=ALL),
        Case("static-1mm-500", "Static", 500, 40, voxel=1, methods=ALL, repeats=1),
        Case("static-1mm-2000", "Static", 2000, 30, voxel=1, methods=ALL),
        Case("static-1mm-20000", "Static", 20000, 10, voxel=1, methods=ALL, repeats=1),
        Case("static-two-models", "Static", networks=(M730, plain(32))),
        Case("static-encoder", "Static", networks=(ENCODER,)),
        Case("static-field-1", "Static", networks=FIELD[:1], repeats=2),
        Case("static-field-7", "Static", networks=FIELD[2:], repeats=2),
        Case("static-field-7-1.5mm", "Static", networks=FIELD[2:], voxel=1.5, repeats=1),
        *(
            Case(
                f"static-channels-{n}",
                "Static",
                networks=(plain(n),),
                iterations=10 if n > 128 else 20,
                repeats=2,
            )
            for n in CHANNELS
        ),
    ]
    jacobian = [
        Case("jacobian-5-500", "Jacobian", 500, 40),
        Case("jacobian-5-2000", "Jacobian", 2000, 25, quick=True),
        Case("jacobian-5-20000", "Jacobian", 20000, 5, repeats=2),
        Case("jacobian-5-2000-1mm", "Jacobian", 2000, 15, voxel=1),
        Case("jacobian-11-500", "Jacobian", 500, 10, patch=11),
        Case("jacobian-11-2000", "Jacobian", 2000, 5, patch=11),
        Case("jacobian-11-5000", "Jacobian", 5000, 4, patch=11, repeats=1),
        Case("jacobian-11-20000", "Jacobian", 20000, 2, patch=11, repeats=1),
        *(
            Case(f"jacobian-{size}-500", "Jacobian", 500, 15, patch=size, repeats=2)
            for size in (3, 7, 9)
        ),
        Case("jacobian-two-models", "Jacobian", 500, 20, networks=(M730, plain(32)), repeats=2),
        Case("jacobian-5-field-1", "Jacobian", 2000, 25, networks=FIELD[:1]),
        Case("jacobian-11-field-2", "Jacobian", 2000, 4, networks=FIELD[1:2], patch=11, repeats=2),
        Case("jacobian-encoder", "Jacobian", 500, 20, networks=(ENCODER,), repeats=2),
        *(
            Case(
                f"jacobian-channels-{n}",
                "Jacobian",
                samples=500,
                networks=(plain(n),),
                iterations=5 if n > 32 else 20,
                repeats=2,
            )
            for n in CHANNELS
        ),
    ]
    one_thread = [
        Case("static-2000-one-thread", "Static", 2000, 40, methods=("ours",), single_thread=True),
        Case(
            "jacobian-5-2000-one-thread",
            "Jacobian",
            2000,
            25,
            methods=("ours",),
            single_thread=True,
        ),
    ]
    whole = [
        Case("whole-static", "Static", repeats=2),
        Case("whole-jacobian", "Jacobian", repeats=2),
    ]
    return (*static, *jacobian, *one_thread, *whole)


CASES = _cases()


@dataclass(frozen=True)
class Sweep:
    """Cases that differ in one thing."""

    title: str
    along: str
    cases: Mapping[int, str]  # how much of it, and the case


SWEEPS = (
    Sweep("Static, 3 mm", "samples", {n: f"static-{n}" for n in (500, 2000, 20000)}),
    Sweep("Static, 1 mm", "samples", {n: f"static-1mm-{n}" for n in (500, 2000, 20000)}),
    Sweep("Jacobian, 5x5x5", "samples", {n: f"jacobian-5-{n}" for n in (500, 2000, 20000)}),
    Sweep(
        "Jacobian, 11x11x11", "samples", {n: f"jacobian-11-{n}" for n in (500, 2000, 5000, 20000)}
    ),
    Sweep("Static", "channels", {n: f"static-channels-{n}" for n in CHANNELS}),
    Sweep("Jacobian, 5x5x5", "channels", {n: f"jacobian-channels-{n}" for n in CHANNELS}),
    Sweep("Jacobian", "patch voxels", {n**3: f"jacobian-{n}-500" for n in (3, 5, 7, 9, 11)}),
)


def with_values(text: str, **values: str) -> str:
    """Give a parameter file's text with other values for some parameters."""
    for name, value in values.items():
        text = re.sub(rf"(?m)^\({name} .*\n", "", text) + f"({name} {value})\n"
    return text


def parameter_map(case: Case, method: str, test_map: str, models: Mapping[str, Path]) -> str:
    """The parameter file of a case.

    Args:
        case: The case.
        method: One of METRICS.
        test_map: elastix's test map of the case's mode.
        models: The files of the networks, by name.

    Returns:
        Its text, with the models by their absolute paths.
    """
    if case.whole:
        text = re.sub(r'"(\./)?M730_1_Layers.pt"', f'"{models[M730.name]}"', test_map)
        return with_values(
            text,
            NumberOfSpatialSamples=str(case.samples),
            WriteResultImage='"true"',
            ResultImageFormat='"mha"',
        )
    paths = " ".join(f'"{models[network.name]}"' for network in case.networks)
    text = re.sub(r"(?m)^\(Impact\w+[01] .*\n", "", test_map)
    text = with_values(text, **case.values(), ImpactModelsPath0=paths)
    if METRICS[method] != "Impact":
        text = re.sub(r"(?m)^\(Impact.*\n", "", text)
        text = with_values(text, Metric=f'"{METRICS[method]}"')
    return text
