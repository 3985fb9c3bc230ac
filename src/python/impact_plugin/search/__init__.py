"""Where the fixed image is in the moving one, found on features, from anywhere."""

from __future__ import annotations

from typing import Literal, TypeAlias

SearchKind: TypeAlias = Literal["rigid", "affine", "deformable"]
"""What is searched for."""

SEARCH_KINDS: tuple[SearchKind, ...] = ("rigid", "affine", "deformable")

SURE = 0.05
"""How much better than any other place one must score to be beyond doubt."""


def is_sure(score: float, runner_up: float | None) -> bool:
    """Tell whether a place is beyond doubt, by its score and that of the best place elsewhere."""
    return runner_up is None or score - runner_up >= SURE
