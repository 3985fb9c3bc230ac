"""Transforms found with (UseDirectionCosines "false"), in the world.

elastix then takes each image to lie along x, y and z: a point y of such an image truly is at
A(y) = o + D (y - o), o being the image's origin and D its direction cosines. What it finds, T, maps
points of that frame of the fixed image to that of the moving image; in the world it is

    Am T Af^-1 = (Am T Am^-1) (Am Af^-1)

for every T of a chain: a transform of the same kind, after one that lays the images on each other
as if their axes were the same, which is none where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.names import has_impact
from impact_plugin.parameters.values import ParameterMap, as_map
from impact_plugin.transforms import from_elastix, itk_parameters, to_elastix
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.fixed_grid import grid_of_chain

if TYPE_CHECKING:
    import SimpleITK as sitk

_ROUNDING = 1e-6
"""Tolerance of direction cosines in files: 0.5 um at half a metre."""

_TURNED = 30.0
"""Degrees between axes, above which features of one place no longer compare."""

WHAT = (
    '(UseDirectionCosines "false"): elastix takes the axes of each image for x, y and z, and not '
    "its direction cosines"
)


@dataclass(frozen=True)
class _Affine:
    """The map x -> matrix x + offset, mm."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def of(cls, grid: Geometry) -> _Affine:
        """Give A of an image: the identity where its direction is that."""
        matrix = grid.axes
        if np.allclose(matrix, np.eye(grid.dimension), rtol=0, atol=_ROUNDING):
            matrix = np.eye(grid.dimension)
        return cls(matrix, grid.origin - matrix @ grid.origin)

    @property
    def inverse(self) -> _Affine:
        matrix = np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)
        return _Affine(matrix, -matrix @ self.offset)

    def __matmul__(self, first: _Affine) -> _Affine:
        return _Affine(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)

    def to_sitk(self) -> sitk.AffineTransform:
        return itk_parameters.affine(self.matrix, self.offset)

    @property
    def is_identity(self) -> bool:
        return np.allclose(self.matrix, np.eye(len(self.offset)), rtol=0, atol=_ROUNDING) and (
            np.allclose(self.offset, 0, rtol=0, atol=_ROUNDING)
        )


@dataclass(frozen=True)
class Ignored:
    """What elastix makes of two images whose direction cosines it does not use.

    Args:
        fixed: Grid of the fixed image.
        moving: Grid of the moving image.
    """

    fixed: Geometry
    moving: Geometry

    @classmethod
    def of(cls, maps: Sequence[ParameterMap], fixed: Geometry, moving: Geometry) -> Ignored | None:
        """Give that of a registration; None where the maps want direction cosines to be used.

        Args:
            maps: The parameter maps of its stages.
            fixed: Grid of the fixed image.
            moving: Grid of the moving image.

        Raises:
            ValueError: Only some of the maps want it; or the transform of one of them is of a kind
                that has no counterpart in the world.
        """
        for parameters in maps:
            said = parameters.get("UseDirectionCosines", ["true"])
            if said[:1] not in (["true"], ["false"]):
                message = f"UseDirectionCosines is {' '.join(said)!r}, expected 'true' or 'false'"
                raise InputError(message)
        wanted = [ignores(each) for each in maps]
        if not any(wanted):
            return None
        found = cls(fixed, moving)
        if found.is_trivial:
            return found
        if found.angle > _TURNED and any(map(has_impact, maps)):
            message = (
                f"{WHAT}. Those of the two images lie {found.angle:.0f} degrees apart, and the "
                "metric would compare features of images that are turned against each other. "
                f"{REMEDY}"
            )
            raise InputError(message)
        if not all(wanted):
            message = (
                f"of the maps, number {wanted.index(True)} has {WHAT}, and number "
                f"{wanted.index(False)} has not; with these images the one would not go on where "
                "the other ended. Give all of them the same"
            )
            raise InputError(message)
        for number, parameters in enumerate(maps):
            try:
                from_elastix.check_kind(parameters, first=False)
            except from_elastix.UnsupportedTransformError as error:
                message = f"map number {number} has {WHAT}, and {error}. {REMEDY}"
                raise InputError(message) from error
        return found

    @property
    def angle(self) -> float:
        """By how much the axes of the two images differ at most, degrees."""
        fixed, moving = _Affine.of(self.fixed).matrix, _Affine.of(self.moving).matrix
        least = float((fixed * moving).sum(axis=0).min())
        return float(np.degrees(np.arccos(np.clip(least, -1.0, 1.0))))

    @property
    def is_trivial(self) -> bool:
        """Whether it is all the same, for the images' axes are x, y and z."""
        return _Affine.of(self.fixed).is_identity and _Affine.of(self.moving).is_identity

    @property
    def start(self) -> Chain:
        """Where a registration starts that has no initial transform, in the world."""
        return self.in_world(Chain())

    def in_world(self, chain: Chain, start: Chain | None = None) -> Chain:
        """Give what elastix found as it is in the world.

        Args:
            chain: What it found.
            start: In the world, where it started; None: without an initial transform.
        """
        frame = _Affine.of(self.moving)
        if start is None:
            start = _as_chain(frame @ _Affine.of(self.fixed).inverse, self.fixed)
        return start + _conjugated(chain, frame, self.fixed)

    def for_elastix(self, chain: Chain) -> Chain:
        """Give an initial transform of the world as elastix is to get it.

        Raises:
            ValueError: It is of a kind that has no counterpart.
        """
        if self.is_trivial or not chain.maps:
            return chain
        back = _Affine.of(self.moving).inverse
        start = _as_chain(back @ _Affine.of(self.fixed), self.fixed)
        try:
            return start + _conjugated(chain, back, self.fixed)
        except from_elastix.UnsupportedTransformError as error:
            message = f"the maps have {WHAT}, and of the initial transform {error}. {REMEDY}"
            raise InputError(message) from error


REMEDY = 'Give (UseDirectionCosines "true")'


def ignores(parameters: ParameterMap) -> bool:
    """Tell whether a parameter map, or one of a transform, has (UseDirectionCosines "false")."""
    return parameters.get("UseDirectionCosines", ["true"])[:1] == ["false"]


def in_world(chain: Chain, fixed: Geometry | None, moving: Geometry | None, name: str) -> Chain:
    """Give a chain of elastix's files in the world, whether or not it was found there.

    As for elastix, what the last of the files says holds for all of them.

    Args:
        chain: The chain.
        fixed: Grid of the fixed image, if it is known, for files that do not have it.
        moving: Grid of the moving image, if it is known.
        name: What messages call it.

    Raises:
        ValueError: It was found without direction cosines, and a grid is not known.
    """
    if not chain.maps or not ignores(chain.maps[-1]):
        return chain
    if moving is None:
        message = (
            f"{name} was found with {WHAT}. What it maps points to is known only together with the "
            "moving image: give moving_image, as it was registered"
        )
        raise InputError(message)
    try:
        grid = grid_of_chain(chain.maps, name)
    except ValueError:
        if fixed is None:
            raise
        grid = fixed
    try:
        return Ignored(grid, moving).in_world(chain)
    except from_elastix.UnsupportedTransformError as error:
        message = f"{name} was found with {WHAT}, and {error}. {REMEDY}, and register again"
        raise InputError(message) from error


def _as_chain(affine: _Affine, fixed: Geometry) -> Chain:
    return Chain() if affine.is_identity else to_elastix.from_sitk(affine.to_sitk(), fixed)


def _conjugated(chain: Chain, frame: _Affine, fixed: Geometry) -> Chain:
    """Give frame T frame^-1 for each T of a chain, with all else that its maps say."""
    # elastix forgets the direction from its second stage on.
    columns = fixed.axes.T.ravel().tolist()
    used = as_map({"UseDirectionCosines": True, "Direction": columns})
    if frame.is_identity:
        return Chain([parameters | used for parameters in chain.maps], chain.fields)
    found = Chain()
    for number, parameters in enumerate(chain.maps):
        transform = from_elastix.one(parameters, number == 0, chain, fixed.dimension)
        moved = _moved(transform, frame)
        own = itk_parameters.parameters_of(moved, found.fields, "the transform")
        kept = {name: values for name, values in parameters.items() if name != "ComputeZYX"}
        kept["HowToCombineTransforms"] = ["Compose"]
        found.maps.append(kept | as_map(own) | used)
    return found


def _moved(transform: sitk.Transform, frame: _Affine) -> sitk.Transform:
    """Give frame T frame^-1."""
    import SimpleITK as sitk

    d = transform.GetDimension()
    if isinstance(transform, sitk.TranslationTransform):
        return sitk.TranslationTransform(d, (frame.matrix @ transform.GetOffset()).tolist())
    if isinstance(transform, sitk.BSplineTransform):
        size, origin, spacing, *_ = np.reshape(transform.GetFixedParameters(), (-1, d))
        direction = np.reshape(transform.GetFixedParameters()[3 * d :], (d, d))
        moved = sitk.BSplineTransform(d, transform.GetOrder())
        moved.SetFixedParameters(
            [
                *size.tolist(),
                *(frame.matrix @ origin + frame.offset).tolist(),
                *spacing.tolist(),
                *(frame.matrix @ direction).ravel().tolist(),
            ]
        )
        numbers = np.reshape(transform.GetParameters(), (d, -1))
        moved.SetParameters((frame.matrix @ numbers).ravel().tolist())
        return moved
    if isinstance(transform, sitk.DisplacementFieldTransform):
        field = transform.GetDisplacementField()
        vectors = sitk.GetArrayFromImage(field) @ frame.matrix.T
        turned = sitk.GetImageFromArray(vectors, isVector=True)
        turned.SetSpacing(field.GetSpacing())
        turned.SetOrigin((frame.matrix @ field.GetOrigin() + frame.offset).tolist())
        direction = frame.matrix @ np.reshape(field.GetDirection(), (d, d))
        turned.SetDirection(direction.ravel().tolist())
        return sitk.DisplacementFieldTransform(turned)
    return (frame @ _Affine(*itk_parameters.matrix_and_offset(transform)) @ frame.inverse).to_sitk()
