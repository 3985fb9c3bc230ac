"""HTML pages, each a single file that loads nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from impact_plugin._errors import FileError
from impact_plugin._io import write_text


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
