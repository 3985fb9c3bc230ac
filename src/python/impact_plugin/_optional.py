"""Libraries that are not installed with the package: one gate for all of them."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from impact_plugin._errors import MissingLibraryError


def require(purpose: str, extra: str, *modules: str) -> ModuleType:
    """Import optional libraries.

    Args:
        purpose: What needs them, in the plural: the subject of the message.
        extra: The extra of this package that has them.
        modules: Their names.

    Returns:
        The first of them.

    Raises:
        ImportError: One cannot be imported. The message has the command that installs it.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            message = (
                f"{purpose} need {name}, which cannot be imported ({error}). Install it with: "
                f'{sys.executable} -m pip install "impact-plugin[{extra}]"'
            )
            raise MissingLibraryError(message) from error
    return sys.modules[modules[0]]


def require_for_pages() -> None:
    """Import what pictures and pages are made with; ImportError as for :func:`require`."""
    require("pictures and reports", "report", "matplotlib", "PIL", "jinja2")
