"""Names of earlier releases, which work for one more release with a ``DeprecationWarning``."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def warn(former: str, name: str, *, stacklevel: int = 3) -> None:
    """Say that a former name was used, and which one is its successor."""
    message = f"{former} is now called {name}; the old name goes with the next release"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def former_arguments(
    **names: str | tuple[str, Callable[[Any], Any]],
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Let a function take arguments by their former names, too.

    Args:
        names: Today's name by the former one; where values have changed, too, with the function
            that makes today's value of a former one.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> _R:  # noqa: ANN401  (as the function wants)
            for former, today in names.items():
                name, convert = (today, None) if isinstance(today, str) else today
                if former in kwargs:
                    if name in kwargs:
                        message = f"{former} and {name} are the same argument: give {name} alone"
                        raise TypeError(message)
                    warn(f"the argument {former}", name)
                    value = kwargs.pop(former)
                    kwargs[name] = value if convert is None else convert(value)
            return function(*args, **kwargs)

        return called

    return decorate
