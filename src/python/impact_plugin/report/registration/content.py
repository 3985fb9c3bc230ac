"""The content of a registration's report, whatever its source."""

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
    """What a report says about a registration.

    Attributes:
        title: Title of the page.
        chain: The transforms, including the initial one.
        fixed_geometry: Grid of the fixed image.
        stages: Names of the parameter maps that ran.
        history: The iterations.
        timings: Seconds, by what they were spent on.
        stopped: Whether a callback ended the registration early.
        initial: How many transforms of the chain belong to the initial transform.
        registered: The moving image on the fixed grid, if it was kept.
        fixed: The fixed image or its path; None if unknown.
        moving: The moving image or its path; None if unknown.
        parameters: Titles and texts of the parameter files.
        versions: Versions of the programs and libraries used, by name.
        warnings: Warnings of elastix and the metric.
        notes: What is missing from the report, and why.
        record: The registration's record.json; None if there is none.
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
        """Names and transforms with which the images are shown; the whole transform comes last."""
        found = [("as the images lie", Chain())]
        if self.initial:
            before = Chain(self.chain.maps[: self.initial], self.chain.fields)
            found.append(("after the initial transform", before))
        return [*found, ("registered", self.chain)]
