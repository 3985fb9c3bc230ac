"""What is wrong with a parameter file or map, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from impact_plugin._errors import InputError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        text: What is wrong, in whole sentences that name the parameter.
        line: Where in the file, counted from 1; None where it is about no line, or there is no
            file.
        parameter: As the user wrote it; empty where it is about none.
        remedy: What to do, in whole sentences; may be empty.
    """

    text: str
    line: int | None = None
    parameter: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.remedy}".rstrip()


class ParameterError(InputError):
    """A parameter file or map that cannot be used.

    Attributes:
        problems: All that is wrong, in the order of the file.
        source: The file's name, or "" for a map that comes from no file.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        super().__init__(tuple(problems), source)  # for pickle
        self.problems = tuple(problems)
        self.source = source

    def __str__(self) -> str:
        return "\n".join(
            f"{_front(self.source, problem.line)}{problem}" for problem in self.problems
        )


def _front(source: str, line: int | None) -> str:
    place = ":".join(part for part in (source, str(line) if line else "") if part)
    return f"{place}: " if place else ""
