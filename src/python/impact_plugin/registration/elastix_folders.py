"""Registrations out of elastix's own output folders: transforms, images, and what its log says."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.elastix.history import History
from impact_plugin.images import conversion
from impact_plugin.images.grid import Geometry
from impact_plugin.registration import elastix_log
from impact_plugin.registration.elastix_log import LogFacts
from impact_plugin.registration.records import storage as records
from impact_plugin.registration.result import RegistrationResult
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.fixed_grid import grid_of

if TYPE_CHECKING:
    import SimpleITK as sitk

_TRANSFORM = re.compile(r"TransformParameters\.(\d+)\.(txt|toml)")
_VOXELS = (".raw", ".zraw", ".img")  # of headers, which are the images' files


@dataclass(frozen=True)
class ElastixFolder:
    """What elastix wrote of a registration.

    Attributes:
        folder: Where.
        last: The file of the whole transform.
        chain: That transform.
        grid: Of the fixed image.
        stages: Names of the parameter files.
        facts: What its log says; None where there is no log.
        history: The iterations.
    """

    folder: Path
    last: Path
    chain: Chain
    grid: Geometry
    stages: tuple[str, ...]
    facts: LogFacts | None
    history: History

    @classmethod
    def read(cls, folder: Path) -> ElastixFolder:
        """Read all but the image.

        Raises:
            FileNotFoundError: There is no registration in it.
            ValueError: A file in it is of another kind.
        """
        last = last_transform(folder)
        chain = Chain.read(last)
        log = folder / records.LOG
        facts = elastix_log.read(log) if log.is_file() else None
        number = _number(last)
        stages = [f"parameter file {each}" for each in range(number + 1)]
        if facts is not None and len(facts.parameters) == len(stages):
            stages = [Path(name).stem for name, _ in facts.parameters]
        said = facts is not None and len(facts.history)
        return cls(
            folder=folder,
            last=last,
            chain=chain,
            grid=grid_of(chain.maps[-1], last),
            stages=tuple(stages),
            facts=facts,
            history=facts.history if facts and said else elastix_log.read_iterations(folder),
        )

    @property
    def initial(self) -> int:
        """How many of the transforms were there before."""
        return max(0, len(self.chain.maps) - len(self.stages))

    def image(self) -> sitk.Image | None:
        """Read the registered image; None where elastix wrote none.

        Raises:
            OSError, ValueError: It cannot be read.
        """
        parameters = self.facts.parameters if self.facts else []
        texts = "\n".join(text for _, text in parameters)
        named = re.search(r'(?m)^\s*\(\s*ResultImageName\s+"([^"]+)"', texts)
        stem = f"{named[1] if named else 'result'}.{_number(self.last)}"
        files = [
            path
            for path in sorted(self.folder.glob(f"{stem}.*"))
            if path.suffix not in _VOXELS and not path.name[len(stem) :].startswith(".R")
        ]
        return conversion.to_sitk(files[0]) if files else None


def last_transform(folder: Path) -> Path:
    """Give the file of the whole transform in an output folder of elastix.

    Raises:
        FileNotFoundError: There is none.
    """
    files = [path for path in folder.glob("TransformParameters.*") if _TRANSFORM.match(path.name)]
    whole = [path for path in files if _TRANSFORM.fullmatch(path.name)]
    if not whole:
        message = (
            f"{folder} holds no registration: neither result.json, as result.save(folder) and "
            "impact-plugin register write it, nor TransformParameters.0.txt, as elastix does. "
            "Give the folder that was the output folder (-o, -out)"
        )
        raise FileNotFoundError(message)
    return max(whole, key=lambda path: (_number(path), path.suffix == ".txt"))


def load(folder: Path) -> RegistrationResult:
    """Give what elastix wrote as a result; see :meth:`RegistrationResult.load`."""
    found = ElastixFolder.read(folder)
    facts = found.facts or LogFacts()
    paths = [Path(name).expanduser() for name in (facts.fixed, facts.moving)]
    known = all(path.is_file() for path in paths)
    log = folder / records.LOG
    image = found.image()
    moving = paths[1]
    if image is None and not moving.is_file():
        where = f"where its log says, at {moving}" if facts.moving else "known: it left no log"
        message = (
            f"{folder} holds a transform and no registered image (elastix was told not to write "
            f"one), and the moving image is not {where}. Give the folder to `impact-plugin "
            f"evaluate` or `report`, or {found.last.name} as initial_transform"
        )
        raise FileNotFoundError(message)
    result = RegistrationResult(
        image=image,
        chain=found.chain,
        fixed=found.grid,
        history=found.history,
        timings=facts.timings,
        stages=found.stages,
        stopped=False,
        output_directory=folder,
        log=log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "",
        record=records.read(folder) if (folder / records.NAME).is_file() else None,
        inputs=(paths[0], paths[1]) if known else None,
        initial=found.initial,
    )
    if image is not None:
        return result
    outside = float(found.chain.maps[-1].get("DefaultPixelValue", ["0"])[0])
    return replace(result, image=result.warp(conversion.to_sitk(moving), default=outside))


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])
