"""Slices of a registration's images on the fixed image's grid, before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from impact_plugin._errors import InputError
from impact_plugin.images import colour, conversion, validation
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.report import pictures
from impact_plugin.report.pictures import Window
from impact_plugin.report.planes import Plane, nearest_to_lps, obliqueness, oriented
from impact_plugin.report.registration.content import Content
from impact_plugin.report.registration.deformation import Deformation, grid_spacing
from impact_plugin.report.stacks import Viewer
from impact_plugin.transforms import apply
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk

FIXED, DETERMINANT, GRID = "fixed", "determinant", "grid"


@dataclass
class Scene:
    """The slices on a registration's page.

    Attributes:
        viewer: The slices, by name: "fixed", "determinant", "grid", and "step 0" and so on.
        steps: Names of the transforms that "step 0" and so on show; the last is the whole one.
        windows: Intensities shown as black and white, by image.
        deformation: The transform over the fixed image.
        line_spacing: Distance between grid lines, mm.
        obliqueness: Largest angle between the fixed image's axes and those of LPS, degrees.
        middles: Pictures of the middle slices by step and plane: fixed image magenta, moving image
            green.
    """

    viewer: Viewer
    steps: list[str]
    windows: dict[str, str]
    deformation: Deformation
    line_spacing: float
    obliqueness: float
    middles: dict[str, dict[str, str]]


def build(content: Content, most: int, window: Window | None) -> Scene:
    """Resample the images and evaluate the transform, and cut both into slices.

    Args:
        content: The registration.
        most: Most slices per plane.
        window: Intensities shown as black and white; None: taken from each image.

    Raises:
        OSError, ValueError, TypeError: An image cannot be read or does not fit the registration.
    """
    geometry = nearest_to_lps(content.fixed_geometry)
    fixed = _fixed(content)
    moving = _moving(content)
    if content.registered is not None:
        _check_grid(content.registered, content, "the registered image", "")
    deformation = Deformation.of(content.chain, content.fixed_geometry)
    viewer = Viewer(geometry, most)
    mapped = _mapped(content, moving, geometry)
    windows = _windows(fixed, mapped, window)
    greys = {f"step {number}": array for number, array in enumerate(mapped.values())}
    if fixed is not None:
        viewer.add(FIXED, viewer.grey_slicer(fixed, windows["fixed"]))
    for name, array in greys.items():
        viewer.add(name, viewer.grey_slicer(array, windows["moving"]))
    spacing = grid_spacing(geometry)

    def place(plane: Plane, number: int) -> float:
        """Give the position of a slice as a fraction of the image's extent."""
        return 0.5 if plane.across is None else (number + 0.5) / geometry.size[plane.across]

    viewer.add(
        DETERMINANT,
        lambda plane, number: deformation.determinant_picture(
            plane, place(plane, number), viewer.sizes[plane.name]
        ),
        lossless=True,
    )
    viewer.add(
        GRID,
        lambda plane, number: deformation.grid_picture(
            plane, place(plane, number), viewer.sizes[plane.name], spacing
        ),
        lossless=True,
    )
    return Scene(
        viewer,
        list(mapped),
        {name: str(each) for name, each in windows.items()},
        deformation,
        spacing,
        obliqueness(geometry),
        _middles(viewer, fixed, mapped, windows),
    )


def _fixed(content: Content) -> NDArray[Any] | None:
    if content.fixed is None:
        return None
    image = _seen(content.fixed, "the fixed image")
    _check_grid(image, content, "the fixed image", " (--fixed)")
    return oriented(image)


def _seen(given: ImageLike, name: str) -> sitk.Image:
    image = colour.seen(conversion.to_sitk(given, name))
    validation.check_image(image, name)
    return image


def _check_grid(image: sitk.Image, content: Content, name: str, option: str) -> None:
    if difference := content.fixed_geometry.difference(Geometry.of(image)):
        message = (
            f"{name}{option} does not lie on the grid of this registration: {difference}. Give the "
            "images that were registered"
        )
        raise InputError(message)


def _moving(content: Content) -> sitk.Image | None:
    if content.moving is None:
        return None
    image = _seen(content.moving, "the moving image")
    dimension = content.fixed_geometry.dimension
    if image.GetDimension() != dimension:
        message = (
            f"the moving image (--moving) has {image.GetDimension()} dimensions, and this "
            f"registration is of images of {dimension}. Give the images that were registered"
        )
        raise InputError(message)
    return image


def _mapped(
    content: Content, moving: sitk.Image | None, geometry: Geometry
) -> dict[str, NDArray[Any]]:
    """Give the moving image on the grid after each step; the registered image is not resampled."""
    found = {}
    for name, chain in content.steps:
        if chain is content.chain and content.registered is not None:
            found[name] = oriented(content.registered)
        elif moving is not None:
            found[name] = _warp(moving, chain, geometry)
    return found


def _warp(moving: sitk.Image, chain: Chain, geometry: Geometry) -> NDArray[Any]:
    import SimpleITK as sitk

    outside = float(sitk.GetArrayViewFromImage(moving).min())
    warped = apply.warp(chain, moving, geometry, order=1, default=outside)
    array: NDArray[Any] = sitk.GetArrayFromImage(warped)
    return array


def _windows(
    fixed: NDArray[Any] | None, mapped: dict[str, NDArray[Any]], given: Window | None
) -> dict[str, Window]:
    """Choose the intensities shown as black and white: one window for both images if alike."""
    found = {}
    if fixed is not None:
        found["fixed"] = given or Window.of(fixed)
    if mapped:
        # The last step: much of the image may lie outside before.
        found["moving"] = given or Window.of(list(mapped.values())[-1])
    if len(found) == 2:
        found["fixed"], found["moving"] = found["fixed"].shared(found["moving"])
    return found


def _middles(
    viewer: Viewer,
    fixed: NDArray[Any] | None,
    mapped: dict[str, NDArray[Any]],
    windows: dict[str, Window],
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for step, array in mapped.items():
        found[step] = {}
        for plane in viewer.planes:
            number = viewer.middle(plane)
            green = viewer.grey_slicer(array, windows["moving"])(plane, number)
            magenta = green
            if fixed is not None:
                magenta = viewer.grey_slicer(fixed, windows["fixed"])(plane, number)
            coloured = np.stack([magenta, green, magenta], axis=-1)
            found[step][plane.name] = pictures.uri(pictures.webp(coloured))
    return found
