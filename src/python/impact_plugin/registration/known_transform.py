"""Transforms of every program, from wherever they are, with what is known of their fixed image."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded
from impact_plugin.evaluation.points import Positions
from impact_plugin.folders.data import RegistrationData
from impact_plugin.folders.result_folder import ResultFolder
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import as_integer
from impact_plugin.transforms import (
    apply,
    directions,
    from_elastix,
    initial,
    inverse,
    itk_files,
    itk_parameters,
    solving,
)
from impact_plugin.transforms import chain as chains
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.fixed_grid import MissingGridError, grid_of_chain
from impact_plugin.transforms.resampling import Resampling, order_of, outside_of

if TYPE_CHECKING:
    import SimpleITK as sitk

TransformLike: TypeAlias = Any
"""A path, a result, a transform of SimpleITK or itk, a displacement field, or elastix's maps."""

TRIED = 24
"""Voxels along each axis of a grid at which an inverse is tried."""

_NEAR = 0.01
"""How near inverses are to be, in the least distance of voxels, or mm where no grid is known."""


@dataclass(frozen=True)
class KnownTransform:
    """A transform of points of the fixed image to points of the moving image, mm in LPS.

    Args:
        dimension: 2 or 3.
        chain: As elastix has it; None where it is not elastix's.
        itk: As SimpleITK has it; None where ``chain`` has it.
        grid: Grid of the fixed image, if known.
        resampling: How the registration resampled its moving image; None where the chain says it.
        no_grid: Why no grid is known, of a file of elastix.
    """

    dimension: int
    chain: Chain | None = None
    itk: sitk.Transform | None = None
    grid: Geometry | None = None
    resampling: Resampling | None = None
    no_grid: str = ""

    @classmethod
    def read(cls, given: TransformLike, moving: Geometry | None = None) -> KnownTransform:
        """Find out what was given.

        Args:
            given: As in :func:`impact_plugin.apply_transform`.
            moving: Grid of the moving image, for what was found without direction cosines.

        Raises:
            FileNotFoundError, ValueError, TypeError: As by :func:`impact_plugin.apply_transform`.
        """
        import SimpleITK as sitk

        if isinstance(given, str | os.PathLike):
            return _of_path(expanded(given, "transform"), moving)
        if isinstance(given, RegistrationData):
            return _of_chain(given.chain, given.fixed, moving, given.resampling)
        if isinstance(given, list | tuple) and given and "Transform" in given[0]:
            return _of_elastix(chains.of_maps(given), "transform", moving)
        if isinstance(given, sitk.Image):
            return _of_itk(itk_files.field(given), Geometry.of(given))
        found = initial.sitk_of(given)
        if found is None:
            message = (
                f"transform is a {type(given).__module__}.{type(given).__qualname__}, expected a "
                "path (of a transform file of elastix or ITK, a displacement field, or a folder "
                "with a registration), a result, a transform of SimpleITK or itk, a displacement "
                "field as a SimpleITK image, or a list of elastix's transform parameter maps"
            )
            raise TypeError(message)
        return _of_itk(found)

    def as_sitk(self) -> sitk.Transform:
        """Give it as SimpleITK has it.

        Raises:
            UnsupportedTransformError: SimpleITK has none like it.
        """
        if self.chain is None:
            return self.itk
        return from_elastix.to_sitk(self.chain, self.dimension)

    def map_points(self, points: Positions) -> Positions:
        """Map points (N, d) of the fixed image, mm in LPS."""
        if self.chain is not None:
            return apply.map_points(self.chain, points)
        return solving.mapped(self.itk, points)

    def map_back(self, points: Positions) -> tuple[Positions, str]:
        """Map points (N, d) of the moving image, mm in LPS, to the fixed image.

        Returns:
            The points, and what is to be warned of; nothing where all were found.

        Raises:
            ValueError: The transform has no inverse, or a coordinate is not finite.
        """
        apply.check_finite(points)
        transform, tolerance = self.as_sitk(), _tolerance(self.grid)
        found = inverse.points_back(transform, points, tolerance)
        return found, inverse.what_of_points(transform, found, points, tolerance)

    def inverted(self, reference: Geometry) -> tuple[KnownTransform, str]:
        """Give the inverse for images, tried over the fixed image.

        Args:
            reference: The grid on which images are to lie, on which it is tried where the fixed
                image's is not known.

        Returns:
            The inverse, and what is to be warned of; nothing where it is near everywhere.

        Raises:
            ValueError: The transform has no inverse.
        """
        transform, tolerance = self.as_sitk(), _tolerance(self.grid or reference)
        found = inverse.inverse(transform, tolerance, None)
        if self.grid is not None:
            points = self.grid.points(TRIED)
        else:
            points = inverse.deformed(transform, solving.mapped(found, reference.points(TRIED)))
        left = inverse.what_is_left(transform, found, points, tolerance)
        return KnownTransform(self.dimension, itk=found), left

    def warp(
        self, image: sitk.Image, grid: Geometry, order: int, default: float, threads: int | None
    ) -> sitk.Image:
        """Resample an image of the moving frame on a grid of the fixed frame."""
        if self.chain is not None:
            return apply.warp(self.chain, image, grid, order, default, threads)
        return apply.resample(self.itk, image, grid, order, default, threads)

    @property
    def order(self) -> int:
        """Order of the B-spline by which the registration interpolates; 1 where it is not known.

        Raises:
            ValueError: elastix's file asks for an interpolation of another kind.
        """
        if self.resampling is not None:
            return self.resampling.order
        if not (self.chain and self.chain.maps):
            return 1
        try:
            return order_of(self.chain.maps[-1])
        except InputError as error:
            message = f"{error}; or give interpolation"
            raise InputError(message) from error

    def value_outside(self, image: sitk.Image) -> float:
        """Give the value outside of an image, as the registration had it; 0 by default."""
        if self.resampling is not None:
            return self.resampling.value_outside(image)
        return outside_of(self.chain.maps[-1]) if self.chain and self.chain.maps else 0.0


def _tolerance(grid: Geometry | None) -> float:
    return _NEAR * (min(grid.spacing) if grid else 1.0)


def _of_path(path: Path, moving: Geometry | None) -> KnownTransform:
    if path.is_dir():
        folder = ResultFolder(path)
        if folder.summary is not None:
            return _of_chain(folder.chain, folder.fixed, moving, folder.summary.resampling)
        path = folder.last
    if not path.is_file():
        message = f"transform: there is no file or folder {str(path)!r} (in {Path.cwd()})"
        raise MissingFileError(message)
    if initial.is_of_elastix(path):
        return _of_elastix(Chain.read(path), str(path), moving)
    transform = itk_files.read(path, "transform")
    if not itk_files.is_field(path):
        return _of_itk(transform)
    return _of_itk(transform, Geometry.of(transform.GetDisplacementField()))


def _of_elastix(chain: Chain, source: str, moving: Geometry | None) -> KnownTransform:
    try:
        return _of_chain(chain, grid_of_chain(chain.maps, source), moving)
    except MissingGridError as error:  # transform files made by hand need not have it
        return replace(_of_chain(chain, None, moving), no_grid=str(error))


def _of_chain(
    chain: Chain,
    grid: Geometry | None,
    moving: Geometry | None,
    resampling: Resampling | None = None,
) -> KnownTransform:
    known = directions.in_world(chain, grid, moving, "transform")
    if grid:
        return KnownTransform(grid.dimension, known, None, grid, resampling)
    said = chain.maps[-1].get("FixedImageDimension", [""])[0]
    dimension = as_integer(said)
    if dimension not in (2, 3):
        message = f"transform has (FixedImageDimension {said}), expected 2 or 3"
        raise InputError(message)
    return KnownTransform(dimension, known, None, None, resampling)


def _of_itk(transform: sitk.Transform, grid: Geometry | None = None) -> KnownTransform:
    import SimpleITK as sitk

    if isinstance(transform, sitk.DisplacementFieldTransform):
        itk_parameters.check_finite(transform.GetDisplacementField(), "transform")
    values = np.array(transform.GetParameters()) if transform.IsLinear() else np.zeros(1)
    if not np.isfinite(values).all():
        message = f"transform is a {transform.GetName()} with numbers that are not finite"
        raise InputError(message)
    return KnownTransform(transform.GetDimension(), None, transform, grid)
