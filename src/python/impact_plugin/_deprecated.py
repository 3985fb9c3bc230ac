"""Old names, which keep working for one release and say what they are called now."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Give the ``__getattr__`` of a module some of whose names have changed.

    Args:
        module: Its ``__name__``.
        names: The new names, by the old ones.
    """

    def get(name: str) -> Any:  # noqa: ANN401  (whatever has the name)
        if name not in names:
            message = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(message)
        warn_of_old_name(f"{module}.{name}", f"{module}.{names[name]}")
        return getattr(sys.modules[module], names[name])

    return get


def warn_of_old_name(old: str, new: str) -> None:
    """Warn whoever called the function that calls this."""
    message = f"{old} is now called {new}; the old name goes with the next release"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
