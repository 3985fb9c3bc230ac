"""Feature maps kept in half precision: UseMixedPrecision in Static mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import impact_testing
from helpers import programs, tiny_models
from helpers.coordinates import Array, coordinate_image, settings
from helpers.itk_process import ItkProcess
from helpers.parameter_maps import Value, parameter_map
from helpers.registrations import impact, pair, translation_error

VOXELS = "1.3*2.1*2.7"  # those of the images: no resampling


class Waves(nn.Module):
    """One layer of 37 channels, of any size.

    Args:
        scale: The largest feature.
        rounded: Whether features are rounded to half precision by torch.
    """

    def __init__(self, scale: float, rounded: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.slopes = nn.Parameter(torch.randn(1, 37, 1, 1, 1, generator=generator))
        self.scale = scale
        self.rounded = rounded

    def forward(self, x: Tensor) -> Tensor:
        """The sine of multiples of the intensity."""
        features = self.scale * torch.sin(self.slopes * x)
        return features.half().float() if self.rounded else features


class Twice(nn.Module):
    """Its input, as two layers: the same memory."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """The image and the image."""
        return [x, x]


def evaluated(
    model: nn.Module, folder: Path, precision: str, mask: str = "1", **more: str
) -> tuple[float, Array]:
    """Value and gradient at points between voxels, and beyond the edges."""
    path = str(tiny_models.save(model, folder / f"{type(model).__name__}.pt"))
    level = settings(path, VOXELS, 3, LayersMask=mask, UseMixedPrecision=precision, **more)
    image = coordinate_image(0)
    similarity = impact_testing.StaticSimilarity(image, coordinate_image(1), level)
    random = np.random.default_rng(3)
    index = random.uniform(-1, np.array(image.grid.size), (60, 3))
    steps = np.array(image.grid.direction) @ np.diag(image.grid.spacing)
    points = index @ steps.T + np.array(image.grid.origin)
    return similarity.evaluate(points, points + random.uniform(-1, 1, (60, 3)))


@pytest.mark.parametrize(
    "more",
    [{}, {"SubsetFeatures": "5"}, {"Distance": "L1"}, {"Distance": "NCC"}],
    ids=lambda more: "-".join(more.values()) or "L2",
)
@pytest.mark.parametrize("scale", [1.0, 60000.0, 3e-6])
def test_the_same_bits_as_of_a_network_that_rounds(
    tmp_path: Path, scale: float, more: dict[str, str]
) -> None:
    """To the nearest, subnormal numbers (below 6e-5) too."""
    value, gradient = evaluated(Waves(scale, rounded=False), tmp_path, "true", **more)
    expected, of_points = evaluated(Waves(scale, rounded=True), tmp_path, "false", **more)
    exactly, _ = evaluated(Waves(scale, rounded=False), tmp_path, "false", **more)
    assert value == expected
    np.testing.assert_array_equal(gradient, of_points)
    assert value != exactly
    assert np.abs(gradient).max() > 0.0


@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3"])
def test_on_lesser_processors(processor: str) -> None:
    run = programs.python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "same_bits"),
        environment={"IMPACT_PROCESSOR": processor},
    )
    assert run.returncode == 0, run.stdout
    assert "12 passed" in run.stdout


def test_layers_that_share_memory(tmp_path: Path) -> None:
    """Half precision is made in place, where nobody else looks."""
    single, of_single = evaluated(Twice(), tmp_path, "true", mask="10")
    both, of_both = evaluated(Twice(), tmp_path, "true", mask="11")
    assert both == pytest.approx(2 * single, rel=1e-12)
    np.testing.assert_allclose(of_both, 2 * of_single, rtol=1e-12)


@pytest.mark.parametrize("scale", [70000.0, 1e6])
def test_features_beyond_its_range_stay_as_they_are(tmp_path: Path, scale: float) -> None:
    value, gradient = evaluated(Waves(scale, rounded=False), tmp_path, "true")
    expected, of_points = evaluated(Waves(scale, rounded=False), tmp_path, "false")
    assert value == expected
    np.testing.assert_array_equal(gradient, of_points)


def registered(itk_process: ItkProcess, model: str, **more: Value) -> tuple[float, str]:
    parameters = parameter_map(3, **{**impact(3, "Static", model), **more})
    found = itk_process.register(*pair(3), parameters)
    return translation_error(found), found.log


def test_a_registration(itk_process: ItkProcess, mind: dict[int, str], tmp_path: Path) -> None:
    """It finds the shift, and says what it does; written maps are of single precision as ever."""
    error, log = registered(
        itk_process, mind[3], UseMixedPrecision="true", WriteFeatureMaps=str(tmp_path)
    )
    assert error < 0.3
    assert "on the CPU, UseMixedPrecision true" in log
    assert "WARNING: Metric" not in log
    assert len(list(tmp_path.glob("Moving_0_*.mha"))) == 2


def test_what_stays_as_it_is_is_said(itk_process: ItkProcess, tmp_path: Path) -> None:
    model = tiny_models.save(Waves(1e6, rounded=False), tmp_path / "large.pt")
    _, log = registered(
        itk_process, str(model), UseMixedPrecision="true", MaximumNumberOfIterations=2
    )
    assert "features of selected layer 0 are beyond 65504, the largest number in half" in log
