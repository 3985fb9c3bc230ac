"""Inverses of transforms: exact where they are linear, solved for point by point where they deform.

The inverse of a deformation is a B-spline of finer control points: at these it is solved for on the
transform itself, and between them it is as smooth as the deformation is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms.itk_parameters import affine, matrix_and_offset
from impact_plugin.transforms.solving import Points, folds, mapped, solve
from impact_plugin.transforms.to_elastix import parts

if TYPE_CHECKING:
    import SimpleITK as sitk

_MOST_NODES = 8_000_000
"""Control points of one inverse; their coefficients take 0.2 GB."""

_MANY_NODES = 2_000_000
"""Control points to which an inverse is refined by itself: some seconds."""

_CHECKED = 20
"""Places along each axis at which an inverse is tried."""

_MARGIN = 3
"""Control points beyond the mapped region, where splines begin and end."""


class InverseWarning(UserWarning):
    """An inverse is not as near as was asked for, everywhere."""


def inverse(
    transform: sitk.Transform, tolerance: float, spacing: float | None
) -> sitk.CompositeTransform:
    """Invert each part of a composition.

    Args:
        transform: Linear, B-spline and displacement field transforms, or compositions of them.
        tolerance: How near it is to be, mm.
        spacing: Distance of the control points of an inverse, mm; None: a quarter of the
            B-spline's, or half that of the field, and less as long as that is not near enough and
            not too many.

    Returns:
        The composition of the inverses. Those of deformations are cubic B-splines over the region
        that the deformation maps to; outside they are the identity, as it is.

    Raises:
        ValueError: A linear one has no inverse, or there is one of another kind.
    """
    import SimpleITK as sitk

    composite = sitk.CompositeTransform(transform.GetDimension())
    # SimpleITK applies first what was added last, and what was applied last is undone first.
    for part in parts(transform):
        composite.AddTransform(
            _linear(part) if part.IsLinear() else _Deformation.of(part).inverse(tolerance, spacing)
        )
    return composite


def points_back(transform: sitk.Transform, points: Points, tolerance: float) -> Points:
    """Find what a transform maps to each of some points (N, d), mm, without an inverse of it.

    Args:
        transform: As for :func:`inverse`.
        points: Shape (N, d), mm.
        tolerance: mm; what is found is mapped nearer than a hundredth of it where there is such a
            place, and else near to it.

    Raises:
        ValueError: As by :func:`inverse`.
    """
    found = points
    for part in reversed(list(parts(transform))):
        if part.IsLinear():
            found = mapped(_linear(part), found)
            continue
        deformation = _Deformation.of(part)
        sources = solve(deformation.smooth, found, tolerance)
        # Outside the box it is the identity.
        within = deformation.within(sources)
        found = np.where(within[:, None], sources, found)
    return found


def deformed(transform: sitk.Transform, points: Points) -> Points:
    """Give those of some points (N, d), mm, that lie in the boxes of all its deformations.

    Outside its box a deformation of ITK is the identity, and at the border it has a jump.
    """
    inside = np.ones(len(points), dtype=bool)
    places = points
    for part in parts(transform):
        if not part.IsLinear():
            inside &= _Deformation.of(part).within(places)
        places = mapped(part, places)
    return points[inside]


def _linear(part: sitk.Transform) -> sitk.Transform:
    matrix, offset = matrix_and_offset(part)
    if np.linalg.matrix_rank(matrix) < len(offset):
        message = f"the transform has no inverse: its {part.GetName()} maps space to a plane"
        raise InputError(message)
    try:
        return part.GetInverse()
    except (RuntimeError, KeyError):  # ITK has none for this class
        back = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        return affine(back, -back @ offset)


def what_is_left(
    transform: sitk.Transform, inverse: sitk.Transform, points: Points, tolerance: float
) -> str:
    """Report where the inverse exceeds the tolerance.

    Args:
        transform: Transform of the points.
        inverse: Its inverse.
        points: Shape (N, d), mm, spread over the fixed image.
        tolerance: mm.

    Returns:
        One sentence or two; none where the inverse maps what the transform gives of each point
        back to it.
    """
    if not len(points):
        return ""
    error = round_trip(transform, inverse, points)
    far = error > tolerance
    if not far.any():
        return ""
    text = (
        f"The inverse is off by more than {tolerance:g} mm at {100 * far.mean():.2g} % of the "
        f"fixed image, by {error.max():.2g} mm at most and {error.mean():.2g} mm in the mean."
    )
    folded = folds(transform, points[far])
    if folded.any():
        text += (
            f" At {100 * folded.sum() / len(points):.2g} % of the image the transform folds: there "
            "is no inverse."
        )
    if not folded.all():
        text += " Where it does not fold, a smaller spacing makes the inverse nearer."
    return text


def what_of_points(
    transform: sitk.Transform, found: Points, points: Points, tolerance: float
) -> str:
    """Say of how many points what :func:`points_back` found is not mapped to them.

    Args:
        transform: Transform of the points.
        found: What was found, shape (N, d), mm.
        points: The points, likewise.
        tolerance: mm.

    Returns:
        A sentence; none where all are mapped nearer than that.
    """
    error = np.linalg.norm(mapped(transform, found) - points, axis=1)
    far = np.flatnonzero(error > tolerance)
    if not len(far):
        return ""
    return (
        f"Of {len(far)} of {len(points)} points the transform maps nothing to within {tolerance:g} "
        f"mm of them, as where it folds or the image ends: the nearest that was found is off by up "
        f"to {error.max():.2g} mm (point {int(error.argmax()) + 1})."
    )


def round_trip(transform: sitk.Transform, inverse: sitk.Transform, points: Points) -> Points:
    """Give how far from each point (N, d), mm, the inverse maps what the transform gives of it."""
    found = mapped(inverse, mapped(transform, points))
    return np.asarray(np.linalg.norm(found - points, axis=1), dtype=np.float64)


@dataclass(frozen=True)
class _Deformation:
    """A transform that is the identity but for a box.

    Args:
        smooth: The same within the box, and going on beyond it: what leaves the box on its way to a
            solution comes back.
        box: A grid over the box.
        step: Distance of the control points of its inverse, by default, mm along each axis.
        beyond: How far the box goes on beyond the grid's outermost points, in their distances.
    """

    smooth: sitk.Transform
    box: Geometry
    step: NDArray[np.float64]
    beyond: float

    @classmethod
    def of(cls, transform: sitk.Transform) -> _Deformation:
        import SimpleITK as sitk

        if isinstance(transform, sitk.BSplineTransform):
            return cls._of_spline(transform)
        if not isinstance(transform, sitk.DisplacementFieldTransform):
            message = (
                f"the transform is or contains a {transform.GetName()}, of which there is no "
                "inverse here; there is of linear, B-spline and displacement field transforms, and "
                "of compositions of them"
            )
            raise InputError(message)
        field = transform.GetDisplacementField()
        grid = Geometry.of(field)
        values = sitk.GetArrayViewFromImage(field)
        more = _more(np.linalg.norm(values, axis=-1).max(), grid)
        wide = np.pad(values, [*[(more, more)] * grid.dimension, (0, 0)], mode="edge")
        image = _image(wide, grid, -more)
        return cls(sitk.DisplacementFieldTransform(image), grid, np.array(grid.spacing) / 2, 0.5)

    @classmethod
    def _of_spline(cls, transform: sitk.BSplineTransform) -> _Deformation:
        import SimpleITK as sitk

        images = transform.GetCoefficientImages()
        grid = Geometry.of(images[0])
        coefficients = [sitk.GetArrayViewFromImage(image) for image in images]
        # A spline lies within its coefficients.
        largest = math.sqrt(sum(float(np.abs(each).max()) ** 2 for each in coefficients))
        more = _more(largest, grid)
        wide = [_image(np.pad(each, more, mode="edge"), grid, -more) for each in coefficients]
        border = (transform.GetOrder() + 1) // 2
        inner = tuple(max(2, n - 2 * (border - 1)) for n in grid.size)
        origin = grid.origin + grid.matrix @ np.full(grid.dimension, border - 1.0)
        box = Geometry(inner, grid.spacing, tuple(origin.tolist()), grid.direction)
        return cls(
            sitk.BSplineTransform(wide, transform.GetOrder()), box, np.array(grid.spacing) / 4, 0.0
        )

    def within(self, points: Points) -> NDArray[np.bool_]:
        """Tell which points (N, d), mm, lie in the box."""
        indices = np.linalg.solve(self.box.matrix, (points - np.array(self.box.origin)).T).T
        last = np.array(self.box.size) - 1 + self.beyond
        inside: NDArray[np.bool_] = np.all((indices >= -self.beyond) & (indices <= last), axis=1)
        return inside

    def inverse(self, tolerance: float, spacing: float | None) -> sitk.BSplineTransform:
        """Give it as a spline of that spacing; None: of one with which it is near enough."""
        step = self.step if spacing is None else np.full(self.box.dimension, float(spacing))
        found = self._inverse(self._nodes(2 * step), tolerance)  # what to begin with
        found = self._inverse(self._nodes(step), tolerance, found)
        while spacing is None and self._is_off(found, tolerance):
            step = step / 2
            nodes = self._nodes(step)
            if math.prod(nodes.size) > _MANY_NODES:
                break
            found = self._inverse(nodes, tolerance, found)
        return found

    def _is_off(self, inverse: sitk.Transform, tolerance: float) -> bool:
        """Tell whether an inverse is off at more than a hundredth of the box.

        Not where that much of it folds: finer control points do not help there.
        """
        corners = self.box.points(_CHECKED)
        inside = (corners[1:] + corners[:-1]) / 2
        error = round_trip(self.smooth, inverse, inside)
        if np.percentile(error, 99) <= tolerance:
            return False
        return bool(np.mean(folds(self.smooth, inside)) < 0.01)

    def _inverse(
        self, nodes: Geometry, tolerance: float, guess: sitk.Transform | None = None
    ) -> sitk.BSplineTransform:
        import SimpleITK as sitk

        places = _places(nodes)
        sources = solve(self.smooth, places, tolerance, guess)
        displacements = (sources - places).reshape(*nodes.size[::-1], nodes.dimension)
        images = [
            sitk.BSplineDecomposition(_image(displacements[..., axis], nodes), 3)
            for axis in range(nodes.dimension)
        ]
        return sitk.BSplineTransform(images, 3)

    def _nodes(self, step: NDArray[np.float64]) -> Geometry:
        """Give the grid of the inverse's control points: over all to which the box is mapped."""
        box = self.box
        fine = tuple(2 * n - 1 for n in box.size)
        half = tuple(spacing / 2 for spacing in box.spacing)
        reached = mapped(self.smooth, _places(Geometry(fine, half, box.origin, box.direction)))
        direction = box.axes
        along = (reached - np.array(box.origin)) @ direction  # mm along the box's axes
        low, high = along.min(axis=0), along.max(axis=0)
        count = np.prod((high - low) / step + 2 * _MARGIN + 1)
        step = step * max(1.0, (count / _MOST_NODES) ** (1 / box.dimension))
        size = np.ceil((high - low) / step).astype(int) + 2 * _MARGIN + 1
        origin = direction @ (low - _MARGIN * step) + box.origin
        return Geometry(
            tuple(size.tolist()), tuple(step.tolist()), tuple(origin.tolist()), box.direction
        )


def _more(largest: float, grid: Geometry) -> int:
    """Give by how many points a grid is to go on, for displacements of at most so many mm."""
    return min(math.ceil(largest / min(grid.spacing)) + 2, 2 * max(grid.size) + 8)


def _places(grid: Geometry) -> Points:
    """Give the places of all voxels, x fastest, mm."""
    axes = np.meshgrid(*[np.arange(n) for n in reversed(grid.size)], indexing="ij")
    indices = np.stack([axis.ravel() for axis in reversed(axes)], axis=1)
    places: Points = indices @ grid.matrix.T + grid.origin
    return places


def _image(values: NDArray[np.float64], grid: Geometry, first: int = 0) -> sitk.Image:
    """Make an image of values on a grid, or on one that begins so many voxels before or in it."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(
        np.asarray(values, dtype=np.float64), isVector=values.ndim > grid.dimension
    )
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    origin = grid.origin + grid.matrix @ np.full(grid.dimension, float(first))
    image.SetOrigin(origin.tolist())
    return image
