"""What :mod:`impact_plugin.check` says of maps and images, said by a registration before it runs.

The work is done in elastix's own process, where torch and the models are needed anyway: the process
that asks for a registration may fork later, or have another torch.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin.check.images import ImageHeader
from impact_plugin.parameters.names import has_impact

if TYPE_CHECKING:
    from impact_plugin.check.report import Finding

VARIABLE = "IMPACT_CHECKED_IMAGES"
"""Environment variable: the file that :func:`describe` wrote."""

REFUSED = "Refused before it began: stage "
"""How the line starts that has the number of a stage that cannot run, from 0."""

_SAID_BY_METRIC = ("parameter", "model")
"""Codes of what the metric itself says when its stage begins."""


def describe(path: Path, names: Sequence[str], fixed: ImageHeader, moving: ImageHeader) -> None:
    """Write what :func:`say` is to know.

    Args:
        path: Path of the file.
        names: Names of the stages.
        fixed: The fixed image.
        moving: The moving image.
    """
    said = {
        "names": list(names),
        "fixed": dataclasses.asdict(fixed),
        "moving": dataclasses.asdict(moving),
    }
    path.write_text(json.dumps(said), encoding="utf-8")


def say(arguments: Sequence[str]) -> bool:
    """Check the maps of elastix's arguments and print what is doubtful, a line for each finding.

    Errors that the metric finds itself when its stage begins are left to it; but for those of a
    later stage, which are printed as the metric does: all before it would run in vain.

    Args:
        arguments: elastix's.

    Returns:
        Whether elastix may begin.
    """
    file = os.environ.get(VARIABLE)
    if file is None:
        return True
    try:
        said = json.loads(Path(file).read_text(encoding="utf-8"))
        images = [ImageHeader(**said[side]) for side in ("fixed", "moving")]
        maps = [Path(value) for flag, value in itertools.pairwise(arguments) if flag == "-p"]
        threads = [
            int(value) for flag, value in itertools.pairwise(arguments) if flag == "-threads"
        ]
        for number, (name, path) in enumerate(zip(said["names"], maps, strict=True)):
            with _models_silent():
                findings = list(_findings(path, images, threads[0] if threads else 0))
            for finding in findings:
                if finding.severity == "warning":
                    print(f"WARNING: {name}: {finding}")
            errors = [
                str(finding)
                for finding in findings
                if finding.severity == "error" and (number or finding.code not in _SAID_BY_METRIC)
            ]
            if errors:
                print(f'{REFUSED}{number}\nMetric "Impact" cannot run:', *errors, "", sep="\n")
                return False
    except Exception as error:  # elastix says what is wrong, or all is well but for the check
        print(f"WARNING: the maps could not be checked: {type(error).__name__}: {error}")
    return True


@contextmanager
def _models_silent() -> Iterator[None]:
    """Keep what models print from standard output: the metric passes it on, marked as theirs."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # of C's buffer, which Python does not know
        os.dup2(kept, 1)
        os.close(kept)


def _findings(path: Path, images: Sequence[ImageHeader], threads: int) -> Iterator[Finding]:
    from impact_plugin.check import check_map
    from impact_plugin.parameters import map_files

    parameters = map_files.read(path)
    if has_impact(parameters):
        yield from check_map(parameters, *images, threads=threads).findings
