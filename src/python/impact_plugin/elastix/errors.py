"""What went wrong in a registration, out of what elastix printed."""

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
# Said of every run with the metric, before elastix loads the plugin.
_NOT_YET_LOADED = re.compile(r"^(Error: ?|Impact\(index \d+\) - This component is not installed!)$")


# How the metric begins to say why it stops a registration, at its beginning and later.
_OWN_MESSAGE = re.compile(r'Metric "Impact" cannot (run:|go on \()')

# What stands before the reason in an exception of ITK's.
_DESCRIPTION = "Description:"

# "ElastixMain(0x55d0c8a3b2f0): ...", as ITK's exceptions name their objects.
_ADDRESS = re.compile(r"(?<=\w)\s?\(0x[0-9a-fA-F]+\)")


class RegistrationError(ImpactError, RuntimeError):
    """A registration failed in elastix.

    Attributes:
        cause: What elastix said was wrong.
        stage: The stage that ran, from 0; None where transformix failed.
        level: The resolution level that ran, from 0; None before the first.
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
        super().__init__(
            f"The registration failed{where and ' in '}{where}: {cause}"
            + (f"\nelastix's log: {log}" if log else "")
        )

    def __reduce__(self) -> tuple[type[RegistrationError], tuple[object, ...]]:
        return type(self), (self.cause, self.where, self.stage, self.level, self.log)


class OwnMessages:
    """Tells which lines of elastix's output say why the metric stops a registration.

    From the line that begins to say it to an empty one, without what elastix prints of itself.
    """

    def __init__(self) -> None:
        self._within = False

    def has(self, line: str) -> bool:
        """Take the next line, and tell whether it is one of these."""
        self._within = self.begins(line) or (self._within and bool(line.strip()))
        return self._within and not line.startswith(_EMPTY_PHRASES)

    @staticmethod
    def begins(line: str) -> bool:
        """Tell whether such a message begins in a line."""
        return bool(_OWN_MESSAGE.search(line))


class Reasons(OwnMessages):
    """Tells likewise which lines say why anything failed: ITK's exceptions describe that, too."""

    @staticmethod
    def begins(line: str) -> bool:
        """Tell whether such a message begins in a line."""
        return OwnMessages.begins(line) or line.strip().startswith(_DESCRIPTION)


def find_cause(lines: Sequence[str]) -> str:
    """Find in elastix's output why it failed.

    The metric's own message if there is one, else the descriptions of ITK's exceptions, else the
    lines that begin with "ERROR", else the last lines.
    """
    lines = [line for line in lines if not _NOT_YET_LOADED.match(line.strip())]
    found = _own_message(lines) or _descriptions(lines) or _error_lines(lines)
    found = found or "\n".join(["elastix gave no reason. Its last lines:", *lines[-15:]])
    return _ADDRESS.sub("", found)


def _own_message(lines: Sequence[str]) -> str:
    """Give the first message of the metric's own."""
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
    """Give the texts that stand behind ``Description:``, each once."""
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
