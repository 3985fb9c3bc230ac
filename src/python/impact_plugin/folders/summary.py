"""``result.json``: what a saved registration says of itself beside its images and transforms."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from impact_plugin import _json
from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms.resampling import Resampling

NAME = "result.json"


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths of the images that were registered."""

    fixed: str
    moving: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the file.

    Args:
        transform: Name of the file of the whole transform, in the same folder; None: the identity.
        fixed: Grid of the fixed image.
        stages: Names of the presets or maps that ran.
        initial: How many of the transforms were there before; None: results of before 2026-12 do
            not say it, their transforms do.
        stopped: Whether a callback ended it early.
        resampling: How the moving image became the result; None where the maps say it.
        images: The images that were registered; None where one was no file.
        timings: Seconds by what they were spent on.
        versions: Versions of the software it was made with.
    """

    transform: str | None
    fixed: Geometry
    stages: tuple[str, ...]
    initial: int | None = None
    stopped: bool
    resampling: Resampling | None = None
    images: Images | None = None
    timings: dict[str, float]
    versions: str = ""

    def write(self, folder: Path) -> None:
        """Write the file."""
        text = json.dumps(msgspec.to_builtins(self), indent=2) + "\n"
        (folder / NAME).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Summary:
        """Read the file.

        Raises:
            ValueError: It is another file of that name.
        """
        path = folder / NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            message = f"{path} is no JSON file: {error}"
            raise InputError(message) from error
        try:
            return _json.typed(found, cls)
        except ValueError as error:
            message = f"{path} is not of a saved registration: {error}"
            raise InputError(message) from None
