"""The options ``--model NAME=FILE`` and ``--models FOLDER``."""

from __future__ import annotations

from pathlib import Path

import click


def by_name(texts: tuple[str, ...]) -> dict[str, str]:
    """Read each NAME=FILE.

    Raises:
        BadParameter: One is not of this form.
    """
    pairs = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not (name and separator and file):
            message = f"{text!r}: expected NAME=FILE, such as M730_1_Layers.pt=models/M730.pt"
            raise click.BadParameter(message, param_hint="--model")
        pairs[name] = file
    return pairs


def placed(folder: Path | None, texts: tuple[str, ...]) -> Path | dict[str, str] | None:
    """Give what :func:`impact_plugin.register_images` takes as ``models``.

    Raises:
        UsageError: Both options are given.
    """
    if folder is not None and texts:
        message = "Give --models FOLDER or --model NAME=FILE, not both."
        raise click.UsageError(message)
    return folder or by_name(texts) or None
