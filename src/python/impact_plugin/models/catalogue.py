"""The public models of the IMPACT metric, and the names that people know them by.

They lie on the Hugging Face hub, in the repository ``VBoussot/impact-torchscript-models``. Most
of what is said of them here comes from the authors' build scripts, the model card and the
TotalSegmentator releases, and could not be compared with the files: ``verified`` tells.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from impact_plugin._errors import InputError

REPOSITORY = "VBoussot/impact-torchscript-models"
"""The repository on the Hugging Face hub."""

REVISION = "47ffad660e67cebbac8d74aecf0fa181c5dac042"
"""The commit of the repository that files are taken from, and what its models.json says of them;
one file per model. It is the one that KonfAI 1.8 takes them from, too."""

OLD_REVISION = "48f69637cdb56fdd2947bb5c4b67a38a82814ac7"
"""The first commit, which has a file for each number of layers (``TS/M730_2_Layers.pt``)."""


class UnknownModelError(InputError):
    """No public model has this name."""


@dataclass(frozen=True)
class PublicModel:
    """One file of the repository.

    Args:
        name: What to call it, ``TS/M730``.
        file: Its path in the repository, ``TS/M730.pt``.
        family: The network that it was made from.
        about: What that network was trained for.
        dimension: 2 or 3 (``Dimension``).
        input_channels: ``NumberOfChannels``.
        layers: Channels of each layer.
        strides: Input voxels from one voxel of a layer to the next, for each layer.
        field_of_view: Input voxels along each axis that a voxel of a layer depends on, for each
            layer; None where not known, or all of the input.
        multiple: What the sizes of an input must be multiples of; None where not known, or any.
        voxel_size: In mm: what the network was trained at, so what its deep layers want; None where
            not known, or any.
        expects: ``"HU"`` for models that want Hounsfield units, else ``"any"``.
        verified: Whether dimension, channels, layers, strides and field of view were measured on a
            file, rather than taken from what is written of it.
        measured_on: The SHA-256 of that file, which is the one of this name in elastix's test data.
        sha256: SHA-256 of the file, where known beforehand; else the hub's own word is taken.
        revision: Commit of the repository that has it.
        aliases: Other names.
        differences: Where the hub's models.json says something else than the table of this package,
            in words; see :func:`impact_plugin.models.online_catalogue`.
    """

    name: str
    file: str
    family: str
    about: str
    dimension: Literal[2, 3]
    input_channels: int
    layers: tuple[int, ...]
    strides: tuple[int, ...]
    field_of_view: tuple[int | None, ...]
    voxel_size: float | None = None
    expects: Literal["HU", "any"] = "any"
    verified: bool = False
    measured_on: str | None = None
    sha256: str | None = None
    revision: str = REVISION
    aliases: tuple[str, ...] = ()
    multiple: int | None = None
    differences: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the entry as values that JSON has."""
        return asdict(self)


def catalogue() -> tuple[PublicModel, ...]:
    """List the public models, one entry per file of today's names.

    :func:`find` also knows the old names, of files for each number of layers.
    """
    return _MODELS


def find(name: str) -> PublicModel:
    """Find a public model by any of its names.

    Args:
        name: ``"TS/M730"``, ``"M730"``, ``"TS/M730.pt"``; an old name, which means that file itself
            (``"M730_2_Layers.pt"``: two layers); another one (``"SAM2.1"``, ``"DINOv2"``,
            ``"Anatomix"``, ``"MIND"``), in capitals or not; or a path that ends with one of these.

    Raises:
        UnknownModelError: No model has this name. The message has the nearest.
    """
    wanted = re.sub(r"^.*\bmodels/", "", name.strip().replace("\\", "/"), flags=re.IGNORECASE)
    known = _names()
    parts = wanted.lower().removesuffix(".pt").split("/")
    candidates = ["/".join(parts), "/".join(parts[-2:])]
    if len(parts) == 1 or parts[-2] not in {key.partition("/")[0] for key in known if "/" in key}:
        candidates.append(parts[-1])
    for candidate in candidates:
        if model := known.get(candidate):
            return model
    names = {key: model.name for key, model in known.items()}
    near = difflib.get_close_matches(wanted.lower().removesuffix(".pt"), names, 12, 0.6)
    nearest = list(dict.fromkeys(names[key] for key in near))[:4]
    suggested = f" Nearest: {', '.join(nearest)}." if nearest else ""
    message = (
        f'No public model is named "{name}".{suggested} `impact-plugin models list` lists all.'
    )
    raise UnknownModelError(message)


def _names() -> dict[str, PublicModel]:
    """Give all names in lower case, without .pt."""
    known: dict[str, PublicModel] = {}
    for model in (*_MODELS, *_old_models()):
        for name in (model.name, model.name.rpartition("/")[2], *model.aliases):
            known.setdefault(name.lower(), model)
    return known


def _encoder(levels: int) -> tuple[list[int], list[int], list[int | None]]:
    """Channels, strides and fields of view of a U-Net's encoder: two 3x3x3 convolutions a level.

    The first of each level but the topmost has stride 2.
    """
    view, stride, views, strides = 1, 1, [], []
    for level in range(levels):
        view += 2 * stride
        stride *= 1 if level == 0 else 2
        view += 2 * stride
        views.append(view)
        strides.append(stride)
    return [32, 64, 128, 256, 320, 320][:levels], strides, [*views]


def _total_segmentator(
    number: int, about: str, labels: int, voxel_size: float | None, levels: int, modality: str
) -> PublicModel:
    """One network of TotalSegmentator: its encoder, the decoder's last layer, and the labels."""
    channels, strides, views = _encoder(levels)
    return PublicModel(
        name=f"TS/M{number}",
        file=f"TS/M{number}.pt",
        family=f"TotalSegmentator {modality}",
        about=about,
        dimension=3,
        input_channels=1,
        layers=(*channels, 32, labels),
        strides=(*strides, 1, 1),
        field_of_view=(*views, None, None),
        voxel_size=voxel_size,
        expects="HU" if modality == "CT" else "any",
    )


def _mind(radius: int, dilation: int, dimension: Literal[2, 3]) -> PublicModel:
    name = f"MIND/R{radius}D{dilation}_{dimension}D"
    return PublicModel(
        name=name,
        file=f"{name}.pt",
        family="MIND",
        about="descriptor by formula; impact_plugin.models.mind() makes one without a download",
        dimension=dimension,
        input_channels=1,
        layers=({2: 4, 3: 12}[dimension],),
        strides=(1,),
        field_of_view=(2 * (radius + dilation) + 1,),
        aliases=(f"MIND/R{radius}D{dilation}", f"R{radius}D{dilation}") if dimension == 3 else (),
    )


def _sam(size: str, channels: tuple[int, ...], aliases: tuple[str, ...]) -> PublicModel:
    return PublicModel(
        name=f"SAM2.1/SAM2.1_{size}",
        file=f"SAM2.1/SAM2.1_{size}.pt",
        family="SAM 2.1",
        about="segmentation of photographs, promptable; the encoder",
        dimension=2,
        input_channels=3,
        layers=channels,
        strides=(4, 8, 16, 32),
        field_of_view=(29, 29, None, None),
        aliases=aliases,
    )


_TS = (
    (258, "lung vessels in CT", 3, None, 6, "CT"),
    (291, "organs in CT", 25, 1.5, 6, "CT"),
    (292, "vertebrae in CT", 27, 1.5, 6, "CT"),
    (293, "heart and vessels in CT", 19, 1.5, 6, "CT"),
    (294, "muscles and bones in CT", 24, 1.5, 6, "CT"),
    (295, "ribs in CT", 27, 1.5, 6, "CT"),
    (297, "all structures in CT, 3 mm", 118, 3.0, 5, "CT"),
    (298, "all structures in CT, 6 mm", 118, 6.0, 5, "CT"),
    (730, "organs in MR and CT", 30, 1.5, 6, "MR"),
    (731, "muscles and bones in MR and CT", 28, 1.5, 6, "MR"),
    (732, "all structures in MR and CT, 3 mm", 57, 3.0, 5, "MR"),
    (733, "all structures in MR and CT, 6 mm", 57, 6.0, 4, "MR"),
    (850, "organs in MR and CT, more images", 30, 1.5, 6, "MR"),
    (851, "muscles and bones in MR and CT, more images", 22, 1.5, 6, "MR"),
    (852, "all structures in MR and CT, 3 mm, more images", 51, 3.0, 5, "MR"),
    (853, "all structures in MR and CT, 6 mm, more images", 51, 6.0, 4, "MR"),
)
_MEASURED_MIND = "35834f9aa5f2885f93a4cd0ab65812da207f908e4264083f4175e1a07d1fe909"
_MEASURED_M730 = "2c4adabe47012e9da7c9d74ffe506bd6e60638494b3351d3c16f36d816aa926a"


def _models() -> Iterator[PublicModel]:
    also = {
        730: ("TotalSegmentator_MR", "TotalSegmentator MR"),
        291: ("TotalSegmentator", "TotalSegmentator_CT", "TotalSegmentator CT"),
    }
    for row in _TS:
        yield replace(_total_segmentator(*row), aliases=also.get(row[0], ()))
    for dimension in (3, 2):
        for radius in (1, 2):
            for dilation in (1, 2):
                model = _mind(radius, dilation, dimension)
                if model.name == "MIND/R1D2_2D":
                    model = replace(model, verified=True, measured_on=_MEASURED_MIND)
                if model.name == "MIND/R1D2_3D":
                    model = replace(model, aliases=(*model.aliases, "MIND"))
                yield model
    yield _sam("Tiny", (96, 192, 384, 768), ("SAM2.1", "SAM2", "SAM", "SAM2.1_Tiny"))
    yield _sam("Small", (96, 192, 384, 768), ())
    yield PublicModel(
        name="DinoV2/Small",
        file="DinoV2/Small.pt",
        family="DINOv2",
        about="self-supervised features of photographs; one vector for a patch of 14 x 14",
        dimension=2,
        input_channels=3,
        layers=(384,),
        strides=(14,),
        field_of_view=(14,),
        aliases=("DINOv2", "DINO", "dinov2_vits14"),
    )
    yield PublicModel(
        name="Anatomix/Anatomix",
        file="Anatomix/Anatomix.pt",
        family="Anatomix",
        about="features of synthetic volumes, the same whatever the contrast",
        dimension=3,
        input_channels=1,
        layers=(16,),
        strides=(1,),
        field_of_view=(None,),
        aliases=("Anatomix",),
    )


def _old_models() -> Iterator[PublicModel]:
    """Files of the first commit: for each number of layers one."""
    for model in _MODELS:
        network = model.name.rpartition("/")[2].removeprefix("SAM2.1_")
        is_old = model.family.startswith("TotalSegmentator") and network < "M8"
        if not is_old and model.name not in ("SAM2.1/SAM2.1_Tiny", "DinoV2/Small"):
            continue
        for count in range(1, len(model.layers) + 1):
            name = f"{model.name.partition('/')[0]}/{network}_{count}_Layers"
            old = replace(
                model,
                name=name,
                file=f"{name}.pt",
                about=f"{model.about}; the first {count} layer(s)",
                layers=model.layers[:count],
                strides=model.strides[:count],
                field_of_view=model.field_of_view[:count],
                revision=OLD_REVISION,
                aliases=(),
            )
            if name == "TS/M730_1_Layers":
                old = replace(old, verified=True, measured_on=_MEASURED_M730)
            yield old


_MODELS = tuple(_models())
