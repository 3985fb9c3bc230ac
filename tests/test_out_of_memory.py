"""What becomes of memory that runs out and of a GPU that fails; no GPU is needed to see it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import impact_testing
from helpers import tiny_models
from helpers.evaluators import SmoothModels, images, parameters
from impact_plugin import _core

SHORTAGES = ("memory", "memory in a model", "memory of the machine")


@pytest.mark.parametrize("how", SHORTAGES)
def test_batches_are_halved_until_they_fit(how: str) -> None:
    tried: list[tuple[int, int]] = []

    def action(first: int, number: int) -> str:
        tried.append((first, number))
        return how if number > 3 else ""

    size, messages = impact_testing.run_in_batches(17, 12, action)
    assert tried[:3] == [(0, 12), (0, 6), (0, 3)]
    done = [part for part in tried if part[1] <= 3]
    assert done == [(first, min(3, 17 - first)) for first in range(0, 17, 3)]
    assert size == 3
    assert messages == [
        "The memory of the CPU ran out with batches of 12: from now on they are of 6, smaller "
        "where that is still too much."
    ]


def test_room_is_made_before_a_batch_is_halved() -> None:
    room = [True]
    tried: list[int] = []

    def action(first: int, number: int) -> str:
        tried.append(number)
        return "memory" if first == 4 and room else ""

    size, messages = impact_testing.run_in_batches(8, 4, action, lambda: bool(room and room.pop()))
    assert (tried, size, messages) == ([4, 4, 4], 4, [])


@pytest.mark.parametrize("how", SHORTAGES)
def test_one_sample_that_does_not_fit(how: str) -> None:
    with pytest.raises(RuntimeError, match=r"does not suffice for a single patch\.") as caught:
        impact_testing.run_in_batches(5, 4, lambda first, number: how)
    assert "smaller PatchSize" in str(caught.value)
    assert "larger VoxelSize" in str(caught.value)


def test_other_errors_are_passed_on() -> None:
    calls: list[int] = []

    def action(first: int, number: int) -> str:
        calls.append(number)
        return "shape mismatch"

    with pytest.raises(RuntimeError, match=r"^shape mismatch$"):
        impact_testing.run_in_batches(8, 4, action)
    assert calls == [4]


def test_batches_follow_the_memory() -> None:
    assert impact_testing.number_that_fits(1000, 10.0, 10**6) == 50  # half of it is left
    assert impact_testing.number_that_fits(1000, 10.0, 20) == 20
    assert impact_testing.number_that_fits(1000, 1e9, 20) == 1
    assert impact_testing.number_that_fits(2**64 - 1, 0.0, 20) == 20


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("device", "GPU 3 (parameter GPU) failed in an evaluation: CUDA error: unspecified launch"),
        ("device in a model", "GPU 3 (parameter GPU) failed in an evaluation: CUDA error: unspec"),
        ("memory", "the memory of GPU 3 does not suffice for an evaluation. Choose a smaller"),
        ("memory in a model", "the memory of GPU 3 does not suffice for an evaluation. Choose a"),
    ],
)
def test_failures_name_the_gpu_and_what_to_do(how: str, expected: str) -> None:
    with pytest.raises(_core.Error) as caught:
        impact_testing.fail_on_gpu(3, how, lambda: None)
    message = str(caught.value)
    assert message.startswith(expected)
    assert "-1" in message
    assert "\n" not in message
    if how.startswith("memory"):
        assert 'UseMixedPrecision "true"' in message
    else:
        assert "start a new one" in message


def test_convolutions_are_in_single_precision_meanwhile() -> None:
    """In torch's default on a GPU, TF32, gradients differ from the CPU's by some thousandths."""
    get, put = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
    operations = [("generic", "all"), ("cuda", "all"), ("cuda", "conv"), ("cuda", "rnn")]
    seen: list[str] = []

    def all_precisions() -> list[str]:
        return [str(get(*operation)) for operation in operations]

    assert all_precisions() == ["none", "none", "tf32", "tf32"]  # torch's defaults
    try:
        for settings in ({}, {"conv": "tf32"}, {"all": "tf32"}, {"all": "none", "conv": "ieee"}):
            for operation, value in settings.items():
                put("cuda", operation, value)
            before = all_precisions()
            impact_testing.fail_on_gpu(0, "", lambda: seen.append(str(get("cuda", "conv"))))
            with pytest.raises(_core.Error):
                impact_testing.fail_on_gpu(0, "device", lambda: None)
            assert all_precisions() == before
            if not settings:  # the default is still one: it gives way to what holds for all
                put("cuda", "all", "ieee")
                assert all_precisions() == ["none", "ieee", "ieee", "ieee"]
                put("cuda", "all", "none")
    finally:
        put("cuda", "all", "none")
        put("cuda", "conv", "tf32")
    assert seen == ["ieee"] * 4


def test_traced_convolutions_lose_their_switch(smooth_models: SmoothModels) -> None:
    """That for TF32, which tracing writes into a file. The user's fusers stay as they were."""
    model = impact_testing.AsOnGpu(smooth_models(3))
    constants = dict(re.findall(r"(%\S+) : bool = prim::Constant\[value=([01])\]", model.graphs))
    switches = re.findall(r"aten::_convolution\(.*, (%\S+)\)", model.graphs)
    assert len(switches) == 2
    assert {constants[switch] for switch in switches} == {"0"}

    image = torch.arange(9.0**3).sin().view(1, 1, 9, 9, 9)
    file = torch.jit.load(smooth_models(3))  # type: ignore[no-untyped-call]
    assert "value=1" in str(file.first.graph)
    assert model.run([1, 1, 9, 9, 9]) == pytest.approx(file(image)[0].mean().item(), rel=1e-5)
    assert torch._C._get_graph_executor_optimize()


def test_feature_maps_that_do_not_fit() -> None:
    on_gpu = impact_testing.maps_do_not_fit(12 * 2.0**30, 2**31, 1)
    assert "at least 12.0 GiB of memory, of which 2.0 GiB are available on GPU 1." in on_gpu
    assert "larger VoxelSize" in on_gpu
    assert "GPU -1, the CPU" in on_gpu
    on_cpu = impact_testing.maps_do_not_fit(12 * 2.0**30, 2**31, -1)
    assert "GPU" not in on_cpu
    assert 'UseMixedPrecision "true" (half the memory)' in on_cpu
    assert "Mixed" not in impact_testing.maps_do_not_fit(12 * 2.0**30, 2**31, -1, are_half=True)


class Greedy(torch.nn.Module):
    """Wants more memory than there is for more than so many patches at once."""

    def __init__(self, most: int, voxels: int) -> None:
        super().__init__()
        self.most = most
        self.voxels = voxels

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if x.size(0) > self.most and x.size(-1) == self.voxels:
            x = x + torch.zeros(1 << 60)
        # Of all of the patch, or smaller ones would do.
        return [torch.sin((0.1 * x + x.mean([2, 3, 4], keepdim=True)) / 50.0)]


@pytest.mark.parametrize("as_on_gpu", [False, True])
def test_a_model_that_runs_out_of_memory(
    tmp_path: Path, smooth_models: SmoothModels, as_on_gpu: bool
) -> None:
    """Its batches are halved, the result is that of one that has enough; told once a level."""
    found = []
    for most in (100000, 5):
        path = tiny_models.save(Greedy(most, 7), tmp_path / f"{most}.pt")
        evaluator = impact_testing.MetricEvaluator(
            *images(3),
            parameters([str(path)], [3], 3, "Jacobian", "L2", "1"),
            "Affine",
            as_on_gpu=as_on_gpu,
        )
        position = evaluator.identity_parameters
        found.append(evaluator.value_and_derivative(position))
        assert evaluator.value(position) == found[-1][0]
        messages = [m for m in evaluator.messages if "ran out" in m]
        assert bool(messages) == (most == 5)
        assert len(messages) <= 1
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)


def test_a_model_for_which_no_batch_is_small_enough(tmp_path: Path) -> None:
    """The process lives on."""
    path = tiny_models.save(Greedy(0, 7), tmp_path / "model.pt")
    with pytest.raises(Exception, match="the memory of the CPU does not suffice for") as caught:
        impact_testing.MetricEvaluator(
            *images(3), parameters([str(path)], [3], 3, "Jacobian", "L2", "1"), "Affine"
        )
    assert "smaller PatchSize" in str(caught.value)
