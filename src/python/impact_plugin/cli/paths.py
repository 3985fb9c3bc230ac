"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class FilePath(click.Path):
    """A path, as a Path: not an empty one, which would be the current folder."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  (as click has them)
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Refuse an empty path."""
        if value == "":
            self.fail("it is empty, expected a path; that of the current folder is '.'", param, ctx)
        return super().convert(value, param, ctx)
