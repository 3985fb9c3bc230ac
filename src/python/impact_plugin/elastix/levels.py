"""Assigns log levels to lines of elastix's output."""

from __future__ import annotations

import logging
import re

from impact_plugin.elastix.errors import OwnMessages

_NOISE = re.compile(
    # elastix says this of every parameter that has a default and is not given.
    r'WARNING: The parameter "\w+", requested at entry number|  The default value '
    # The same, since elastix 4.8.
    r'|WARNING: The option "UseDirectionCosines" was not found'
    # This names the place in ITK's sources that the next line comes from.
    r"|WARNING: In \S+, line \d+$"
    # elastix says this before it loads the plugin.
    r"|Error: $|Impact\(index \d+\) - This component is not installed!"
    # The presets set this number low on purpose.
    r"|WARNING: You have set MaximumNumberOfSamplingAttempts to \d\.$"
    r"|\d+\t|1:ItNr\t|\s*$"
)


class Levels:
    """Gives the :mod:`logging` level of each line of elastix's output."""

    def __init__(self) -> None:
        self._messages = OwnMessages()

    def of(self, line: str) -> int:
        """Give the level of the next line."""
        return logging.ERROR if self._messages.has(line) else level_of(line)


def level_of(line: str) -> int:
    """Give the level of a line by itself; :class:`Levels` knows messages of several lines."""
    if _NOISE.match(line):
        return logging.DEBUG
    if line.startswith("WARNING"):
        return logging.WARNING
    if line.startswith(("ERROR", "Error")) or OwnMessages.begins(line):
        return logging.ERROR
    return logging.INFO
