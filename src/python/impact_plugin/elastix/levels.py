"""How important lines of elastix's output are."""

from __future__ import annotations

import logging
import re

from impact_plugin.elastix.errors import OwnMessages

_NOISE = re.compile(
    # Asked for and not given: elastix says so of every parameter that has a default.
    r'WARNING: The parameter "\w+", requested at entry number|  The default value '
    # Likewise, since elastix 4.8.
    r'|WARNING: The option "UseDirectionCosines" was not found'
    # Where in ITK's sources the next line comes from.
    r"|WARNING: In \S+, line \d+$"
    # Said before elastix loads the plugin.
    r"|Error: $|Impact\(index \d+\) - This component is not installed!"
    # Of a number that is small in the presets.
    r"|WARNING: You have set MaximumNumberOfSamplingAttempts to \d\.$"
    r"|\d+\t|1:ItNr\t|\s*$"
)


class Levels:
    """Tells how important lines of elastix's output are, as levels of :mod:`logging`."""

    def __init__(self) -> None:
        self._messages = OwnMessages()

    def of(self, line: str) -> int:
        """Take the next line, and give its level."""
        return logging.ERROR if self._messages.has(line) else level_of(line)


def level_of(line: str) -> int:
    """Tell how important a line is by itself; messages of several lines: see :class:`Levels`."""
    if _NOISE.match(line):
        return logging.DEBUG
    if line.startswith("WARNING"):
        return logging.WARNING
    if line.startswith(("ERROR", "Error")) or OwnMessages.begins(line):
        return logging.ERROR
    return logging.INFO
