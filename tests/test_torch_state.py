"""Torch's state, as the user left it, neither changes nor matters to the objects of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import impact_testing
from helpers.coordinates import save
from helpers.evaluators import SmoothModels, images, parameters
from impact_plugin import _core

MODES = ("Static", "Jacobian")


@contextmanager
def changed(setter: Callable[[bool], object], before: bool) -> Iterator[None]:
    """Set one of torch's switches to the other value for a while."""
    setter(not before)
    try:
        yield
    finally:
        setter(before)


@contextmanager
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def read_by_setting(setter: Callable[[bool], bool]) -> bool:
    """Read a switch of TorchScript whose setter gives the value before."""
    value = setter(True)
    setter(value)
    return value


C = torch._C
STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default type": double_precision,
    "3 threads": lambda: threads(3),
    "deterministic algorithms": lambda: changed(torch.use_deterministic_algorithms, False),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "profiling executor": lambda: changed(C._jit_set_profiling_executor, True),
    "profiling mode": lambda: changed(C._jit_set_profiling_mode, True),
    "fuser": lambda: changed(C._jit_set_texpr_fuser_enabled, C._jit_texpr_fuser_enabled()),
    "unoptimised": lambda: torch.jit._fuser.optimized_execution(False),
}


def torch_state() -> dict[str, object]:
    return {
        "default type": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "profiling executor": read_by_setting(C._jit_set_profiling_executor),
        "profiling mode": read_by_setting(C._jit_set_profiling_mode),
        "fuser": C._jit_texpr_fuser_enabled(),
        "optimised": C._get_graph_executor_optimize(),
        "random": torch.get_rng_state().tolist(),
    }


def evaluate(model: str, mode: str, mask: str) -> tuple[float, bytes]:
    given = parameters([model], [3], 3, mode, "L2", mask) | {"SubsetFeatures": ["2"]}
    evaluator = impact_testing.MetricEvaluator(*images(3), given, "Affine", threads=2)
    identity = evaluator.identity_parameters
    value = evaluator.value(identity)
    again, derivative = evaluator.value_and_derivative(identity)
    return value + again, derivative.tobytes()


def compare_statically(model: str) -> float:
    fixed, moving = images(3)
    levels, _ = _core.parse_settings(parameters([model], [3], 3, "Static", "L2", "11"), 1, 3)
    points = np.array([moving.grid.origin]) + np.arange(30.0)[:, None]
    similarity = impact_testing.StaticSimilarity(fixed, moving, levels[0], threads=2)
    return similarity.evaluate(points, points + 1.0)[0]


@pytest.mark.parametrize("state", STATES)
def test_torch_s_state_neither_matters_nor_changes(smooth_models: SmoothModels, state: str) -> None:
    """For the objects of Python, as in real registrations (test_process.py)."""
    path = smooth_models(3, stride=1)
    expected = [evaluate(path, mode, "11") for mode in MODES], compare_statically(path)
    assert all(np.frombuffer(derivative).any() for _, derivative in expected[0])
    with STATES[state]():
        before = torch_state()
        found = [evaluate(path, mode, "11") for mode in MODES], compare_statically(path)
        assert torch_state() == before
    assert found == expected


class MakesTensors(nn.Module):
    """Makes its weights at each call, in torch's default type."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            return torch.conv2d(x / 100.0, torch.ones([2, 1, 3, 3]) / 9.0, padding=1)
        return torch.conv3d(x / 100.0, torch.ones([2, 1, 3, 3, 3]) / 27.0, padding=1)


def test_default_type_of_tensors_that_a_model_makes(tmp_path: Path) -> None:
    """It is the process's and so left alone (docs/decisions.md): the model is named with why."""
    model = save(MakesTensors(), tmp_path / "m.pt")
    assert evaluate(model, "Static", "1")[0] > 0.0
    with (
        double_precision(),
        pytest.raises(_core.Error, match=r"m\.pt.* refused .*expected scalar type"),
    ):
        evaluate(model, "Static", "1")
