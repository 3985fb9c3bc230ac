"""What a report tells of a registration, wherever it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from impact_plugin.elastix.history import History
from impact_plugin.folders.record import Record
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass
class Content:
    """A registration as a report tells of it.

    Attributes:
        title: Its name.
        chain: Its transforms, the initial one among them.
        fixed_geometry: Grid of the fixed image.
        stages: Names of the parameter maps that ran.
        history: Its course.
        timings: Seconds by what they were spent on.
        stopped: Whether a callback ended it early.
        initial: How many of the chain's transforms were there before.
        registered: The moving image on the fixed grid, if it was kept.
        fixed: The fixed image, or where it is; None if that is not known.
        moving: The moving image likewise.
        parameters: Titles and texts of its parameter files.
        versions: Of what it was made with, by name.
        warnings: What elastix and the metric warned of.
        notes: What the report lacks, and why.
        record: The record.json beside it; None where there is none.
    """

    title: str
    chain: Chain
    fixed_geometry: Geometry
    stages: tuple[str, ...]
    history: History
    timings: dict[str, float]
    stopped: bool = False
    initial: int = 0
    registered: sitk.Image | None = None
    fixed: ImageLike | None = None
    moving: ImageLike | None = None
    parameters: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    record: Record | None = None

    @property
    def steps(self) -> list[tuple[str, Chain]]:
        """Give the transforms that images are shown after: by name, the whole one last."""
        found = [("as the images lie", Chain())]
        if self.initial:
            before = Chain(self.chain.maps[: self.initial], self.chain.fields)
            found.append(("after the initial transform", before))
        return [*found, ("registered", self.chain)]
