"""What the hub's ``models.json`` says of its models, beside the table of this package.

For each file its ``dimension``, ``numberofchannels``, ``fov``, the field of view of each layer (or
null: whole images only), and, where the sizes of an input must be multiples of some number, that as
``multiple``. What may be missing is then the table's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, cast

import msgspec

from impact_plugin._errors import InputError
from impact_plugin._json import typed
from impact_plugin.models.archive import stored_kernels
from impact_plugin.models.catalogue import PublicModel

FILE = "models.json"
"""Its path in the repository."""

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Entry(msgspec.Struct, frozen=True):
    """What is said of one file."""

    dimension: Annotated[int, msgspec.Meta(ge=2, le=3)]
    numberofchannels: _Count
    fov: list[_Count | None] | None
    multiple: _Count | None = None


Registry: TypeAlias = Mapping[str, Entry]
"""By the paths of files in the repository."""


def read(path: Path) -> Registry:
    """Read a ``models.json``.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none: the message is one line on the first such place.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (UnicodeError, json.JSONDecodeError, RecursionError) as error:
        message = f"it is no JSON: {error}"
        raise InputError(message) from None
    entries = typed(data, dict[str, Entry])
    for name in entries:
        # It becomes a path on this machine.
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) or ".." in name:
            message = f"{name!r} is no path of a file in a repository, such as TS/M730.pt"
            raise InputError(message)
    return entries


def described(model: PublicModel, entry: Entry) -> PublicModel:
    """Give what is known of a model with what its entry says, and where the two differ."""
    views = model.field_of_view
    told = tuple([None] * len(views) if entry.fov is None else entry.fov)
    return replace(
        model,
        dimension=cast("Literal[2, 3]", entry.dimension),
        input_channels=entry.numberofchannels,
        field_of_view=told,
        multiple=entry.multiple,
        differences=tuple(_differences(model, entry, told)) if model.family else (),
    )


def of_file(file: str, revision: str) -> PublicModel:
    """Give what is known of a file that the table of this package does not have."""
    about = f"not in the table of this package: see {FILE}, or inspect it"
    return PublicModel(
        file.removesuffix(".pt"), file, "", about, 3, 1, (), (), (), revision=revision
    )


def check(entry: Entry, path: Path) -> None:
    """Compare what is said of a file with the weights in it; nothing in it is run.

    Raises:
        ValueError: It cannot be so, or the file is no model.
    """
    kernels = stored_kernels(path)
    axes = {len(kernel) - 2 for kernel in kernels}
    if axes and entry.dimension not in axes:
        message = (
            f"it is said to be for {entry.dimension}D images, and all convolutions in it are "
            f"{axes.pop()}D"
        )
        raise InputError(message)
    channels = sorted({kernel[1] for kernel in kernels if len(kernel) == entry.dimension + 2})
    # One channel may be repeated in the file, and groups take a part of the channels each.
    fitting = [each for each in channels if entry.numberofchannels % each == 0]
    if channels and not fitting and entry.numberofchannels > 1:
        message = (
            f"it is said to take {entry.numberofchannels} channels, and its convolutions take "
            f"{', '.join(map(str, channels))}"
        )
        raise InputError(message)


def _differences(model: PublicModel, entry: Entry, told: tuple[int | None, ...]) -> Iterator[str]:
    if entry.dimension != model.dimension:
        yield f"{entry.dimension}D, not {model.dimension}D"
    if entry.numberofchannels != model.input_channels:
        yield f"{entry.numberofchannels} input channels, not {model.input_channels}"
    if len(told) != len(model.field_of_view):
        yield f"{len(told)} layers, not {len(model.field_of_view)}"
    for number, (view, ours) in enumerate(zip(told, model.field_of_view, strict=False)):
        if ours is not None and view != ours:
            yield f"layer {number} sees {view or 'whole images'}, not {ours}"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse names that stand twice, of which one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"{twice!r} stands in it twice"
        raise InputError(message)
    return found
