"""Inverses of transforms: what they are near to, and what they say where they are not."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.images import Array
from helpers.pairs import grid_of, sitk_pair, squares
from impact_plugin.transforms import inverse, solving, to_elastix

ANGLE = np.deg2rad(25)
COSINES = [np.cos(ANGLE), -np.sin(ANGLE), 0, np.sin(ANGLE), np.cos(ANGLE), 0, 0, 0, 1]


def grid(dimension: int) -> sitk.Image:
    """A grid that is oblique and anisotropic."""
    image = sitk.Image([40, 36, 24][:dimension], sitk.sitkFloat32)
    image.SetSpacing([1.0, 1.2, 2.0][:dimension])
    image.SetOrigin([5.0, -30.0, 12.0][:dimension])
    image.SetDirection(COSINES if dimension == 3 else [*COSINES[:2], *COSINES[3:5]])
    return image


def spline(image: sitk.Image, amplitude: float, order: int = 3) -> sitk.BSplineTransform:
    """A deformation by random coefficients of so many mm."""
    made = sitk.BSplineTransformInitializer(image, [4] * image.GetDimension(), order)
    random = np.random.default_rng(3)
    made.SetParameters((amplitude * random.normal(size=len(made.GetParameters()))).tolist())
    return made


def field(image: sitk.Image, amplitude: float) -> sitk.DisplacementFieldTransform:
    displacements = sitk.TransformToDisplacementField(
        spline(image, amplitude),
        sitk.sitkVectorFloat64,
        image.GetSize(),
        image.GetOrigin(),
        image.GetSpacing(),
        image.GetDirection(),
    )
    return sitk.DisplacementFieldTransform(displacements)


def affine(dimension: int) -> sitk.AffineTransform:
    made = sitk.AffineTransform(dimension)
    made.SetMatrix((np.eye(dimension) + 0.1 * np.ones((dimension, dimension))).ravel().tolist())
    made.SetTranslation([3.0, -2.0, 4.0][:dimension])
    return made


def composed(*parts: sitk.Transform) -> sitk.CompositeTransform:
    """The first is applied first."""
    whole = sitk.CompositeTransform(parts[0].GetDimension())
    for part in reversed(parts):
        whole.AddTransform(part)
    return whole


def by_one(transform: sitk.Transform, points: Array) -> Array:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def points_in(image: sitk.Image, margin: float = 0.02) -> Array:
    return grid_of(image).random_points(400, margin=margin)


@pytest.mark.parametrize("dimension", [2, 3])
def test_many_points_at_once(dimension: int) -> None:
    image = grid(dimension)
    points = points_in(image)
    transform = composed(affine(dimension), spline(image, 2.0))
    np.testing.assert_allclose(
        solving.mapped(transform, points), by_one(transform, points), atol=1e-10
    )
    assert solving.mapped(transform, points[:0]).shape == (0, dimension)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize(("kind", "mean"), [("linear", 1e-9), ("spline", 1e-3), ("field", 2e-3)])
def test_there_and_back(dimension: int, kind: str, mean: float) -> None:
    """Of a linear transform exact, of a deformation far below hundredths of a mm."""
    image = grid(dimension)
    parts: dict[str, list[sitk.Transform]] = {
        "linear": [affine(dimension), sitk.TranslationTransform(dimension, [1.0] * dimension)],
        "spline": [spline(image, 1.5)],
        "field": [field(image, 1.0)],
    }
    transform = composed(*parts[kind])
    points = points_in(image, margin=0.1)
    moved = by_one(transform, points)
    assert np.linalg.norm(moved - points, axis=1).max() > 1.0
    back = inverse.inverse(transform, 0.01, None)
    error = np.linalg.norm(by_one(back, moved) - points, axis=1)
    assert error.mean() < mean
    assert error.max() < 10 * mean
    np.testing.assert_allclose(by_one(transform, by_one(back, moved)), moved, atol=10 * mean)


@pytest.mark.parametrize("order", [1, 2])
def test_other_orders(order: int) -> None:
    """Less smooth deformations have less smooth inverses."""
    image = grid(3)
    transform = composed(spline(image, 0.8, order))
    points = points_in(image, margin=0.1)
    error = inverse.round_trip(transform, inverse.inverse(transform, 0.01, None), points)
    assert error.mean() < 0.02
    assert error.max() < 0.2


def test_far_from_the_identity() -> None:
    """Displacements that differ by three quarters of their distance: few steps do not do."""
    image = grid(3)
    strong = spline(image, 6.0)
    points = points_in(image)
    derivative = np.linalg.det(solving.jacobian(strong, points))
    assert 0.02 < derivative.min() < 0.3
    targets = solving.mapped(strong, points)
    found = solving.solve(strong, targets, 0.01)
    assert np.linalg.norm(solving.mapped(strong, found) - targets, axis=1).max() < 1e-4


def test_derivatives() -> None:
    image = grid(3)
    points = points_in(image)
    found = solving.jacobian(affine(3), points)
    expected = np.reshape(affine(3).GetMatrix(), (3, 3))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-9)


def test_outside_it_is_the_identity() -> None:
    image = grid(3)
    back = inverse.inverse(composed(spline(image, 1.0)), 0.01, None)
    far = np.array([[500.0, 0.0, 0.0], [0.0, -400.0, 90.0]])
    assert np.array_equal(by_one(back, far), far)


@pytest.fixture(scope="module")
def result() -> impact_plugin.RegistrationResult:
    return impact_plugin.register_images(
        *sitk_pair(),
        parameter_maps=[
            squares(),
            squares(Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits=10),
        ],
        iterations=30,
        threads=1,
    )


def test_of_a_registration(result: impact_plugin.RegistrationResult) -> None:
    points = grid_of(result.image).random_points(300, margin=0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = result.inverse()
    error = np.linalg.norm(by_one(back, result.map_points(points)) - points, axis=1)
    assert error.mean() < 0.002
    assert error.max() < 0.02
    coarse = result.inverse(spacing=5.0, tolerance=5.0)
    assert len(coarse.GetParameters()) < len(back.GetParameters())


def test_folds_are_said(result: impact_plugin.RegistrationResult) -> None:
    """Where the transform folds there is no inverse: how much of the image, and how far off."""
    folded = replace(result, chain=to_elastix.from_sitk(spline(result.image, 12.0), result.fixed))
    said = folded.evaluate().after.jacobian
    assert said
    assert 0.02 < said.folding < 0.4
    with pytest.warns(impact_plugin.InverseWarning, match=r"off by more than 0\.01 mm") as warned:
        back = folded.inverse()
    (message,) = [str(each.message) for each in warned]
    assert "% of the image the transform folds: there is no inverse." in message
    error = inverse.round_trip(folded.transform, back, folded.fixed.points(24))
    assert f"at {100 * (error > 0.01).mean():.2g} % of the fixed image" in message
    assert f"by {error.max():.2g} mm at most and {error.mean():.2g} mm in the mean" in message


def test_a_spacing_that_is_too_large_is_said(result: impact_plugin.RegistrationResult) -> None:
    bent = replace(result, chain=to_elastix.from_sitk(spline(result.image, 2.0), result.fixed))
    with pytest.warns(impact_plugin.InverseWarning, match="a smaller spacing makes the inverse n"):
        bent.inverse(spacing=12.0)
