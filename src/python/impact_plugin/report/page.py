"""HTML pages, each a single file that loads nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from impact_plugin._errors import FileError, InputError
from impact_plugin._io import expanded, write_text


def render(template: str, values: dict[str, Any]) -> str:
    """Fill in one of the package's templates.

    Args:
        template: Name of the template.
        values: The template's variables by name; their text is escaped.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("impact_plugin.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def target_of(path: str | os.PathLike[str] | None, usual: Path) -> Path:
    """Give the absolute path of a page that is to be written.

    Args:
        path: As the caller gives it.
        usual: What it is by default.

    Raises:
        ValueError: It is a folder.
    """
    target = usual if path is None else expanded(path).absolute()
    if target.is_dir():
        message = f"{target} is a folder, expected the name of an HTML file to write"
        raise InputError(message)
    return target


def check_ending(target: Path) -> None:
    """Check that a file's name is that of a page.

    Raises:
        ValueError: It ends otherwise than pages do.
    """
    if target.suffix.lower() not in (".html", ".htm"):
        message = f"{target} does not end in .html or .htm, and what is written is an HTML page"
        raise InputError(message)


def write(path: Path, text: str) -> None:
    """Write a page in one step, so that nobody ever reads half of it.

    Raises:
        OSError: It cannot be written. The message names the file.
    """
    try:
        write_text(path, text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise FileError(message) from error
