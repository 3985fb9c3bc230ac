"""elastix's parameter files as Python has them: a dict from names to lists of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from impact_plugin.parameters.elastix_text import ElastixFile, format_parameter
from impact_plugin.parameters.values import ParameterMap

_LONG = 40  # numbers of a parameter that are shown


def read(path: str | Path) -> ParameterMap:
    """Read a parameter file: TOML where its name ends in ``.toml``, as elastix does.

    Raises:
        OSError: It cannot be read.
        ValueError: elastix would not read it. The message names all lines that are wrong.
    """
    if Path(path).suffix == ".toml":
        from impact_plugin.parameters.toml_text import TomlFile  # another library, seldom needed

        return TomlFile.read(path).parameters
    return ElastixFile.read(path).parameters


def dump(parameters: Mapping[str, Sequence[str]]) -> str:
    """Give the text of a parameter file: numbers bare, all else in quotes.

    Raises:
        ValueError: elastix's syntax has no way to write a name or a value.

    Example:
        >>> print(dump({"Mode": ["Static"], "PatchSize": ["5", "5", "5"]}), end="")
        (Mode "Static")
        (PatchSize 5 5 5)
    """
    return "".join(f"{format_parameter(name, values)}\n" for name, values in parameters.items())


def shortened(parameters: ParameterMap) -> str:
    """Give the text of a parameter map without its long lists of numbers."""
    short = {
        name: [*values[:4], f"... {len(values)} numbers"] if len(values) > _LONG else values
        for name, values in parameters.items()
    }
    return dump(short)
