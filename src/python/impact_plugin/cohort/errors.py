"""What is wrong with a cohort that cannot start: each thing as a text, with its kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from impact_plugin._errors import InputError

if TYPE_CHECKING:
    from impact_plugin.cohort.pairs import Pair
    from impact_plugin.evaluation.errors import OutsideError

ProblemKind: TypeAlias = Literal[
    "argument",
    "cluster-file",
    "device",
    "feature-cache",
    "folder",
    "grid",
    "image",
    "initial-transform",
    "map",
    "missing-file",
    "outside",
    "overwritten-input",
    "pair",
    "parameter",
    "pattern",
    "points",
    "scheduler",
    "script",
    "table",
    "variant",
    "worker",
]
"""Of what is wrong; ``docs/cohorts.md`` says what each is of."""


class CohortProblem(str):
    """One thing that is wrong, as a text.

    Attributes:
        kind: Of which kind it is.
    """

    kind: ProblemKind

    def __new__(cls, kind: ProblemKind, text: str) -> CohortProblem:
        """Make one of its kind and its text."""
        problem = super().__new__(cls, text)
        problem.kind = kind
        return problem

    def __reduce__(self) -> tuple[type[CohortProblem], tuple[ProblemKind, str]]:
        return type(self), (self.kind, str(self))

    def behind(self, front: str) -> CohortProblem:
        """Give it with what it is about in front."""
        return CohortProblem(self.kind, f"{front}: {self}")


class Problems(list[CohortProblem]):
    """Collects what is wrong, so that all of it is said at once."""

    def add(self, kind: ProblemKind, text: str) -> None:
        """Add a problem."""
        self.append(CohortProblem(kind, text))

    @contextmanager
    def noted(self, kind: ProblemKind, front: str = "") -> Iterator[None]:
        """Add what a block raises about its input; what is not there is a missing file.

        Args:
            kind: ProblemKind of the problem.
            front: Begins its text.
        """
        try:
            yield
        except FileNotFoundError as error:
            self.add("missing-file", f"{front}{error}")
        except (ValueError, TypeError, OSError) as error:
            self.add(kind, f"{front}{error}")


class PairsError(InputError):
    """Not all pairs can be read.

    Attributes:
        problems: All that is wrong, texts with a ``kind`` each.
        pairs: Those with which nothing is wrong.
    """

    def __init__(self, problems: Iterable[CohortProblem], pairs: Iterable[Pair] = ()) -> None:
        self.problems = list(problems)
        self.pairs = list(pairs)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[PairsError], tuple[Any, ...]]:
        return type(self), (self.problems, self.pairs)


class CohortError(InputError):
    """A cohort cannot start.

    Attributes:
        problems: All that is wrong, texts with a ``kind`` each.
        outside: Those of them that are landmarks outside their images.
        text: The message, without the option that leaves such landmarks out.
    """

    def __init__(
        self, problems: Iterable[CohortProblem], outside: Sequence[OutsideError] = ()
    ) -> None:
        self.problems = list(problems)
        self.outside = tuple(outside)
        number = len(self.problems)
        head = f"{number} thing{'s are' if number > 1 else ' is'} wrong, nothing was started:"
        self.text = "\n".join([head, *(f"  - {each}" for each in self.problems)])
        super().__init__(self.text + self.hint('outside="leave out"'))

    @classmethod
    def of(cls, kind: ProblemKind, text: str) -> CohortError:
        """Give the error of one thing that is wrong."""
        return cls([CohortProblem(kind, text)])

    def hint(self, option: str) -> str:
        """Give the line that says which option leaves landmarks out; empty where all are inside."""
        said = f"\nSome landmarks lie outside their images: {option} leaves them out"
        return said if self.outside else ""

    def __reduce__(self) -> tuple[type[CohortError], tuple[Any, ...]]:
        return type(self), (self.problems, self.outside)
