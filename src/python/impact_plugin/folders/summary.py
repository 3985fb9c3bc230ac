"""``result.json``: what a saved registration says of itself beside its images and transforms."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from impact_plugin.images.grid import Geometry
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.resampling import Resampling

NAME = "result.json"

_KEYS = ("transform", "fixed", "timings", "stages", "stopped")


@dataclass(frozen=True)
class Summary:
    """What stands in the file.

    Args:
        transform: Name of the file of the whole transform, in the same folder; None: the identity.
        fixed: Grid of the fixed image.
        stages: Names of the presets or maps that ran.
        initial: How many of the transforms were there before; None: results of before 2026-12 do
            not say it, their transforms do.
        stopped: Whether a callback ended it early.
        resampling: How the moving image became the result; None where the maps say it.
        images: Absolute paths of the images that were registered; None where one was no file.
        timings: Seconds by what they were spent on.
        versions: Of what it was made with.
    """

    transform: str | None
    fixed: Geometry
    stages: tuple[str, ...]
    initial: int | None
    stopped: bool
    resampling: Resampling | None
    images: dict[str, str] | None
    timings: dict[str, float]
    versions: str

    def write(self, folder: Path) -> None:
        """Write the file."""
        (folder / NAME).write_text(json.dumps(asdict(self), indent=2) + "\n")

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
            raise ValueError(message) from error
        missing = [key for key in _KEYS if not isinstance(found, dict) or key not in found]
        if missing:
            message = f"{path} is not of a saved registration: it has no {', '.join(missing)}"
            raise ValueError(message)
        resampling: dict[str, Any] | None = found.get("resampling")
        return cls(
            transform=found["transform"],
            fixed=Geometry(**{name: tuple(values) for name, values in found["fixed"].items()}),
            stages=tuple(found["stages"]),
            initial=found.get("initial"),
            stopped=found["stopped"],
            resampling=Resampling(**resampling) if resampling else None,
            images=found.get("images"),
            timings=found["timings"],
            versions=str(found.get("versions") or ""),
        )


@dataclass(frozen=True)
class SavedTransform:
    """The transform of a saved registration, and what its parts are.

    Args:
        fixed: Grid of the fixed image.
        chain: The transforms.
        stages: Names of the presets or maps that ran.
        initial: How many of the transforms were there before.
        stopped: Whether a callback ended it early.
    """

    fixed: Geometry
    chain: Chain
    stages: tuple[str, ...]
    initial: int
    stopped: bool

    @classmethod
    def read(cls, folder: Path) -> SavedTransform:
        """Read it from the folder of a saved registration.

        Raises:
            FileNotFoundError: A file of a transform is not there.
            ValueError: A file is of another kind.
        """
        return cls.of(Summary.read(folder), folder)

    @classmethod
    def of(cls, summary: Summary, folder: Path) -> SavedTransform:
        """Read the transforms that a summary names."""
        chain = Chain.read(folder / summary.transform) if summary.transform else Chain()
        known = 0 if summary.stopped else max(0, len(chain.maps) - len(summary.stages))
        initial = known if summary.initial is None else int(summary.initial)
        return cls(summary.fixed, chain, summary.stages, initial, summary.stopped)
