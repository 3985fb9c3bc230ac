"""Numbers as callers have them: Python's, numpy's and torch's, 0-d arrays and tensors too."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def plain(value: Any) -> Any:  # noqa: ANN401  (whatever a caller gives)
    """Give a number of numpy or torch as Python's; all else as it is.

    Example:
        >>> import numpy as np
        >>> plain(np.int64(3)), plain(np.array(1.5)), plain("as it is"), plain([1, 2])
        (3, 1.5, 'as it is', [1, 2])
    """
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def spread(value: Any, count: int) -> tuple[Any, ...]:  # noqa: ANN401  (whatever a caller gives)
    """Give several numbers as Python's; one stands for so many.

    Raises:
        TypeError: It is neither a number nor several.
    """
    one = plain(value)
    if isinstance(one, int | float):
        return (one,) * count
    several: Iterable[Any] = one
    return tuple(plain(each) for each in several)


def plain_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function called with Python's numbers, whichever library's it is given."""

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return function(
            *(plain(value) for value in args),
            **{name: plain(value) for name, value in kwargs.items()},
        )

    return called


def keep_plain(instance: object) -> None:
    """Put Python's numbers in the place of other ones in the fields of a frozen dataclass."""
    for field in dataclasses.fields(instance):  # type: ignore[arg-type]
        given = getattr(instance, field.name)
        if (value := plain(given)) is not given:
            object.__setattr__(instance, field.name, value)
