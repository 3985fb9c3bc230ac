"""FeatureNormalization and NormalizeLosses: values, derivatives, the same bits, what is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import impact_testing
from helpers import tiny_models
from helpers.evaluators import (
    DISTANCES,
    RELATIVE_ERROR,
    Array,
    SmoothModels,
    images,
    parameters,
    relative_error,
    start,
)
from helpers.images import read
from helpers.itk_process import ItkError, ItkProcess
from helpers.parameter_maps import parameter_map
from helpers.registrations import MODES, impact, pair
from impact_plugin import _core, _networks

KINDS = ("l2", "standardized")
SPACING = {"Static": 1, "Jacobian": 2}  # of samples: see test_gradients.py

Map = dict[str, list[str]]


class SecondEvaluations:
    """A metric of which every evaluation is the second after one at the same place.

    So it draws the same channels again, and divides by the same values.
    """

    def __init__(self, settings: Map, dimension: int, mode: str, place: Array) -> None:
        self._arguments = (settings, dimension, mode)
        self._place = list(place)
        self.number_of_valid_samples = 0
        self.identity_parameters = metric(*self._arguments).identity_parameters

    def _second(self) -> impact_testing.MetricEvaluator:
        evaluator = metric(*self._arguments)
        evaluator.value(self._place)
        self.number_of_valid_samples = evaluator.number_of_valid_samples
        return evaluator

    def value(self, parameters: Sequence[float]) -> float:
        return self._second().value(parameters)

    def value_and_derivative(self, parameters: Sequence[float]) -> tuple[float, Array]:
        return self._second().value_and_derivative(parameters)


def metric(
    settings: Map,
    dimension: int = 3,
    mode: str = "Static",
    threads: int = 2,
    as_on_gpu: bool = False,
) -> impact_testing.MetricEvaluator:
    return impact_testing.MetricEvaluator(
        *images(dimension),
        settings,
        "Affine",
        sample_spacing=SPACING[mode],
        threads=threads,
        as_on_gpu=as_on_gpu,
    )


def features_of(
    path: str, kind: str, mask: str = "11"
) -> list[tuple[NDArray[np.float32], _core.Grid]]:
    settings = parameters([path], [3], 3, "Static", "L2", mask) | {"FeatureNormalization": [kind]}
    levels, findings = _core.parse_settings(settings, 1, 3)
    assert not findings
    return _networks.feature_maps(images(3)[0], levels[0].fixed_models[0])


def by_hand(kind: str, features: NDArray[np.float32]) -> Array:
    rows = features.astype(float)
    if kind == "standardized":
        rows = rows - rows.mean(-1, keepdims=True)
        size = rows.std(-1, keepdims=True, ddof=1)
    else:
        size = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Array = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    return scaled


# Derivatives


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_derivative(
    smooth_models: SmoothModels, distance: str, mode: str, dimension: int, kind: str
) -> None:
    settings = parameters(
        [smooth_models(dimension)], [dimension], dimension, mode, distance, "11"
    ) | {"FeatureNormalization": [kind], "NormalizeLosses": ["true"]}
    if distance == "Dice" and kind == "standardized":  # of which the divisor is 0
        settings |= {"FixedFeatureNormalization": ["l2"]}
    evaluator = metric(settings, dimension, mode)
    position, scale = start(evaluator, "Affine", dimension)
    evaluator.value(list(position + 0.3 * scale))  # what the layers are divided by
    error = relative_error(evaluator, position, scale)
    assert error < RELATIVE_ERROR, error
    assert evaluator.number_of_valid_samples > 20


@pytest.mark.parametrize("kinds", ["l2 standardized", "standardized none"])
@pytest.mark.parametrize("mode", MODES)
def test_derivative_of_several_models(smooth_models: SmoothModels, mode: str, kinds: str) -> None:
    """With principal components, of which some are drawn at each evaluation."""
    second = smooth_models(2) if mode == "Static" else smooth_models(3, padding=0)
    dimensions = [3, 2 if mode == "Static" else 3]
    settings = parameters([smooth_models(3), second], dimensions, 3, mode, "L2", "11") | {
        "FeatureNormalization": [kinds],
        "NormalizeLosses": ["true"],
        "PCA": ["4 3 0 2"],
        "SubsetFeatures": ["2 0 3 1"],
        "LayersWeight": ["1 0.5 2 1"],
    }
    position, scale = start(metric(settings, 3, mode), "Affine", 3)
    evaluator = SecondEvaluations(settings, 3, mode, position + 0.3 * scale)
    assert relative_error(evaluator, position, scale) < RELATIVE_ERROR
    assert evaluator.number_of_valid_samples > 20


# Values


@pytest.mark.parametrize("kind", KINDS)
def test_feature_maps_are_scaled_over_their_channels(
    smooth_models: SmoothModels, kind: str
) -> None:
    raw = features_of(smooth_models(3), "none")
    for (features, grid), (expected, raw_grid) in zip(
        features_of(smooth_models(3), kind), raw, strict=True
    ):
        np.testing.assert_allclose(features, by_hand(kind, expected), atol=2e-6)
        assert grid.origin == raw_grid.origin
        assert not np.allclose(features, expected, atol=0.1)


class Flat(nn.Module):
    """The same six features twice: zeros where the image is below 0, equal ones beyond 100."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.linspace(0.5, 2.0, 6).view(1, 6, 1, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give one tensor as two layers, channels last: the rows of both maps lie in it."""
        bright = torch.relu(x)
        between = bright * self.slopes + 0.02 * (bright * self.slopes).square()
        features = torch.where(x > 100, x.abs() * 1e4, between)
        kept = features.contiguous(memory_format=torch.channels_last_3d)
        return [kept, kept]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_vectors_without_length_or_deviation(tmp_path: Path, mode: str, kind: str) -> None:
    """They are zeros, and the derivative is finite and right, by the kernels and by torch."""
    path = str(tiny_models.save(Flat(), tmp_path / "flat.pt"))
    raw = features_of(path, "none")[0][0]
    lengths = np.linalg.norm(raw, axis=-1)
    assert (lengths == 0).any()
    assert (raw.max(-1) > 1e6).any()
    for features, _ in features_of(path, kind):
        np.testing.assert_allclose(features, by_hand(kind, raw), atol=2e-6)
        assert (features[lengths == 0] == 0).all()
        if kind == "standardized":
            assert (features[raw.max(-1) > 1e6] == 0).all()
    settings = parameters([path], [3], 3, mode, "L2", "11") | {"FeatureNormalization": [kind]}
    found = []
    for as_on_gpu in (False, True):
        evaluator = metric(settings, 3, mode, as_on_gpu=as_on_gpu)
        place = list(np.array(evaluator.identity_parameters) + 0.01)
        found.append(evaluator.value_and_derivative(place))
        assert np.isfinite(found[-1][1]).all()
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    largest = np.abs(found[0][1]).max()
    assert largest > 0
    assert np.abs(found[1][1] - found[0][1]).max() < 1e-4 * largest


class Held(nn.Module):
    """One layer, whatever the image: numbers that the network holds, channels last as in maps."""

    def __init__(self) -> None:
        super().__init__()
        numbers = torch.rand(1, 4, 14, 17, 22, generator=torch.Generator().manual_seed(3)) + 0.5
        self.numbers = nn.Parameter(numbers.contiguous(memory_format=torch.channels_last_3d))

    def forward(self, x: Tensor) -> Tensor:
        """Give them."""
        return self.numbers


def test_what_a_network_holds_stays_as_it_is(tmp_path: Path) -> None:
    """Normalised for the fixed image, and not for the moving one."""
    held = Held()
    path = str(tiny_models.save(held, tmp_path / "held.pt"))
    image = images(3)[0]
    settings = parameters([path], [3], 3, "Static", "L2", "1") | {
        "VoxelSize": ["1.7*2.3*2.9"],
        "FixedFeatureNormalization": ["l2"],
    }
    levels, _ = _core.parse_settings(settings, 1, 3)
    similarity = impact_testing.StaticSimilarity(image, image, levels[0])
    value, _ = similarity.evaluate([image.grid.origin], [image.grid.origin])
    first = held.numbers[0, :, 0, 0, 0].detach().numpy().astype(float)
    assert value == pytest.approx(np.mean((first / np.linalg.norm(first) - first) ** 2), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_before_components_and_subsets(smooth_models: SmoothModels, mode: str, kind: str) -> None:
    """All components leave L2 of normalised features as it is; single ones have its mean."""
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "10")
    settings |= {"FeatureNormalization": [kind]}
    place = list(np.array(metric(settings, 3, mode).identity_parameters) + 0.02)
    whole = metric(settings, 3, mode).value(place)
    components = metric(settings | {"PCA": ["5"]}, 3, mode).value(place)
    assert components == pytest.approx(whole, rel=1e-5)
    single = metric(settings | {"SubsetFeatures": ["1"]}, 3, mode)
    values = {round(single.value(place), 12) for _ in range(60)}
    assert len(values) == 5
    assert np.mean(list(values)) == pytest.approx(whole, rel=1e-5)


def test_distances_of_normalized_patches(smooth_models: SmoothModels) -> None:
    """Of unit vectors L2 is 2 / C times Cosine, of standardized ones 2 (C - 1) / C times it."""
    settings = parameters([smooth_models(3)], [3], 3, "Jacobian", "L2", "10")
    place = list(np.array(metric(settings, 3, "Jacobian").identity_parameters) + 0.02)

    def value(distance: str, kind: str) -> float:
        changes = {"Distance": [distance], "FeatureNormalization": [kind]}
        return metric(settings | changes, 3, "Jacobian").value(place)

    cosine = value("Cosine", "none")
    assert value("Cosine", "l2") == pytest.approx(cosine, rel=1e-5)
    assert value("L2", "l2") == pytest.approx(2 / 5 * cosine, rel=1e-5)
    correlation = value("Cosine", "standardized")
    assert correlation != pytest.approx(cosine, rel=0.1)
    assert value("L2", "standardized") == pytest.approx(2 * 4 / 5 * correlation, rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_fixed_and_moving_apart(smooth_models: SmoothModels, mode: str) -> None:
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
    place = list(np.array(metric(settings, 3, mode).identity_parameters) + 0.02)
    sides = ("FixedFeatureNormalization", "MovingFeatureNormalization")
    values = {}
    for kinds in (("none", "none"), ("l2", "l2"), ("l2", "none"), ("none", "l2")):
        changed = settings | {side: [kind] for side, kind in zip(sides, kinds, strict=True)}
        values[kinds] = metric(changed, 3, mode).value(place)
    assert len(set(values.values())) == 4
    both = metric(settings | {"FeatureNormalization": ["l2"]}, 3, mode).value(place)
    assert values["l2", "l2"] == both
    one = {"FeatureNormalization": ["l2"], "MovingFeatureNormalization": ["none"]}
    assert metric(settings | one, 3, mode).value(place) == values["l2", "none"]
    assert values["none", "none"] == metric(settings, 3, mode).value(place)


@pytest.mark.parametrize("mode", MODES)
def test_layers_start_at_their_weights(smooth_models: SmoothModels, mode: str) -> None:
    """And go on as their own distances do; what is 0 or below at first stays as it is."""
    models = [smooth_models(3), smooth_models(3)]
    settings = parameters(models, [3, 3], 3, mode, "L2", "11")
    settings |= {"Distance": ["L1 DotProduct Cosine L2"]}
    first = np.array(metric(settings, 3, mode).identity_parameters)
    places = [list(first + shift) for shift in (0.01, 0.03, -0.02)]
    single = np.array(
        [
            [metric(settings | {"LayersWeight": [weights]}, 3, mode).value(p) for p in places]
            for weights in ("1 0 0 0", "0 1 0 0", "0 0 1 0", "0 0 0 1")
        ]
    )
    assert (single[1] < 0).all()
    weights = np.array([1.0, 0.5, 2.0, 3.0])
    settings |= {"LayersWeight": ["1 0.5 2 3"], "NormalizeLosses": ["true"]}
    together = metric(settings, 3, mode)
    divisors = np.where(single[:, 0] > 0, single[:, 0], 1.0)
    for i, place in enumerate(places):
        expected = weights @ (single[:, i] / divisors)
        assert together.value(place) == pytest.approx(expected, rel=1e-9)
    assert together.value(places[0]) == pytest.approx(6.0 + 0.5 * single[1, 0], rel=1e-12)


@pytest.mark.parametrize("distance", ["L1", "L2", "Cosine", "L1Cosine", "NCC"])
@pytest.mark.parametrize("mode", MODES)
def test_a_start_at_a_perfect_match(smooth_models: SmoothModels, mode: str, distance: str) -> None:
    """What rounding leaves is not divided by."""
    image = images(3)[0]
    values = []
    for normalize in ("false", "true"):
        settings = parameters([smooth_models(3)], [3], 3, mode, distance, "11")
        evaluator = impact_testing.MetricEvaluator(
            image, image, settings | {"NormalizeLosses": [normalize]}, "Translation"
        )
        assert abs(evaluator.value([0.0, 0.0, 0.0])) < 1e-12
        values.append(evaluator.value([0.7, 0.2, -0.4]))
    assert values[0] == values[1] > 0


def test_updates_of_moving_features_keep_the_divisors(smooth_models: SmoothModels) -> None:
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "11")
    settings |= {"FeaturesMapUpdateInterval": ["5"], "FeatureNormalization": ["l2"]}
    values = []
    for normalize in ("false", "true"):
        evaluator = metric(settings | {"NormalizeLosses": [normalize], "LayersMask": ["10"]})
        place = np.array(evaluator.identity_parameters) + 0.02
        before = evaluator.value(list(place))
        evaluator.request_moving_features()
        values.append((before, evaluator.value(list(place + 0.03))))
    assert values[1][0] == 1.0
    assert values[0][1] != values[0][0]
    assert values[1][1] == pytest.approx(values[0][1] / values[0][0], rel=1e-12)


# The same on every way


def all_of_it(models: list[str], mode: str) -> Map:
    return parameters(models, [3] * len(models), 3, mode, "L2", "11") | {
        "Distance": ["NCC L1 Cosine L2"],
        "FixedFeatureNormalization": ["l2 standardized"],
        "MovingFeatureNormalization": ["standardized l2"],
        "NormalizeLosses": ["true"],
        "PCA": ["3 0 0 2"],
        "SubsetFeatures": ["2 2 0 0"],
    }


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_for_every_number_of_threads(smooth_models: SmoothModels, mode: str) -> None:
    settings = all_of_it([smooth_models(3), smooth_models(3)], mode)
    results = []
    for threads in (1, 2, 4):
        evaluator = metric(settings, 3, mode, threads=threads)
        identity = np.array(evaluator.identity_parameters)
        found = [evaluator.value_and_derivative(list(identity + s)) for s in (0.02, 0.03)]
        results.append([(value, derivative.tobytes()) for value, derivative in found])
    assert results[0] == results[1] == results[2]
    assert results[0][0][0] == pytest.approx(4.0, rel=1e-12)
    assert results[0][1][0] != results[0][0][0]


@pytest.mark.parametrize("precision", ["false", "true"])
@pytest.mark.parametrize("mode", MODES)
def test_as_on_a_device(smooth_models: SmoothModels, mode: str, precision: str) -> None:
    settings = all_of_it([smooth_models(3), smooth_models(3)], mode)
    if mode == "Static":
        settings |= {"UseMixedPrecision": [precision]}
    elif precision == "true":
        settings |= {"NormalizeLosses": ["false"]}
    found = []
    for as_on_gpu in (False, True):
        evaluator = metric(settings, 3, mode, as_on_gpu=as_on_gpu)
        assert evaluator.evaluates_on_device == as_on_gpu
        identity = np.array(evaluator.identity_parameters)
        evaluator.value(list(identity + 0.02))
        found.append(evaluator.value_and_derivative(list(identity + 0.03)))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    assert np.abs(found[1][1] - found[0][1]).max() < 1e-4 * np.abs(found[0][1]).max() > 0


def test_cached_features_are_of_one_normalization(
    smooth_models: SmoothModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "11")

    def values() -> list[float]:
        found = []
        for kind in ("none", *KINDS):
            evaluator = metric(settings | {"FeatureNormalization": [kind]})
            found.append(evaluator.value([x + 0.02 for x in evaluator.identity_parameters]))
        return found

    expected = values()
    assert len(set(expected)) == 3
    monkeypatch.setenv("IMPACT_FEATURE_CACHE", str(tmp_path))
    assert values() == expected
    assert len(list(tmp_path.iterdir())) == 6
    assert values() == expected
    assert len(list(tmp_path.iterdir())) == 6


# In a map


@pytest.mark.parametrize("label", ["", "Metric0"])
def test_every_dialect(label: str) -> None:
    common = {"ModelsPath": ["a.pt b.pt", "c.pt"], "VoxelSize": ["2*2*2"]}
    dialects = [
        {
            "ImpactFeatureNormalization0": ["none", "l2"],
            "ImpactFeatureNormalization1": ["l2"],
            "ImpactMovingFeatureNormalization1": ["standardized"],
            "ImpactNormalizeLosses0": ["false"],
            "ImpactNormalizeLosses1": ["true"],
        },
        *(
            {
                f"{prefix}FeatureNormalization": ["none l2", "l2"],
                f"{prefix}MovingFeatureNormalization": ["none l2", "standardized"],
                f"{prefix}NormalizeLosses": ["false", "true"],
            }
            for prefix in ("Impact", "")
        ),
    ]
    for dialect in dialects:
        labelled = {label + name: values for name, values in dialect.items()}
        levels, findings = _core.parse_settings(common | labelled, 2, 3, label)
        assert not findings
        assert [level.normalize_losses for level in levels] == [False, True]
        found = [
            [[model.feature_normalization for model in side] for side in sides]
            for sides in ((level.fixed_models, level.moving_models) for level in levels)
        ]
        assert found == [[["none", "l2"]] * 2, [["l2"], ["standardized"]]]
    for one in ({"ImpactNormalizeLosses0": ["true"]}, {"NormalizeLosses": ["true"]}):
        levels, _ = _core.parse_settings(common | one, 2, 3, label)
        assert [level.normalize_losses for level in levels] == [True, True]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("FeatureNormalization", ["l2 none"]),
        ("ImpactFeatureNormalization", ["l2 none"]),
        ("ImpactFixedFeatureNormalization0", ["l2", "none"]),
    ],
)
def test_one_for_each_layer_is_refused(name: str, values: list[str]) -> None:
    given = {"ModelsPath": ["a.pt"], "VoxelSize": ["2*2*2"], "LayersMask": ["11"], name: values}
    _, findings = _core.parse_settings(given, 1, 3)
    assert [finding.message for finding in findings] == [
        f'{name} (resolution level 0): 2 values ("l2" "none") for 1 models. Give one for all, or '
        "one for each, which all of its layers share."
    ]


# In a registration


def test_what_is_written_and_logged(
    itk_process: ItkProcess, layers: dict[int, str], tmp_path: Path
) -> None:
    """Feature maps as they are compared; the table; and nothing on losses where the map says."""
    folder = tmp_path / "maps"
    given = impact(
        3,
        "Static",
        layers[3],
        LayersMask="011",
        FixedFeatureNormalization="l2",
        MovingFeatureNormalization="standardized",
        NormalizeLosses="true",
        WriteFeatureMaps=str(folder),
        MaximumNumberOfIterations=3,
    )
    log = itk_process.register(*pair(3), parameter_map(3, **given)).log
    for layer in (1, 2):
        fixed, _ = read(folder / f"Fixed_0_3_{layer}.mha")
        np.testing.assert_allclose(np.linalg.norm(fixed, axis=-1), 1.0, atol=1e-5)
        moving, _ = read(folder / f"Moving_0_3_{layer}.mha")
        np.testing.assert_allclose(moving.mean(-1), 0.0, atol=1e-5)
        np.testing.assert_allclose(moving.std(-1, ddof=1), 1.0, atol=1e-5)
    assert "Mode Static, on the CPU, NormalizeLosses true, WriteFeatureMaps" in log
    assert re.search(r"LayersMask +FeatureNormalization +ModelsPath\n", log)
    assert re.search(r" fixed .* 011 +l2 +\S+\.pt\n", log)
    assert re.search(r" moving .* 011 +standardized +\S+\.pt\n", log)
    assert "several layers are weighed" not in log


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 1),
        ({"NormalizeLosses": ["false"]}, 0),
        ({"ImpactNormalizeLosses0": ["true"]}, 0),
        ({"LayersMask": ["010"]}, 0),
        ({"LayersMask": ["010", "011"]}, 1),
    ],
)
def test_log_says_once_what_newer_components_do(
    itk_process: ItkProcess, layers: dict[int, str], changes: Map, count: int
) -> None:
    given = impact(
        3,
        "Static",
        layers[3],
        LayersMask="011",
        NumberOfResolutions=2,
        MaximumNumberOfIterations=1,
        AutomaticParameterEstimation="false",
        SP_a=1.0,
    )
    log = itk_process.register(*pair(3), parameter_map(3, **given) | changes).log
    assert log.count("several layers are weighed, and the map has no NormalizeLosses") == count


def test_first_evaluation_is_elastix_own(itk_process: ItkProcess, layers: dict[int, str]) -> None:
    """Without an estimation of step sizes each level begins at the sum of the weights."""
    given = parameter_map(
        3,
        **impact(3, "Static", layers[3], LayersMask="011", LayersWeight="2 0.5"),
        NormalizeLosses="true",
        NumberOfResolutions=2,
        MaximumNumberOfIterations=5,
        AutomaticParameterEstimation="false",
        SP_a=1.0,  # its default throws the samples out of the image
    )
    values = itk_process.register(*pair(3), given).values
    assert (values[0], values[5]) == (2.5, 2.5)
    assert len(set(values)) == 9
    estimated = given | {"AutomaticParameterEstimation": ["true"]}
    found = [itk_process.register(*pair(3), estimated) for _ in range(2)]
    assert found[0].values == found[1].values
    assert found[0].values[0] == pytest.approx(2.5, rel=0.5)  # of other samples


@pytest.mark.parametrize("mode", MODES)
def test_layers_of_one_channel_cannot_be_standardized(
    itk_process: ItkProcess, layers: dict[int, str], mode: str
) -> None:
    """The first layer of this model; before anything runs, and by the check."""
    given = parameter_map(3, **impact(3, mode, layers[3], LayersMask="110"))
    given |= {"ImpactMovingFeatureNormalization0": ["standardized"]}
    expected = (
        r"ImpactMovingFeatureNormalization0 \(resolution level 0\): \"standardized\" is not "
        rf"allowed, because selected layer 0 of model \"{re.escape(layers[3])}\" has one channel"
    )
    with pytest.raises(ItkError, match=expected):
        itk_process.register(*pair(3), given)
    levels, _ = _core.parse_settings(given, 1, 3)
    found = _networks.check_level(levels[0], settings_are_right=True).findings
    assert [re.match(expected, finding.message) is not None for finding in found] == [True]
    assert found[0].is_error
    others = given | {"LayersMask": ["010"]}
    levels, _ = _core.parse_settings(others, 1, 3)
    assert not _networks.check_level(levels[0], settings_are_right=True).findings


def test_feature_maps_of_one_channel(layers: dict[int, str]) -> None:
    with pytest.raises(_core.Error, match=r"selected layer 0 of model .* has one channel"):
        features_of(layers[3], "standardized", "110")
