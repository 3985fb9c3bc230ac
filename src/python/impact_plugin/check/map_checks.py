"""What is wrong or doubtful about the parameters around the metric, and about the images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from impact_plugin.check.images import ImageError, ImageHeader
from impact_plugin.check.intensities import clips_most, expects_hu, why_not_hu
from impact_plugin.check.pyramids import LEAST_SMOOTHED, resampling, smoothing
from impact_plugin.check.report import Finding, finding
from impact_plugin.parameters.values import as_integer, as_number

if TYPE_CHECKING:
    from impact_plugin import _core

# elastix's own defaults: ImageSamplers, AdaptiveStochasticGradientDescent.
_SAMPLES = 5000
_SAMPLES_FOR_EXACT_GRADIENT = 100000

ParameterMap = Mapping[str, list[str]]


def check_components(parameters: ParameterMap) -> Iterator[Finding]:
    """Find names of components that elastix does not have."""
    from impact_plugin.elastix import components

    for parameter, name, guess in components.unknown(parameters):
        yield finding(
            "error",
            "component",
            parameter,
            f'elastix has no "{name}".',
            f"{guess[0].upper()}{guess[1:]}.",
        )


def check_pyramids(
    parameters: ParameterMap, number_of_levels: int, dimension: int
) -> Iterator[Finding]:
    """Find image pyramids that resample the images before the metric does."""
    said: set[tuple[object, ...]] = set()
    for side in ("Fixed", "Moving"):
        found = resampling(parameters, side, number_of_levels, dimension)
        if found is None:
            continue
        ones = " ".join(["1"] * (number_of_levels * dimension))
        shown = ", ".join(" x ".join(map(str, factors)) for factors in found.factors)
        key = (found.remedy, found.factors)
        if key in said:
            continue  # one schedule for both images
        said.add(key)
        both = (
            resampling(parameters, "Moving", number_of_levels, dimension)
            if side == "Fixed"
            else None
        )
        whose = (
            "the images are"
            if both and (both.remedy, both.factors) == key
            else f"the {side.lower()} image is"
        )
        default = " by elastix's own schedule, since none is given" if found.is_default else ""
        yield finding(
            "warning",
            "pyramid-resamples",
            found.parameter,
            f"{whose} made smaller{default} ({shown} times, level by level) before the metric "
            "resamples to VoxelSize: networks see what is left of them.",
            f"Give ({found.remedy} {ones}).",
            *found.levels,
        )


def check_thinness(
    parameters: ParameterMap, images: Mapping[str, ImageHeader], number_of_levels: int
) -> Iterator[Finding]:
    """Find images with too few slices for a pyramid that smooths them. Keys as there."""
    for side, image in images.items():
        name = smoothing(parameters, side.capitalize(), number_of_levels, image.dimension)
        if name is not None and min(image.size) < LEAST_SMOOTHED:
            zeros = " ".join(["0"] * (number_of_levels * image.dimension))
            pyramid = f'({name} "{side.capitalize()}GenericImagePyramid") and '
            is_schedule = name.endswith("Schedule")
            schedule = name if is_schedule else "ImagePyramidSmoothingSchedule"
            yield finding(
                "error",
                "image-too-thin",
                name,
                f"the {side} image {image.quoted}has {' x '.join(map(str, image.size))} voxels, "
                f"and elastix smooths none with fewer than {LEAST_SMOOTHED} along an axis.",
                f"Give {'' if is_schedule else pyramid}({schedule} {zeros}), or images with more "
                "slices.",
            )


def check_samples(parameters: ParameterMap, has_jacobian: bool) -> Iterator[Finding]:
    """Find optimizers that estimate their steps from very many samples in Jacobian mode."""
    if not has_jacobian or not _estimates_steps(parameters):
        return
    if "NumberOfSamplesForExactGradient" not in parameters:
        yield finding(
            "warning",
            "exact-gradient-samples",
            "AutomaticParameterEstimation",
            "elastix estimates its step sizes from up to 100000 samples at the start of each "
            "level: minutes in Jacobian mode.",
            "Give (NumberOfSamplesForExactGradient 20000).",
        )


def number_of_samples(parameters: ParameterMap, level: int, fixed: ImageHeader | None) -> int:
    """Give the most samples that an evaluation of a level has.

    Args:
        parameters: The map.
        level: Number of the level.
        fixed: The fixed image, of which no more than all voxels are taken for an exact gradient.
    """
    samples = _number(parameters, "NumberOfSpatialSamples", level, _SAMPLES)
    if not _estimates_steps(parameters):
        return samples
    exact = _number(
        parameters, "NumberOfSamplesForExactGradient", level, _SAMPLES_FOR_EXACT_GRADIENT
    )
    return max(samples, exact if fixed is None else min(exact, math.prod(fixed.size)))


def grid_spacing(parameters: ParameterMap, level: int, number_of_levels: int) -> float | None:
    """Give the distance of a B-spline's control points at a level, mm; None if not known."""
    if "BSpline" not in " ".join(parameters.get("Transform", ())):
        return None
    final = _float(parameters, "FinalGridSpacingInPhysicalUnits", 0)
    if final is None:
        return None
    schedule = parameters.get("GridSpacingSchedule", [])
    per_level = max(1, len(schedule) // number_of_levels)
    factor = _float(parameters, "GridSpacingSchedule", level * per_level)
    if factor is None:
        factor = 2.0 ** (number_of_levels - 1 - level)
    return final * factor


def check_control_points(
    spacing: float | None, level: int, fixed: ImageHeader | None, available: int
) -> Iterator[Finding]:
    """Find grids of control points that no memory holds.

    Args:
        spacing: Distance of the level's control points, mm; None if there are none.
        level: Number of the level.
        fixed: The fixed image, if it is known.
        available: Bytes of memory.
    """
    if spacing is None or spacing <= 0 or fixed is None:
        return
    sides = [n * mm for n, mm in zip(fixed.size, fixed.spacing, strict=True)]
    number = math.prod(side / spacing + 3.0 for side in sides)
    # Position, gradient, their scaled counterparts and what elastix keeps of them: doubles.
    needed = 4 * 8 * number * fixed.dimension
    if needed > available:
        yield finding(
            "error",
            "memory",
            "FinalGridSpacingInPhysicalUnits",
            f"{number:.2g} control points at distances of {spacing:g} mm in an image of "
            f"{' x '.join(f'{side:.4g}' for side in sides)} mm take at least "
            f"{needed / 2**30:.1f} GiB of memory, of which {available / 2**30:.1f} are available.",
            "Give a larger distance; where the image is not that large, look at its spacing (mm).",
            level,
        )


def check_images(parameters: ParameterMap, images: Mapping[str, ImageHeader]) -> Iterator[Finding]:
    """Compare the images with each other and with the map. Keys: "fixed" and "moving"."""
    dimensions = {side: image.dimension for side, image in images.items()}
    if len(set(dimensions.values())) > 1:
        yield finding(
            "error",
            "image",
            "",
            f"the fixed image has dimension {dimensions['fixed']}, the moving image "
            f"{dimensions['moving']}.",
            "Give two images of the same dimension.",
        )
        return
    for side, image in images.items():
        name = f"{side.capitalize()}ImageDimension"
        given = parameters.get(name)
        if given and as_integer(given[0]) != image.dimension:
            yield finding(
                "error",
                "image",
                name,
                f'"{given[0]}" is not allowed, because the {side} image {image.quoted}has '
                f"dimension {image.dimension}.",
                f"Give {image.dimension}, or leave it out.",
            )


def check_directions(
    parameters: ParameterMap, images: Mapping[str, ImageHeader]
) -> Iterator[Finding]:
    """Find maps that leave out where the images' axes point."""
    said = parameters.get("UseDirectionCosines", ["true"])
    if said[:1] not in (["true"], ["false"]):
        yield finding(
            "error",
            "direction-cosines",
            "UseDirectionCosines",
            f"it is {' '.join(said)!r}.",
            'Allowed: "true" and "false".',
        )
        return
    if said[:1] == ["true"]:
        return
    turned = [
        f'the {side} image "{each.path}"' for side, each in images.items() if not each.is_upright
    ]
    if images and not turned:
        return
    which = f"those of {' and '.join(turned)} are not" if turned else "in most files they are not"
    yield finding(
        "warning",
        "direction-cosines",
        "UseDirectionCosines",
        f"elastix takes the images' axes for x, y and z, and {which}: impact-elastix's transform "
        "files will hold for images without direction cosines, and images whose axes differ start "
        "turned. register_images gives its transform in world coordinates all the same.",
        'Give (UseDirectionCosines "true").',
    )


def check_intensities(
    levels: Sequence[_core.LevelSettings], images: Mapping[str, ImageHeader]
) -> Iterator[Finding]:
    """Find images without Hounsfield units, or brighter, than networks that go with them expect."""
    for side, image in images.items():
        of_model: dict[str, list[int]] = {}
        models: dict[str, _core.ModelSettings] = {}
        for number, settings in enumerate(levels):
            for model in settings.fixed_models if side == "fixed" else settings.moving_models:
                of_model.setdefault(model.path, []).append(number)
                models.setdefault(model.path, model)
        for path, numbers in of_model.items():
            reason = expects_hu(path)
            try:
                why_not = why_not_hu(image) if reason else None
                clipped_at = None if reason else clips_most(models[path], image)
            except ImageError as error:
                yield finding("error", "image", "", f"the {side} image {error}", "")
                break
            name = levels[numbers[0]].name_of(f"{side.capitalize()}ModelsPath")
            if clipped_at is not None:
                yield finding(
                    "warning",
                    "intensities",
                    name,
                    f'"{path}" makes no difference between intensities above {clipped_at:g}, the '
                    f"mean of the {side} image {image.quoted.rstrip()}: it clips them, and does "
                    "not see most of the image.",
                    "Scale the images as the network was trained, to 0 to 1, say.",
                    *numbers,
                )
            if why_not is not None:
                yield finding(
                    "warning",
                    "intensities",
                    name,
                    f'"{path}" expects Hounsfield units, because {reason}; but the {side} image '
                    f"{image.quoted}{why_not}.",
                    "Use images in HU, not windowed and not normalised, or a model for any "
                    "modality.",
                    *numbers,
                )


def _estimates_steps(parameters: ParameterMap) -> bool:
    optimizers = " ".join(parameters.get("Optimizer", ["AdaptiveStochasticGradientDescent"]))
    automatic = parameters.get("AutomaticParameterEstimation", ["true"])
    return "AdaptiveStochastic" in optimizers and automatic[:1] != ["false"]


def _number(parameters: ParameterMap, name: str, level: int, default: int) -> int:
    value = _float(parameters, name, level)
    return default if value is None or value < 1 else int(value)


def _float(parameters: ParameterMap, name: str, place: int) -> float | None:
    values = parameters.get(name, [])
    return as_number(values[place] if place < len(values) else values[0]) if values else None
