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
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._arguments import check_choice, integer
from impact_plugin._errors import InputError
from impact_plugin._io import replacing
from impact_plugin._numbers import plain_arguments
from impact_plugin.models.errors import ExportError
from impact_plugin.models.files import target_path
from impact_plugin.models.normalization import Normalization, parse

if TYPE_CHECKING:
    from torch import nn


@plain_arguments
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
    its derivative. Where the network takes only multiples of some number of voxels, as most
    decoders do, the file repeats the image's last voxels up to such a size, and cuts the layers
    back.

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
        raise InputError(message)
    dimension, channels = _kind_of_input(module, dimension, channels, repeat_grey)
    target = target_path(path, f"{type(module).__name__}.pt")

    from impact_plugin.models.export_job import ExportJob  # slow: it imports torch
    from impact_plugin.models.layer_outputs import check_names

    check_names(module, layers)
    _check_place(module)
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        job = ExportJob(module, list(layers), steps, repeat_grey, dimension, channels, intensities)
        example = job.example(size)
        with warnings.catch_warnings(), replacing(target) as unfinished:
            # Tracing warns of each decision in Python; whether one matters, the comparison tells.
            warnings.simplefilter("ignore")
            if not fixed_size:
                job.find_multiples(example)
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
    where = "; it can be left out where the network has a Conv2d or Conv3d"
    check_choice("dimension", dimension, (2, 3), where)
    assert dimension is not None
    return dimension, integer("channels", channels, 1)


def _check_place(module: nn.Module) -> None:
    for name, weight in module.named_parameters():
        if weight.device.type != "cpu":
            message = (
                f'The weights "{name}" are on {weight.device}. Move the network to the CPU first '
                "(module.cpu()); the model file runs on either."
            )
            raise ExportError(message)
