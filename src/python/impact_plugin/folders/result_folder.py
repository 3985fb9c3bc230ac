"""The reader of output folders of registrations, whether we saved them or elastix wrote them."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impact_plugin._errors import MissingFileError
from impact_plugin._io import expanded
from impact_plugin.elastix.history import History
from impact_plugin.folders import LOG, RECORD, elastix_log, record_file, summary
from impact_plugin.folders.elastix_log import LogFacts
from impact_plugin.folders.record import Record
from impact_plugin.folders.summary import Summary
from impact_plugin.images import conversion
from impact_plugin.images.files import read_image
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.fixed_grid import grid_of
from impact_plugin.transforms.initial import AUTOMATIC

if TYPE_CHECKING:
    import SimpleITK as sitk

_TRANSFORM = re.compile(r"TransformParameters\.(\d+)\.(txt|toml)")
_VOXELS = (".raw", ".zraw", ".img")  # of headers, which are the images' files


class ResultFolder:
    """What lies in the output folder of a registration; each file is read when it is asked for.

    What a file lacks is raised where it is asked for: ``FileNotFoundError`` where there is no
    registration, or a file of it is missing; ``ValueError`` where one is of another kind.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def summary(self) -> Summary | None:
        """What we saved of it; None of what elastix wrote alone."""
        there = (self.path / summary.NAME).is_file()
        return Summary.read(self.path) if there else None

    @cached_property
    def facts(self) -> LogFacts | None:
        """What its log says; None where there is no log."""
        log = self.path / LOG
        return elastix_log.read(log) if log.is_file() else None

    @cached_property
    def log(self) -> str:
        """Elastix's log in full, "" where there is none."""
        log = self.path / LOG
        return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""

    @cached_property
    def record(self) -> Record | None:
        """Its record; None where there is none."""
        return record_file.read(self.path) if (self.path / RECORD).is_file() else None

    @cached_property
    def last(self) -> Path:
        """The file of the whole transform, as elastix names it."""
        files = [each for each in self.path.glob("TransformParameters.*") if _match(each)]
        if not files:
            message = (
                f"{self.path} holds no registration: neither result.json, as result.save(folder) "
                "and impact-plugin register write it, nor TransformParameters.0.txt, as elastix "
                "does. Give the folder that was the output folder (-o, -out)"
            )
            raise MissingFileError(message)
        return max(files, key=lambda path: (_number(path), path.suffix == ".txt"))

    @cached_property
    def chain(self) -> Chain:
        """The transforms, the initial one among them."""
        return Chain() if self.file is None else Chain.read(self.file)

    @cached_property
    def file(self) -> Path | None:
        """The file of the whole transform, see :attr:`chain`; None of the identity."""
        if self.summary is None:
            return self.last
        return self.path / self.summary.transform if self.summary.transform else None

    @cached_property
    def fixed(self) -> Geometry:
        """Grid of the fixed image."""
        said = self.summary
        return grid_of(self.chain.maps[-1], self.last) if said is None else said.fixed

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the presets or maps that ran."""
        if self.summary is not None:
            return self.summary.stages
        number = _number(self.last) + 1
        if self.facts is not None and len(self.facts.parameters) == number:
            return tuple(Path(name).stem for name, _ in self.facts.parameters)
        return tuple(f"parameter file {each}" for each in range(number))

    @property
    def stopped(self) -> bool:
        """Whether a callback ended it early."""
        return self.summary is not None and self.summary.stopped

    @property
    def initial(self) -> int:
        """How many of the transforms were there before."""
        if self.summary is not None and self.summary.initial is not None:
            return self.summary.initial
        return 0 if self.stopped else max(0, len(self.chain.maps) - len(self.stages))

    @cached_property
    def history(self) -> History:
        """The iterations."""
        if self.summary is not None:
            return History.read(self.path / "history.csv")
        if self.facts is not None and len(self.facts.history):
            return self.facts.history
        return elastix_log.read_iterations(self.path)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by what they were spent on."""
        if self.summary is not None:
            return self.summary.timings
        return self.facts.timings if self.facts else {}

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Names and texts of the parameter files."""
        files = sorted(self.path.glob("Parameters.*.txt")) if self.summary else []
        found = [(path.name, path.read_text(errors="replace")) for path in files]
        return found or (self.facts.parameters if self.facts else [])

    @property
    def inputs(self) -> tuple[Path, Path] | None:
        """Paths of the fixed and the moving image; None where they are not known."""
        if self.summary is not None:
            paths = self.summary.images
            return (Path(paths.fixed), Path(paths.moving)) if paths else None
        facts = self.facts or LogFacts()
        fixed, moving = (Path(name).expanduser() for name in (facts.fixed, facts.moving))
        return (fixed, moving) if fixed.is_file() and moving.is_file() else None

    def image(self) -> sitk.Image | None:
        """Read the registered image; None where elastix wrote none.

        Raises:
            OSError, ValueError: It cannot be read.
        """
        if self.summary is not None:
            return read_image(self.path / "result.mha")
        texts = "\n".join(text for _, text in (self.facts or LogFacts()).parameters)
        named = re.search(r'(?m)^\s*\(\s*ResultImageName\s+"([^"]+)"', texts)
        stem = f"{named[1] if named else 'result'}.{_number(self.last)}"
        files = [
            path
            for path in sorted(self.path.glob(f"{stem}.*"))
            if path.suffix not in _VOXELS and not path.name[len(stem) :].startswith(".R")
        ]
        return conversion.to_sitk(files[0]) if files else None


def transform_in(given: Any, name: str = "initial_transform") -> Any:  # noqa: ANN401
    """Give the transform file of a folder with a registration; anything else as it was given.

    Args:
        given: What a caller gave as transform.
        name: What messages call it.

    Raises:
        FileNotFoundError: The folder holds no registration.
    """
    if not isinstance(given, str | os.PathLike) or given in AUTOMATIC:
        return given
    path = expanded(given)
    if not path.is_dir():
        return given
    try:
        return ResultFolder(path).file
    except MissingFileError as error:
        message = f"{name}: {error}"
        raise MissingFileError(message) from error


def _match(path: Path) -> bool:
    return _TRANSFORM.fullmatch(path.name) is not None


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])
