"""Results of a GPU against those of the CPU: of the real thing, or of the pretended device.

Skipped where there is neither; `make pretended` runs them on the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import impact_testing
from helpers import pretended, tiny_models
from helpers.evaluators import (
    TRANSFORMS,
    Array,
    SmoothModels,
    images,
    parameters,
    start,
    transform_options,
)

pytestmark = pytest.mark.gpu
DEVICE = "pretended:0" if pretended.IS_WANTED else "cuda:0"


def on_both(
    settings: dict[str, list[str]], transform: str, options: Mapping[str, Any]
) -> list[tuple[float, Array, impact_testing.MetricEvaluator]]:
    """Evaluate on the CPU and on the GPU at the same place."""
    dimension = 2 if settings["PatchSize"][0].count("*") == 1 else 3
    found = []
    position = None
    for gpu in ("-1", "0"):

        def make(gpu: str = gpu) -> impact_testing.MetricEvaluator:
            return impact_testing.MetricEvaluator(
                *images(dimension), settings | {"GPU": [gpu]}, transform, **options
            )

        if position is None:
            position, _ = start(make(), transform, dimension)
        evaluator = make()
        found.append((*evaluator.value_and_derivative(list(position)), evaluator))
    return found


def differences(
    found: list[tuple[float, Array, impact_testing.MetricEvaluator]],
) -> tuple[float, float]:
    """The relative difference of the value, and of the gradient to its largest component."""
    (value, derivative, on_cpu), (other, other_derivative, on_gpu) = found
    assert on_gpu.evaluates_on_device
    assert on_gpu.number_of_valid_samples == on_cpu.number_of_valid_samples > 0
    scale = np.abs(derivative).max()
    return abs(other / value - 1), float(np.abs(other_derivative - derivative).max() / scale)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_gpu_agrees_with_cpu(
    smooth_models: SmoothModels, mode: str, dimension: int, transform: str
) -> None:
    name, options = transform_options(transform, dimension)
    settings = parameters([smooth_models(dimension)], [dimension], dimension, mode, "L2", "11")
    value, gradient = differences(on_both(settings, name, {**options, "sample_spacing": 2}))
    assert value < 1e-4
    assert gradient < 1e-3


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_mixed_precision(smooth_models: SmoothModels, mode: str) -> None:
    """It computes in half precision, and nearly the same."""
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11")
    found = on_both(settings | {"UseMixedPrecision": ["true"]}, "Affine", {"sample_spacing": 2})
    value, gradient = differences(found)
    assert 1e-7 < value < 2e-2
    assert 1e-7 < gradient < 5e-2


@pytest.mark.parametrize(
    "changes",
    [
        {"PCA": ["3 2"]},
        {"SubsetFeatures": ["3 2"]},
        {"FeatureNormalization": ["l2"]},
        {"FeatureNormalization": ["standardized"], "PCA": ["3 2"]},
        {"NormalizeLosses": ["true"], "LayersWeight": ["1 0.3"], "Distance": ["NCC L1"]},
    ],
)
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_what_is_done_to_features(
    smooth_models: SmoothModels, mode: str, changes: dict[str, list[str]]
) -> None:
    settings = parameters([smooth_models(3)], [3], 3, mode, "L2", "11") | changes
    value, gradient = differences(on_both(settings, "BSpline", {"sample_spacing": 2}))
    assert value < 1e-4
    assert gradient < 1e-3


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_networks_of_two_dimensions_in_three(smooth_models: SmoothModels, mode: str) -> None:
    settings = parameters([smooth_models(3), smooth_models(2)], [3, 2], 3, mode, "L2", "11")
    value, gradient = differences(on_both(settings, "Affine", {"sample_spacing": 2}))
    assert value < 1e-4
    assert gradient < 1e-3


class OnItsDevice(torch.nn.Module):
    """Makes a tensor where its input is, which tracing turns into the device that it ran on."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        grid = torch.arange(1.0, 4.0, device=x.device).view(1, 3, 1, 1, 1)
        return [torch.sin(x / 50.0 * grid)]


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_a_network_that_was_traced_on_the_cpu(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "traced.pt"
    example = torch.zeros(1, 1, 9, 9, 9)
    traced: Any = torch.jit.trace(OnItsDevice(), example, strict=False)  # type: ignore[no-untyped-call]
    assert 'device="cpu"' in str(traced.graph) or 'value="cpu"' in str(traced.graph)
    traced.save(str(path))
    settings = parameters([str(path)], [3], 3, mode, "L2", "1")
    value, gradient = differences(on_both(settings, "Affine", {"sample_spacing": 2}))
    assert value < 1e-4
    assert gradient < 1e-3


@pytest.mark.parametrize(
    "changes", [{"FeaturesMapUpdateInterval": ["5"]}, {"PatchSize": ["8*8*8"]}]
)
def test_static_mode_with_updates_and_tiles(
    smooth_models: SmoothModels, changes: dict[str, list[str]]
) -> None:
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "10") | changes
    (value, derivative, _), (other, other_derivative, _) = on_both(settings, "Affine", {})
    assert other == pytest.approx(value, rel=1e-4)
    assert np.abs(other_derivative - derivative).max() < 1e-3 * np.abs(derivative).max()


def test_nothing_is_compiled_at_run_time(smooth_models: SmoothModels) -> None:
    """Fusers stay off for our models, and the user's switch stays where it was."""
    settings = parameters([smooth_models(3)], [3], 3, "Jacobian", "L2", "11")
    evaluator = impact_testing.MetricEvaluator(*images(3), settings | {"GPU": ["0"]}, "Affine")
    for _ in range(5):
        evaluator.value_and_derivative(evaluator.identity_parameters)
    graph = str(torch._C._last_executed_optimized_graph())
    assert "sigmoid" in graph
    assert "Group" not in graph
    assert torch._C._get_graph_executor_optimize()


class Greedy(torch.nn.Module):
    """Wants more of the GPU's memory than there is for more than so many patches at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if x.size(0) > self.most and x.size(-1) == 7:
            x = x + torch.zeros(1 << 45, device=x.device).sum()
        # Of all of the patch, or smaller ones would do.
        return [torch.sin((0.1 * x + x.mean([2, 3, 4], keepdim=True)) / 50.0)]


def test_out_of_memory_halves_the_batch(tmp_path: Path) -> None:
    path = tiny_models.save(Greedy(9), tmp_path / "model.pt")
    settings = parameters([str(path)], [3], 3, "Jacobian", "L2", "1")
    found = on_both(settings, "Affine", {"sample_spacing": 2})
    value, gradient = differences(found)
    assert value < 1e-4
    assert gradient < 1e-3
    messages = found[1][2].messages
    assert len(messages) == 1
    assert messages[0].startswith("The memory of GPU 0 ran out with batches of ")


def test_out_of_memory_for_one_patch(tmp_path: Path) -> None:
    path = tiny_models.save(Greedy(0), tmp_path / "model.pt")
    settings = parameters([str(path)], [3], 3, "Jacobian", "L2", "1") | {"GPU": ["0"]}
    with pytest.raises(Exception, match="the memory of GPU 0 does not suffice for") as caught:
        impact_testing.MetricEvaluator(*images(3), settings, "Affine")
    assert 'UseMixedPrecision "true"' in str(caught.value)
    assert torch.ones(3, device=DEVICE).sum().item() == 3  # the process goes on


def test_feature_maps_larger_than_the_gpu(smooth_models: SmoothModels) -> None:
    """Said when the level is checked, before anything is made."""
    settings = parameters([smooth_models(3)], [3], 3, "Static", "L2", "11")
    settings |= {"VoxelSize": ["0.02*0.02*0.02"], "GPU": ["0"]}
    with pytest.raises(Exception, match="the memory of GPU 0 does not suffice for"):
        impact_testing.MetricEvaluator(*images(3), settings, "Affine")
    free, _ = torch.accelerator.get_memory_info(DEVICE)
    assert impact_testing.number_that_fits(free, 1e6, 10**9) > 1
