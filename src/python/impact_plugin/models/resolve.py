"""Finding the model files that a parameter map names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.models.catalogue import UnknownModelError, find
from impact_plugin.models.downloading import download
from impact_plugin.models.files import cache_folder
from impact_plugin.models.mind import FILE_NAME as MIND
from impact_plugin.models.mind import is_of_this_version, mind
from impact_plugin.parameters.names import is_named, level_of
from impact_plugin.parameters.values import ParameterMap

_REPOSITORY = "VBoussot/impact-torchscript-models on the Hugging Face hub"


class MissingModelError(MissingFileError):
    """A model that a map names and that is nowhere.

    Attributes:
        problem: What names it, and where it was looked for.
        model: Its name in the map.
    """

    def __init__(self, problem: str, model: str) -> None:
        self.problem, self.model = problem, model
        super().__init__(self.text(f"models={{{model!r}: path}}, or models=folder"))

    def __reduce__(self) -> tuple[type[MissingModelError], tuple[str, str]]:
        return type(self), (self.problem, self.model)

    def text(self, argument: str) -> str:
        """Give the message.

        Args:
            argument: How the caller says where a model lies.
        """
        source = "Models that are not MIND are not part of this package"
        if _is_public(self.model):
            source += (
                f": `impact-plugin models download {self.model}` gets it from {_REPOSITORY}, and "
                "it is then found. If you have it elsewhere"
            )
        else:
            source += ", and no public model has this name"
        return f"{self.problem}\n{source}, say where it lies: {argument}."


def _is_public(name: str) -> bool:
    try:
        find(name)
    except UnknownModelError:
        return False
    return True


def resolve(
    parameters: ParameterMap,
    models: Mapping[str, str | os.PathLike[str]] | Path | None,
    where: str,
    links: Path,
) -> ParameterMap:
    """Give a parameter map with the full paths of its models.

    A name is looked for in ``models``, then in the current folder, as elastix does, then in the
    cache of :mod:`impact_plugin.models` and among what it has downloaded. MIND models that are
    nowhere are made; nothing is downloaded here.

    Args:
        parameters: The map.
        models: Paths of models by the name in the map, or a folder with files of these names.
        where: What messages call the map.
        links: Folder for links to files whose paths have spaces in them, where elastix's parameter
            file has several paths separated by spaces.

    Raises:
        MissingModelError: A model is nowhere. The message says where to get it.
    """
    resolved = dict(parameters)
    for name, values in parameters.items():
        if is_named(name, "ModelsPath"):
            # elastix 5.3.1's dialect has one path per value, in which spaces may stand.
            several = level_of(name) is None
            resolved[name] = [
                " ".join(
                    str(_without_spaces(path, links) if several else path)
                    for path in (_find(part, models, where) for part in _split(value, several))
                )
                for value in values
            ]
    return resolved


def named(parameters: ParameterMap) -> list[str]:
    """Give the models that a map names, in order, each once."""
    return list(dict.fromkeys(listed(parameters)))


def listed(parameters: ParameterMap) -> list[str]:
    """Give the models that a map names, as often as it does: the same number before and after.

    See :func:`resolve`, which leaves everything in its place.
    """
    found = (
        part
        for name, values in parameters.items()
        if is_named(name, "ModelsPath")
        for value in values
        for part in _split(value, level_of(name) is None)
    )
    return [part for part in found if part]


def check(
    models: Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str] | None,
    maps: Sequence[ParameterMap],
) -> None:
    """Check that model files are where the caller says, and that the maps name them.

    Args:
        models: A folder, or paths by the names in the maps.
        maps: All maps of the registration.

    Raises:
        FileNotFoundError: The folder or a file is not there.
        ValueError: No map names one of them.
    """
    if models is None:
        return
    if not isinstance(models, Mapping):
        if not expanded(models, "models", "a dict of files by name, or ").is_dir():
            message = f"models is {str(models)!r}, expected a folder (in {Path.cwd()})"
            raise MissingFileError(message)
        return
    named = {
        part
        for parameters in maps
        for name, values in parameters.items()
        if is_named(name, "ModelsPath")
        for value in values
        for part in (value, *value.split())
    }
    for name, path in models.items():
        if name not in named:
            known = ", ".join(sorted(part for part in named if part)) or "none"
            message = f"models has {name!r}, and no map names it; the models of the maps: {known}"
            raise InputError(message)
        if not expanded(path, f"models[{name!r}]").is_file():
            message = f"models: there is no file {str(path)!r} (in {Path.cwd()}), for {name!r}"
            raise MissingFileError(message)


def _split(value: str, several: bool) -> list[str]:
    return value.split() if several and not Path(value).is_file() else [value]


def _without_spaces(path: Path, links: Path) -> Path:
    """Give a path without spaces to the same file."""
    if len(str(path).split()) == 1:
        return path
    folder = links / f"model{len(list(links.iterdir()))}"
    folder.mkdir()
    link = folder / "_".join(path.name.split())
    link.symlink_to(path)
    return link


def _find(
    name: str, models: Mapping[str, str | os.PathLike[str]] | Path | None, where: str
) -> Path:
    candidates = [expanded(name, f"a model that {where} names")]
    if isinstance(models, Mapping):
        if name in models:
            candidates.insert(0, expanded(models[name]))
    elif models is not None:
        candidates = [models / name, models / Path(name).name, *candidates]
    cached = cache_folder() / name
    for path in (*candidates, cached):
        if path.is_file() and not (path is cached and _is_outdated(cached)):
            return path.absolute()
    try:
        if made := made_anew(Path(name).name):
            return made
    except OSError:
        if cached.is_file():  # of an earlier version, in a cache that is not ours to write to
            return cached.absolute()
        raise
    if downloaded := _downloaded(name):
        return downloaded
    looked = "\n".join(f"  {path.absolute()}" for path in dict.fromkeys((*candidates, cached)))
    raise MissingModelError(
        f"{where} names the model {name!r}, which is in none of these places:\n{looked}", name
    )


def _is_outdated(cached: Path) -> bool:
    """Tell whether a file in the cache is MIND as an earlier version wrote it."""
    return MIND.fullmatch(cached.name) is not None and not is_of_this_version(cached)


def made_anew(name: str) -> Path | None:
    """Make the MIND model of a name; None for names of other models."""
    found = MIND.fullmatch(name)
    return mind(*map(int, found.groups())) if found else None


def known_place(name: str) -> Path | None:
    """Give where a model lies that is not in the current folder, but was made or fetched before."""
    path = cache_folder() / name
    return path if path.is_file() else _downloaded(name)


def _downloaded(name: str) -> Path | None:
    """Find a public model that was downloaded before."""
    try:
        return download(name, offline=True)
    except (OSError, ValueError, LookupError, ImportError):
        return None
