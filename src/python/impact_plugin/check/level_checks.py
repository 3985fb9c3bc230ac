"""What is doubtful about a level's networks: what they see, how finely, in how much memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from impact_plugin.check.report import Finding, finding
from impact_plugin.parameters.patch_size import field_of_view, sufficient

if TYPE_CHECKING:
    from impact_plugin import _core, _networks

# Fewer than so many feature voxels along an axis say little of where things are.
_LEAST_FEATURES = 4
# Voxels along each axis of the largest input on which the core measures what a network sees.
_MOST_MEASURED = {2: 512, 3: 64}

_TOO_FAR = 'Use Mode "Static", which sees all of it, or LayersMask for an earlier layer.'

# Beyond so many times the available memory an estimate leaves no doubt.
_SURELY = 1.25

# Above this part of the available memory other programs decide whether it suffices.
_TIGHT = 0.7


def check_patches(
    settings: _core.LevelSettings, level: int, check: _networks.LevelCheck
) -> Iterator[Finding]:
    """Compare patches of Jacobian mode with what the networks see for one feature."""
    if settings.mode != "Jacobian":
        return
    for model in check.models:
        own = _settings_of(settings, model)
        reaches = [layer.reach for layer in model.layers if layer.reach is not None]
        strides = [layer.stride for layer in model.layers if layer.stride is not None]
        name = settings.name_of(_side(model) + "PatchSize")
        if len(reaches) < len(model.layers):
            # Measured as the core measures it, on up to so many voxels along each axis.
            most = _MOST_MEASURED[own.dimension]
            if min(own.patch_size) < most:
                yield finding(
                    "warning",
                    "patch-too-small",
                    name,
                    f'patches of {_times(own.patch_size)} voxels: what "{own.path}" sees for one '
                    f"feature does not show within {_times([most] * own.dimension)} voxels. "
                    "Features of patches are hardly those of the whole image.",
                    _TOO_FAR,
                    level,
                )
            continue
        seen = _largest(field_of_view(reach) for reach in reaches)
        enough = _largest(sufficient(r, s) for r, s in zip(reaches, strides, strict=True))
        patch = own.patch_size
        if any(p < s for p, s in zip(patch, seen, strict=True)):
            yield finding(
                "warning",
                "patch-too-small",
                name,
                f'patches of {_times(patch)} voxels cut off what "{own.path}" sees for one '
                f"feature, {_times(seen)} voxels: features are not those of the whole image.",
                f"Give {_spaced(enough)}." if max(seen) <= _MOST_MEASURED[3] else _TOO_FAR,
                level,
            )
        elif any(p > e for p, e in zip(patch, enough, strict=True)):
            saved = math.prod(patch) / math.prod(
                min(p, e) for p, e in zip(patch, enough, strict=True)
            )
            yield finding(
                "warning",
                "patch-wasteful",
                name,
                f"patches of {_times(patch)} voxels are larger than the {_times(enough)} that "
                f'"{own.path}" needs for the feature at their centre: {saved:.2g} times as many.',
                f"{_spaced([min(p, e) for p, e in zip(patch, enough, strict=True)])} suffices; a "
                "larger one changes no more than what the network normalises over.",
                level,
            )


def check_extent(
    settings: _core.LevelSettings, level: int, check: _networks.LevelCheck
) -> Iterator[Finding]:
    """Find images that are but a few voxels or features wide in VoxelSize."""
    said: set[str] = set()
    for model in check.models:
        own = _settings_of(settings, model)
        name = settings.name_of(_side(model) + "VoxelSize")
        if settings.mode != "Static" or not any(model.image_size) or name in said:
            continue
        for axis in range(own.dimension):
            size = model.image_size[axis]
            stride = max(
                (layer.stride[axis] for layer in model.layers if layer.stride), default=1.0
            )
            if size / stride >= _LEAST_FEATURES:
                continue
            most = own.voxel_size[axis] * size / stride / _LEAST_FEATURES
            of = f", of which a layer has one feature for every {stride:g}" if stride > 1 else ""
            yield finding(
                "warning",
                "image-too-small",
                name,
                f"{own.voxel_size[axis]:g} mm leaves {size} voxels of the "
                f'{_side(model).lower()} image along axis {"xyz"[axis]} for "{own.path}"{of}: '
                "too few to tell where things are.",
                f"Give at most {most:.3g} mm along that axis, or a layer with a smaller stride.",
                level,
            )
            said.add(name)
            break


def check_fineness(
    settings: _core.LevelSettings,
    level: int,
    check: _networks.LevelCheck,
    grid_spacing: float | None,
    accuracy: float | None,
) -> Iterator[Finding]:
    """Compare the distance of features in Static mode with what the level is to resolve.

    Args:
        settings: The level.
        level: Its number.
        check: What was found out about its models.
        grid_spacing: Spacing of the level's control points, mm; None if the transform has none.
        accuracy: Wanted at the last level, mm; None: not said, or not the last level.
    """
    distances = [
        max(stride * size for stride, size in zip(layer.stride, own.voxel_size, strict=False))
        for model in check.models
        for own in [_settings_of(settings, model)]
        for layer in model.layers
        if layer.stride is not None
    ]
    if settings.mode != "Static" or not distances:
        return
    finest = min(distances)
    for wanted, what in (
        (grid_spacing, "the control points of the transform are"),
        # Features are interpolated: half their distance can be told, hardly less.
        (None if accuracy is None else 2 * accuracy, "for that accuracy they may be"),
    ):
        if wanted is not None and finest > wanted * (1 + 1e-9):
            yield finding(
                "warning",
                "coarse-features",
                settings.name_of("LayersMask"),
                f"the finest selected layer has a feature every {finest:.3g} mm (its stride times "
                f"VoxelSize), and {what} {wanted:.3g} mm apart: the deep layers alone cannot tell "
                "such fine shifts.",
                "Select an earlier layer in addition, give a smaller VoxelSize, or add a model "
                "such as MIND.",
                level,
            )
            return


def check_memory(
    settings: _core.LevelSettings, level: int, check: _networks.LevelCheck, available: int
) -> Iterator[Finding]:
    """Compare what a level will take with what there is; what the core refuses is said by it."""
    if settings.gpu >= 0 or check.bytes <= _TIGHT * available:
        return
    if any(each.is_error for each in check.findings):
        return
    what = (
        "feature maps and making them"
        if settings.mode == "Static"
        else "patches and what the networks keep of them"
    )
    name = settings.name_of("VoxelSize" if settings.mode == "Static" else "PatchSize")
    # Patches are held whatever the network does; of feature maps the core refuses what is sure.
    is_sure = settings.mode != "Static" and check.bytes > _SURELY * available
    yield finding(
        "error" if is_sure else "warning",
        "memory",
        name,
        f"the {what} will take some {_gibibytes(check.bytes)} of memory, of which "
        f"{_gibibytes(available)} are available.",
        "Give a larger VoxelSize, fewer layers, or a PCA of fewer components."
        if settings.mode == "Static"
        else "Give a smaller PatchSize, fewer NumberOfSpatialSamples or fewer "
        "NumberOfSamplesForExactGradient.",
        level,
    )


def _settings_of(
    settings: _core.LevelSettings, model: _networks.CheckedModel
) -> _core.ModelSettings:
    return (settings.fixed_models if model.is_fixed else settings.moving_models)[model.number]


def _side(model: _networks.CheckedModel) -> str:
    return "Fixed" if model.is_fixed else "Moving"


def _largest(sizes: Iterator[Sequence[int]]) -> tuple[int, ...]:
    return tuple(max(along) for along in zip(*sizes, strict=True))


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _spaced(size: Sequence[int]) -> str:
    return " ".join(map(str, size))


def _gibibytes(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
