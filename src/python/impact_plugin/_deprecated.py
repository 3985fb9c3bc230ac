"""Old names, which keep working for one release and say what they are called now."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


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


def renamed_arguments(
    **names: str | tuple[str, Callable[[Any], Any]],
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Let a function take arguments by their old names, too.

    Args:
        names: Today's name by the old one; where values have changed, too, with the function
            that makes today's value of an old one.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> _R:  # noqa: ANN401  (as the function wants)
            for old, new in names.items():
                name, convert = (new, None) if isinstance(new, str) else new
                if old in kwargs:
                    if name in kwargs:
                        message = f"{old} and {name} are the same argument: give {name} alone"
                        raise TypeError(message)
                    warn_of_old_name(f"the argument {old}", name)
                    value = kwargs.pop(old)
                    kwargs[name] = value if convert is None else convert(value)
            return function(*args, **kwargs)

        return called

    return decorate
