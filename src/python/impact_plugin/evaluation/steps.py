"""What is evaluated: a registration's transform, step by step, and the grid of its fixed image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.folders.data import RegistrationData
from impact_plugin.folders.result_folder import ResultFolder
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import directions, initial
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.fixed_grid import grid_of_chain

if TYPE_CHECKING:
    import SimpleITK as sitk

RegistrationLike: TypeAlias = Any
"""A result, a path, or a transform of SimpleITK or itk."""

UNREGISTERED = "unregistered"


Registered: TypeAlias = RegistrationData | ResultFolder
"""A result, in memory or in its folder."""


@dataclass(frozen=True)
class Step:
    """The whole transform after one of a registration's steps: its name, and the transform."""

    name: str
    chain: Chain


@dataclass(frozen=True)
class Registration:
    """A registration's steps, the first of which is the identity, and its fixed image's grid."""

    grid: Geometry
    steps: tuple[Step, ...]


def load(
    registration: RegistrationLike,
    fixed_image: sitk.Image | None,
    moving_image: Geometry | None = None,
) -> Registration:
    """Give a registration's steps.

    Args:
        registration: As in :func:`impact_plugin.evaluation.evaluate`.
        fixed_image: Needed where ``registration`` does not know its grid.
        moving_image: Grid of the moving image, needed where elastix did not use directions.

    Raises:
        FileNotFoundError: There is no such file or folder, or nothing in it.
        ValueError: It is of another kind, or its grid is another than the image's.
        TypeError: It is of a kind that is not known.
    """
    given = None if fixed_image is None else Geometry.of(fixed_image)
    if isinstance(registration, str | os.PathLike):
        path = expanded(registration, "registration")
        registration = _in_folder(path) if path.is_dir() else path
    if isinstance(registration, Registered):
        grid, chain, names = registration.fixed, registration.chain, _stage_names(registration)
    else:
        if given is None and not _is_elastix(registration):
            message = (
                "a transform alone does not say where the voxels of the fixed image lie: give "
                "fixed_image"
            )
            raise InputError(message)
        if given is not None:
            chain = initial.as_chain(registration, given, "registration")
            grid = given
        else:
            chain = Chain.read(registration)
            grid = grid_of_chain(chain.maps, registration, "Give fixed_image")
        names = _kinds(chain)
    if given is not None and (difference := grid.difference(given)):
        message = f"fixed_image is not the one that was registered: {difference}"
        raise InputError(message)
    known = directions.in_world(chain, grid, moving_image, "registration")
    names = ["initial transform"] * (len(known.maps) - len(chain.maps)) + names
    chain = known
    return Registration(grid, (Step(UNREGISTERED, Chain()), *_steps(chain, names)))


def _in_folder(folder: Path) -> Registered | Path:
    """Find a saved result, or what elastix wrote."""
    found = ResultFolder(folder)
    return found.last if found.summary is None else found


def _is_elastix(registration: RegistrationLike) -> bool:
    """Tell whether it is the path of a transform parameter file."""
    if not isinstance(registration, Path):
        return False
    if not registration.is_file():
        message = f"there is no file or folder {str(registration)!r} (in {Path.cwd()})"
        raise MissingFileError(message)
    # A file of that name goes to the parser, which says what is wrong with it.
    named = registration.match("TransformParameters.*.txt") and not registration.match("*.itk.txt")
    return named or initial.is_of_elastix(registration)


def _stage_names(result: Registered) -> list[str]:
    """Name the transforms of a result: "initial transform", then the names of its stages."""
    before = result.initial
    if result.stopped or before + len(result.stages) != len(result.chain.maps):
        return _kinds(result.chain)  # which stages have a transform is not known
    return ["initial transform"] * before + list(result.stages)


def _kinds(chain: Chain) -> list[str]:
    return [
        f"{number} {parameters['Transform'][0]}" for number, parameters in enumerate(chain.maps, 1)
    ]


def _steps(chain: Chain, names: list[str]) -> list[Step]:
    """Give the transform after each step; consecutive initial transforms are one step."""
    ends = [
        number + 1
        for number, name in enumerate(names)
        if name != "initial transform" or names[number + 1 : number + 2] != [name]
    ]
    return [Step(names[end - 1], Chain(chain.maps[:end], chain.fields)) for end in ends]
