"""Jacobian mode makes patches as small as the features at their centres allow, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import impact_testing
from helpers import tiny_models
from helpers.evaluators import FIXED, SmoothModels, images, parameters, smooth_volume, start
from impact_plugin import _core


class SeesAll(torch.nn.Module):
    """A network whose every voxel depends on the whole patch, by less than rounding shows."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.network = torch.jit.load(network)  # type: ignore[no-untyped-call]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        layers = self.network(x)
        return [layers[0] + 1e-20 * x.mean(), layers[1] + 1e-20 * x.mean()]


class LessItsMean(torch.nn.Module):
    """The image less the mean of its patch, which is another in a smaller patch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(dim=list(range(2, x.dim())), keepdim=True)) / 100.0


class Windowed(torch.nn.Module):
    """Means of 5 x 5 voxels of what lies in a window of intensities far below the largest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x.clamp(-150.0, 150.0), 5, 1, 2) / 100.0


class FarCorner(torch.nn.Module):
    """The image, and in its second channel what lies two voxels further along x alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x.roll(-2, -1)], 1) / 100.0


def evaluator(
    path: str, dimension: int, patch: str, mask: str = "11"
) -> impact_testing.MetricEvaluator:
    settings = parameters([path], [dimension], dimension, "Jacobian", "L2", mask)
    return impact_testing.MetricEvaluator(
        *images(dimension),
        settings | {"PatchSize": [patch]},
        "BSpline",
        control_point_spacing=17.0,
    )


def described(size: str, whole: str) -> str:
    return f"patches of {size} voxels give what those of {whole} would"


@pytest.mark.parametrize(
    ("dimension", "generous", "needed"),
    [(2, "13*11", "7 x 7"), (3, "11*9*13", "7 x 7 x 7")],
)
def test_mind_needs_seven_voxels(
    mind: dict[int, str], dimension: int, generous: str, needed: str
) -> None:
    large = evaluator(mind[dimension], dimension, generous, mask="1")
    small = evaluator(mind[dimension], dimension, needed.replace(" x ", "*"), mask="1")
    assert described(needed, generous.replace("*", " x ")) in large.describe_features()
    assert small.describe_features() == ""
    position, _ = start(large, "BSpline", dimension)
    value, derivative = large.value_and_derivative(list(position))
    expected, expected_derivative = small.value_and_derivative(list(position))
    assert value == expected
    np.testing.assert_array_equal(derivative, expected_derivative)


@pytest.mark.parametrize("patch", [9, 11, 12, 14])
def test_layers_with_strides_stay_where_they_are(
    smooth_models: SmoothModels, tmp_path: Path, patch: int
) -> None:
    """Patches of even and odd sizes, whose centre lies on and between voxels of the layers."""
    path = smooth_models(2)
    all_seen = str(tiny_models.save(SeesAll(path), tmp_path / "all.pt"))
    size = f"{patch}*{patch}"
    shrunk, whole = evaluator(path, 2, size), evaluator(all_seen, 2, size)
    assert "would.\n" in shrunk.describe_features()
    assert whole.describe_features() == ""
    position, _ = start(whole, "BSpline", 2)
    value, derivative = shrunk.value_and_derivative(list(position))
    expected, expected_derivative = whole.value_and_derivative(list(position))
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(
        derivative, expected_derivative, atol=1e-4 * np.abs(expected_derivative).max()
    )


def test_what_depends_on_the_whole_patch_keeps_it(tmp_path: Path) -> None:
    path = str(tiny_models.save(LessItsMean(), tmp_path / "mean.pt"))
    large, small = (evaluator(path, 2, patch, mask="1") for patch in ("11*11", "7*7"))
    assert large.describe_features() == ""
    position, _ = start(large, "BSpline", 2)
    assert large.value(list(position)) != pytest.approx(small.value(list(position)), rel=1e-2)


def test_a_window_hides_nothing(tmp_path: Path) -> None:
    """Of an image whose range is all but beyond the window: no voxel that counts is cut off."""
    path = str(tiny_models.save(Windowed(), tmp_path / "window.pt"))
    pixels, spacing, origin, direction = smooth_volume(*FIXED[2])
    pixels[0, 0] = 40000.0
    bright = _core.Image(pixels, spacing, origin, direction)
    settings = parameters([path], [2], 2, "Jacobian", "L2", "1") | {"PatchSize": ["9*9"]}
    metric = impact_testing.MetricEvaluator(bright, bright, settings, "Translation")
    assert described("5 x 5", "9 x 9") in metric.describe_features()


def test_the_centre_stays_in_the_middle(tmp_path: Path) -> None:
    """Of a network that looks to one side the other side is kept, too."""
    path = str(tiny_models.save(FarCorner(), tmp_path / "corner.pt"))
    metric = evaluator(path, 2, "9*9", mask="1")
    assert described("5 x 1", "9 x 9") in metric.describe_features()


def test_what_cannot_be_differentiated_keeps_its_patches(tmp_path: Path) -> None:
    path = str(tiny_models.save(tiny_models.Steps(), tmp_path / "steps.pt"))
    metric = evaluator(path, 2, "9*9", mask="1")
    assert metric.describe_features() == ""
