"""(UseDirectionCosines "false"): results are in the world, whichever way the images' axes point."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.images import Array
from helpers.pairs import sitk_pair, squares
from helpers.parameter_maps import ParameterMap, Value, parameter_map
from helpers.registrations import OBLIQUE, SHIFTS
from impact_plugin import evaluation
from impact_plugin.check import check_file, check_map
from impact_plugin.elastix import process
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters import map_files
from impact_plugin.transforms import apply, directions, from_elastix, initial, transformix
from impact_plugin.transforms.chain import Chain
from test_register_transforms import KINDS, of_kind

FLIPPED = np.diag([-1.0, -1.0, 1.0])
EXCHANGED = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
SHIFT = OBLIQUE.T @ SHIFTS[3] + (0.5, -1.0, 1.5)  # of the voxels, and of the origins


def turned(fixed: Array = OBLIQUE, moving: Array = FLIPPED) -> tuple[sitk.Image, sitk.Image]:
    """Give a pair whose voxels fit with a shift, and whose axes point anywhere."""
    images = sitk_pair()
    for image, direction, origin in zip(
        images, (fixed, moving), ((-20, 35, 110), (-19.5, 34, 111.5)), strict=True
    ):
        image.SetDirection(direction.ravel().tolist())
        image.SetOrigin(origin)
    return images


def truth(images: Sequence[sitk.Image], points: Array) -> Array:
    """Map points of the world: to the voxels, by the shift, and back to the world."""
    fixed, moving = (Geometry.of(image) for image in images)
    axes = [np.reshape(grid.direction, (3, 3)) for grid in (fixed, moving)]
    of_elastix = (points - fixed.origin) @ np.linalg.inv(axes[0]).T + fixed.origin + SHIFT
    mapped: Array = (of_elastix - moving.origin) @ axes[1].T + moving.origin
    return mapped


def inner(image: sitk.Image) -> Array:
    grid = Geometry.of(image)
    return grid.centre + (grid.points(4) - grid.centre) * 0.6


def ignoring(**parameters: Value) -> ParameterMap:
    return squares(3, **parameters) | {"UseDirectionCosines": ["false"]}


def largest(found: Array, expected: Array) -> float:
    return float(np.linalg.norm(found - expected, axis=1).max())


@pytest.mark.parametrize(
    ("fixed", "moving"),
    [
        (FLIPPED, FLIPPED),
        (OBLIQUE, OBLIQUE),
        (OBLIQUE, EXCHANGED),
        (np.eye(3), FLIPPED),
        (OBLIQUE @ np.diag([-1.0, 1, 1]), OBLIQUE),
    ],
)
def test_all_of_a_result_is_in_the_world(fixed: Array, moving: Array, tmp_path: Path) -> None:
    images = turned(fixed, moving)
    points = inner(images[0])
    expected = truth(images, points)
    result = impact_plugin.register_images(
        *images, parameter_maps=ignoring(), threads=1, output_directory=tmp_path / "out"
    )
    assert largest(result.map_points(points), expected) < 0.3
    exact = result.map_points(points)
    for transform in (result.transform, sitk.ReadTransform(str(saved(result, tmp_path)))):
        np.testing.assert_allclose(
            [transform.TransformPoint(point) for point in points.tolist()], exact, atol=1e-9
        )
    back = result.inverse()
    np.testing.assert_allclose(
        [back.TransformPoint(point) for point in exact.tolist()], points, atol=1e-6
    )
    grid = Geometry.of(images[0])
    field = sitk.GetArrayFromImage(result.displacement_field())
    place = grid.matrix @ (20, 11, 7) + grid.origin
    np.testing.assert_allclose(field[7, 11, 20], (result.map_points([place]) - place)[0], atol=1e-6)
    # Voxels as elastix itself would warp them.
    here, there = (sitk.GetArrayFromImage(image) for image in (images[0], result.image))
    middle = (slice(6, -6),) * 3
    before = np.abs(sitk.GetArrayFromImage(images[1]) - here)[middle].mean()
    assert np.abs(there - here)[middle].mean() < 0.2 * before
    loaded = impact_plugin.RegistrationResult.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.map_points(points), exact)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(loaded.warp(images[1])), sitk.GetArrayFromImage(result.image)
    )
    measured = evaluation.evaluate(tmp_path / "saved", fixed_points=points, moving_points=expected)
    assert measured.after.landmarks is not None
    assert measured.after.landmarks.mean < 0.3
    # So does the folder in which elastix itself wrote.
    left = evaluation.evaluate(tmp_path / "out", fixed_points=points, moving_points=exact)
    assert left.after.landmarks is not None
    assert left.after.landmarks.mean < 1e-6


def saved(result: impact_plugin.RegistrationResult, folder: Path) -> Path:
    return result.save(folder / "saved") / "transform.h5"


def test_splines_stages_and_masks(tmp_path: Path) -> None:
    """Two stages, the second of which deforms, and a mask on either image."""
    images = turned()
    masks = [image > -1e9 for image in images]
    maps = [
        ignoring(Transform="EulerTransform", AutomaticScalesEstimation="true"),
        ignoring(
            Transform="BSplineTransform",
            FinalGridSpacingInPhysicalUnits="15",
            MaximumNumberOfIterations="5",
        ),
    ]
    result = impact_plugin.register_images(
        *images,
        parameter_maps=maps,
        threads=1,
        fixed_mask=masks[0],
        moving_mask=masks[1],
        output_directory=tmp_path / "out",
    )
    points = inner(images[0])
    assert largest(result.map_points(points), truth(images, points)) < 2.0
    names = [each["Transform"][0] for each in result.elastix_parameters]
    assert names == ["AffineTransform", "AffineTransform", "BSplineTransform"]
    figures = evaluation.evaluate(result)
    assert [step.name for step in figures.steps] == [
        "unregistered",
        "initial transform",
        "map 0",
        "map 1",
    ]
    assert figures.after.jacobian is not None
    assert figures.after.jacobian.median == pytest.approx(1, abs=0.1)
    back = result.inverse(0.001, 1.0)
    mapped = result.map_points(points)
    returned = np.array([back.TransformPoint(point) for point in mapped.tolist()])
    assert largest(returned, points) < 0.1
    # elastix itself forgets the direction of the fixed image from its second stage on.
    left = evaluation.evaluate(
        tmp_path / "out", fixed_points=points, moving_points=mapped, moving_image=images[1]
    )
    assert left.after.landmarks is not None
    assert left.after.landmarks.mean < 1e-6
    columns = np.reshape(images[0].GetDirection(), (3, 3)).T.ravel()
    for each in result.elastix_parameters:
        np.testing.assert_allclose(np.array(each["Direction"], float), columns)


def test_initial_transforms_are_of_the_world(tmp_path: Path) -> None:
    """One that is right already, as an object and as what elastix left of another run."""
    images = turned()
    points = inner(images[0])
    right = impact_plugin.register_images(
        *images, parameter_maps=ignoring(), threads=1, output_directory=tmp_path / "one"
    )
    still = ignoring(
        MaximumNumberOfIterations="1", AutomaticParameterEstimation="false", SP_a="0.0"
    )
    for start in (right, right.transform, tmp_path / "one" / "TransformParameters.0.txt"):
        result = impact_plugin.register_images(
            *images, parameter_maps=still, threads=1, initial_transform=start
        )
        np.testing.assert_allclose(result.map_points(points), right.map_points(points), atol=1e-6)
    upright = impact_plugin.register_images(
        *images,
        parameter_maps={**still, "UseDirectionCosines": ["true"]},
        threads=1,
        initial_transform=right,
    )
    np.testing.assert_allclose(upright.map_points(points), right.map_points(points), atol=1e-6)


@pytest.mark.parametrize("start", [False, True])
def test_it_runs_again(start: bool, tmp_path: Path) -> None:
    images = turned()
    paths = [tmp_path / "f.nii.gz", tmp_path / "m.mha"]
    for image, path in zip(images, paths, strict=True):
        sitk.WriteImage(image, str(path))
    first = sitk.Euler3DTransform((0, 0, 0), 0.01, 0, 0.02, (1, -1, 1))
    placed = directions.Ignored(*map(Geometry.of, images)).start
    before = sitk.CompositeTransform([from_elastix.to_sitk(placed, 3), first])
    result = impact_plugin.register_images(
        *paths,
        parameter_maps=ignoring(),
        threads=1,
        initial_transform=before if start else None,
        output_directory=tmp_path / "out",
    )
    result.save(tmp_path / "out")
    again = impact_plugin.rerun(tmp_path / "out")
    assert again.same, again.differences


def test_an_early_end_is_in_the_world() -> None:
    images = turned()
    result = impact_plugin.register_images(
        *images,
        parameter_maps=ignoring(NumberOfResolutions="2"),
        threads=1,
        callback=lambda iteration: iteration.level == 1,
    )
    assert result.stopped
    points = inner(images[0])
    assert largest(result.map_points(points), truth(images, points)) < 1.0


def raw(chain: Chain, points: Array) -> Array:
    """Map points of elastix's frame by transformix."""
    used = [parameters | {"UseDirectionCosines": ["true"]} for parameters in chain.maps]
    return transformix.map_points(Chain(used, chain.fields), points)


@pytest.mark.parametrize(("name", "dimension", "parameters"), KINDS)
def test_every_kind_of_transform(name: str, dimension: int, parameters: dict[str, str]) -> None:
    chain = Chain([of_kind(name, dimension, **parameters), of_kind("EulerTransform", dimension)])
    angles = np.deg2rad([25, 170])
    axes = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    if dimension == 3:
        axes = [OBLIQUE, EXCHANGED]
    size, spacing = (30,) * dimension, (1.5,) * dimension
    fixed, moving = (
        Geometry(size, spacing, origin[:dimension], tuple(direction.ravel().tolist()))
        for direction, origin in zip(axes, ((-20.0, 35, 110), (5.0, 6, 7)), strict=True)
    )
    ignored = directions.Ignored(fixed, moving)
    found = ignored.in_world(chain)
    of_elastix = fixed.origin + np.random.default_rng(2).uniform(5, 30, (20, dimension))
    points = (of_elastix - fixed.origin) @ axes[0].T + fixed.origin
    expected = (raw(chain, of_elastix) - moving.origin) @ axes[1].T + moving.origin
    np.testing.assert_allclose(apply.map_points(found, points), expected, atol=5e-6)
    back = ignored.for_elastix(found)
    np.testing.assert_allclose(
        apply.map_points(back, of_elastix), raw(chain, of_elastix), atol=5e-6
    )


def test_a_displacement_field_starts_from_the_world() -> None:
    images = turned(OBLIQUE, OBLIQUE)
    grid = Geometry.of(images[0])
    shift = sitk.TranslationTransform(3, (truth(images, grid.centre[None]) - grid.centre)[0])
    field = sitk.TransformToDisplacementField(
        shift, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    result = impact_plugin.register_images(
        *images,
        parameter_maps=ignoring(MaximumNumberOfIterations="5"),
        threads=1,
        initial_transform=sitk.DisplacementFieldTransform(field),
    )
    points = inner(images[0])
    assert largest(result.map_points(points), truth(images, points)) < 0.5


@pytest.mark.parametrize(
    ("maps", "match"),
    [
        ([ignoring(), squares()], r"number 0 has \(UseDirectionCosines.*number 1 has not"),
        ([ignoring(Transform="SplineKernelTransform")], r"no transform like elastix's Spline"),
        ([ignoring(HowToCombineTransforms="Add")], r"is added to its initial transform"),
    ],
)
def test_what_has_no_counterpart_is_refused_first(
    maps: list[ParameterMap], match: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=match):
        impact_plugin.register_images(
            *turned(), parameter_maps=maps, output_directory=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_an_initial_transform_without_counterpart_is_refused_first(tmp_path: Path) -> None:
    start = of_kind("EulerTransform", 3), of_kind("AffineTransform", 3)
    start[1]["HowToCombineTransforms"] = ["Add"]
    with pytest.raises(ValueError, match=r"of the initial transform the AffineTransform is added"):
        impact_plugin.register_images(
            *turned(),
            parameter_maps=ignoring(),
            initial_transform=list(start),
            output_directory=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_a_transform_of_unknown_frame_is_refused(tmp_path: Path) -> None:
    """Such as one of a result that an older version saved."""
    images = turned()
    result = impact_plugin.register_images(*images, parameter_maps=ignoring(), threads=1)
    last = result.chain.maps[-1] | {"UseDirectionCosines": ["false"]}
    old = replace(result, chain=Chain([last]))
    points = inner(images[0])
    for use in (
        lambda: old.map_points(points),
        old.displacement_field,
        lambda: old.warp(images[1]),
        lambda: evaluation.evaluate(old),
        lambda: old.transform,
    ):
        with pytest.raises(ValueError, match=r'found with \(UseDirectionCosines "false"\)'):
            use()


def test_check_says_it(tmp_path: Path) -> None:
    images = turned(FLIPPED, np.eye(3))
    paths = [tmp_path / "f.nii", tmp_path / "m.nii"]
    for image, path in zip(images, paths, strict=True):
        sitk.WriteImage(image, str(path))
    file = tmp_path / "p.txt"
    file.write_text(map_files.dump(ignoring()))

    def said(report: impact_plugin.check.Report) -> list[str]:
        return [f.message for f in report.warnings if f.code == "direction-cosines"]

    (message,) = said(check_file(file, *paths))
    assert f'those of the fixed image "{paths[0]}" are not' in message
    assert said(check_file(file, paths[1], paths[1])) == []
    assert len(said(check_map(ignoring()))) == 1
    assert said(check_map(squares())) == []


def test_the_log_says_it(caplog: pytest.LogCaptureFixture) -> None:
    one = ignoring(MaximumNumberOfIterations="1")
    with caplog.at_level(logging.WARNING, "impact_plugin.elastix"):
        impact_plugin.register_images(*turned(), parameter_maps=one, threads=1)
    assert any("result is in world coordinates" in message for message in caplog.messages)


def test_elastix_itself(tmp_path: Path) -> None:
    """It warns, leaves the transform as it is, and a record of it runs again."""
    images = turned()
    names = [tmp_path / "f.mha", tmp_path / "m.mha"]
    for image, path in zip(images, names, strict=True):
        sitk.WriteImage(image, str(path))
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "p.txt").write_text(map_files.dump(ignoring()))
    arguments: list[str | Path] = [
        "-f",
        names[0],
        "-m",
        names[1],
        "-p",
        tmp_path / "p.txt",
        "-out",
        out,
    ]
    record = tmp_path / "record.json"
    done = programs.run("elastix", *arguments, "-record", record, folder=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert f"the axes of -f {names[0]} are not x, y and z" in done.stderr
    with pytest.warns(impact_plugin.RecordWarning, match="OMP_WAIT_POLICY"):
        again = impact_plugin.rerun(record)
    assert again.same, again.differences
    points = inner(images[0])
    found = evaluation.evaluate(
        out, fixed_points=points, moving_points=truth(images, points), moving_image=names[1]
    )
    assert found.after.landmarks is not None
    assert found.after.landmarks.mean < 0.3
    page = impact_plugin.write_report(out, fixed=names[0], moving=names[1])
    assert page.is_file()
    # As transformix has it, with the same images.
    transform = out / "TransformParameters.0.txt"
    command: list[str | Path] = ["-in", names[1], "-tp", transform, "-out", tmp_path]
    lines: list[str] = []
    assert process.run("transformix", command, lines.append) == 0, lines[-9:]
    theirs = sitk.ReadImage(str(tmp_path / "result.mhd"), sitk.sitkFloat32)
    chain = initial.make_chain(transform, *images)
    ours = apply.warp(chain, images[1], Geometry.of(images[0]), 1, 0.0)
    difference = sitk.GetArrayFromImage(theirs) - sitk.GetArrayFromImage(ours)
    assert np.mean(np.abs(difference) > 1) < 0.01
    # It would not mean the same with another start.
    (tmp_path / "other").mkdir()
    more: list[str | Path] = ["-out", tmp_path / "other", "-t0", transform, "-record", record]
    done = programs.run("elastix", *arguments[:-2], *more, folder=tmp_path)
    assert done.returncode == 1
    assert 'no place for -t0 together with (UseDirectionCosines "false")' in done.stderr
    assert list((tmp_path / "other").iterdir()) == []


def test_features_of_turned_images(mind: dict[int, str]) -> None:
    """Images whose axes differ look turned to each other, and features of one place differ."""
    images = turned(np.eye(3), FLIPPED)
    impact = parameter_map(
        3, Metric="Impact", ImpactModelsPath0=mind[3], ImpactVoxelSize0=[2, 2, 2]
    )
    with pytest.raises(ValueError, match=r"180 degrees apart.*UseDirectionCosines \"true\""):
        impact_plugin.register_images(
            *images, parameter_maps=impact | {"UseDirectionCosines": ["false"]}
        )


def test_neither_true_nor_false() -> None:
    maps = squares(3) | {"UseDirectionCosines": ["False"]}
    with pytest.raises(ValueError, match="UseDirectionCosines is 'False', expected 'true' or"):
        impact_plugin.register_images(*turned(), parameter_maps=maps)
    (finding,) = [
        each
        for each in check_map(parameter_map(3, UseDirectionCosines="False")).findings
        if each.code == "direction-cosines"
    ]
    assert finding.severity == "error"
