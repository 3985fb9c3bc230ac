"""The error of a cohort that cannot start."""

from __future__ import annotations

from collections.abc import Iterable

from impact_plugin._errors import InputError


class CohortError(InputError):
    """A cohort cannot start.

    Attributes:
        problems: All that is wrong, a text each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        number = len(self.problems)
        head = f"{number} thing{'s are' if number > 1 else ' is'} wrong, nothing was started:"
        super().__init__("\n".join([head, *(f"  - {each}" for each in self.problems)]))

    def __reduce__(self) -> tuple[type[CohortError], tuple[list[str]]]:
        return type(self), (self.problems,)
