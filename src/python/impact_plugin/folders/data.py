"""What a registration gives, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.elastix.history import History
from impact_plugin.folders.record import Record
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.resampling import Resampling

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class RegistrationData:
    """What :class:`impact_plugin.RegistrationResult` consists of, which says what each is."""

    image: sitk.Image
    chain: Chain
    fixed: Geometry
    history: History
    timings: dict[str, float]
    stages: tuple[str, ...]
    stopped: bool
    output_directory: Path | None
    log: str = ""
    record: Record | None = None
    resampling: Resampling | None = None
    inputs: tuple[ImageLike, ImageLike] | None = field(default=None, repr=False, compare=False)
    initial: int = 0
