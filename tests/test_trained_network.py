"""A network that sees far at full resolution, and wants intensities from 0 to 1, as a user has it.

The trained one where the data are beside the checkout; elsewhere, as in CI, its architecture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from helpers import field_networks, programs, tiny_models
from helpers.images import Array
from helpers.pairs import write_pair
from helpers.parameter_maps import as_text, parameter_map
from helpers.registrations import SHIFTS
from impact_plugin import models
from impact_plugin.check import check_map
from impact_plugin.check.images import ImageHeader
from impact_plugin.elastix.process import child_environment
from impact_plugin.parameters import ParameterError
from impact_plugin.parameters.network import Network
from impact_plugin.parameters.patch_size import patch_size_for

TRAINED = Path(__file__).parents[2] / "shared" / "data" / "models" / "meshnet18_unit.pt"
SEEN = (7, 31)
"""Fields of view of the first two layers; those of the others are beyond 64 voxels."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    if TRAINED.is_file():
        return str(TRAINED)
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("mesh") / "mesh.pt"
    return str(tiny_models.save(field_networks.Mesh(), path))


def _pair(folder: Path, brightness: float) -> tuple[Path, Path]:
    """Two images with intensities from 0 to a number, one of them shifted."""
    paths = write_pair(folder)
    for path in paths:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
        scaled = sitk.RescaleIntensity(image, 0.0, brightness)
        sitk.WriteImage(scaled, str(path))
    return paths[0], paths[1]


def _map(network: str, mask: str, mode: str, patch: int = 0) -> dict[str, list[str]]:
    return parameter_map(
        3,
        Metric="Impact",
        ImpactMode=mode,
        ImpactModelsPath0=network,
        ImpactDimension0=3,
        ImpactVoxelSize0=(2.0, 2.0, 2.0),
        ImpactPatchSize0=(patch, patch, patch),
        ImpactLayersMask0=mask,
        ImpactDistance0=["L1"] * mask.count("1"),
        MaximumNumberOfIterations=150 if mode == "Static" else 15,
    )


def test_inspected_within_the_intensities_that_it_sees(network: str) -> None:
    """Without being told: of intensities from -100 to 100 it would see one in two hundred."""
    report = models.inspect(network)
    assert report.intensities == (0.0, 1.0)
    assert "Measured with:    intensities 0 to 1" in str(report)
    assert [layer.channels for layer in report.layers] == [21, 21, 21, 21, 18]
    assert {layer.stride for layer in report.layers} == {(1.0, 1.0, 1.0)}
    fields = [layer.field_of_view for layer in report.layers]
    assert fields[0] == (SEEN[0],) * 3
    if TRAINED.is_file():
        assert fields[1:] == [(SEEN[1],) * 3, None, None, None]


@pytest.mark.parametrize("given", [None, (-50.0, 50.0)])
def test_other_networks_are_inspected_as_before(
    tmp_path: Path, given: tuple[float, float] | None
) -> None:
    """One that clamps after it has brought its intensities to 0 to 1 itself, and one told what."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv3d(1, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.features(torch.clamp(x / 200.0 + 0.5, 0.0, 1.0))
            return features

    path = tiny_models.save(Scaled(), tmp_path)
    report = models.inspect(path, dimension=3, channels=1, intensities=given)
    assert report.intensities == (given or (-100.0, 100.0))
    assert report.layers[0].field_of_view == (3, 3, 3)
    assert ("Measured with" in str(report)) == (given is not None)


def test_images_brighter_than_it_sees(network: str, tmp_path: Path) -> None:
    """The check says so, of files and of images in memory alike; not of others."""
    paths = _pair(tmp_path, 1000.0)
    given = _map(network, "01000", "Static")
    found = check_map(given, *paths).findings
    assert [(f.severity, f.code, f.parameter) for f in found] == [
        ("warning", "intensities", "ImpactModelsPath0")
    ] * 2
    assert "makes no difference between intensities above" in found[0].message
    assert f'the mean of the fixed image "{paths[0]}"' in found[0].message
    in_memory = [ImageHeader.of(sitk.ReadImage(str(path))) for path in paths]
    assert len(check_map(given, *in_memory).findings) == 2
    assert check_map(given, *_pair(tmp_path, 1.0)).findings == ()


@pytest.mark.parametrize(
    ("mask", "patch", "expected"),
    [
        ("10000", SEEN[0], ""),
        ("10000", 5, f"Give {SEEN[0]} {SEEN[0]} {SEEN[0]}."),
        (
            "00010",
            9,
            'Use Mode "Static", which sees all of it, or LayersMask for an earlier layer.',
        ),
    ],
)
def test_patches_of_layers_that_see_far(network: str, mask: str, patch: int, expected: str) -> None:
    """No patch of the usual sizes is enough for those that see very far."""
    report = check_map(_map(network, mask, "Jacobian", patch))
    assert [(f.code, f.parameter) for f in report.findings] == (
        [("patch-too-small", "ImpactPatchSize0")] if expected else []
    )
    assert "".join(f.remedy for f in report.findings) == expected


def test_patch_sizes_that_cannot_be_found(network: str) -> None:
    assert (
        patch_size_for(Network(path=network, voxel_size=2, layers_mask="10000")) == (SEEN[0],) * 3
    )
    with pytest.raises(
        ParameterError, match=r"is more than 64 voxels\. Give patch_size, or use mode"
    ):
        patch_size_for(Network(path=network, voxel_size=2, layers_mask="00010"))


@pytest.mark.parametrize(("mode", "patch"), [("Static", 0), ("Jacobian", SEEN[0])])
def test_it_registers(network: str, mode: str, patch: int, tmp_path: Path) -> None:
    """By its first layer: of images as small as these the others see little but their edges."""
    fixed, moving = _pair(tmp_path, 1.0)
    (tmp_path / "map.txt").write_text(as_text(_map(network, "10000", mode, patch)))
    out = tmp_path / "out"
    out.mkdir()
    done = programs.captured(
        programs.program_path("elastix"),
        *("-f", fixed, "-m", moving, "-p", tmp_path / "map.txt", "-out", out),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: Array = np.array(
        (out / "TransformParameters.0.txt")
        .read_text()
        .split("(TransformParameters ")[1]
        .split(")")[0]
        .split(),
        float,
    )
    assert np.linalg.norm(found - SHIFTS[3]) < 0.3


def test_threads_that_wait_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine torch's threads took most of a processor to wait."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert child_environment()["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert child_environment()["OMP_WAIT_POLICY"] == "active"
    assert child_environment({"OMP_WAIT_POLICY": "x"})["OMP_WAIT_POLICY"] == "x"
