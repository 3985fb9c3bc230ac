"""What a registration gives: the transform in every form, the image, and how it went."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impact_plugin import _kept
from impact_plugin._arguments import check_flag, check_integer, check_number
from impact_plugin._deprecated import renamed_arguments
from impact_plugin._equality import EqualByValue
from impact_plugin._errors import InputError
from impact_plugin._io import expanded, temporary_folder
from impact_plugin._numbers import plain_arguments
from impact_plugin.evaluation.api import evaluate
from impact_plugin.evaluation.points import numbers_of
from impact_plugin.folders.data import RegistrationData
from impact_plugin.images import conversion, validation
from impact_plugin.images.axes import Axes, turned
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.registration import applying, inverse_files, made_from, showing, storage
from impact_plugin.registration.known_transform import TRIED, KnownTransform
from impact_plugin.registration.reporting import write_report
from impact_plugin.transforms import apply, from_elastix
from impact_plugin.transforms import inverse as inverses
from impact_plugin.transforms.resampling import (
    Interpolation,
    order_named,
    order_of,
    outside_of,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.evaluation import Evaluation
    from impact_plugin.evaluation.api import OutsideLandmarks
    from impact_plugin.evaluation.points import PointsLike


@dataclass(frozen=True, eq=False)
class RegistrationResult(RegistrationData, EqualByValue):
    """The result of :func:`impact_plugin.register_images`.

    The transform maps points of the fixed image to points of the moving image, both in mm in LPS;
    so images of the moving frame are warped onto the fixed image's grid by it, and points go the
    other way: from the fixed image to the moving one. Results can be pickled.

    Args:
        image: The moving image on the grid of the fixed image, SimpleITK, with the moving image's
            pixel type.
        chain: The transforms, the initial one among them, as elastix has them.
        fixed: Grid of the fixed image.
        history: Metric, step size and so on of every iteration.
        timings: Seconds by what they were spent on, in order.
        stages: Names of the presets or maps that ran.
        stopped: Whether the callback ended it early.
        output_directory: Where elastix's files are; None if they were not kept.
        log: elastix's, in full.
        record: All that the registration came from and what it gave, as ``docs/records.md``
            describes it; None where none was wanted.
        resampling: How the moving image became :attr:`image`; None: as the last transform's map
            says.
        inputs: The fixed and the moving image as they were given, for :meth:`report`; a pickled
            result has them where they are paths. None if they are not known.
        initial: How many of the chain's transforms were there before: the initial transform.
    """

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if not all(isinstance(image, str | os.PathLike) for image in self.inputs or ()):
            state["inputs"] = None
        return state

    @property
    def elastix_parameters(self) -> list[ParameterMap]:
        """Elastix's transform parameter maps, in the order in which they are applied.

        As ``itk.ParameterObject`` takes them; the initial transform comes first.
        """
        return [
            {**parameters, "InitialTransformParameterFileName": ["NoInitialTransform"]}
            for parameters in self.chain.maps
        ]

    @property
    def transform(self) -> sitk.CompositeTransform:
        """The same transform for SimpleITK, from the fixed to the moving image, without any loss.

        Raises:
            UnsupportedTransformError: SimpleITK has none like it (it has translation, Euler,
                similarity, affine and B-spline transforms, and compositions of them). Everything
                else here works for these, too.
        """
        return from_elastix.to_sitk(self.chain, self.fixed.dimension)

    def itk_transform(self) -> Any:  # noqa: ANN401  (itk's classes have no types)
        """Return the transform as an ``itk.CompositeTransform``; importing itk takes seconds."""
        import itk
        import SimpleITK as sitk

        with temporary_folder() as folder:
            file = str(folder / "transform.h5")
            sitk.WriteTransform(self.transform, file)
            return itk.transformread(file)[0]

    @plain_arguments
    def map_points(
        self, points: ArrayLike, axes: Axes = "LPS", inverse: bool = False
    ) -> NDArray[np.float64]:
        """Map points of the fixed image to where they are in the moving image, or back.

        Args:
            points: Shape (N, d), mm, (x, y, z) in ``axes``.
            axes: ``"LPS"``, or ``"RAS"``.
            inverse: Whether they are points of the moving image, to be mapped to the fixed image:
                to what the transform maps to them.

        Returns:
            The same shape and frame.

        Raises:
            ValueError: The shape or ``axes`` is another, or a coordinate is not finite.
            UnsupportedTransformError: With ``inverse``: as for :attr:`transform`.

        Warns:
            InverseWarning: With ``inverse``: there are points to which nothing is mapped.
        """
        check_flag("inverse", inverse)
        given = numbers_of("points", points, f"(N, {self.fixed.dimension})")
        if given.ndim != 2 or given.shape[1] != self.fixed.dimension:
            message = f"points have the shape {given.shape}, expected (N, {self.fixed.dimension})"
            raise InputError(message)
        given = turned(given, axes)
        if not inverse:
            return turned(apply.map_points(self.chain, given), axes)
        found, left = self._known.map_back(given)
        if left:
            warnings.warn(left, inverses.InverseWarning, stacklevel=3)
        return turned(found, axes)

    @property
    def _known(self) -> KnownTransform:
        return KnownTransform(self.fixed.dimension, self.chain, None, self.fixed, self.resampling)

    def displacement_field(self) -> sitk.Image:
        """Give the displacement of every voxel of the fixed image: T(x) - x, mm, in LPS.

        Returns:
            An image of vectors of doubles on the fixed image's grid.
        """
        return apply.displacement_field(self.chain, self.fixed)

    @renamed_arguments(order="interpolation", default="default_pixel_value")
    @plain_arguments
    def warp(
        self,
        image: ImageLike,
        labels: bool = False,
        interpolation: Interpolation | None = None,
        default_pixel_value: float | None = None,
        threads: int | None = None,
        *,
        inverse: bool = False,
        reference: ImageLike | None = None,
    ) -> Any:  # noqa: ANN401  (the kind of the image given)
        """Resample an image of the moving frame on the grid of the fixed image, or the other way.

        By the same rule as :attr:`image`, which the moving image gives: the interpolation and the
        value outside are those of the last parameter map, as transformix has them, and with a
        preset the least value of the image given is outside. Labels are not interpolated, and 0
        outside. Voxels keep the pixel type of the image given: ResultImagePixelType is for what
        elastix itself writes.

        Args:
            image: The moving image, or another one that lies as it does, on any grid.
            labels: Whether its values are labels: the nearest voxel's is taken, exactly, of
                whatever type.
            interpolation: ``"nearest"``, ``"linear"``, ``"bspline"`` (cubic), or the order of a
                B-spline, 0 to 5; by default that of :attr:`image`: of the map's
                ResampleInterpolator and FinalBSplineInterpolationOrder, else 3; 0 for labels.
            default_pixel_value: Value outside the image; by default ``default_pixel_value`` of the
                registration, else the map's DefaultPixelValue, else 0; with a preset the least
                value of ``image``; 0 for labels.
            threads: How many; by default all processors.
            inverse: Whether the image is one of the fixed frame, to be put on the grid of the
                moving image, by the inverse as :meth:`inverse` gives it.
            reference: Image on whose grid the result is to lie; by default the fixed image, or with
                ``inverse`` the moving image, which a result of images in memory no longer knows
                once it was saved or pickled.

        Returns:
            An image of the kind given (SimpleITK for a path), with its pixel type.

        Warns:
            InverseWarning: As by :meth:`inverse`.

        Raises:
            UnsupportedTransformError: With ``inverse``: as for :attr:`transform`.
            ValueError: ``interpolation`` or ``threads`` is none of these, or labels are
                interpolated; the value outside is not finite, or the image's pixel type cannot hold
                it; a transform that elastix wrote asks for an interpolation of other kinds; or as
                in :func:`impact_plugin.register_images` for images.
            TypeError: An argument is of another kind.
        """
        check_flag("labels", labels)
        check_flag("inverse", inverse)
        if not isinstance(default_pixel_value, Real):
            check_number("default_pixel_value", default_pixel_value)
        check_integer("threads", threads, 1)
        source = conversion.to_sitk(image)
        validation.check_real(source, "image")
        validation.check_filled(source, "image")
        last = self.chain.maps[-1] if self.chain.maps else {}
        rule = self.resampling
        if interpolation is not None:
            order = order_named(interpolation, labels)
        else:
            order = 0 if labels else rule.order if rule else order_of(last)
        value, what = default_pixel_value, "default_pixel_value"
        if value is None:
            usual = rule.value_outside(source) if rule else outside_of(last)
            value, what = 0.0 if labels else usual, "the registration's value outside, the default,"
        validation.check_fits(value, source, what)
        check_number("default_pixel_value", default_pixel_value)  # types of floats hold NaN
        validation.check_place(source, "image")
        if source.GetDimension() != self.fixed.dimension:
            message = (
                f"image has {source.GetDimension()} dimensions, and the images that were "
                f"registered have {self.fixed.dimension}"
            )
            raise InputError(message)
        if inverse:
            grid = self._moving_grid(reference)
        elif reference is None:
            grid = self.fixed
        else:
            grid = applying.grid_of(reference, self.fixed.dimension)
        known = self._known
        if inverse:
            known, left = known.inverted(grid)
            if left:
                warnings.warn(left, inverses.InverseWarning, stacklevel=3)
        return conversion.like(known.warp(source, grid, order, value, threads), image)

    def _moving_grid(self, reference: ImageLike | None) -> Geometry:
        """Give the grid of a reference, or else of the moving image.

        Raises:
            ValueError: It is not known.
        """
        if reference is None and self.inputs is None:
            message = (
                "the moving image, on whose grid the inverse puts images, is not known to this "
                "result: give it as reference"
            )
            raise InputError(message)
        if reference is None:
            assert self.inputs is not None
            reference = self.inputs[1]
        return applying.grid_of(reference, self.fixed.dimension)

    def save_inverse(
        self, path: str | os.PathLike[str], reference: ImageLike | None = None
    ) -> Path:
        """Write the transform from the moving to the fixed image to a file.

        :func:`impact_plugin.apply_transform` reads it, as do SimpleITK, itk, ANTs and 3D Slicer: to
        them it is a transform like others, whose fixed image is our moving image.

        Args:
            path: ``.h5``, ``.tfm`` or ``.txt``: :meth:`inverse` as a transform file of ITK;
                ``.mha``, ``.nii``, ``.nii.gz`` or ``.nrrd``: the displacements T^-1(y) - y, mm in
                LPS, at the voxels of the moving image.
            reference: The moving image, or another one that lies as it does, for displacements;
                needed as for :meth:`warp`.

        Returns:
            The file's path.

        Raises:
            UnsupportedTransformError: As for :attr:`transform`.
            ValueError: The name ends otherwise, the moving image is not known, or a file of the
                registration would be overwritten.
            OSError: It cannot be written.

        Warns:
            InverseWarning: As by :meth:`inverse`.
        """
        file = inverse_files.checked(path)
        _kept.check([file], made_from.files_of(self))
        grid = None
        if inverse_files.is_of_images(file):
            grid = self._moving_grid(reference)
        inverse_files.write(self.inverse(), file, grid)
        return file

    @plain_arguments
    def inverse(
        self, tolerance: float | None = None, spacing: float | None = None
    ) -> sitk.CompositeTransform:
        """Give the transform from the moving to the fixed image.

        Linear parts are inverted exactly. A deformation is solved for on the transform itself,
        point by point, at the control points of a finer B-spline, which is its inverse.

        Args:
            tolerance: How near the inverse is to be, mm; by default a hundredth of the least
                distance of the fixed image's voxels.
            spacing: Distance of these control points, mm; by default a quarter of the B-spline's,
                and less where that is not near enough and takes no more than some seconds.

        Raises:
            UnsupportedTransformError: As for :attr:`transform`.
            ValueError: ``tolerance`` or ``spacing`` is not above 0, or not finite.
            TypeError: One is no number.

        Warns:
            InverseWarning: At some voxels of the fixed image it is not that near, as where the
                transform folds. It says how many and how far.
        """
        for name, value in (("tolerance", tolerance), ("spacing", spacing)):
            if isinstance(value, Real) and not value > 0:
                message = f"{name} is {value!r}, expected mm above 0"
                raise InputError(message)
            check_number(name, value)
        if tolerance is None:
            tolerance = 0.01 * min(self.fixed.spacing)
        found = inverses.inverse(self.transform, tolerance, spacing)
        points = self.fixed.points(TRIED)
        if left := inverses.what_is_left(self.transform, found, points, tolerance):
            warnings.warn(left, inverses.InverseWarning, stacklevel=3)
        return found

    def evaluate(
        self,
        *,
        fixed_points: PointsLike | None = None,
        moving_points: PointsLike | None = None,
        fixed_labels: ImageLike | None = None,
        moving_labels: ImageLike | None = None,
        moving_image: ImageLike | None = None,
        mask: ImageLike | None = None,
        outside: OutsideLandmarks = "error",
        jacobian: bool = True,
        axes: Axes = "LPS",
    ) -> Evaluation:
        """Measure landmark errors, the overlap of labels, and folding.

        See :func:`impact_plugin.evaluation.evaluate` for the arguments and errors.
        """
        return evaluate(
            self,
            fixed_points=fixed_points,
            moving_points=moving_points,
            fixed_labels=fixed_labels,
            moving_labels=moving_labels,
            moving_image=moving_image,
            mask=mask,
            outside=outside,
            jacobian=jacobian,
            axes=axes,
        )

    def save(self, folder: str | Path) -> Path:
        """Save the result to a folder, which is made if needed.

        ``result.mha``: the image; ``TransformParameters.<n>.txt``: one per stage, for transformix,
        the last stands for all; ``InitialTransform.<n>.txt``: what it began with;
        ``transform.h5``: for SimpleITK, itk and Slicer, where there is such a transform;
        ``history.csv``; ``elastix.log``; ``result.json``: the rest; ``record.json``: the record,
        with which :func:`impact_plugin.rerun` can do it again.

        Returns:
            The folder's absolute path.

        Raises:
            OSError: A file cannot be written.
            ValueError: One would overwrite an image that was registered.
        """
        return storage.save(self, expanded(folder, "folder").absolute())

    @classmethod
    def load(cls, folder: str | Path) -> RegistrationResult:
        """Read what :meth:`save` wrote, a registration into its folder, or elastix itself.

        What elastix wrote (``impact-elastix -out``, or any other elastix) says less: the history
        and timings are those of its log, which also names the images; where it wrote no image
        (``WriteResultImage``), the moving image is warped.

        Raises:
            FileNotFoundError: There is no registration; or there is no image in what elastix wrote,
                nor the moving image where its log says.
            ValueError: A file is of another kind.
        """
        return cls(**vars(storage.load(expanded(folder, "folder").absolute())))

    def report(self, path: str | Path | None = None, **options: Any) -> Path:  # noqa: ANN401
        """Write an HTML page that shows it; see :func:`impact_plugin.write_report`.

        Args:
            path: File to write; by default ``report.html`` in the output folder, or in the current
                folder where there is none.
            options: As of that function: landmarks, labels, and the images where they are not
                known.

        Returns:
            The file's absolute path.
        """
        return write_report(self, path, **options)

    def show(self, path: str | Path | None = None, **options: Any) -> None:  # noqa: ANN401
        """Show the page of :meth:`report`.

        In a notebook it is shown below the cell and becomes part of the notebook, some MB of it;
        elsewhere it opens in the browser. Without a display its place is printed.

        Args:
            path: File to write it to; by default ``report.html`` in the output folder, or in a
                temporary one in a notebook and where there is no output folder.
            options: As of :func:`impact_plugin.write_report`.

        Raises:
            ImportError, ValueError, OSError: As of that function.
        """
        showing.show(self, path, options)

    def _repr_html_(self) -> str:
        return showing.as_html(self)

    def __repr__(self) -> str:
        last = f", metric {self.history.metric[-1]:.6g}" if len(self.history) else ""
        stopped = ", stopped early" if self.stopped else ""
        return (
            f"<RegistrationResult of {' and '.join(self.stages)}: {len(self.history)} iterations"
            f"{last}, {sum(self.timings.values()):.1f} s{stopped}>"
        )
