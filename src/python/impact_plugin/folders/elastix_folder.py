"""Registrations out of elastix's own output folders: transforms, images, and what its log says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.elastix.history import History
from impact_plugin.folders import LOG, elastix_log
from impact_plugin.folders.elastix_log import LogFacts
from impact_plugin.images import conversion
from impact_plugin.images.grid import Geometry
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
        log = folder / LOG
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


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])
