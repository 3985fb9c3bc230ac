"""Parameter maps that come with the package, by the names of what they are for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from impact_plugin._arguments import check_choice
from impact_plugin._errors import InputError
from impact_plugin.models.mind import FILE_NAME as MIND
from impact_plugin.models.mind import file_name as mind_file
from impact_plugin.parameters import map_files
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.registration.fitting import Fit

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "parameter_maps", _PACKAGE.parents[2] / "ParameterMaps")
"""Where the maps lie: in an installed package, and in a source tree."""


@dataclass(frozen=True)
class Preset:
    """One parameter map of the package.

    Args:
        file: Its file in ``ParameterMaps/``.
        purpose: What it is for.
        changes: Parameters with other values than in the file.
        flat: Parameters with other values than in the file for images in 2D.
        fits: Whether its lengths are those of the images, see :mod:`.fitting`; else its networks
            were trained on voxels of the size that the map has.
    """

    file: str
    purpose: str
    changes: dict[str, list[str]] = field(default_factory=dict)
    flat: dict[str, list[str]] = field(default_factory=dict)
    fits: bool = True


PRESETS: dict[str, Preset] = {
    "rigid_mind": Preset(
        "affine.txt",
        "a first alignment by translation and rotation, of one or of two modalities; no download",
        {"Transform": ["EulerTransform"]},
    ),
    "affine_mind": Preset(
        "affine.txt", "a first affine alignment, of one or of two modalities; no download"
    ),
    "mind": Preset("mind.txt", "deformable, of one or of two modalities, in seconds; no download"),
    "affine_mi": Preset(
        "affine_mi.txt",
        "a first affine alignment of any pair, by mutual information; no download",
    ),
    "mind_mi": Preset(
        "mind_mi.txt",
        "deformable, any pair: MIND beside mutual information, held smooth; no download",
        flat={"MutualInformationWeight": ["0.5", "0.5"]},
    ),
    "ct_cbct": Preset(
        "ct_cbct.txt", "deformable, CT and CT or CBCT of one patient: first layer of M730"
    ),
    "mr_ct": Preset(
        "mr_ct.txt",
        "deformable, MR and CT of one patient: deep layer of M730, MIND and MI",
        fits=False,
    ),
    "foundation_2d": Preset(
        "foundation_2d.txt", "deformable, images no medical network has seen: SAM 2.1 in planes"
    ),
    "several_models": Preset(
        "several_models.txt",
        "deformable, a hard pair, with a GPU: several models and layers",
        fits=False,
    ),
    "asymmetric": Preset(
        "asymmetric.txt", "deformable, a model of its own for each image", fits=False
    ),
}

DEFAULT: tuple[str, ...] = ("affine_mi", "mind_mi")
"""The stages where neither a preset nor a map is given: for any pair, and without a download."""


def are_default(preset: str | Sequence[str] | None, parameter_maps: object) -> bool:
    """Tell whether these are the stages of a registration for which none were named."""
    if parameter_maps is not None or isinstance(preset, str):
        return False
    return tuple(preset or DEFAULT) == DEFAULT


def load(name: str, dimension: int, fit: Fit | None = None) -> ParameterMap:
    """Give the parameter map of a preset.

    Args:
        name: Which.
        dimension: Dimension of the images: 3, or 2 if all its models are MIND.
        fit: How it is fitted to the images; None: lengths as in the file.

    Raises:
        ValueError: There is no such preset, or it is not for images of that dimension.
    """
    check_choice("dimension", dimension, (2, 3))
    preset = PRESETS.get(name)
    if preset is None:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        guess = f"; did you mean {near[0]!r}?" if near else "."
        message = f"there is no preset {name!r}{guess} The presets are: {', '.join(PRESETS)}"
        raise InputError(message)
    parameters = map_files.read(map_folder() / preset.file) | preset.changes
    if dimension == 2:
        parameters = _in_two_dimensions(name, parameters) | preset.flat
    if fit is None:
        return parameters
    return (fit if preset.fits else replace(fit, factor=1.0)).applied(parameters)


def map_folder() -> Path:
    """Give the folder of the parameter maps."""
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])


_PER_AXIS = (
    "ImagePyramidRescaleSchedule",
    "ImagePyramidSmoothingSchedule",
    "VoxelSize",
    "PatchSize",
)


def _in_two_dimensions(name: str, parameters: ParameterMap) -> ParameterMap:
    """Leave out the third axis of a map whose models are MIND."""
    has_models = "Impact" in parameters["Metric"]
    models = " ".join(parameters.get("ModelsPath", ["?"])).split() if has_models else []
    if not all(MIND.fullmatch(model) for model in models):
        flat = ", ".join(each for each in PRESETS if each.endswith(("mind", "_mi")))
        message = f"the preset {name!r} is for 3D images, and these are 2D. For 2D: {flat}"
        raise InputError(message)
    changed = dict(parameters)
    # B-splines in 2D have fewer parameters, for which elastix takes fewer points itself.
    changed.pop("NumberOfJacobianMeasurements", None)
    changed["FixedImageDimension"] = changed["MovingImageDimension"] = ["2"]
    if has_models:
        changed["Dimension"] = [value.replace("3", "2") for value in parameters["Dimension"]]
        changed["ModelsPath"] = [
            MIND.sub(lambda found: mind_file(found[1], found[2], 2), value)
            for value in parameters["ModelsPath"]
        ]
    for parameter in _PER_AXIS:
        if parameter in parameters:
            changed[parameter] = _without_third_axis(parameters[parameter])
    return changed


def _without_third_axis(values: Sequence[str]) -> list[str]:
    """Leave out the last of each three numbers.

    Example:
        >>> _without_third_axis("8 8 8 4 4 4".split()), _without_third_axis(["3*3*3 3*3*3"])
        (['8', '8', '4', '4'], ['3*3 3*3'])
    """
    if any("*" in value for value in values):
        drop: Callable[[str], str] = lambda value: " ".join(  # noqa: E731
            size.rpartition("*")[0] for size in value.split()
        )
        return [drop(value) for value in values]
    return [value for number, value in enumerate(values) if number % 3 != 2]
