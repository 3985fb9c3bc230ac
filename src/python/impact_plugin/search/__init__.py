"""Where the fixed image is in the moving one, found on features, from anywhere."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["rigid", "affine"]
"""What is searched for."""

KINDS: tuple[Kind, ...] = ("rigid", "affine")
