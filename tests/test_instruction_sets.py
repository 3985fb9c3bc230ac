"""The same bits for every number of threads, whatever instructions the libraries below us choose.

torch, oneDNN, MKL and our own kernels choose by the processor; their variables choose for them, so
that one machine stands for others. From one choice to another sums are added up in another order:
values agree to some digits, not to the bit.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers import tiny_models
from helpers.evaluators import FIXED, MOVING, Array, SmoothModels, parameters, smooth_volume
from helpers.images import Grid, Image
from helpers.parameter_maps import as_text, parameter_map
from helpers.programs import run
from helpers.registrations import impact

PROGRAM = Path(__file__).resolve().parent / "programs" / "evaluate_metrics.py"
THREADS = (1, 2, 3, 4)  # more than this machine may have cores
MODES = ("Static", "Jacobian")
KINDS = ("network", "MIND", "PCA and NCC")
# Relative, of values and of derivatives as a whole: features have seven digits.
AGREEMENT = 2e-6


def _settings() -> dict[str, dict[str, str]]:
    """Give the variables to try, without those of instructions that this processor lacks."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    has = {"avx2": "avx2" in flags, "avx512": {"avx512f", "avx512dq", "avx512bw"} <= flags}
    values = {
        "ATEN_CPU_CAPABILITY": {"default": "", "avx2": "avx2", "avx512": "avx512"},
        "ONEDNN_MAX_CPU_ISA": {"SSE41": "", "AVX2": "avx2", "AVX512_CORE": "avx512"},
        "MKL_CBWR": {"COMPATIBLE": "", "AUTO": "", "AVX2": "avx2", "AVX512": "avx512"},
        "IMPACT_PROCESSOR": {"x86-64": "", "x86-64-v3": "avx2", "x86-64-v4": "avx512"},
    }
    return {"as it is": {}} | {
        f"{variable}={value}": {variable: value}
        for variable, needed in values.items()
        for value, flag in needed.items()
        if has.get(flag, True)
    }


SETTINGS = _settings()
Results = dict[str, list[str]]


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, smooth_models: SmoothModels, mind: dict[int, str]
) -> Callable[[str], Results]:
    """Give the results of a setting, each from a process of its own."""
    metrics = {}
    for mode in MODES:
        network = parameters([smooth_models(3)], [3], 3, mode, "Cosine", "11")
        metrics[f"network {mode}"] = network
        metrics[f"MIND {mode}"] = parameters([mind[3]], [3], 3, mode, "L2", "1")
        metrics[f"PCA and NCC {mode}"] = network | {"PCA": ["3 2"], "Distance": ["NCC"]}
    job = {"metrics": metrics, "threads": THREADS}
    for side, described in (("fixed", FIXED[3]), ("moving", MOVING[3])):
        pixels, spacing, origin, direction = smooth_volume(*described)
        job[side] = {
            "pixels": pixels.tolist(),
            "spacing": spacing,
            "origin": [float(place) for place in origin],
            "direction": direction.tolist(),
        }
    path = tmp_path_factory.mktemp("sets") / "job.json"
    path.write_text(json.dumps(job))
    chosen = {name for setting in SETTINGS.values() for name in setting}
    clean = {name: value for name, value in os.environ.items() if name not in chosen}

    @functools.cache
    def results(setting: str) -> Results:
        ended = subprocess.run(
            [sys.executable, PROGRAM, path],
            env={**clean, "OMP_WAIT_POLICY": "PASSIVE", **SETTINGS[setting]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr
        found: Results = json.loads(ended.stdout)
        return found

    return results


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_same_bits_for_every_number_of_threads(
    evaluated: Callable[[str], Results], setting: str, mode: str, kind: str
) -> None:
    results = evaluated(setting)
    first, *others = (results[f"{kind} {mode} {threads}"] for threads in THREADS)
    assert len(set(first)) > 500
    for threads, other in zip(THREADS[1:], others, strict=True):
        differ = sum(a != b for a, b in zip(first, other, strict=True))
        assert differ == 0, f"{differ} of {len(first)} numbers differ between 1 and {threads}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_instructions_change_the_last_digits_alone(
    evaluated: Callable[[str], Results], mode: str, kind: str
) -> None:
    numbers = [
        np.array([float.fromhex(number) for number in evaluated(setting)[f"{kind} {mode} 1"]])
        for setting in SETTINGS
    ]
    expected = numbers[0]
    assert abs(expected[0]) > 1e-3
    assert norm(expected[1:]) > 1e-4
    for setting, found in zip(SETTINGS, numbers, strict=True):
        assert found[0] == pytest.approx(expected[0], rel=AGREEMENT), setting
        assert norm(found[1:] - expected[1:]) < AGREEMENT * norm(expected[1:]), setting


class Functions(nn.Module):
    """A layer for each function that networks are made of, all of the same convolution."""

    NAMES = (
        *("sigmoid", "silu", "softplus", "gelu", "tanh", "mish", "elu", "softmax"),
        *("instance norm", "group norm"),
    )

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first = nn.Conv3d(1, 7, 3, padding=1)
        self.group = nn.GroupNorm(3, 21)

    def forward(self, x: Tensor) -> list[Tensor]:
        # At several scales: not every number that stands last in a share tells.
        b = self.first(x / 100.0)
        a = torch.cat([2.0 * b, 3.0 * b, 5.0 * b], 1)
        return [
            *(a.sigmoid(), nn.functional.silu(a), nn.functional.softplus(a), nn.functional.gelu(a)),
            *(a.tanh(), nn.functional.mish(a), nn.functional.elu(a), a.softmax(1)),
            *(nn.functional.instance_norm(a), self.group(a)),
        ]


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """Give the files of moving feature maps by number of threads, and by function."""
    folder = tmp_path_factory.mktemp("functions")
    model = tiny_models.save(Functions(), folder / "functions.pt")
    metric = impact(3, "Static", str(model), LayersMask="1" * len(Functions.NAMES))
    # Odd sizes: the shares of two, three and four threads end with another number of voxels each.
    grid = Grid((37, 33, 29), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    noise = np.random.default_rng(1).normal(0.0, 100.0, grid.size[::-1]).astype(np.float32)
    image = Image(noise, grid).write(folder / "image.mha")
    found = []
    for threads in THREADS:
        out = folder / str(threads)
        (out / "maps").mkdir(parents=True)
        wanted = parameter_map(
            3,
            **metric,
            WriteFeatureMaps=str(out / "maps"),
            MaximumNumberOfIterations=1,
            AutomaticParameterEstimation="false",
        )
        (out / "map.txt").write_text(as_text(wanted))
        files: list[str | Path] = ["-f", image, "-m", image, "-p", "map.txt", "-out", out]
        ended = run("elastix", *files, "-threads", str(threads), folder=out)
        assert ended.returncode == 0, ended.stdout[-2000:]
        names = [f"Moving_0_functions_{number}.mha" for number in range(len(Functions.NAMES))]
        found.append([(out / "maps" / name).read_bytes() for name in names])
    return found


@pytest.mark.parametrize("function", Functions.NAMES)
def test_feature_maps_are_the_same_for_every_number_of_threads(
    maps: list[list[bytes]], function: str
) -> None:
    """Every voxel: functions of eight numbers at once may be others than those of one."""
    first, *others = (of_threads[Functions.NAMES.index(function)] for of_threads in maps)
    assert len(first) > 4 * 4 * 1000
    differ = {
        threads: sum(a != b for a, b in zip(first, other, strict=True))
        for threads, other in zip(THREADS[1:], others, strict=True)
        if first != other
    }
    assert differ == {}, f"of {len(first)} bytes, other than those of one thread, by threads"


def norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))
