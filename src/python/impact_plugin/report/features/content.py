"""The page of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import impact_plugin
from impact_plugin.images.grid import Geometry
from impact_plugin.models.report import ModelReport
from impact_plugin.parameters import Model
from impact_plugin.report import page, pictures
from impact_plugin.report.features import plots
from impact_plugin.report.features.colours import Basis
from impact_plugin.report.features.extraction import FeatureMap
from impact_plugin.report.features.scans import Sharpness
from impact_plugin.report.pictures import Window
from impact_plugin.report.planes import Plane, nearest_to_lps, oriented, resampled
from impact_plugin.report.stacks import Viewer

if TYPE_CHECKING:
    import SimpleITK as sitk

_MONTAGE = 150  # pixels along the longest edge of a slice


@dataclass(frozen=True)
class Sides:
    """Both images and their features.

    Args:
        fixed: The (fixed) image.
        moving: The moving image, if there is one.
        ours: Features of the fixed image.
        theirs: Features of the moving image; empty without one.
        bases: Principal components, one for each layer.
        transform: From the fixed to the moving image.
    """

    fixed: sitk.Image
    moving: sitk.Image | None
    ours: Sequence[FeatureMap]
    theirs: Sequence[FeatureMap]
    bases: Sequence[Basis]
    transform: sitk.Transform


def write(
    path: Path,
    sides: Sides,
    found: Sequence[Sharpness],
    report: ModelReport,
    model: Model,
    slices: int,
) -> Path:
    """Write the page, and give its path."""
    geometry = nearest_to_lps(Geometry.of(sides.fixed))
    viewer = Viewer(geometry, slices)
    windows = _add_images(viewer, sides, geometry)
    montages = [
        (side, each.layer, _montage(viewer, sides, side, each, reference, windows))
        for ours, theirs in _pairs(sides)
        for side, each, reference in (("fixed", ours, ours), ("moving", theirs, ours))
        if each is not None
    ]
    best = _best(found)
    names = ["fixed", *(["moving"] if sides.moving is not None else [])]
    values = {
        "version": impact_plugin.__version__,
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "title": f"Features of {Path(model.path).name}",
        "model": report.describe(),
        "voxels": " x ".join(f"{each:g}" for each in model.voxel_sizes),
        "scaled": {
            "l2": ", each vector scaled to unit length",
            "standardized": ", each vector scaled to zero mean and unit deviation",
        }.get(model.feature_normalization, ""),
        "sides": names,
        "layers": [
            {
                "number": each.layer,
                "channels": each.channels,
                "size": " x ".join(map(str, each.geometry.size)),
                "spacing": " x ".join(f"{s:.4g}" for s in each.geometry.spacing),
                "explained": ", ".join(f"{100 * share:.0f} %" for share in basis.explained),
            }
            for each, basis in zip(sides.ours, sides.bases, strict=True)
        ],
        "planes": viewer.rows(),
        "montages": montages,
        "curves": pictures.figure_uri(plots.curves(found), 100),
        "shifts": f"{found[0].curves[0].shifts[-1]:g}",
        "step": f"{found[0].curves[0].shifts[1] - found[0].curves[0].shifts[0]:.3g}",
        "axes": [curve.axis for curve in found[0].curves],
        "rows": [(_table_cells(each), each is best) for each in found],
        "has_best": best is not None,
        "viewer": viewer.as_dict(),
    }
    page.write(path, page.render("features.html", values))
    return path


def _pairs(sides: Sides) -> list[tuple[FeatureMap, FeatureMap | None]]:
    theirs: Sequence[FeatureMap | None] = sides.theirs or [None] * len(sides.ours)
    return list(zip(sides.ours, theirs, strict=True))


def _add_images(viewer: Viewer, sides: Sides, geometry: Geometry) -> dict[str, Window]:
    """Add the images and their features in colours, all on the fixed image's grid."""
    import SimpleITK as sitk

    identity = sitk.Transform(geometry.dimension, sitk.sitkIdentity)
    greys = {"fixed": oriented(sides.fixed)}
    if sides.moving is not None:
        greys["moving"] = resampled(sides.moving, geometry, sides.transform)
    windows = {name: Window.of(array) for name, array in greys.items()}
    for name, array in greys.items():
        viewer.add(name, viewer.grey_slicer(array, windows[name]))
    for name, maps, transform in (
        ("fixed", sides.ours, identity),
        ("moving", sides.theirs, sides.transform),
    ):
        for each, basis in zip(maps, sides.bases, strict=False):
            coloured = sitk.GetImageFromArray(basis.colour(each.features), isVector=True)
            each.geometry.place(coloured)
            array = resampled(coloured, geometry, transform)
            viewer.add(f"{name} {each.layer}", _colour_slicer(viewer, array))
    return windows


def _colour_slicer(viewer: Viewer, array: NDArray[np.uint8]) -> Any:  # noqa: ANN401  (a Slicer)
    def slicer(plane: Plane, number: int) -> NDArray[np.uint8]:
        return pictures.resized(plane.slice(array, number), viewer.sizes[plane.name])

    return slicer


def _montage(
    viewer: Viewer,
    sides: Sides,
    side: str,
    features_of_side: FeatureMap,
    reference: FeatureMap,
    windows: dict[str, Window],
) -> str:
    """Draw every channel over the middle slice of the first plane, in the fixed image's range.

    Features are interpolated at the pixels; for the moving image, where the transform maps them.
    """
    plane, geometry = viewer.planes[0], viewer.geometry
    width, height = viewer.sizes[plane.name]
    scale = min(1.0, _MONTAGE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    index = np.zeros((size[1], size[0], geometry.dimension))
    for axis, (count, position) in (
        (plane.right, (size[0], np.arange(size[0])[None, :])),
        (plane.vertical, (size[1], np.arange(size[1])[:, None])),
    ):
        index[..., axis] = (position + 0.5) * (geometry.size[axis] / count) - 0.5
    if plane.across is not None:
        index[..., plane.across] = viewer.middle(plane)
    points = index.reshape(-1, geometry.dimension) @ geometry.matrix.T + geometry.origin
    image = sides.fixed
    if side == "moving" and sides.moving is not None:
        image = sides.moving
        points = np.array([sides.transform.TransformPoint(point) for point in points.tolist()])
    features = features_of_side.at(points).reshape(size[1], size[0], -1)
    # Axial slices and 2D images are not mirrored: rows run as the pixels do.
    shown = resampled(image, geometry, sides.transform) if side == "moving" else oriented(image)
    grey = windows[side].grey(plane.slice(shown, viewer.middle(plane)))
    rows = reference.features.reshape(-1, reference.channels)
    rows = rows[:: max(1, len(rows) // 50_000)]
    limits = np.percentile(rows, (1, 99), axis=0).astype(np.float32)
    grey = pictures.resized(grey, size)
    return pictures.uri(pictures.webp(plots.montage(grey, features, limits)))


def _best(found: Sequence[Sharpness]) -> Sharpness | None:
    """Give the narrowest well among those with their minimum at the identity; None without any."""
    right = [each for each in found if each.at_identity and np.isfinite(each.width)]
    return min(right, key=lambda each: each.width, default=None)


def _table_cells(each: Sharpness) -> list[str]:
    def number(value: float, digits: str = ".2f") -> str:
        return format(value, digits) if np.isfinite(value) else "wider than the scan"

    return [
        str(each.layer),
        each.distance,
        *(f"{curve.minimum:.2f}" for curve in each.curves),
        "yes" if each.at_identity else "no",
        number(each.width),
        number(each.curvature, ".4f"),
        number(each.capture),
        f"{100 * each.contrast:.0f} %",
    ]
