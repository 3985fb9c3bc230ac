"""Finds the cause of a failed registration in elastix's output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from impact_plugin._errors import ImpactError

# Lines that elastix prints on its way out, whatever the reason was.
_EMPTY_PHRASES = (
    "Errors occurred!",
    "itk::ExceptionObject",
    "ERROR: a std::exception occurred",
    "Internal elastix error",
)
# elastix says this in every run with the metric, before it loads the plugin.
_NOT_YET_LOADED = re.compile(r"^(Error: ?|Impact\(index \d+\) - This component is not installed!)$")


# How the metric's own messages begin: before the first iteration, and later.
_OWN_MESSAGE = re.compile(r'Metric "Impact" cannot (run:|go on \()')

# ITK's exceptions put this before the reason.
_DESCRIPTION = "Description:"

# ITK's exceptions name objects with their address: "ElastixMain(0x55d0c8a3b2f0): ...".
_ADDRESS = re.compile(r"(?<=\w)\s?\(0x[0-9a-fA-F]+\)")


class RegistrationError(ImpactError, RuntimeError):
    """A registration failed in elastix.

    Attributes:
        cause: The reason that elastix gave.
        stage: The stage that failed, from 0; None where transformix failed.
        level: The resolution level that failed, from 0; None before the first.
        log: Path of elastix's full log, or None where there is none.
    """

    def __init__(
        self,
        cause: str,
        where: str = "",
        stage: int | None = None,
        level: int | None = None,
        log: Path | None = None,
    ) -> None:
        self.cause, self.where = cause, where
        self.stage, self.level = stage, level
        self.log = log
        what = where if where == "transformix" else "The registration"
        inside = f" in {where}" if where and where != what else ""
        super().__init__(
            f"{what} failed{inside}: {cause}" + (f"\nelastix's log: {log}" if log else "")
        )

    def __reduce__(self) -> tuple[type[RegistrationError], tuple[object, ...]]:
        return type(self), (self.cause, self.where, self.stage, self.level, self.log)


class OwnMessages:
    """Recognises the metric's own messages in elastix's output.

    A message goes from its first line to an empty one; lines that elastix adds do not belong to it.
    """

    def __init__(self) -> None:
        self._within = False

    def has(self, line: str) -> bool:
        """Tell whether the next line belongs to a message."""
        self._within = self.begins(line) or (self._within and bool(line.strip()))
        return self._within and not line.startswith(_EMPTY_PHRASES)

    @staticmethod
    def begins(line: str) -> bool:
        """Tell whether such a message begins in a line."""
        return bool(_OWN_MESSAGE.search(line))


class Reasons(OwnMessages):
    """Recognises any reason for a failure: also the descriptions in ITK's exceptions."""

    @staticmethod
    def begins(line: str) -> bool:
        """Tell whether such a message begins in a line."""
        return OwnMessages.begins(line) or line.strip().startswith(_DESCRIPTION)


def find_cause(lines: Sequence[str]) -> str:
    """Find the reason for a failure in elastix's output.

    The metric's own message if there is one, else the descriptions of ITK's exceptions, else the
    lines that begin with "ERROR", else the last lines.
    """
    lines = [line for line in lines if not _NOT_YET_LOADED.match(line.strip())]
    found = _own_message(lines) or _descriptions(lines) or _error_lines(lines)
    found = found or "\n".join(["elastix gave no reason. Its last lines:", *lines[-15:]])
    return _ADDRESS.sub("", found)


def _own_message(lines: Sequence[str]) -> str:
    """Give the first of the metric's own messages."""
    messages, found = OwnMessages(), list[str]()
    for line in lines:
        if not messages.has(line):
            if found and not line.strip():
                break
        elif not found:
            found.append(line[line.index("Metric") :])
        else:
            found.append(line)
    return "\n".join(found).rstrip()


def _descriptions(lines: Sequence[str]) -> str:
    """Give the texts after ``Description:``, each once."""
    found: list[str] = []
    for number, line in enumerate(lines):
        if line.strip().startswith(_DESCRIPTION):
            block = [line.strip().removeprefix(_DESCRIPTION).strip()]
            for text in lines[number + 1 :]:
                if not text.strip() or text.strip().startswith(_EMPTY_PHRASES):
                    break
                block.append(text.strip())
            found.append(" ".join(part for part in block if part))
    return "\n".join(dict.fromkeys(found))


def _error_lines(lines: Sequence[str]) -> str:
    found = [
        line.strip()
        for line in lines
        if line.upper().startswith("ERROR") and not line.startswith(_EMPTY_PHRASES)
    ]
    return "\n".join(dict.fromkeys(found))
