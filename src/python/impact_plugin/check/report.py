"""What checking a parameter map finds, for people and for scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from impact_plugin import _devices
from impact_plugin._deprecated import warn_of_old_name

Severity = Literal["error", "warning"]

SCHEMA_VERSION = 1
"""Version of what :meth:`Report.to_dict` gives: raised where a key changes its meaning or goes."""


@dataclass(frozen=True)
class Finding:
    """Something that cannot be, or is doubtful.

    Attributes:
        severity: "error": elastix will refuse the map, or fail. "warning": it runs, but hardly as
            meant.
        code: Which check it is from; ``docs/checking.md`` lists them.
        parameter: As the user wrote it; empty where it is about none.
        line: Where in the file, from 1; None where the parameter is not there, or there is no file.
        levels: The resolution levels it holds for; empty: all of the map.
        message: What is wrong, in whole sentences.
        remedy: What to do.
        kind: Finer than the code where that is "parameter" or "model", for instance "missing-file";
            else empty.
        path: Path of the model file it is about; empty if it is about none.
    """

    severity: Severity
    code: str
    parameter: str
    line: int | None
    levels: tuple[int, ...]
    message: str
    remedy: str
    kind: str = ""
    path: str = ""

    def __str__(self) -> str:
        front = self.parameter
        if front and self.levels:
            numbers = [str(level) for level in self.levels]
            listed = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
            front += f" (resolution level{'s' if len(numbers) > 1 else ''} {listed})"
        text = f"{self.message} {self.remedy}".strip()
        return f"{front}: {text}" if front else text


def finding(
    severity: Severity, code: str, parameter: str, message: str, remedy: str, *levels: int
) -> Finding:
    """Give a finding; its line in the file is looked up where there is one."""
    return Finding(severity, code, parameter, None, levels, message, remedy)


@dataclass(frozen=True)
class LevelMemory:
    """What a resolution level will take.

    Attributes:
        level: Its number, from 0.
        mode: "Static" or "Jacobian".
        device: Whose memory it is: "cpu", or a GPU such as "cuda:0".
        bytes: At the peak, an estimate: feature maps and what making them takes (Static); patches
            and what the networks keep of them for the way back (Jacobian). None where images or
            models are missing.
    """

    level: int
    mode: str
    device: str
    bytes: int | None

    @property
    def gpu(self) -> int:
        """Former name of ``device``: the GPU's number, -1 for the CPU."""
        warn_of_old_name("LevelMemory.gpu", "LevelMemory.device")
        return _devices.number_of(self.device)

    def to_dict(self) -> dict[str, Any]:
        """Give it in the types of JSON, with ``gpu`` for those who read it by that name."""
        return {**asdict(self), "gpu": _devices.number_of(self.device)}


@dataclass(frozen=True)
class Report:
    """All that was found in one parameter map.

    Attributes:
        source: The file's name; empty for a map that comes from no file.
        findings: Errors and warnings, in the order of the file where they have a line.
        memory: What each level will take; empty where the map could not be read.
        available_bytes: Memory that this process may still use.
    """

    source: str
    findings: tuple[Finding, ...]
    memory: tuple[LevelMemory, ...] = ()
    available_bytes: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What elastix will refuse."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is doubtful."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """Give everything in the types of JSON; the keys are listed in ``docs/checking.md``."""
        return {
            "file": self.source,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [{**asdict(f), "levels": list(f.levels)} for f in self.findings],
            "memory": [level.to_dict() for level in self.memory],
            "available_bytes": self.available_bytes,
        }

    def __str__(self) -> str:
        lines = []
        for finding in self.findings:
            place = ":".join(filter(None, [self.source, str(finding.line or "")]))
            lines.append(
                f"{place}: {finding.severity}: {finding}"
                if place
                else f"{finding.severity}: {finding}"
            )
        return "\n".join(lines)
