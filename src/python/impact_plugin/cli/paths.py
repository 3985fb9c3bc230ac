"""Paths on the command line, and the options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from click.decorators import FC


class FilePath(click.Path):
    """A path, as a Path: not an empty one, which would be the current folder."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  (as click has them)
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Refuse an empty path."""
        if value == "":
            self.fail("it is empty, expected a path; that of the current folder is '.'", param, ctx)
        return super().convert(value, param, ctx)


def image(
    side: Literal["fixed", "moving"],
    text: str,
    name: str | None = None,
    **options: Any,  # noqa: ANN401  (as click has them)
) -> Callable[[FC], FC]:
    """Give the option for an image: ``-f``, ``--fixed`` and ``--fixed-image``, or ``-m`` likewise.

    Args:
        side: Which image.
        text: What the option is for.
        name: Name of the argument; by default the side.
        options: As of click.option.
    """
    names = f"-{side[0]}", f"--{side}", f"--{side}-image", name or side
    return click.option(*names, type=FilePath(), help=text, **options)


def axes(text: str = "Frame of points whose file does not say it.") -> Callable[[FC], FC]:
    """Give the option for the frame of points."""
    frames = click.Choice(["LPS", "RAS"])
    return click.option("--axes", type=frames, default="LPS", show_default=True, help=text)


def channel() -> Callable[[FC], FC]:
    """Give the option for what stands for colours; what is called says what is wrong with it."""

    def read(_: click.Context, __: click.Parameter, text: str | None) -> int | str | None:
        return int(text) if text and text.isdecimal() else text

    text = (
        "Channel of colour images: luminance (the default), red, green, blue, or a number from 0."
    )
    return click.option("--channel", metavar="NAME", callback=read, help=text)
