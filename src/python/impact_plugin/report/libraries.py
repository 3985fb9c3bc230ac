"""The optional libraries that draw pictures and fill in pages."""

from __future__ import annotations

import importlib


def require() -> None:
    """Check that matplotlib, Pillow and jinja2 can be imported.

    Raises:
        ImportError: One is missing. The message has the command that installs it.
    """
    for name in ("matplotlib", "PIL", "jinja2"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            message = (
                f"pictures and reports need {name}, which cannot be imported ({error}). Install "
                'what they need with: pip install "impact-plugin[report]"'
            )
            raise ImportError(message) from error
