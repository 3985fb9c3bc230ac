"""Registrations as pages: what is shown of a result, or of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from impact_plugin import _kept
from impact_plugin._io import expanded
from impact_plugin._numbers import plain_arguments
from impact_plugin._optional import require_for_pages
from impact_plugin.evaluation.points import PointsLike
from impact_plugin.folders.data import RegistrationData
from impact_plugin.images.axes import Axes, check_axes
from impact_plugin.images.conversion import ImageLike
from impact_plugin.registration import folder_content, made_from
from impact_plugin.report import page
from impact_plugin.report import registration as page_of_registration
from impact_plugin.report.registration.content import Content


@plain_arguments
def write_report(
    registration: RegistrationData | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    fixed: ImageLike | None = None,
    moving: ImageLike | None = None,
    fixed_points: PointsLike | None = None,
    moving_points: PointsLike | None = None,
    fixed_labels: ImageLike | None = None,
    moving_labels: ImageLike | None = None,
    slices: int = 32,
    window: Sequence[float] | None = None,
    axes: Axes = "LPS",
) -> Path:
    """Write an HTML page that shows a registration: one file that loads nothing from anywhere.

    It has the images before and after in three planes (one of a 2D image), laid over each other in
    several ways; the deformation as a grid and by its Jacobian determinant, what is folded marked
    and counted; the course of the metric, timings, warnings, parameters and versions; and the
    errors of landmarks and the overlap of labels where they are given.

    Args:
        registration: A result, or the folder that ``result.save(folder)``, ``impact-plugin
            register -o`` or elastix's own ``-out`` wrote to.
        path: File to write; by default ``report.html`` in the registration's folder, or in the
            current one where there is none.
        fixed: The fixed image, where the folder does not say where it is.
        moving: The moving image likewise.
        fixed_points: Landmarks in the fixed image: a file of them (elastix, CSV, 3D Slicer: see
            :func:`impact_plugin.evaluation.read_points`), or positions (N, d), mm in ``axes``.
            Those outside the image are left out.
        moving_points: Where they truly are in the moving image, in the same order, or with the
            same names.
        fixed_labels: Label map on the fixed image's grid; 0 is the background.
        moving_labels: Label map of the moving image.
        slices: Slices per plane, at most, evenly spread; the page grows with it.
        window: Intensities that are shown as black and as white; by default the 0.5 and 99.5
            percentiles of each image, one pair for both where these are alike.
        axes: Frame of positions of landmarks, and of files that do not say theirs: ``"LPS"`` or
            ``"RAS"``.

    Returns:
        The page's absolute path.

    Raises:
        ImportError: matplotlib or jinja2 is missing. The message has the command that installs it.
        FileNotFoundError: The folder holds no registration; a file is not there.
        ValueError: An image does not lie on the registration's grid; landmarks or labels do not
            fit; an argument is out of range; ``path`` is a file of the registration, or one that
            it was made from.
        TypeError: An image is of a kind that is not known.
        OSError: The page cannot be written.

    Example:
        >>> impact_plugin.write_report("out")  # doctest: +SKIP
        PosixPath('/data/out/report.html')
    """
    check_axes(axes)
    require_for_pages()
    options = page_of_registration.Options.of(slices, window)
    content, folder = _read(registration, fixed, moving)
    target = page.target_of(path, folder / "report.html")
    read = {"fixed": fixed, "moving": moving, "fixed_points": fixed_points}
    read |= {"moving_points": moving_points, "fixed_labels": fixed_labels}
    read |= {"moving_labels": moving_labels}
    _kept.check([target], [*made_from.files_read(read), *made_from.files_of(registration)])
    page.check_ending(target)
    page_of_registration.write(
        target,
        content,
        options,
        fixed_points=fixed_points,
        moving_points=moving_points,
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        axes=axes,
    )
    return target


def _read(
    registration: RegistrationData | str | os.PathLike[str],
    fixed: ImageLike | None,
    moving: ImageLike | None,
) -> tuple[Content, Path]:
    """Give the registration with these images, and the folder that its page belongs into."""
    if isinstance(registration, RegistrationData):
        folder = registration.output_directory or Path.cwd()
        content = folder_content.of_result(
            registration, " and ".join(registration.stages), fixed, moving
        )
        return content, folder
    folder = expanded(registration, "registration", "a result, or ").absolute()
    return folder_content.read(folder, fixed, moving), folder
