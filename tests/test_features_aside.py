"""Features that other threads make while elastix estimates its step size on one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from helpers import tiny_models
from helpers.images import Image
from helpers.itk_process import ItkError, ItkProcess, opened
from helpers.parameter_maps import Value, parameter_map
from helpers.registrations import impact, pair

ASIDE = "Features are made while elastix estimates its step size"
MADE = 'Metric "Impact", resolution level 0, features made in '


class Chain(nn.Module):
    """What our own loops run: two convolutions, each with a norm and a rectifier.

    Args:
        scale: Of the first one's weights.
    """

    def __init__(self, scale: float = 1e-3) -> None:
        super().__init__()
        first = nn.Conv3d(1, 6, 3, padding=1)
        self.run = nn.Sequential(
            *(first, nn.InstanceNorm3d(6), nn.LeakyReLU(0.1)),
            *(nn.Conv3d(6, 4, 3, padding=1), nn.InstanceNorm3d(4), nn.LeakyReLU(0.1)),
        )
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            first.weight.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        features: Tensor = self.run(x)
        return features


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_models.save(Chain(), tmp_path_factory.mktemp("aside") / "chain.pt"))


@pytest.fixture(scope="module")
def two_threads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ItkProcess]:
    """A process that is never told to use fewer than two threads."""
    with opened(tmp_path_factory.mktemp("two")) as process:
        yield process


def parameters(model: str, **others: Value) -> dict[str, list[str]]:
    return parameter_map(
        3,
        **{
            **impact(3, "Static", model),
            "Transform": "BSplineTransform",
            "FinalGridSpacingInPhysicalUnits": 12,
            "MaximumNumberOfIterations": 10,
            **others,
        },
    )


NORMALIZED: dict[str, Value] = {"NormalizeLosses": "true", "FeatureNormalization": "l2"}


@pytest.mark.parametrize("others", [{}, NORMALIZED], ids=["as they are", "normalized"])
def test_the_same_result_as_without(
    own_process: ItkProcess, chain: str, others: dict[str, Value]
) -> None:
    """One thread has none beside it. The log has the features when they are there."""
    given = parameters(chain, **others)
    found = [own_process.register(*pair(3), given, threads=threads) for threads in (3, 2, 1)]
    assert [ASIDE in each.log for each in found] == [True, True, False]
    for each in found[:2]:
        assert each.maps[0]["TransformParameters"] == found[2].maps[0]["TransformParameters"]
        assert each.log.index(ASIDE) < each.log.index(MADE) < each.log.index("1:ItNr")
        assert "Layer 0: 4 channels" in each.log[each.log.index(MADE) :]
        assert "the rest beside elastix's estimation of the step size" in each.log
    assert "Layer 0: 4 channels" in found[2].log


def test_levels_and_warped_features(own_process: ItkProcess, chain: str) -> None:
    """Each has its own; with FeaturesMapUpdateInterval the moving features come later."""
    many: dict[str, Value] = {
        "NumberOfResolutions": 2,
        "VoxelSize": ["2*2*2", "1*1*1"],
        "FeaturesMapUpdateInterval": [4, 4],
        "FinalGridSpacingInPhysicalUnits": 12,
    }
    found = [
        own_process.register(*pair(3), parameters(chain, **many), threads=threads)
        for threads in (2, 1)
    ]
    assert [each.log.count(ASIDE) for each in found] == [2, 0]
    assert found[0].maps[0]["TransformParameters"] == found[1].maps[0]["TransformParameters"]


@pytest.mark.parametrize(
    "others",
    [
        {"AutomaticParameterEstimation": "false"},
        {"ASGDParameterEstimationMethod": "DisplacementDistribution"},
        {"Optimizer": "RegularStepGradientDescent"},
        {"Mode": "Jacobian", "PatchSize": "5*5*5", "NumberOfSpatialSamples": 50},
        {
            "Registration": "MultiMetricMultiResolutionRegistration",
            "Metric": ["Impact", "Impact"],
        },
    ],
    ids=lambda others: "-".join(others),
)
def test_only_where_a_thread_would_idle(
    two_threads: ItkProcess, chain: str, others: dict[str, Value]
) -> None:
    found = two_threads.register(*pair(3), parameters(chain, **others), threads=2)
    assert ASIDE not in found.log


def test_beside_another_metric(own_process: ItkProcess, chain: str) -> None:
    others: dict[str, Value] = {
        "Registration": "MultiMetricMultiResolutionRegistration",
        "Metric": ["Impact", "TransformBendingEnergyPenalty"],
        "Metric1Weight": 1e-3,
    }
    found = [
        own_process.register(*pair(3), parameters(chain, **others), threads=threads)
        for threads in (2, 1)
    ]
    assert ASIDE in found[0].log
    assert found[0].maps[0]["TransformParameters"] == found[1].maps[0]["TransformParameters"]


def test_networks_that_torch_runs_are_not_left_to_fewer_threads(
    two_threads: ItkProcess, tmp_path: Path
) -> None:
    model = str(tiny_models.save(tiny_models.Slopes(), tmp_path / "slopes.pt"))
    assert ASIDE not in two_threads.register(*pair(3), parameters(model), threads=2).log


def bright(image: Image) -> Image:
    return replace(image, voxels=1e33 * image.voxels)


def test_what_is_wrong_reaches_python(own_process: ItkProcess, tmp_path: Path) -> None:
    """As it would from Initialize(), before the first iteration; the process lives on."""
    file = tiny_models.save(Chain(1e3), tmp_path / "large.pt")
    process = own_process.pid
    said = []
    for threads in (2, 1):
        fixed, moving = pair(3)
        with pytest.raises(ItkError, match=r'^RuntimeError: \s*Metric "Impact" cannot run:\n') as e:
            own_process.register(
                bright(fixed), bright(moving), parameters(str(file)), threads=threads
            )
        assert (ASIDE in e.value.log) == (threads == 2)
        assert "1:ItNr" not in e.value.log
        said.append(e.value.text.strip())
    assert said[0] == said[1]
    assert f'"{file}" gives features that are infinite or not a number' in said[0]
    assert process in (None, own_process.pid)
