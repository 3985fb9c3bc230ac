"""Every type that a public signature names is public."""

from __future__ import annotations

import builtins
import collections.abc
import importlib
import inspect
import re
import typing
from collections.abc import Iterator

from impact_plugin import types

MODULES = (
    *("impact_plugin", "impact_plugin.evaluation", "impact_plugin.check", "impact_plugin.models"),
    *("impact_plugin.parameters", "impact_plugin.cohort", "impact_plugin.datasets"),
    "impact_plugin.records",
)
LIBRARIES = {
    *("ArrayLike", "CompositeTransform", "DataFrame", "Image", "Module", "NDArray", "Path"),
    *("PathLike", "Tensor", "Transform", "float64", "int64"),
}


def functions(owner: object) -> Iterator[tuple[str, object]]:
    """Give what a caller calls or reads of a public function or class, with its name."""
    front = getattr(owner, "__name__", "")
    yield front, owner
    for name, value in vars(owner).items() if inspect.isclass(owner) else ():
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if not name.startswith("_") and inspect.isfunction(value):
            yield f"{front}.{name}", value


def words(function: object) -> set[str]:
    """Give the names in a signature's annotations."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a class of C, an alias
        return set()
    given = [each.annotation for each in signature.parameters.values()]
    texts = [str(each) for each in (*given, signature.return_annotation) if isinstance(each, str)]
    return {
        word.rpartition(".")[2]
        for text in texts
        for word in re.findall(r"[A-Za-z][\w.]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", text))
    }


def test_types_of_public_signatures() -> None:
    modules = [importlib.import_module(name) for name in MODULES]
    known = {name for module in modules for name in module.__all__} | LIBRARIES
    known |= {*types.__all__, *dir(builtins), *dir(typing), *dir(collections.abc)}
    hidden = {
        f"{name}: {word}"
        for module in modules
        for public in module.__all__
        for name, function in functions(getattr(module, public))
        for word in words(function) - known
    }
    assert hidden == set()
