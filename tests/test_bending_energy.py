"""BendingEnergyWeight: against quadratures, elastix's own penalty, differences; what it does."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

import impact_testing
from helpers.evaluators import (
    FIXED,
    RELATIVE_ERROR,
    Array,
    SmoothModels,
    images,
    parameters,
    relative_error,
    smooth_volume,
    start,
)
from helpers.images import Grid, Image
from helpers.itk_process import ItkError, ItkProcess, Registration
from helpers.parameter_maps import Value, parameter_map, to_map
from helpers.registrations import MODES, impact, pair
from impact_plugin import _core

Map = dict[str, list[str]]

SPACING = 17.0  # mm, of control points
# The sums along the axes are in single precision.
PRECISION = 1e-5


def metric(
    settings: Map,
    dimension: int = 3,
    weight: float = 0.0,
    transform: str = "BSpline",
    threads: int = 2,
    as_on_gpu: bool = False,
    spacing: float = SPACING,
    initial_affine: list[float] | None = None,
) -> impact_testing.MetricEvaluator:
    return impact_testing.MetricEvaluator(
        *images(dimension),
        settings | {"BendingEnergyWeight": [str(weight)]},
        transform,
        sample_spacing=2,
        threads=threads,
        as_on_gpu=as_on_gpu,
        control_point_spacing=spacing,
        initial_affine=initial_affine or [],
    )


def settings_of(models: SmoothModels, dimension: int, mode: str = "Static") -> Map:
    return parameters([models(dimension)], [dimension], dimension, mode, "L2", "11")


def size_of(dimension: int, spacing: float = SPACING) -> tuple[int, ...]:
    """How many control points the evaluator's B-spline has along each axis."""
    size, voxel, *_ = FIXED[dimension]
    return tuple(int(n * v / spacing) + 5 for n, v in zip(size, voxel, strict=True))


def spline(places: Array, order: int) -> Array:
    """The cubic B-spline, or a derivative of it, by its truncated powers."""
    result = np.zeros_like(places)
    for k, sign in enumerate((1, -4, 6, -4, 1)):
        t = np.maximum(places + 2 - k, 0.0)
        result += sign * (t**3 / 6, t**2 / 2, t)[order]
    return result


def quadrature(
    coefficients: Array, size: tuple[int, ...], spacing: tuple[float, ...]
) -> tuple[float, Callable[[Array], float]]:
    """Give the mean over the grid of the squared second derivatives of the displacement.

    By Gauss' rule of four points in each cell, exact for the polynomials at hand. And a function
    that gives it for other coefficients.

    Args:
        coefficients: As parameters of elastix's transform.
        size: Control points along x, y (, z).
        spacing: Their distances, mm.
    """
    nodes, weights = np.polynomial.legendre.leggauss(4)
    along = []
    means = []
    for n, h in zip(size, spacing, strict=True):
        cells = np.arange(1, n - 2)[:, None]
        places = (cells + (nodes + 1) / 2).ravel()
        means.append(np.tile(weights / 2, n - 3) / (n - 3))
        from_each = places[:, None] - np.arange(n)
        along.append([spline(from_each, order) / h**order for order in range(3)])
    axes = range(len(size))

    def energy(values: Array) -> float:
        total = 0.0
        for component in values.reshape(len(size), *size[::-1]):
            for pair_of_axes in product(axes, axes):
                second = component
                for axis in axes:
                    basis = along[axis][pair_of_axes.count(axis)]
                    place = len(size) - 1 - axis
                    second = np.moveaxis(np.tensordot(second, basis, ([place], [1])), -1, place)
                squares = second**2
                for axis in axes:  # x is the last one
                    squares = squares @ means[axis]
                total += float(squares)
        return total

    return energy(coefficients), energy


def random_coefficients(evaluator: impact_testing.MetricEvaluator, seed: int = 3) -> Array:
    count = len(evaluator.identity_parameters)
    return np.random.default_rng(seed).uniform(-2, 2, count)


# Values and derivatives


@pytest.mark.parametrize("as_on_gpu", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_is_what_a_quadrature_gives(
    smooth_models: SmoothModels, dimension: int, mode: str, as_on_gpu: bool
) -> None:
    """Beside the value and the derivative of the images, by every function of the metric."""
    settings = settings_of(smooth_models, dimension, mode)
    without = metric(settings, dimension, as_on_gpu=as_on_gpu)
    weighted = metric(settings, dimension, 300.0, as_on_gpu=as_on_gpu)
    assert weighted.evaluates_on_device == as_on_gpu
    place = random_coefficients(without)
    size = size_of(dimension)
    expected, energy = quadrature(place, size, (SPACING,) * dimension)
    assert place.size == dimension * np.prod(size)
    assert expected > 1e-5
    value, derivative = without.value_and_derivative(list(place))
    for found in (weighted.value(list(place)), weighted.value_and_derivative(list(place))[0]):
        assert found - value == pytest.approx(300 * expected, rel=PRECISION)
    added = weighted.value_and_derivative(list(place))[1] - derivative
    # Of a quadratic form central differences are exact.
    differences = []
    for i in range(0, place.size, 7):
        step = np.zeros_like(place)
        step[i] = 1.0
        differences.append(150 * (energy(place + step) - energy(place - step)))
    largest = np.abs(added).max()
    assert largest > 0
    assert np.abs(added[::7] - differences).max() < PRECISION * largest


@pytest.mark.parametrize("transform", ["BSpline", "AffineThenBSpline"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dimension", [2, 3])
def test_derivative(smooth_models: SmoothModels, dimension: int, mode: str, transform: str) -> None:
    """Of the whole value."""
    affine = [*(np.eye(dimension) + 0.03).ravel(), *[0.7, -1.1, 0.4][:dimension]]
    evaluator = metric(
        settings_of(smooth_models, dimension, mode),
        dimension,
        30.0,
        initial_affine=affine if transform == "AffineThenBSpline" else None,
    )
    position, scale = start(evaluator, "BSpline", dimension)
    assert relative_error(evaluator, position, scale) < RELATIVE_ERROR
    assert evaluator.number_of_valid_samples > 20


def test_is_of_the_spline_alone(smooth_models: SmoothModels) -> None:
    """What comes before it changes nothing."""
    settings = settings_of(smooth_models, 3)
    affine = [*(np.eye(3) + 0.1 * np.arange(9).reshape(3, 3) / 9).ravel(), 0.7, -1.1, 0.4]
    added = []
    for initial in (None, affine):
        both = [metric(settings, 3, weight, initial_affine=initial) for weight in (0.0, 1e3)]
        place = list(random_coefficients(both[0]))
        added.append(both[1].value(place) - both[0].value(place))
    assert added[0] == pytest.approx(added[1], rel=1e-9)
    assert added[0] > 0


@pytest.mark.parametrize("dimension", [2, 3])
def test_what_is_affine_costs_nothing(smooth_models: SmoothModels, dimension: int) -> None:
    settings = settings_of(smooth_models, dimension)
    size = size_of(dimension)
    places = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1)
    places = places.T.reshape(dimension, -1)  # x fastest
    matrix = np.array([[0.2, -0.1, 0.05], [0.1, 0.3, 0.0], [-0.2, 0.1, 0.1]])
    shift = np.array([[0.5], [-1.0], [0.3]])
    affine = (matrix[:dimension, :dimension] @ places + shift[:dimension]).ravel()
    value, derivative = metric(settings, dimension).value_and_derivative(list(affine))
    found = metric(settings, dimension, 1e6).value_and_derivative(list(affine))
    assert found[0] == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(found[1], derivative, atol=1e-9 * np.abs(derivative).max())
    bent = affine.copy()
    bent[np.ravel_multi_index([n // 2 for n in size[::-1]], size[::-1])] += 0.1
    assert metric(settings, dimension, 1e6).value(list(bent)) > value + 1e-3


@pytest.mark.parametrize("transform", ["Translation", "Euler", "Affine"])
@pytest.mark.parametrize("dimension", [2, 3])
def test_linear_transforms_bend_nothing(
    smooth_models: SmoothModels, dimension: int, transform: str
) -> None:
    settings = settings_of(smooth_models, dimension)
    found = []
    for weight in (0.0, 1e6):
        evaluator = metric(settings, dimension, weight, transform)
        place = [x + 0.02 for x in evaluator.identity_parameters]
        value, derivative = evaluator.value_and_derivative(place)
        found.append((value, derivative.tobytes()))
    assert found[0] == found[1]


def test_other_transforms_are_refused(smooth_models: SmoothModels) -> None:
    settings = settings_of(smooth_models, 3)
    metric(settings, 3, 0.0, "QuadraticBSpline")
    expected = r"BendingEnergyWeight \(resolution level 0\): 10 is not allowed with the transform "
    with pytest.raises(_core.Error, match=expected + r"AdvancedBSplineDeformable.*Give 0, or"):
        metric(settings, 3, 10.0, "QuadraticBSpline")


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_for_every_number_of_threads(smooth_models: SmoothModels, mode: str) -> None:
    settings = settings_of(smooth_models, 3, mode)
    results = []
    for threads in (1, 2, 4):
        evaluator = metric(settings, 3, 50.0, threads=threads, spacing=5.0)
        value, derivative = evaluator.value_and_derivative(list(random_coefficients(evaluator)))
        results.append((value, derivative.tobytes()))
    assert results[0] == results[1] == results[2]


# In a map


@pytest.mark.parametrize("label", ["", "Metric0"])
def test_every_dialect(label: str) -> None:
    common = {"ModelsPath": ["a.pt"], "VoxelSize": ["2*2*2"], "Transform": ["BSplineTransform"]}
    dialects: list[Map] = [
        {"ImpactBendingEnergyWeight0": ["10"], "ImpactBendingEnergyWeight1": ["0.5"]},
        {"ImpactBendingEnergyWeight": ["10", "0.5"]},
        {"BendingEnergyWeight": ["10", "0.5"]},
    ]
    for dialect in dialects:
        labelled = {label + name: values for name, values in dialect.items()}
        levels, findings = _core.parse_settings(common | labelled, 2, 3, label)
        assert not findings
        assert [level.bending_energy_weight for level in levels] == [10, 0.5]
        assert "BendingEnergyWeight 0.5" in levels[1].describe()
    levels, _ = _core.parse_settings(common, 2, 3, label)
    assert [level.bending_energy_weight for level in levels] == [0, 0]
    assert "BendingEnergyWeight" not in levels[0].describe()


SPLINE = {"Transform": "BSplineTransform"}


@pytest.mark.parametrize(
    ("components", "what"),
    [
        ({"Transform": "SplineKernelTransform"}, '(Transform "SplineKernelTransform")'),
        ({"Transform": "MultiBSplineTransformWithNormal"}, '"MultiBSplineTransformWithNormal")'),
        (SPLINE | {"BSplineTransformSplineOrder": "2"}, "(BSplineTransformSplineOrder 2)"),
        (SPLINE | {"UseCyclicTransform": "true"}, '(UseCyclicTransform "true")'),
    ],
)
def test_transforms_that_bend_otherwise_are_refused(
    itk_process: ItkProcess, layers: dict[int, str], components: dict[str, str], what: str
) -> None:
    """Before anything runs, for the levels that have a weight."""
    given = parameter_map(3, **impact(3, "Static", layers[3], LayersMask="010"), **components)
    given |= {"ImpactBendingEnergyWeight": ["0", "2.5"]}
    levels, findings = _core.parse_settings(given, 2, 3)
    assert len(levels) == 2
    (found,) = findings
    assert found.is_error
    assert (found.kind, found.levels) == ("component", [1])
    assert found.message.startswith(
        "ImpactBendingEnergyWeight (resolution level 1): 2.5 is not allowed with "
    )
    assert f"{what}, whose bending energy is not known." in found.message
    if components["Transform"] == "BSplineTransform":  # elastix wants more of the others
        with pytest.raises(ItkError, match=r"ImpactBendingEnergyWeight .*: 3 is not allowed with"):
            itk_process.register(*pair(3), given | {"ImpactBendingEnergyWeight": ["3"]})


def test_a_limit_without_a_weight_is_warned_of() -> None:
    given = {"ModelsPath": ["a.pt"], "VoxelSize": ["2*2*2"], "Transform": ["BSplineTransform"]}
    given |= {"BendingEnergyWeight": ["0", "5"], "ImpactBendingEnergyLimit": ["0.002"]}
    levels, findings = _core.parse_settings(given, 2, 3)
    assert [level.bending_energy_limit for level in levels] == [0, 0.002]
    assert [finding.message for finding in findings] == [
        "ImpactBendingEnergyLimit (resolution level 0): it has no effect without "
        "BendingEnergyWeight, which it bounds."
    ]
    assert not findings[0].is_error


def test_linear_transforms_are_warned_of() -> None:
    given = {
        "ModelsPath": ["a.pt"],
        "VoxelSize": ["2*2*2"],
        "Transform": ["AffineTransform"],
        "BendingEnergyWeight": ["1"],
    }
    _, findings = _core.parse_settings(given, 2, 3)
    assert [finding.message for finding in findings] == [
        "BendingEnergyWeight (resolution levels 0 and 1): it has no effect with (Transform "
        '"AffineTransform"), which bends nothing.'
    ]
    assert not findings[0].is_error
    assert not _core.parse_settings(given | {"BendingEnergyWeight": ["0"]}, 2, 3)[1]


# In a registration


def columns(log: str, name: str) -> list[float]:
    """A column of the iterations' tables."""
    values = []
    place = None
    for line in log.splitlines():
        if line.startswith("1:ItNr"):
            place = line.split("\t").index(name) if name in line.split("\t") else None
        elif place is not None and re.match(r"\d+\t", line):
            values.append(float(line.split("\t")[place]))
    return values


def spline_map(dimension: int, model: str, **changes: Value) -> Map:
    given: dict[str, Value] = {
        **impact(dimension, "Static", model, LayersMask="010"),
        "Transform": "BSplineTransform",
        "FinalGridSpacingInPhysicalUnits": [7.0, 9.0, 11.0][:dimension],
        "GridSpacingSchedule": [1.0],
        "HowToCombineTransforms": "Compose",
        "MaximumNumberOfIterations": 40,
        **changes,
    }
    return parameter_map(dimension, **given)


def grid_of(transform: Map) -> tuple[tuple[int, ...], tuple[float, ...], Array]:
    """Size and spacing of the control points, and the coefficients."""
    return (
        tuple(int(n) for n in transform["GridSize"]),
        tuple(float(h) for h in transform["GridSpacing"]),
        np.array(transform["TransformParameters"], dtype=float),
    )


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_high_weight_gives_a_smoother_field(
    itk_process: ItkProcess, layers: dict[int, str], dimension: int
) -> None:
    """Along oblique axes with three spacings; the log shows the part of the value."""
    energies = []
    runs = []
    for weight in ("0", "100", "10000"):
        given = spline_map(dimension, layers[dimension]) | {"BendingEnergyWeight": [weight]}
        runs.append(itk_process.register(*pair(dimension), given))
        size, spacing, coefficients = grid_of(runs[-1].maps[-1])
        assert len(set(spacing)) == dimension
        energies.append(quadrature(coefficients, size, spacing)[0])
    assert energies[0] > 3 * energies[1] > 9 * energies[2] > 0
    plain = itk_process.register(*pair(dimension), spline_map(dimension, layers[dimension]))
    assert (plain.parameters == runs[0].parameters).all()
    for run in (plain, runs[0]):
        assert "-BendingEnergy" not in run.log
        assert "bending energy" not in run.log
    assert "Mode Static, on the CPU, BendingEnergyWeight 100\n" in runs[1].log
    assert re.search(r"chain rule \S+ ms, bending energy \S+ ms; peak", runs[1].log)
    parts = columns(runs[1].log, "2:Metric0-BendingEnergy")
    values = runs[1].values
    assert len(parts) == len(values) == 40
    assert parts[0] == 0
    assert all(0 < part < value for part, value in zip(parts[1:], values[1:], strict=True))
    # Each is of where the iteration began; the last step is a small one.
    assert parts[-1] == pytest.approx(100 * energies[1], rel=0.3)


def test_same_transform_for_every_number_of_threads(
    itk_process: ItkProcess, layers: dict[int, str]
) -> None:
    """And levels each with a weight of its own, the first without."""
    changes: dict[str, Value] = {
        "NumberOfResolutions": 2,
        "GridSpacingSchedule": [2.0, 1.0],
        "MaximumNumberOfIterations": 10,
        "ImpactBendingEnergyWeight0": 0,
        "ImpactBendingEnergyWeight1": 500,
    }
    given = spline_map(3, layers[3], **changes)
    runs = [itk_process.register(*pair(3), given, threads=threads) for threads in (1, 2)]
    assert (runs[0].parameters == runs[1].parameters).all()
    assert runs[0].values == runs[1].values
    assert len(columns(runs[0].log, "2:Metric0-BendingEnergy")) == 10


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_limit_lowers_the_weight_to_what_the_start_may_cost(
    itk_process: ItkProcess, layers: dict[int, str], dimension: int
) -> None:
    """The second level starts with what the first one found."""
    changes: dict[str, Value] = {
        "NumberOfResolutions": 2,
        "GridSpacingSchedule": [2.0, 1.0],
        "MaximumNumberOfIterations": 20,
    }
    given = spline_map(dimension, layers[dimension], **changes)
    free = given | {"BendingEnergyWeight": ["10", "1000000"]}

    def registered(limit: list[str]) -> Registration:
        return itk_process.register(*pair(dimension), free | {"BendingEnergyLimit": limit})

    limited = registered(["0.01"])
    (said,) = re.findall(
        r"bending energy's weight is (\S+): more would cost the start more than "
        r"BendingEnergyLimit 0\.01",
        limited.log,
    )
    assert "BendingEnergyWeight 1e+06, BendingEnergyLimit 0.01\n" in limited.log
    parts = columns(limited.log, "2:Metric0-BendingEnergy")
    assert parts[0] == 0  # the first level starts with nothing
    assert parts[20] == pytest.approx(0.01, abs=1e-6)
    # The same as that weight, which has six digits. A limit that is not reached is none.
    same = free | {"BendingEnergyWeight": ["10", said]}
    by_hand = itk_process.register(*pair(dimension), same)
    assert np.abs(by_hand.parameters - limited.parameters).max() < 1e-4
    unlimited = itk_process.register(*pair(dimension), free)
    assert np.abs(unlimited.parameters - limited.parameters).max() > 1e-2
    high = registered(["0", "1e9"])
    assert (high.parameters == unlimited.parameters).all()
    assert "more would cost" not in high.log


def test_is_what_elastix_own_penalty_samples(
    itk_process: ItkProcess, smooth_models: SmoothModels
) -> None:
    """Of a spline that bends within the fixed image alone, so that the means have one sum."""
    size, voxel, angle, _ = FIXED[3]
    spacing = 6.0
    points = size_of(3, spacing)
    pixels, _, origin, direction = smooth_volume(size, voxel, angle, 0.0)
    coefficients = np.zeros((3, *points[::-1]))
    # Those whose weights end between the centres of the outermost voxels.
    inside = [
        [i >= 4 and i * spacing <= (n - 1) * v for i in range(count)]
        for n, v, count in zip(size, voxel, points, strict=True)
    ]
    where = np.ix_(np.arange(3), *[np.flatnonzero(axis) for axis in inside[::-1]])
    assert min(map(sum, inside)) >= 2
    coefficients[where] = np.random.default_rng(8).uniform(-3, 3, coefficients[where].shape)
    first = np.array(origin) - direction @ np.full(3, 2 * spacing)
    initial = to_map(
        {
            "Transform": "BSplineTransform",
            "NumberOfParameters": coefficients.size,
            "TransformParameters": coefficients.ravel().tolist(),
            "InitialTransformParameterFileName": "NoInitialTransform",
            "HowToCombineTransforms": "Compose",
            "FixedImageDimension": 3,
            "MovingImageDimension": 3,
            "FixedInternalImagePixelType": "float",
            "MovingInternalImagePixelType": "float",
            "Size": size,
            "Index": [0, 0, 0],
            "Spacing": voxel,
            "Origin": origin,
            "Direction": direction.T.ravel().tolist(),
            "UseDirectionCosines": "true",
            "GridSize": points,
            "GridIndex": [0, 0, 0],
            "GridSpacing": [spacing] * 3,
            "GridOrigin": first.tolist(),
            "GridDirection": direction.T.ravel().tolist(),
            "BSplineTransformSplineOrder": 3,
            "UseCyclicTransform": "false",
        }
    )
    image = Image(pixels, Grid(tuple(size), tuple(voxel), tuple(origin), direction))
    given = parameter_map(
        3,
        Metric="TransformBendingEnergyPenalty",
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=20.0,
        HowToCombineTransforms="Compose",
        NumberOfSpatialSamples=60000,
        MaximumNumberOfIterations=1,
        AutomaticParameterEstimation="false",
        SP_a=0.0,
    )
    sampled = itk_process.register(image, image, given, initial=[initial]).values[0]
    of_box = np.prod([(n - 1) * v for n, v in zip(size, voxel, strict=True)])
    of_grid = np.prod([(n - 3) * spacing for n in points])
    settings = settings_of(smooth_models, 3)
    both = [metric(settings, 3, weight, spacing=spacing) for weight in (0.0, 1e3)]
    place = coefficients.ravel().tolist()
    exact = (both[1].value(place) - both[0].value(place)) / 1e3
    # 60 000 samples of squares whose deviation is some three times their mean: 1 %.
    assert exact * of_grid == pytest.approx(sampled * of_box, rel=0.03)
    assert sampled > 1e-3
