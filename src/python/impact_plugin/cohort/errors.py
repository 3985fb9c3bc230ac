"""The error of a cohort that cannot start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError

if TYPE_CHECKING:
    from impact_plugin.evaluation.errors import OutsideError


class CohortError(InputError):
    """A cohort cannot start.

    Attributes:
        problems: All that is wrong.
        outside: Those of them that are landmarks outside their images.
        text: The message, without the option that leaves such landmarks out.
    """

    def __init__(self, problems: Iterable[str], outside: Sequence[OutsideError] = ()) -> None:
        self.problems = list(problems)
        self.outside = tuple(outside)
        number = len(self.problems)
        head = f"{number} thing{'s are' if number > 1 else ' is'} wrong, nothing was started:"
        self.text = "\n".join([head, *(f"  - {each}" for each in self.problems)])
        super().__init__(self.text + self.hint('outside="leave out"'))

    def hint(self, option: str) -> str:
        """Give the line that says which option leaves landmarks out; empty where all are inside."""
        said = f"\nSome landmarks lie outside their images: {option} leaves them out"
        return said if self.outside else ""

    def __reduce__(self) -> tuple[type[CohortError], tuple[list[str], tuple[OutsideError, ...]]]:
        return type(self), (self.problems, self.outside)
