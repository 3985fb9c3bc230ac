"""Chains of elastix's transform parameter files: read, written and linked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from impact_plugin._equality import EqualByValue
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded, write_text
from impact_plugin.images.files import read_image, write_image
from impact_plugin.parameters import map_files
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.transforms import file_transforms, itk_parameters
from impact_plugin.transforms.completed import completed

if TYPE_CHECKING:
    import SimpleITK as sitk

_LINKS = ("InitialTransformParameterFileName", "InitialTransformParametersFileName")
_NONE = "NoInitialTransform"
_FIELD = "DeformationFieldFileName"
_STAGE = re.compile(r"TransformParameters\.(\d+)\.")

INITIAL = "InitialTransform"
"""How the names of the files of an initial transform begin."""


@dataclass(eq=False)
class Chain(EqualByValue):
    """Transforms that are applied one after the other to points of the fixed image.

    Args:
        maps: Their parameter maps, the first to be applied first.
        fields: Displacement fields of those that are such, by the name in the parameter map.
    """

    maps: list[ParameterMap] = field(default_factory=list)
    fields: dict[str, sitk.Image] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Chain:
        """Read a transform parameter file and all that it builds on.

        Numbers that are in a file of ITK, beside it, are taken from there.

        Raises:
            OSError: One of the files cannot be read.
            ValueError: One is no transform parameter file, or a file builds on itself.
        """
        chain = cls()
        for link, parameters in _followed(path):
            if _FIELD in parameters:
                chain._read_field(parameters, link.parent)
            elif file_transforms.names_file(parameters):
                parameters = file_transforms.inlined(parameters, _itk_file(parameters, link), chain)
            chain.maps.insert(0, parameters)
        return chain

    def write(
        self, folder: Path, stem: str, final: Path | None = None, initial: int = 0
    ) -> Path | None:
        """Write it as files ``<stem>.0.txt``, ``<stem>.1.txt``, each of which names the one before.

        Args:
            folder: Where.
            stem: Stem of their names.
            final: Where they will be moved to, if they will.
            initial: How many of the transforms were there before the registration: their names
                begin with :data:`INITIAL`, so that the others are numbered as elastix numbers them.

        Returns:
            The path of the last, which stands for all; None of an empty chain.

        Raises:
            OSError: A file cannot be written.
        """
        for name, image in self.fields.items():
            write_image(image, folder / name)
        path: Path | None = None
        for number, parameters in enumerate(self.maps):
            linked = {**parameters, _LINKS[0]: [path.name if path else _NONE]}
            if _FIELD in linked:
                linked[_FIELD] = [str((final or folder).absolute() / linked[_FIELD][0])]
            name, place = (INITIAL, number) if number < initial else (stem, number - initial)
            path = folder / f"{name}.{place}.txt"
            write_text(path, map_files.dump(linked))
        return path

    def __add__(self, later: Chain) -> Chain:
        return Chain([*self.maps, *later.maps], {**self.fields, **later.fields})

    def _read_field(self, parameters: ParameterMap, folder: Path) -> None:
        import SimpleITK as sitk

        source = _beside(parameters[_FIELD][0], folder)
        name = f"field{len(self.fields)}.mha"
        self.fields[name] = read_image(source, sitk.sitkVectorFloat64)
        itk_parameters.check_finite(self.fields[name], str(source))
        parameters[_FIELD] = [name]


def files_of(path: Path) -> list[Path]:
    """Give the files that a transform parameter file consists of: it, and all that it builds on.

    Raises:
        OSError: One of the parameter files cannot be read.
        ValueError: One is no transform parameter file, or a file builds on itself.
    """
    files = []
    for link, parameters in _followed(path):
        files.append(link)
        if _FIELD in parameters:
            files.append(_beside(parameters[_FIELD][0], link.parent))
        elif file_transforms.names_file(parameters):
            files.append(_itk_file(parameters, link))
    return files


def _followed(path: Path) -> Iterator[tuple[Path, ParameterMap]]:
    """Read a transform parameter file, the one that it builds on, and so on."""
    seen: set[Path] = set()
    link: Path | None = expanded(path).absolute()
    before = None
    while link is not None:
        if not link.exists():
            message = f"there is no transform parameter file {str(link)!r}"
            if before is not None:
                message = (
                    f"{before} builds on the transform {str(link)!r} ({_LINKS[0]}), which is not "
                    f'there: put it back, or beside that file, or give "{_NONE}" there'
                )
            raise MissingFileError(message)
        if link in seen:
            message = f"{path}: the transform {link} builds on itself"
            raise InputError(message)
        seen.add(link)
        parameters = map_files.read(link)
        if "Transform" not in parameters:
            message = f"{link} is no transform parameter file: it has no (Transform ...)"
            raise InputError(message)
        # Of the newer and the older spelling, elastix prefers the newer.
        names = [parameters.pop(name)[0] for name in _LINKS if parameters.get(name)]
        name = names[0] if names and names[0] not in ("", _NONE) else None
        if not file_transforms.names_file(parameters):
            parameters = completed(parameters, str(link))
        yield link, parameters
        before = link
        link = None if name is None else _initial(name, link)


def of_maps(maps: Sequence[ParameterMap]) -> Chain:
    """Make a chain of parameter maps as itk and elastix keep them, without their links."""
    return Chain(
        [
            completed(
                {name: list(values) for name, values in parameters.items() if name not in _LINKS},
                f"the transform {parameters['Transform'][0]}",
            )
            for parameters in maps
        ]
    )


def _initial(name: str, of: Path) -> Path:
    """Find the transform on which another one builds.

    That of the stage before lies in the same folder, wherever elastix wrote them: folders are
    renamed, and there may be other files by now where they were.
    """
    own, before = _STAGE.match(of.name), _STAGE.match(PureWindowsPath(name).name)
    beside = of.parent / PureWindowsPath(name).name
    if own and before and int(own[1]) == int(before[1]) + 1 and beside.exists():
        return beside
    return _beside(name, of.parent)


def _itk_file(parameters: ParameterMap, of: Path) -> Path:
    """Find the file of ITK that a transform parameter file names; elastix writes it beside it."""
    name = Path(parameters.get(file_transforms.FILE, [""])[0])
    if not name.name:
        message = (
            f'{of} has (Transform "File"), and does not say which: it has no {file_transforms.FILE}'
        )
        raise InputError(message)
    beside = of.parent / name.name
    if name.stem == of.stem and beside.exists():
        return beside
    return _beside(str(name), of.parent)


def _beside(name: str, folder: Path) -> Path:
    """Find a file as elastix does: in the current folder, else beside the file that names it.

    A name without a folder is looked for beside it first. Folders are moved, also from Windows: a
    file that is no longer where its path says may lie there, too.
    """
    path, beside = Path(name), folder / PureWindowsPath(name).name
    if path == Path(path.name) and beside.exists():
        return beside
    if path.exists():
        return path.absolute()
    relative = folder / path  # the path itself, where it is absolute
    return beside if beside.exists() and not relative.exists() else relative
