"""The initial transform of a registration, from whatever it was given as."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded, temporary_folder
from impact_plugin.elastix import components
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import as_integer
from impact_plugin.search import SearchKind, process
from impact_plugin.transforms import chain as chains
from impact_plugin.transforms import directions, itk_files, itk_parameters, to_elastix
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.elastix.process import Ask
    from impact_plugin.search.process import Found

InitialTransform: TypeAlias = Any
"""One of :data:`AUTOMATIC`, a path, a transform of SimpleITK or itk, or a result."""

AUTOMATIC = ("none", "center", "mass", "search", "search-affine", "search-deformable")
"""The words for no transform, and for what is found from the images."""

_KINDS: dict[str, SearchKind] = {
    "search": "rigid",
    "search-affine": "affine",
    "search-deformable": "deformable",
}

LOGGER = logging.getLogger("impact_plugin.search")
"""Says what a search found; a warning where another place is nearly as good."""


@dataclass(frozen=True)
class Means:
    """What a search needs besides the images.

    Args:
        masks: Of the fixed and of the moving image: where to look; None: everywhere.
        device: Where features are computed, as torch calls it.
        threads: How many work; None: one for each processor.
        ask: What `ahead` gave.
    """

    masks: tuple[sitk.Image | None, sitk.Image | None] = (None, None)
    device: str = "cpu"
    threads: int | None = None
    ask: Ask | None = None


def ahead(
    initial: InitialTransform, *, is_default: bool
) -> contextlib.AbstractContextManager[Ask | None]:
    """Start the process of a search, if there will be one, while the images are not yet read.

    Args:
        initial: As for :func:`make_chain`.
        is_default: Whether None stands for a search, see :func:`by_default`.
    """
    searches = is_default if initial is None else isinstance(initial, str) and initial in _KINDS
    return process.started() if searches else contextlib.nullcontext()


def make_chain(
    initial: InitialTransform,
    fixed: sitk.Image,
    moving: sitk.Image,
    name: str = "initial_transform",
    means: Means | None = None,
) -> Chain:
    """Give an initial transform, from the fixed to the moving image, as a chain for elastix.

    Args:
        initial: None or ``"none"``: none. ``"center"``: the translation that puts the middle of the
            fixed image on the middle of the moving image; ``"mass"``: the same of their centres of
            mass; ``"search"``: the rigid transform that :mod:`impact_plugin.search` finds;
            ``"search-affine"``: the affine one; ``"search-deformable"``: a B-spline before the
            rigid one. A path: elastix's transform parameter file, with all that it builds on, or a
            transform file of ITK (.tfm, .txt, .mat, .h5, or a displacement field as an image). A
            transform of SimpleITK or itk; the result of another registration, or the list of its
            ``elastix_parameters``.
        fixed: Fixed image.
        moving: Moving image.
        name: What messages call it.
        means: Of a search.

    Raises:
        FileNotFoundError: There is no such file.
        SearchError: A search failed.
        ValueError: The word or the file is of no known kind, or the transform does not fit.
        TypeError: It is none of these.
    """
    grid = Geometry.of(fixed)
    if isinstance(initial, str) and initial == "none":
        return Chain()
    if isinstance(initial, str) and initial in _KINDS:
        means = means or Means()
        found = process.find(
            (fixed, moving),
            means.masks,
            kind=_KINDS[initial],
            device=means.device,
            threads=means.threads,
            ask=means.ask,
        )
        _say(found)
        return of_found(found, fixed)
    if isinstance(initial, str) and initial in AUTOMATIC:
        centre = _middle if initial == "center" else _centre_of_mass
        return to_elastix.translation(centre(moving) - centre(fixed), grid)
    chain = as_chain(initial, grid, name)
    return directions.in_world(chain, grid, Geometry.of(moving), name)


def by_default(fixed: sitk.Image, moving: sitk.Image, means: Means) -> tuple[str, Chain]:
    """Search, where nobody said anything; images in which nothing can be found stay as they lie.

    Returns:
        The word for what was done, and the chain.

    Raises:
        SearchError: The search failed.
    """
    try:
        return "search", make_chain("search", fixed, moving, means=means)
    except InputError as error:
        LOGGER.info("search: %s", error)
        return "none", Chain()


def of_found(found: Found, fixed: sitk.Image) -> Chain:
    """Give what a search found as a chain."""
    import SimpleITK as sitk

    transform = sitk.AffineTransform(len(found.offset))
    transform.SetMatrix(found.matrix.ravel().tolist())
    transform.SetTranslation(found.offset.tolist())
    if found.bending is None:
        return to_elastix.from_sitk(transform, Geometry.of(fixed))
    both = sitk.CompositeTransform([transform, found.bending])  # the last is applied first
    return to_elastix.from_sitk(both, Geometry.of(fixed))


def _say(found: Found) -> None:
    other = found.runner_up
    rest = "no other place was found" if other is None else f"the best elsewhere {other:.3f}"
    LOGGER.info("search: the score is %.3f, %s", found.score, rest)
    if not found.is_sure:
        LOGGER.warning(
            "search: another place is nearly as good (scores %.3f and %.3f): look at the result, "
            "or mask what the images have in common",
            found.score,
            other,
        )


def as_chain(initial: InitialTransform, grid: Geometry, name: str) -> Chain:
    """Give a transform as a chain of elastix's maps, which may be without direction cosines.

    Args:
        initial: As for :func:`make_chain`, without the words.
        grid: Grid of the fixed image.
        name: What messages call it.

    Raises:
        FileNotFoundError, ValueError, TypeError: As by :func:`make_chain`.
    """
    if initial is None:
        return Chain()
    if isinstance(initial, str | os.PathLike):
        return read(expanded(initial, name), grid, name)
    if hasattr(initial, "chain") and isinstance(initial.chain, Chain):
        chain = initial.chain
    elif isinstance(initial, list | tuple) and initial and "Transform" in initial[0]:
        chain = chains.of_maps(initial)
    else:
        chain = to_elastix.from_sitk(_as_sitk(initial, name), grid, name)
    return _checked(chain, grid, name)


def read(path: Path, grid: Geometry, name: str = "initial_transform") -> Chain:
    """Read a transform file of elastix or ITK.

    Args:
        path: The file.
        grid: Grid of the fixed image.
        name: What messages call it.

    Raises:
        OSError: A file is not there, or cannot be read.
        ValueError: The file is of no known kind, or the transform does not fit.
    """
    if not path.is_file():
        message = (
            f"{name}: there is no file {str(path)!r} (in {Path.cwd()}); expected a file, a "
            f"transform, or one of {', '.join(map(repr, AUTOMATIC))}"
        )
        raise MissingFileError(message)
    if is_of_elastix(path):
        return _checked(Chain.read(path), grid, name)
    return to_elastix.from_sitk(itk_files.read(path, name), grid, name)


def files_of(path: Path) -> list[Path]:
    """Give the files that a transform file consists of: elastix's with all that it builds on.

    Raises:
        OSError: One cannot be read.
        ValueError: One that elastix's builds on is none of elastix's.
    """
    return chains.files_of(path) if is_of_elastix(path) else [path]


def is_of_elastix(path: Path) -> bool:
    """Tell whether a file is a transform parameter file of elastix, by how it begins.

    Raises:
        OSError: It cannot be read.
    """
    if path.suffix == ".toml":
        return True
    with path.open("rb") as file:
        return file.read(4096).lstrip().startswith((b"(", b"//"))


def _checked(chain: Chain, grid: Geometry, name: str) -> Chain:
    for parameters in chain.maps:
        # elastix would log that it has no such transform, and go on without all of them.
        components.check_names({"Transform": parameters["Transform"]}, name)
        dimension = parameters.get("FixedImageDimension", [str(grid.dimension)])[0]
        if as_integer(dimension) != grid.dimension:
            message = f"{name} is for {dimension} dimensions, and the images have {grid.dimension}"
            raise InputError(message)
    return chain


def sitk_of(transform: object) -> sitk.Transform | None:
    """Give a transform of SimpleITK or itk as one of SimpleITK; None of anything else."""
    import SimpleITK as sitk

    if isinstance(transform, sitk.Transform):
        return transform
    module = type(transform).__module__.partition(".")[0]
    if module != "itk" or not hasattr(transform, "TransformPoint"):
        return None
    import itk

    with temporary_folder() as folder:
        file = str(folder / "transform.h5")
        itk.transformwrite([transform], file)
        return itk_parameters.from_file(file)


def _as_sitk(transform: InitialTransform, name: str) -> sitk.Transform:
    found = sitk_of(transform)
    if found is not None:
        return found
    message = (
        f"{name} is a {type(transform).__module__}.{type(transform).__qualname__}, expected "
        f"one of {', '.join(map(repr, AUTOMATIC))}, a path, a transform of SimpleITK or itk, or "
        "the result of a registration"
    )
    raise TypeError(message)


def _middle(image: sitk.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    return Geometry.of(image).centre


def _centre_of_mass(image: sitk.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give the mean place of the voxels, weighted by how far they are above the darkest, mm."""
    import SimpleITK as sitk

    geometry = Geometry.of(image)
    weights = sitk.GetArrayViewFromImage(image).astype(np.float64)
    weights -= weights.min()
    axes = range(weights.ndim)
    index = [
        np.average(np.arange(n), weights=weights.sum(axis=tuple(a for a in axes if a != axis)))
        for axis, n in enumerate(weights.shape)
    ]
    place: np.ndarray[Any, np.dtype[np.float64]] = geometry.matrix @ index[::-1] + geometry.origin
    return place
