"""How much a network sees for one feature, measured by gradient."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path

from impact_plugin.parameters.errors import ParameterError, Problem
from impact_plugin.parameters.level import Level
from impact_plugin.parameters.network import Model, Network
from impact_plugin.parameters.writing import write_levels


def patch_size_for(network: Network) -> tuple[int, ...]:
    """Give the smallest patch in which the feature at the centre is what it is in the whole image.

    Args:
        network: The network; its patch size does not count.

    Returns:
        Voxels along x, y (, z): for each axis the most that a selected layer needs, see
        :func:`sufficient`.

    Raises:
        ParameterError: The file cannot be opened, does not fit the layers' mask or the channels, or
            what it sees cannot be measured: a network that wants images of one size, or sees all of
            its input. Give `patch_size` then.
    """
    path = Path(network.path)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        stamp = 0
    return _measured(str(path), stamp, network.dimension, network.channels, network.layers_mask)


def field_of_view(reach: Sequence[float]) -> tuple[int, ...]:
    """Give the voxels that a feature depends on, along each axis, from the reach to each side."""
    return tuple(math.ceil(2 * value - 1e-9) + 1 for value in reach)


def sufficient(reach: Sequence[float], stride: Sequence[float]) -> tuple[int, ...]:
    """Give the patch that suffices for a layer, in voxels along each axis.

    A layer with the input's voxels needs what one feature sees. One with a stride has a voxel at
    the patch's centre only by chance: up to a stride more to each side, rounded up, for the
    features between which the centre lies.
    """
    return tuple(
        2 * math.ceil(r + (s - 1 if s > 1 else 0) - 1e-9) + 1
        for r, s in zip(reach, stride, strict=True)
    )


@functools.lru_cache(maxsize=256)
def _measured(
    path: str, stamp: int, dimension: int, channels: int, layers_mask: str
) -> tuple[int, ...]:
    del stamp  # part of the cache's key: another file has another
    from impact_plugin import _core, _networks  # loads torch's libraries

    # One way into the core: a map, through its parser.
    model = Model(
        path=path,
        voxel_size=1,
        dimension=dimension,
        channels=channels,
        layers_mask=layers_mask,
        patch_size=0,
    )
    written = write_levels([Level(models=model, mode="Static")])
    (settings,), _ = _core.parse_settings(written, 1, dimension)
    check = _networks.check_level(settings, True)
    errors = [Problem(f.front + f.text, remedy=f.remedy) for f in check.findings if f.is_error]
    if errors:
        raise ParameterError(errors)
    sizes = []
    most = 512 if dimension == 2 else 64  # of patches anybody wants
    for layer in check.models[0].layers:
        seen = None if layer.reach is None else field_of_view(layer.reach)
        if seen is None or layer.stride is None or max(seen) > most:
            found = f"is more than {most} voxels" if seen else "cannot be measured"
            text = f'what "{path}" sees for one feature {found}.'
            remedy = 'Give patch_size, or use mode "Static", which sees the whole image.'
            raise ParameterError([Problem(text, remedy=remedy)])
        assert layer.reach is not None
        sizes.append(sufficient(layer.reach, layer.stride))
    return tuple(max(along) for along in zip(*sizes, strict=True))


def decided(level: Level) -> Level:
    """Give a level with every patch size that is None measured.

    Raises:
        ParameterError: A model's file cannot be opened or run.
    """

    def measured(network: Network) -> Network:
        if network.patch_size is not None:
            return network
        size = 0 if level.mode == "Static" else patch_size_for(network)
        return dataclasses.replace(network, patch_size=size)

    models = []
    for model in level.pairs:
        size = measured(model.network).patch_size
        moving = None if model.moving is None else measured(model.moving)
        models.append(dataclasses.replace(model, patch_size=size, moving=moving))
    return dataclasses.replace(level, models=models)
