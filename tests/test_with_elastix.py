"""Together with elastix's own components: metrics, samplers, transforms, optimizers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from helpers.images import Array, Grid, Image, Map, Scene, mean_distance, shift
from helpers.itk_process import ItkProcess, Registration
from helpers.parameter_maps import Value, parameter_map
from helpers.programs import as_points, run_elastix
from helpers.registrations import (
    GRIDS,
    MODES,
    SHIFTS,
    first_value,
    impact,
    pair,
    translation_error,
)

# Millimetres; registrations without noise end within some hundredths.
TENTH_OF_A_VOXEL = 0.1

# The layer of tiny_models.Layers that suits each mode: the image itself does not turn with T.
MASKS = {"Static": "100", "Jacobian": "010"}


SEVERAL_METRICS = "MultiMetricMultiResolutionRegistration"
PRINTED_PRECISION = 1e-6  # of elastix's log: six digits after the point


def labelled(label: str, parameters: dict[str, Value]) -> dict[str, Value]:
    """Put a metric's label in front of the names, but of those that are elastix's."""
    elastix_s = ("Metric", "NumberOfSpatialSamples")
    return {f"{label}{name}": value for name, value in parameters.items() if name not in elastix_s}


def columns(registration: Registration, *names: str) -> Array:
    """Read columns of the table of iterations in the log."""
    header = re.search(r"(?m)^1:ItNr\t.*$", registration.log)
    assert header is not None
    places = [header.group().split("\t").index(name) for name in names]
    rows = re.findall(r"(?m)^\d+\t-?\d.*$", registration.log)
    return np.array([[float(row.split("\t")[place]) for place in places] for row in rows])


@pytest.mark.parametrize("mode", MODES)
def test_beside_mutual_information(
    itk_process: ItkProcess, layers: dict[int, str], mode: str
) -> None:
    parameters = parameter_map(
        3,
        **impact(3, mode, layers[3], LayersMask=MASKS[mode]),
        Registration=SEVERAL_METRICS,
        NumberOfHistogramBins=16,
    )
    parameters["Metric"] = ["Impact", "AdvancedMattesMutualInformation"]
    values = []
    for weight in ("0.1", "0.05"):
        weights = {"Metric0Weight": ["1"], "Metric1Weight": [weight]}
        result = itk_process.register(*pair(3), parameters | weights)
        assert translation_error(result) < TENTH_OF_A_VOXEL
        total, ours, other = columns(result, "2:Metric", "2:Metric0", "2:Metric1")[0]
        assert total == pytest.approx(ours + float(weight) * other, abs=2 * PRINTED_PRECISION)
        assert ours > 0.05 > 0.0 > other
        values.append(ours)
    assert values[0] == values[1]


@pytest.mark.parametrize("mode", MODES)
def test_beside_a_penalty_of_bending(
    itk_process: ItkProcess, layers: dict[int, str], mode: str
) -> None:
    """The shift is found with it, and the result is less uneven than without."""
    parameters = parameter_map(
        3,
        **impact(3, mode, layers[3], LayersMask=MASKS[mode]),
        Registration=SEVERAL_METRICS,
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=12,
        MaximumNumberOfIterations=100,
        Metric0Weight=1,
    )
    parameters["Metric"] = ["Impact", "TransformBendingEnergyPenalty"]
    points = GRIDS[3].random_points(200, margin=0.2)
    unevenness = []
    for weight in ("0", "10"):
        result = itk_process.register(*pair(3), parameters | {"Metric1Weight": [weight]})
        found = itk_process.transform_points(result, points)
        # What a B-spline leaves of 3.9 mm where the images are all but empty.
        assert mean_distance(found, points + SHIFTS[3]) < 0.3
        unevenness.append(float(np.std(found - points, axis=0).mean()))
    assert unevenness[1] < 0.8 * unevenness[0]


def test_two_of_this_metric(
    itk_process: ItkProcess, mind: dict[int, str], layers: dict[int, str]
) -> None:
    """Each has its own models, mode and sizes, by its label."""
    images = pair(3)
    single = [
        impact(3, "Static", mind[3], voxel=1.5, LayersWeight=1000),
        impact(3, "Jacobian", layers[3], LayersMask="010", Distance="L1"),
    ]
    on_a_grid: dict[str, Value] = {"ImageSampler": "Grid", "SampleGridSpacing": 6}
    alone = [first_value(itk_process, images, **metric, **on_a_grid) for metric in single]
    assert abs(alone[0] - alone[1]) > 0.05
    both = labelled("Metric0", single[0]) | labelled("Metric1", single[1])
    both |= {"Registration": SEVERAL_METRICS, "Metric0Weight": 1, "Metric1Weight": 0.5}
    both["Metric"] = ["Impact", "Impact"]
    total = first_value(itk_process, images, **both, **on_a_grid)
    assert total == pytest.approx(alone[0] + 0.5 * alone[1], abs=2 * PRINTED_PRECISION)

    result = itk_process.register(*images, parameter_map(3, **both, NumberOfSpatialSamples=200))
    assert translation_error(result) < TENTH_OF_A_VOXEL
    used = re.findall(r'Metric "Impact", .*:\n  Mode (\w+), .*\n.*\n.* (\S+)\n', result.log)
    assert [(mode, Path(model).name) for mode, model in used] == [
        ("Static", Path(mind[3]).name),
        ("Jacobian", Path(layers[3]).name),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_each_level_ends_with_its_times(
    itk_process: ItkProcess, mind: dict[int, str], mode: str
) -> None:
    """Where the time went, and the memory: one line a level, with numbers that fit the run."""
    metric = impact(3, mode, mind[3], voxel=1.5, patch=7)
    parameters = parameter_map(3, NumberOfResolutions=2, MaximumNumberOfIterations=7, **metric)
    result = itk_process.register(*pair(3), parameters)
    lines = re.findall(
        r'Metric "Impact", resolution level (\d) took: features ([\d.]+) s; (\d+) evaluations, '
        r"each mapping points ([\d.]+) ms, sampling ([\d.]+) ms, network ([\d.]+) ms, "
        r"distance ([\d.]+) ms, chain rule ([\d.]+) ms; peak memory of the process (\d+) MiB\.",
        result.log,
    )
    assert [line[0] for line in lines] == ["0", "1"]
    for line in lines:
        features, evaluations, mapping, sampling, network, distance, chain, memory = map(
            float, line[1:]
        )
        assert features > 0 or mode == "Jacobian"
        assert evaluations >= 7
        assert min(mapping, sampling, distance, chain) > 0
        assert (network > 0) == (mode == "Jacobian")
        assert 100 < memory < 20000


@pytest.mark.parametrize("mode", MODES)
def test_beside_corresponding_points(layers: dict[int, str], tmp_path: Path, mode: str) -> None:
    """They tell the shift along the axis along which the images do not change."""
    grid = Grid((34, 30, 18), (1.0, 1.25, 1.5), (-20.0, 35.0, 110.0))
    scene, vector = Scene(GRIDS[2]), np.array([2.6, -1.9, 2.3])
    plane = Grid(grid.size[:2], grid.spacing[:2], (-5.0, 45.0))
    fixed, moving = (
        Image(np.broadcast_to(scene.seen(plane, move).voxels, grid.size[::-1]).copy(), grid)
        for move in (None, shift(*-vector[:2]))
    )
    points = grid.random_points(6, margin=0.2)
    (tmp_path / "fixed.txt").write_text(as_points(points))
    (tmp_path / "moving.txt").write_text(as_points(points + vector))
    parameters = parameter_map(
        3,
        **impact(3, mode, layers[3], LayersMask=MASKS[mode]),
        MaximumNumberOfIterations=100,
        Metric0Weight=1,
        Metric1Weight=0.02,
    )
    alone = run_elastix(tmp_path, fixed, moving, parameters)
    error = np.array(alone["TransformParameters"], float) - vector
    assert np.linalg.norm(error[:2]) < TENTH_OF_A_VOXEL
    assert abs(error[2]) > 1.0
    parameters["Registration"] = [SEVERAL_METRICS]
    parameters["Metric"] = ["Impact", "CorrespondingPointsEuclideanDistanceMetric"]
    options: list[str | Path] = ["-fp", tmp_path / "fixed.txt", "-mp", tmp_path / "moving.txt"]
    both = run_elastix(tmp_path, fixed, moving, parameters, options=options)
    error = np.array(both["TransformParameters"], float) - vector
    assert np.linalg.norm(error) < TENTH_OF_A_VOXEL


SAMPLERS: dict[str, dict[str, Value]] = {
    "RandomSparseMask": {},
    "RandomCoordinate": {},
    "Random": {},
    "Grid": {"SampleGridSpacing": 3},
    "Full": {},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers(itk_process: ItkProcess, layers: dict[int, str], sampler: str, mode: str) -> None:
    parameters = parameter_map(
        2,
        **impact(2, mode, layers[2], LayersMask=MASKS[mode]),
        ImageSampler=sampler,
        **SAMPLERS[sampler],
    )
    grid = GRIDS[2]
    inside = np.zeros(grid.size[::-1], np.float32)
    inside[6:-6, 8:-8] = 1.0
    masks = {"fixed": Image(inside, grid)} if sampler == "RandomSparseMask" else None
    result = itk_process.register(*pair(2), parameters, masks=masks)
    assert translation_error(result) < TENTH_OF_A_VOXEL


def about_the_centre(matrix: Array) -> Map:
    """Make a mapping: a matrix about the centre of the 3D grid, then the shift."""
    centre = GRIDS[3].at((np.array([GRIDS[3].size]) - 1) / 2)
    return lambda points: (points - centre) @ matrix.T + centre + SHIFTS[3]


def turned(degrees: float) -> Array:
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


SHEAR = np.array([[1.04, 0.03, 0.0], [0.0, 0.97, -0.04], [0.02, 0.0, 1.0]])
TRANSFORMS = {
    "EulerTransform": turned(5),
    "SimilarityTransform": 1.04 * turned(5),
    "AffineTransform": SHEAR @ turned(3),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms(
    itk_process: ItkProcess, layers: dict[int, str], transform: str, mode: str
) -> None:
    grid, truth = GRIDS[3], about_the_centre(TRANSFORMS[transform])
    scene = Scene(grid, count=80)
    parameters = parameter_map(
        3,
        **impact(3, mode, layers[3], LayersMask=MASKS[mode]),
        Transform=transform,
        AutomaticScalesEstimation="true",
        MaximumNumberOfIterations=100,
    )
    result = itk_process.register(scene.seen(grid, truth), scene.seen(grid), parameters)
    points = grid.random_points(200, margin=0.1)
    assert mean_distance(points, truth(points)) > 3.0
    after = mean_distance(itk_process.transform_points(result, points), truth(points))
    assert after < TENTH_OF_A_VOXEL


@pytest.mark.parametrize("mode", MODES)
def test_both_kinds_of_b_spline(itk_process: ItkProcess, layers: dict[int, str], mode: str) -> None:
    """The recursive one is the same mapping, computed in another way."""
    found = []
    for transform in ("BSplineTransform", "RecursiveBSplineTransform"):
        parameters = parameter_map(
            3,
            **impact(3, mode, layers[3], LayersMask=MASKS[mode]),
            Transform=transform,
            FinalGridSpacingInPhysicalUnits=12,
        )
        result = itk_process.register(*pair(3), parameters)
        points = GRIDS[3].random_points(200, margin=0.2)
        found.append(itk_process.transform_points(result, points))
        # What a B-spline leaves of 3.9 mm where the images are all but empty.
        assert mean_distance(found[-1], points + SHIFTS[3]) < 0.4
    # Rounding of single steps; transformix writes points to six digits.
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_stages_one_after_the_other(itk_process: ItkProcess, layers: dict[int, str]) -> None:
    """Several parameter files: each stage goes on where the last one ended, in its own mode."""
    grid, truth = GRIDS[3], about_the_centre(TRANSFORMS["AffineTransform"])
    scene = Scene(grid, count=80)
    stages: list[tuple[str, str, dict[str, Value]]] = [
        ("TranslationTransform", "Static", {"MaximumNumberOfIterations": 20}),
        ("AffineTransform", "Jacobian", {"AutomaticScalesEstimation": "true"}),
        ("RecursiveBSplineTransform", "Static", {"FinalGridSpacingInPhysicalUnits": 12}),
    ]
    maps = [
        parameter_map(
            3, **impact(3, mode, layers[3], LayersMask=MASKS[mode]), Transform=name, **more
        )
        for name, mode, more in stages
    ]
    result = itk_process.register(scene.seen(grid, truth), scene.seen(grid), maps)
    assert [found["Transform"][0] for found in result.maps] == [name for name, _, _ in stages]
    points = grid.random_points(200, margin=0.2)
    after = mean_distance(itk_process.transform_points(result, points), truth(points))
    assert after < TENTH_OF_A_VOXEL
    # The later stages begin with nearly nothing to do.
    first_of_stage = result.values[0], result.values[80]
    assert first_of_stage[1] < 0.1 * first_of_stage[0]


OPTIMIZERS: dict[str, dict[str, Value]] = {
    "AdaptiveStochasticGradientDescent": {},
    "StandardGradientDescent": {"SP_a": 100.0, "SP_A": 20.0, "SP_alpha": 0.602},
    "QuasiNewtonLBFGS": {"StepLength": 1.0, "MaximumNumberOfIterations": 20},
    "RegularStepGradientDescent": {"MaximumStepLength": 1.0, "MinimumStepLength": 0.01},
    # These ask for values alone.
    "CMAEvolutionStrategy": {"StepLength": 1.0, "MaximumNumberOfIterations": 40},
    "FullSearch": {"FullSearchSpace0": ["x", 0, -0.4, 5.6, 1.0, "y", 1, -3.9, 2.1, 1.0]},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(
    itk_process: ItkProcess, layers: dict[int, str], optimizer: str, mode: str
) -> None:
    parameters = parameter_map(
        2,
        **impact(2, mode, layers[2], LayersMask=MASKS[mode]),
        **{
            "ImageSampler": "Grid",
            "SampleGridSpacing": 3,
            "Optimizer": optimizer,
            **OPTIMIZERS[optimizer],
        },
    )
    result = itk_process.register(*pair(2), parameters)
    # The steps of the full search meet the shift.
    assert translation_error(result) < (1e-6 if optimizer == "FullSearch" else TENTH_OF_A_VOXEL)
