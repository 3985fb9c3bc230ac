"""Figures of registrations, on grids with three sizes, anisotropic voxels and oblique axes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics import compute_hausdorff_distance

from helpers.evaluated import ALONG_X, FIXED, GEOMETRY, GRID, POINTS, box, image
from impact_plugin.evaluation import OutsideError, evaluate
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import apply, to_elastix

# landmarks


def test_landmark_errors_of_a_known_transform() -> None:
    truth = POINTS + np.array([3.0, 4.0, 12.0])
    truth[0] += [0.0, 0.0, 2.0]
    found = evaluate(
        sitk.TranslationTransform(3, [3.0, 4.0, 12.0]),
        fixed_image=FIXED,
        fixed_points=POINTS,
        moving_points=truth,
        jacobian=False,
    )
    before, after = found.before.landmarks, found.after.landmarks
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(before.distances, [np.sqrt(9 + 16 + 14**2), *[13.0] * 7])
    np.testing.assert_allclose(after.distances, [2.0, *[0.0] * 7], atol=1e-9)
    assert after.names == tuple("12345678")
    expected = {"mean": 0.25, "median": 0, "max": 2, "std": 2 * np.sqrt(7) / 8, "p95": 1.3}
    assert after.statistics() == pytest.approx(expected, abs=1e-9)


def test_points_with_the_same_names_are_paired_by_them(tmp_path: Path) -> None:
    def write(name: str, order: list[int], labels: list[str]) -> Path:
        lines = [f"{labels[k]},{','.join(map(repr, POINTS[k].tolist()))}" for k in order]
        path = tmp_path / name
        path.write_text("\n".join(["name,x,y,z", *lines]))
        return path

    order, turned = list(range(8)), list(range(8))[::-1]
    named = [f"P{k}" for k in order]
    fixed = write("a.csv", order, named)
    by_name = evaluate(
        sitk.Transform(3, sitk.sitkIdentity),
        fixed_image=FIXED,
        fixed_points=fixed,
        moving_points=write("b.csv", turned, named),
    )
    by_order = evaluate(
        sitk.Transform(3, sitk.sitkIdentity),
        fixed_image=FIXED,
        fixed_points=fixed,
        moving_points=write("c.csv", turned, ["same"] * 8),
    )
    assert by_name.after.landmarks is not None
    assert by_order.after.landmarks is not None
    assert by_name.after.landmarks.max == 0
    assert by_name.after.landmarks.names == tuple(named)
    expected = np.linalg.norm(POINTS - POINTS[::-1], axis=1)
    np.testing.assert_allclose(by_order.after.landmarks.distances, expected)


def test_points_outside_an_image() -> None:
    points = np.vstack([POINTS, GRID.at(np.array([[-1.0, 3.0, 3.0]]))])
    arguments = {"fixed_image": FIXED, "fixed_points": points, "moving_points": points + 100.0}
    shift = sitk.TranslationTransform(3, [100.0] * 3)
    with pytest.raises(OutsideError, match=r"1 of 9 fixed_points lie outside .* is '9' at \["):
        evaluate(shift, **arguments)
    found = evaluate(shift, **arguments, outside="leave out")
    assert found.after.landmarks is not None
    assert len(found.after.landmarks.distances) == 8
    with pytest.raises(ValueError, match="9 of 9 moving_points lie outside the moving image"):
        evaluate(shift, **{**arguments, "fixed_points": points * 0 + POINTS[0]}, moving_image=FIXED)
    with pytest.raises(ValueError, match="no landmark lies inside the images"):
        evaluate(shift, **arguments, moving_image=FIXED, outside="leave out")


# labels


def test_boxes_that_are_moved_along_oblique_axes() -> None:
    """A box of 8 voxels, moved back by 5 of its 8 by the transform, 2 off the truth."""
    fixed = box((6, 14), (5, 20), (4, 19))
    moving = box((13, 21), (5, 20), (4, 19))  # 7 voxels of 1 mm further along the first axis
    transform = sitk.TranslationTransform(3, (5 * ALONG_X).tolist())
    found = evaluate(
        transform,
        fixed_image=FIXED,
        fixed_labels=image(fixed),
        moving_labels=image(moving),
        jacobian=False,
    )
    assert found.before.labels is not None
    assert found.after.labels is not None
    before, after = found.before.labels[1], found.after.labels[1]
    assert (before.dice, after.dice) == pytest.approx((1 / 8, 6 / 8))
    assert (before.hausdorff, after.hausdorff) == pytest.approx((7, 2))
    assert found.after.mean_dice == pytest.approx(0.75)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_distances_are_in_mm_along_each_axis(axis: int) -> None:
    one = box((8, 14), (8, 14), (8, 14))
    other = np.roll(one, 3, 2 - axis)
    found = evaluate(
        sitk.Transform(3, sitk.sitkIdentity),
        fixed_image=FIXED,
        fixed_labels=image(one),
        moving_labels=image(other),
        jacobian=False,
    )
    assert found.after.labels is not None
    assert found.after.labels[1].hausdorff == pytest.approx(3 * GRID.spacing[axis])


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # within MONAI
def test_distances_are_monais() -> None:
    """Shapes with holes, on the border, one within the other, of several labels."""
    random = np.random.default_rng(3)
    smooth = [
        sitk.GetArrayFromImage(
            sitk.DiscreteGaussian(sitk.GetImageFromArray(random.normal(size=GRID.size[::-1])), 4.0)
        )
        for _ in range(2)
    ]
    one, other = (np.digitize(each, np.quantile(each, [0.5, 0.8])) for each in smooth)
    found = evaluate(
        sitk.Transform(3, sitk.sitkIdentity),
        fixed_image=FIXED,
        fixed_labels=image(one.astype(np.float32)),
        moving_labels=image(other.astype(np.int16)),
        jacobian=False,
    )
    assert found.after.labels is not None
    assert list(found.after.labels) == [1, 2]
    for label, agreement in found.after.labels.items():
        masks = [torch.from_numpy(each == label)[None, None] for each in (one, other)]
        for percentile, value in ((None, agreement.hausdorff), (95, agreement.hausdorff95)):
            expected = compute_hausdorff_distance(
                *masks, include_background=True, percentile=percentile, spacing=GRID.spacing[::-1]
            )
            assert value == pytest.approx(expected.item(), rel=1e-5)
        both = (one == label) & (other == label)
        total = (one == label).sum() + (other == label).sum()
        assert agreement.dice == pytest.approx(2 * both.sum() / total)


def test_a_label_that_the_transform_moves_away() -> None:
    labels = image(box((6, 14), (5, 20), (4, 19)))
    found = evaluate(
        sitk.TranslationTransform(3, [500.0, 0.0, 0.0]),
        fixed_image=FIXED,
        fixed_labels=labels,
        moving_labels=labels,
    )
    assert found.after.labels is not None
    agreement = found.after.labels[1]
    assert agreement.dice == 0
    assert agreement.hausdorff is agreement.hausdorff95 is agreement.mean_surface is None
    assert ",labels,1,hausdorff,,mm" in found.to_csv()
    assert json.loads(found.to_json())["steps"][1]["labels"]["1"]["hausdorff"] is None


# Jacobian determinant


def test_determinant_of_an_affine_transform() -> None:
    matrix = np.array([[1.1, 0.2, 0.0], [0.0, 0.9, 0.1], [0.3, 0.0, 1.2]])
    transform = sitk.AffineTransform(matrix.ravel().tolist(), [5.0, 0.0, -3.0])
    found = evaluate(transform, fixed_image=FIXED).after.jacobian
    assert found is not None
    assert (found.min, found.max) == pytest.approx([np.linalg.det(matrix)] * 2, rel=1e-6)
    assert found.folding == 0
    assert found.voxels == np.prod(GRID.size)
    flipped = sitk.AffineTransform((matrix @ np.diag([-1.0, 1, 1])).ravel().tolist(), [0.0] * 3)
    folded = evaluate(flipped, fixed_image=FIXED).after.jacobian
    assert folded is not None
    assert folded.max == pytest.approx(-np.linalg.det(matrix))
    assert folded.folding == 1


def test_determinant_of_a_b_spline_is_its_own_derivative() -> None:
    transform = sitk.BSplineTransformInitializer(FIXED, [4, 5, 3])
    random = np.random.default_rng(1)
    transform.SetParameters(random.normal(0, 1.5, len(transform.GetParameters())).tolist())
    image = apply.jacobian_determinant(to_elastix.from_sitk(transform, GEOMETRY), GEOMETRY)
    assert not GEOMETRY.difference(Geometry.of(image))
    step = 1e-4
    for index in random.integers(2, np.array(GRID.size) - 2, (20, 3)).tolist():
        place = np.array(image.TransformIndexToPhysicalPoint(index))
        columns = [
            np.subtract(
                transform.TransformPoint((place + step * unit).tolist()),
                transform.TransformPoint((place - step * unit).tolist()),
            )
            / (2 * step)
            for unit in np.eye(3)
        ]
        assert image[index] == pytest.approx(np.linalg.det(np.array(columns).T), rel=1e-5)


def test_determinant_of_a_displacement_field_that_folds() -> None:
    """Beyond a plane across the first, oblique axis, the field turns the image round."""
    indices = np.indices(GRID.size[::-1])[::-1]
    beyond = np.maximum(indices[0] - 20.5, 0) * GRID.spacing[0]
    vectors = -2 * beyond[..., None] * ALONG_X
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(FIXED)
    found = evaluate(sitk.DisplacementFieldTransform(field), fixed_image=FIXED).after.jacobian
    assert found is not None
    assert found.folding == pytest.approx(13 / 34)  # voxels 21 to 33
    assert [found.min, found.max] == pytest.approx([-1, 1], abs=1e-5)
    half = image((indices[0] > 20).astype(np.uint8))
    field = sitk.GetImageFromArray(vectors, isVector=True)
    field.CopyInformation(FIXED)
    masked = evaluate(sitk.DisplacementFieldTransform(field), fixed_image=FIXED, mask=half)
    assert masked.after.jacobian is not None
    assert masked.after.jacobian.folding == 1
    assert masked.after.jacobian.voxels == 13 * 30 * 26
