"""What elastix.log says of a registration besides its transform."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

from impact_plugin.elastix.errors import Reasons
from impact_plugin.elastix.history import History
from impact_plugin.elastix.levels import Levels
from impact_plugin.elastix.log import ElastixLog, duration_of

_START = re.compile(r"=+ start of ParameterFile: (.*?) =+$")
_END = re.compile(r"=+ end of ParameterFile: ")
_OPTION = re.compile(r"-([fm])\d*\s+(\S.*)$")
_VERSION = re.compile(r"\s*(?:(elastix|ITK) version|Git revision SHA): (\S+)", re.IGNORECASE)
_PROGRAMS = {"elastix": "elastix", "itk": "ITK", "": "elastix's commit"}
_LONGEST = 300


@dataclass
class LogFacts:
    """What was read out of a log.

    Attributes:
        fixed: Path of the fixed image as elastix was given it, "" if the log does not say.
        moving: Path of the moving image, the same.
        history: The iterations.
        timings: Seconds by what they were spent on.
        parameters: Names and texts of the parameter files.
        versions: Versions of elastix and the libraries it is built on.
        warnings: Each once, with how often it was said.
        finished: Whether elastix ended as it should.
    """

    fixed: str = ""
    moving: str = ""
    history: History = field(default_factory=lambda: History.of([]))
    timings: dict[str, float] = field(default_factory=dict)
    parameters: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    finished: bool = False


def read(path: Path) -> LogFacts:
    """Read a log; what is no log of elastix gives no facts."""
    facts, log = LogFacts(), ElastixLog()
    warnings: dict[str, int] = {}
    text: list[str] | None = None
    total = None
    levels, reasons = Levels(), Reasons()
    with path.open(encoding="utf-8", errors="replace") as file:
        for raw in file:
            line = raw.rstrip("\n")
            if text is not None:
                if _END.match(line):
                    name = facts.parameters[-1][0]
                    facts.parameters[-1] = (name, "\n".join(text).strip("\n") + "\n")
                    text = None
                else:
                    text.append(line)
                continue
            if start := _START.match(line):
                facts.parameters.append((Path(start[1]).name, ""))
                text = []
            elif (option := _OPTION.match(line)) and not option[2].startswith("unspecified"):
                name = "fixed" if option[1] == "f" else "moving"
                setattr(facts, name, getattr(facts, name) or option[2].strip())
            elif version := _VERSION.match(line):
                facts.versions.setdefault(_PROGRAMS[(version[1] or "").lower()], version[2])
            elif line.startswith("Total time elapsed"):
                total, facts.finished = duration_of(line), True
            else:
                log.feed(line)
                is_reason = reasons.has(line)
                if levels.of(line) >= logging.WARNING or is_reason:
                    shown = line.strip()[:_LONGEST]
                    warnings[shown] = warnings.get(shown, 0) + 1
    facts.history = _history(log)
    facts.timings = log.times(total) if total else {}
    facts.warnings = [
        said if count == 1 else f"{said} ({count} times)" for said, count in warnings.items()
    ]
    return facts


def read_iterations(folder: Path) -> History:
    """Read the files ``IterationInfo.<stage>.R<level>.txt`` that elastix writes."""
    found = []
    for path in folder.glob("IterationInfo.*.R*.txt"):
        if numbers := re.fullmatch(r"IterationInfo\.(\d+)\.R(\d+)\.txt", path.name):
            found.append((int(numbers[1]), int(numbers[2]), path))
    log = ElastixLog()
    for stage, level, path in sorted(found):
        log.feed(f'Running elastix with parameter file {stage}: "".')
        log.feed(f"Resolution: {level}")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            log.feed(line)
    return _history(log)


def _history(log: ElastixLog) -> History:
    return History.of(row for level in log.levels for row in level.iterations)
