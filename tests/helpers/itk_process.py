"""A process with the stock itk in it, which takes seconds to start and so serves many tests.

It also keeps itk out of the tests' own process, where modules that link elastix may have been
loaded before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from helpers.images import Array, Image
from helpers.parameter_maps import ParameterMap

_PROGRAM = Path(__file__).resolve().parents[1] / "programs" / "itk_worker.py"


class ItkError(Exception):
    """What a call of itk raised.

    Attributes:
        kind: The exception's type.
        text: Its text.
        log: What elastix wrote to its log file.
    """

    def __init__(self, kind: str, text: str, log: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text
        self.log = log


@dataclass(frozen=True)
class Registration:
    """What a registration gave: the maps of its transforms, and its log."""

    maps: list[ParameterMap]
    log: str
    moving: Image = field(repr=False)

    @property
    def parameters(self) -> Array:
        """The parameters of the last transform."""
        return np.array(self.maps[-1]["TransformParameters"], dtype=float)

    @property
    def values(self) -> list[float]:
        """The metric's values, iteration after iteration, over all levels."""
        return [float(value) for value in re.findall(r"(?m)^\d+\t(\S+)\t", self.log)]


@contextmanager
def opened(folder: Path, site: Path | None = None) -> Iterator[ItkProcess]:
    """Give a process, as :class:`ItkProcess` says, and see that it ends well."""
    process = ItkProcess(folder, site)
    yield process
    code = process.close()
    assert code in (0, None), f"exit code {code}; stderr:\n{process.stderr()}"


class ItkProcess:
    """The process. It starts at the first call and, should it die, again at the next.

    Args:
        folder: For its files; the process runs in it.
        site: The folder of packages that Python has there, by default as here.
    """

    def __init__(self, folder: Path, site: Path | None = None) -> None:
        self._folder = folder
        # Without -S, the packages of this environment would come after those.
        self._flags = [] if site is None else ["-S"]
        # Threads that wait must not keep a processor busy that others could use.
        self._environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        if site is not None:
            self._environment["PYTHONPATH"] = str(site)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The process's number; None before the first call."""
        return self._process.pid if self._process else None

    def register(
        self,
        fixed: Image,
        moving: Image,
        maps: ParameterMap | Sequence[ParameterMap],
        *,
        masks: Mapping[str, Image] | None = None,
        threads: int = 0,
        initial: Sequence[ParameterMap] = (),
    ) -> Registration:
        """Register with ``itk.ElastixRegistrationMethod``.

        Args:
            fixed: Fixed image.
            moving: Moving image.
            maps: One parameter map, or several for stages one after the other.
            masks: For "fixed", for "moving": images of 0 and 1.
            threads: Threads of elastix; 0 for its default.
            initial: Maps of initial transforms.

        Raises:
            ItkError: The call raised.
        """
        folder = self._folder / "out"
        folder.mkdir(exist_ok=True)
        log = folder / "elastix.log"
        log.unlink(missing_ok=True)
        try:
            result = self._call(
                "register",
                fixed=_fields(fixed),
                moving=_fields(moving),
                maps=[maps] if isinstance(maps, dict) else list(maps),
                folder=str(folder),
                masks={side: _fields(mask) for side, mask in (masks or {}).items()},
                threads=threads,
                initial=list(initial),
            )
        except ItkError as error:
            error.log = log.read_text() if log.exists() else ""
            raise
        return Registration(result, log.read_text(), moving)

    def transform_points(self, registration: Registration, points: Array) -> Array:
        """Map points (N, dimension), mm, by the transform that a registration found."""
        text = self._call(
            "transform_points",
            moving=_fields(registration.moving),
            maps=registration.maps,
            points=points,
        )
        found = re.findall(r"OutputPoint = \[([^\]]*)\]", text)
        return np.array([place.split() for place in found], dtype=float)

    def execute(self, code: str, **arguments: object) -> Any:  # noqa: ANN401  (what the code makes)
        """Run code that leaves something in ``result``; it finds ``itk`` and the arguments."""
        return self._call("execute", code=code, arguments=arguments)

    def close(self) -> int | None:
        """End the process and give its exit code; None if it never ran."""
        if self._process is None or self._connection is None:
            return None
        self._connection.close()
        code = self._process.wait(60)
        self._process = self._connection = None
        return code

    def stderr(self) -> str:
        """Give what the process has written to stderr."""
        path = self._folder / "stderr.txt"
        return path.read_text() if path.exists() else ""

    def _call(self, name: str, **arguments: object) -> Any:  # noqa: ANN401  (as the function)
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._connection is not None
        try:
            self._connection.send((name, arguments))
            answer = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._process.wait(60)
            self._process = self._connection = None
            message = (
                f"the process died with exit code {code}; its stderr:\n{self.stderr()[-4000:]}"
            )
            raise RuntimeError(message) from None
        if not answer[0]:
            raise ItkError(answer[1], answer[2], "")
        return answer[1]

    def _start(self) -> None:
        ours, theirs = Pipe()
        with theirs, (self._folder / "stderr.txt").open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, *self._flags, str(_PROGRAM), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=stderr,
                stderr=stderr,
                cwd=self._folder,
                env=self._environment,
            )
        self._connection = ours


def _fields(image: Image) -> dict[str, object]:
    return {"voxels": image.voxels} | {
        name: getattr(image.grid, name) for name in ("spacing", "origin", "direction")
    }
