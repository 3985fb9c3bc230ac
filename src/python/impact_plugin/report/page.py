"""Pages: one HTML file each, with all that they need in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from impact_plugin._io import write_text


def render(template: str, values: dict[str, Any]) -> str:
    """Fill in a template of the package's.

    Args:
        template: Its name.
        values: What stands in it; text is escaped.
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
    """Write a page in one step: nobody ever reads half of it.

    Raises:
        OSError: It cannot be written. The message names the file.
    """
    try:
        write_text(path, text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise OSError(message) from error
