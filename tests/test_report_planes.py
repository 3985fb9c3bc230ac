"""Slices lie where radiologists expect them, whatever way the image's axes run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from impact_plugin.images.grid import Geometry
from impact_plugin.report import planes

ANGLE = np.deg2rad(12)
TILT = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
ORDERS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in ((1, 1, 1), (-1, 1, -1), (1, -1, -1))
]


def coordinates(direction: NDArray[np.float64], axis: int) -> sitk.Image:
    """An image of three different sizes and spacings whose values are a physical coordinate, mm."""
    dimension = len(direction)
    size, spacing = (7, 9, 11)[:dimension], (1.5, 1.0, 2.5)[:dimension]
    image = sitk.Image(size, sitk.sitkFloat64)
    image.SetSpacing(spacing)
    image.SetOrigin((10.0, -20.0, 30.0)[:dimension])
    image.SetDirection(direction.ravel().tolist())
    for index in itertools.product(*map(range, size)):
        image[index] = image.TransformIndexToPhysicalPoint(index)[axis]
    return image


@pytest.mark.parametrize("tilt", [np.eye(3), TILT], ids=["straight", "oblique"])
@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_every_voxel_stays_where_it_is(
    order: tuple[int, ...], signs: tuple[int, ...], tilt: NDArray[np.float64]
) -> None:
    direction = tilt @ np.eye(3)[:, order] * np.array(signs)
    for axis in range(3):
        image = coordinates(direction, axis)
        geometry = planes.nearest_to_lps(Geometry.of(image))
        array = planes.oriented(image)
        assert array.shape == geometry.size[::-1]
        index = np.stack(np.meshgrid(*map(np.arange, geometry.size), indexing="ij"), axis=-1)
        expected = (index @ geometry.matrix.T + geometry.origin)[..., axis]
        np.testing.assert_allclose(array.T, expected, atol=1e-9)
        matrix = np.reshape(geometry.direction, (3, 3))
        assert np.diag(matrix).min() > 0.9
    expected_angle = 0.0 if tilt is not TILT else 12.0
    assert planes.obliqueness(Geometry.of(image)) == pytest.approx(expected_angle, abs=1e-5)


def test_radiological_convention() -> None:
    """Coordinates grow to the left (x), back (y) and head (z) of the patient."""
    direction = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], dtype=float)
    x, y, z = (planes.oriented(coordinates(direction, axis)) for axis in range(3))
    axial, coronal, sagittal = planes.PLANES_3D
    # right edge: the patient's left; lower edge: the back
    assert axial.slice(x, 3)[0, -1] > axial.slice(x, 3)[0, 0]
    assert axial.slice(y, 3)[-1, 0] > axial.slice(y, 3)[0, 0]
    assert coronal.slice(x, 3)[0, -1] > coronal.slice(x, 3)[0, 0]
    assert coronal.slice(z, 3)[0, 0] > coronal.slice(z, 3)[-1, 0]  # the head is on top
    assert sagittal.slice(y, 3)[0, -1] > sagittal.slice(y, 3)[0, 0]  # the front is on the left
    assert sagittal.slice(z, 3)[0, 0] > sagittal.slice(z, 3)[-1, 0]
    for plane, across in ((axial, z), (coronal, y), (sagittal, x)):
        assert np.ptp(plane.slice(across, 3)) == 0


def test_2d_image_that_is_mirrored() -> None:
    image = coordinates(np.array([[0.0, -1.0], [1.0, 0.0]]), 0)
    array = planes.oriented(image)
    assert array.shape == (7, 9)
    assert (np.diff(array, axis=1) > 0).all()
    assert np.ptp(array, axis=0).max() == 0


def test_pictures_have_true_proportions_and_bounded_size() -> None:
    geometry = Geometry((256, 256, 90), (0.9, 0.9, 3.0), (0, 0, 0), tuple(np.eye(3).ravel()))
    pixel, sizes = planes.picture_sizes(geometry)
    assert sizes["coronal"][0] / sizes["coronal"][1] == pytest.approx(256 * 0.9 / 270, rel=0.01)
    assert max(max(size) for size in sizes.values()) <= planes.LARGEST_PICTURE
    assert pixel == pytest.approx(0.9)


@pytest.mark.parametrize("count", [1, 2, 7, 31, 32, 33, 400])
@pytest.mark.parametrize("most", [1, 2, 31, 32])
def test_slices_are_even_and_have_the_middle(count: int, most: int) -> None:
    chosen = planes.slice_numbers(count, most)
    assert len(chosen) == len(set(chosen)) == min(count, most)
    assert chosen == sorted(chosen)
    assert count // 2 in chosen
    if len(chosen) > 2:
        assert np.ptp(np.diff(chosen)) <= 1
