"""Files of DICOM series, as they are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

TAGS = {
    "uid": "0020|000e",
    "modality": "0008|0060",
    "description": "0008|103e",
    "frame": "0020|0052",
    "instance": "0008|0018",
    "position": "0020|0032",
    "orientation": "0020|0037",
    "spacing": "0028|0030",
    "TemporalPositionIdentifier": "0020|0100",
    "AcquisitionNumber": "0020|0012",
    "EchoTime": "0018|0081",
    "DiffusionBValue": "0018|9087",
    "ImageType": "0008|0008",
    "TriggerTime": "0018|1060",
    "AcquisitionTime": "0008|0032",
    "InstanceNumber": "0020|0013",
}
VOLUMES = tuple(name for name in TAGS if name[0].isupper())
"""The tags by which slices at one place may differ, the telling ones first."""


@dataclass(frozen=True)
class Slice:
    """A file of a series, usually one slice.

    Args:
        file: Its path.
        size: Columns, rows and frames.
        pixel_type: SimpleITK's number for it.
        tags: What it has of those that are looked at, by name.
    """

    file: str
    size: tuple[int, ...]
    pixel_type: int
    tags: dict[str, str]

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.file).name

    def numbers(self, tag: str, count: int) -> tuple[float, ...] | None:
        """Give the numbers of a tag, None where it has not so many that are finite."""
        try:
            found = tuple(float(text) for text in self.tags.get(tag, "").split("\\"))
        except ValueError:
            return None
        return found if len(found) == count and all(map(math.isfinite, found)) else None
