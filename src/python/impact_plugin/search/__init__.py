"""Where the fixed image is in the moving one, found on features, from anywhere."""

from __future__ import annotations

from typing import Literal, TypeAlias

SearchKind: TypeAlias = Literal["rigid", "affine", "deformable"]
"""What is searched for."""

SEARCH_KINDS: tuple[SearchKind, ...] = ("rigid", "affine", "deformable")
