"""What of the way of a device shows without one: copies, waits, memory, what becomes of failures.

On the pretended device (helpers.pretended), which `make pretended` gives. How its results agree
with those of the CPU is in test_gpu.py, test_device_path.py and test_gradients.py.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import impact_plugin
import impact_testing
from helpers import pretended, tiny_models
from helpers.bodies import FIXED, FLAT, FLAT_MOVING, MOVING, Body, mapped
from helpers.evaluators import SmoothModels, images, parameters, transform_options
from helpers.images import mean_distance
from helpers.pairs import sitk_pair
from helpers.pretended import Counts, Device
from impact_plugin import _devices
from impact_plugin.cli import diagnosis
from impact_plugin.cohort import shares
from impact_plugin.elastix.process import Ask
from impact_plugin.search import SearchKind, child, process, rotations

pytestmark = pytest.mark.pretended

FLOAT64 = 8
# What tells a mode from the other and layers from each other, on the device.
CHANGES: dict[str, dict[str, list[str]]] = {
    "plain": {},
    "PCA": {"PCA": ["3 2"]},
    "NormalizeLosses": {"NormalizeLosses": ["true"]},
    "FeatureNormalization": {"FeatureNormalization": ["l2"]},
    "UseMixedPrecision": {"UseMixedPrecision": ["true"]},
    "NCC": {"Distance": ["NCC"]},
}


@pytest.fixture
def device() -> Iterator[Device]:
    """The first device, of which the test takes no memory for good."""
    device = Device(0)
    before = device.used
    device.count_from_zero()
    yield device
    assert device.used_at_most(before) == before


def metric(
    path: str,
    mode: str = "Static",
    transform: str = "Affine",
    gpu: int = 0,
    changes: dict[str, list[str]] | None = None,
    **options: Any,  # noqa: ANN401  (of MetricEvaluator)
) -> impact_testing.MetricEvaluator:
    settings = parameters([path], [3], 3, mode, "L2", "11") | {"GPU": [str(gpu)]}
    return impact_testing.MetricEvaluator(
        *images(3), settings | (changes or {}), transform, **{"sample_spacing": 3, **options}
    )


def places(evaluator: impact_testing.MetricEvaluator, number: int) -> Iterator[list[float]]:
    """Give some parameters near the identity, each its own."""
    identity = np.array(evaluator.identity_parameters)
    random = np.random.default_rng(2)
    for _ in range(number):
        yield list(identity + random.uniform(-0.02, 0.02, identity.size))


class Flat:
    """That memory in use is the same each time at the same place.

    How many samples are inside, and so how large some tensors are, depends on the place.
    """

    def __init__(self, device: Device, period: int) -> None:
        self._device = device
        self._period = period
        self._first: list[int] = []
        self._number = 0

    def check(self) -> None:
        """Check it after an evaluation."""
        if self._number < self._period:
            self._first.append(self._device.used_at_most(None))
        else:
            expected = self._first[self._number % self._period]
            assert self._device.used_at_most(expected) == expected, f"evaluation {self._number}"
        self._number += 1


# The device itself.


def test_the_cpu_cannot_read_its_memory() -> None:
    program = (
        "import ctypes, torch\n"
        "from helpers import pretended\n"
        "pretended.open_here()\n"
        "tensor = torch.arange(4.0).to('pretended:0')\n"
        "print(tensor.sum().item(), flush=True)\n"
        "ctypes.string_at(tensor.data_ptr(), 4)\n"
        "print('read', flush=True)\n"
    )
    folder = Path(__file__).parent
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.returncode) == ("6.0\n", -signal.SIGSEGV), ended.stderr


def test_it_refuses_tensors_of_the_cpu(device: Device) -> None:
    there = torch.ones(3, device=device.name)
    assert (there + torch.tensor(1.0)).sum().item() == 6.0  # a number has no device
    actions: list[Callable[[], torch.Tensor]] = [
        lambda: there + torch.ones(3),
        lambda: there.index_select(0, torch.tensor([0, 1])),
        lambda: torch.cat([there, torch.ones(3)]),
        lambda: there + torch.ones(3, device="pretended:1"),
    ]
    for action in actions:
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            action()


def test_what_is_not_waited_for_has_not_arrived(device: Device) -> None:
    there = torch.arange(4.0, device=device.name)
    here = torch.full([4], -1.0)
    here.copy_(there, non_blocking=True)
    there.zero_()  # comes after the copy
    assert here.tolist() == [-1.0] * 4
    torch.accelerator.synchronize(device.name)
    assert here.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_it_counts(device: Device) -> None:
    there = torch.zeros(100, dtype=torch.float64).to(device.name, non_blocking=True)
    assert device.counts() == Counts(1, 800, 0, 0, 0, 0, 4096)
    assert (there + 1).sum().item() == 100.0
    assert there.cpu().sum() == 0.0
    assert there.nonzero().numel() == 0
    counts = device.counts()
    assert (counts.copies_down, counts.bytes_down, counts.waits) == (2, 808, 3)
    assert counts.operators == 3
    device.count_from_zero()
    assert device.counts() == Counts(0, 0, 0, 0, 0, 0, device.used)


def test_its_memory_has_a_limit(device: Device) -> None:
    with device.limited(1 << 20):
        assert torch.zeros(1 << 17, device=device.name).sum().item() == 0.0
        with pytest.raises(torch.OutOfMemoryError, match=r"CUDA out of memory\. Tried to"):
            torch.zeros(1 << 19, device=device.name)


# What moves.


def bytes_of_transform(transform: str, evaluator: impact_testing.MetricEvaluator) -> int:
    """What docs/gpu.md says goes up at each evaluation."""
    if transform == "Affine":
        return 24 * FLOAT64
    points = len(evaluator.identity_parameters) // 3
    grid = 2 * 3 + 16  # of the B-spline: its last places and strides, the polynomials
    return (24 + grid + 4 * points) * FLOAT64


@pytest.mark.parametrize("transform", ["Affine", "BSpline"])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
@pytest.mark.parametrize("what", CHANGES)
def test_what_an_evaluation_moves(
    device: Device, smooth_models: SmoothModels, what: str, mode: str, transform: str
) -> None:
    """Up the transform, down the value and the sums of the gradient; two waits; memory is flat."""
    name, options = transform_options(transform, 3)
    options["sample_spacing"] = 5
    evaluator = metric(smooth_models(3), mode, name, changes=CHANGES[what], **options)
    flat = Flat(device, 3)
    for number, place in enumerate(4 * list(places(evaluator, 3))):
        device.count_from_zero()
        evaluator.value_and_derivative(place)
        counts = device.counts()
        flat.check()
        if number == 0:  # points go up, batches are measured, components and divisors found
            continue
        assert counts.copies_up == (1 if transform == "Affine" else 2)
        assert counts.bytes_up == bytes_of_transform(transform, evaluator)
        sums = 12 if transform == "Affine" else len(evaluator.identity_parameters) // 3 * 4
        finite = 2 if mode == "Jacobian" else 0  # of the fixed and of the moving features
        assert counts.copies_down == 1
        assert counts.bytes_down == (1 + finite + sums) * FLOAT64
        assert counts.waits == 2  # for the number of samples, and for the result
        assert counts.operators > 50


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_a_value_alone_moves_less(device: Device, smooth_models: SmoothModels, mode: str) -> None:
    evaluator = metric(smooth_models(3), mode)
    for place in places(evaluator, 3):
        device.count_from_zero()
        evaluator.value(place)
    counts = device.counts()
    assert (counts.bytes_up, counts.waits) == (24 * FLOAT64, 2)
    assert counts.bytes_down == (3 if mode == "Jacobian" else 1) * FLOAT64


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_drawn_channels_go_up(device: Device, smooth_models: SmoothModels, mode: str) -> None:
    evaluator = metric(smooth_models(3), mode, changes={"SubsetFeatures": ["3 2"]})
    for place in places(evaluator, 3):
        device.count_from_zero()
        evaluator.value_and_derivative(place)
    counts = device.counts()
    assert (counts.copies_up, counts.bytes_up) == (3, (24 + 3 + 2) * FLOAT64)
    assert (counts.copies_down, counts.waits) == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_memory_over_500_evaluations(
    device: Device, smooth_models: SmoothModels, mode: str
) -> None:
    evaluator = metric(smooth_models(3), mode, sample_spacing=6)
    flat, peaks = Flat(device, 10), []
    for place in 50 * list(places(evaluator, 10)):
        device.count_from_zero()
        evaluator.value_and_derivative(place)
        peaks.append(device.counts().peak)
        flat.check()
    assert max(peaks[250:]) < 1.1 * max(peaks[10:250])  # some of the last one may still be there


def test_updated_features_stay_on_the_device(device: Device, smooth_models: SmoothModels) -> None:
    """Each update brings the warped image up and nothing down."""
    evaluator = metric(smooth_models(3), changes={"FeaturesMapUpdateInterval": ["1"]})
    flat = Flat(device, 3)
    for place in 4 * list(places(evaluator, 3)):
        evaluator.request_moving_features()
        device.count_from_zero()
        evaluator.value_and_derivative(place)
        counts = device.counts()
        flat.check()
    samples = evaluator.number_of_valid_samples
    assert counts.bytes_down < (3 * samples + 16) * FLOAT64


# What fails.


class Greedy(torch.nn.Module):
    """Wants a megabyte for each patch, besides."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        room = torch.zeros([x.size(0), 1 << 18], device=x.device)
        return [torch.sin((0.1 * x + room.sum()) / 50.0)]


def test_out_of_memory_halves_the_batch_and_goes_on(
    device: Device, tmp_path: Path, smooth_models: SmoothModels
) -> None:
    path = str(tiny_models.save(Greedy(), tmp_path / "greedy.pt"))
    evaluator = metric(path, "Jacobian", changes={"LayersMask": ["1"]})
    at = list(places(evaluator, 2))
    expected = [evaluator.value_and_derivative(place) for place in at]
    assert evaluator.messages == []
    with device.limited(20 << 20):
        found = [evaluator.value_and_derivative(place) for place in at]
        again = evaluator.value_and_derivative(at[0])
    for (value, gradient), (other, other_gradient) in zip(
        [*expected, expected[0]], [*found, again], strict=True
    ):
        assert other == pytest.approx(value, rel=1e-6)
        assert other_gradient == pytest.approx(gradient, rel=1e-5, abs=1e-9)
    (message,) = evaluator.messages  # once
    assert message.startswith("The memory of GPU 0 ran out with batches of ")


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_every_shortage_of_memory_is_one(
    device: Device, smooth_models: SmoothModels, mode: str
) -> None:
    """At whatever limit: the result, or an error that says what to do."""
    path = smooth_models(3)
    expected = metric(path, mode).value([1, 0, 0, 0, 1, 0, 0, 0, 1, 0.1, 0.2, 0.3])
    results = 0
    limits = [int(4096 * 1.5**n) for n in range(24)]
    for limit in limits:
        with device.limited(limit):
            try:
                value = metric(path, mode).value([1, 0, 0, 0, 1, 0, 0, 0, 1, 0.1, 0.2, 0.3])
            except Exception as error:
                assert "memory" in str(error), f"{limit} bytes: {error}"  # noqa: PT017
                assert "VoxelSize" in str(error), f"{limit} bytes: {error}"  # noqa: PT017
            else:
                assert value == pytest.approx(expected, rel=1e-6)
                results += 1
    assert 0 < results < len(limits)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_a_device_that_is_lost(
    device: Device, smooth_models: SmoothModels, mode: str, late: bool
) -> None:
    """At whichever operator: an error that names the GPU. The process lives, as does the other.

    Whether the device says so at once, or, as CUDA does, when the host next waits.
    """
    path = smooth_models(3)
    device.count_from_zero()
    evaluator = metric(path, mode)
    place = next(places(evaluator, 1))
    expected = evaluator.value_and_derivative(place)
    del evaluator
    operators = device.counts().operators
    for after in sorted({0, 1, *range(2, operators, max(1, operators // 60)), operators - 1}):
        with (
            device.lost(after, late),
            pytest.raises(Exception, match=r"GPU 0 \(parameter GPU\) failed in") as caught,
        ):
            metric(path, mode).value_and_derivative(place)
        assert "-1 for the CPU" in str(caught.value)
    with device.lost(0, late):
        for other in (-1, 1):
            value, gradient = metric(path, mode, gpu=other).value_and_derivative(place)
            assert value == pytest.approx(expected[0], rel=1e-4)
            assert np.abs(gradient - expected[1]).max() < 1e-3 * np.abs(expected[1]).max()


# Several at once.


@pytest.mark.parametrize("devices", [(0, 0), (0, 1)])
@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_two_registrations(smooth_models: SmoothModels, mode: str, devices: list[int]) -> None:
    path = smooth_models(3)
    alone = metric(path, mode)
    at = list(places(alone, 8))
    expected = [alone.value_and_derivative(place) for place in at]

    def evaluate(gpu: int) -> list[Any]:
        evaluator = metric(path, mode, gpu=gpu)
        return [evaluator.value_and_derivative(place) for place in at]

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(evaluate, devices):
            for (value, gradient), (other, other_gradient) in zip(expected, found, strict=True):
                assert other == pytest.approx(value, rel=1e-6)
                assert other_gradient == pytest.approx(gradient, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_the_second_device_takes_nothing_of_the_first(
    device: Device, smooth_models: SmoothModels, mode: str
) -> None:
    second = Device(1)
    evaluator = metric(smooth_models(3), mode, gpu=1)
    for place in places(evaluator, 2):
        evaluator.value_and_derivative(place)
    assert second.used > 0
    counts = device.counts()
    assert (counts.operators, counts.copies_up, counts.waits) == (0, 0, 0)
    assert counts.peak == device.used


def test_the_device_that_is_not_there(smooth_models: SmoothModels) -> None:
    number = pretended.NUMBER_OF_DEVICES
    with pytest.raises(Exception, match=rf"GPU.*: {number} is not allowed, because torch finds"):
        metric(smooth_models(3), gpu=number)


# From Python.


def test_devices_by_name() -> None:
    assert _devices.number_of_gpus() == pretended.NUMBER_OF_DEVICES
    assert [_devices.model_of(number) for number in (0, 1, 2)] == [
        "pretended:0",
        "pretended:1",
        None,
    ]
    _devices.check_available("cuda:1")
    with pytest.raises(impact_plugin.InputError, match="torch sees 2, from cuda:0 to cuda:1"):
        _devices.check_available("cuda:2")


def test_doctor_and_cohorts_find_the_same_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pretended.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shares, "_DRIVERS", ("/dev/null",))  # that of a GPU
    assert shares.count_gpus() == pretended.NUMBER_OF_DEVICES
    report = diagnosis.examine()
    assert report.problems == []
    assert report.facts["torch's GPUs"].startswith("pretended:0, pretended:1 (built for ")


@contextlib.contextmanager
def searching_here(*_: object) -> Iterator[Ask]:
    """Search as impact_plugin.search.child does, in this process."""

    def ask(request: bytes, _: float | None) -> tuple[bytes, int]:
        said, field = child._answer(np.load(io.BytesIO(request), allow_pickle=False))
        content = io.BytesIO()
        np.savez(content, said=np.array(json.dumps(said)), field=field)
        return content.getvalue(), 0

    yield ask


class Contrast(torch.nn.Module):
    """Differences of the image and its means over three and seven pixels; the second in half."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        near = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
        far = torch.nn.functional.avg_pool2d(x, 7, 1, 3)
        both = torch.cat([x - near, near - far], 1) ** 2
        return [both, torch.nn.functional.avg_pool2d(both, 2, 2)]


@pytest.mark.parametrize("network", [False, True])
def test_a_search(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: bool
) -> None:
    """It finds what the CPU finds; images go up once, what was found comes down."""
    monkeypatch.setattr(process, "answering", searching_here)
    angle = np.radians(120)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    body = Body(FLAT, FLAT_MOVING, 3, turn)
    model, layer = None, 0
    if network:
        model, layer = tmp_path / "contrast.pt", 1
        torch.jit.script(Contrast()).save(str(model))  # type: ignore[no-untyped-call]
    images = body.fixed_image(), body.moving_image()
    points = body.points()
    kinds: list[SearchKind] = ["rigid", "affine", "deformable"]
    for kind in kinds:
        device.count_from_zero()
        there, here = (
            impact_plugin.find_start(
                *images, transform=kind, device=where, model=model, layer=layer
            )
            for where in ("cuda:0", "cpu")
        )
        assert there.score == pytest.approx(here.score, rel=1e-4)
        assert mean_distance(mapped(there, points), mapped(here, points)) < 0.01
        if not network:  # which knows bright from dark
            assert mean_distance(mapped(there, points), body.truth(points)) < 2.0
        counts = device.counts()
        assert counts.operators > 1000
        assert counts.waits < 0.1 * counts.operators
        assert counts.bytes_up < 8 << 20


def test_a_registration_from_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    body = Body(FIXED, MOVING, 1, rotations.spread(3, 5)[1])
    ends = []
    for where in ("cpu", "cuda:1"):
        if where != "cpu":
            for name, value in pretended.variables().items():
                monkeypatch.setenv(name, value)
        result = impact_plugin.register_images(
            body.fixed_image(),
            body.moving_image(),
            preset="rigid_mind",
            iterations=3,
            initial_transform="search",
            device=where,
            progress=False,
        )
        ends.append(result.map_points(body.points()))
    assert "On GPU 1: features" in result.log
    assert mean_distance(*ends) < 0.05
    assert mean_distance(ends[1], body.truth(body.points())) < 5.0  # of 430 mm


def test_a_search_without_memory(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "answering", searching_here)
    images = sitk_pair(2)
    for more in (1 << 12, 1 << 18):
        with (
            device.limited(more),
            pytest.raises(impact_plugin.SearchError, match=r"on cuda:0: .*out of memory.*cpu"),
        ):
            impact_plugin.find_start(*images, device="cuda:0")


def test_a_whole_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shift as on the CPU; the log says where it was."""
    results = []
    for where in ("cpu", "cuda:1"):
        if where != "cpu":
            for name, value in pretended.variables().items():
                monkeypatch.setenv(name, value)
        results.append(
            impact_plugin.register_images(
                *sitk_pair(), preset="rigid_mind", iterations=30, device=where, progress=False
            )
        )
    points = np.array([[10.0, 12.0, 9.0], [20.0, 15.0, 14.0]])
    apart = results[0].map_points(points) - results[1].map_points(points)
    assert np.abs(apart).max() < 0.02
    assert "On GPU 1: features, distances, mapping of points and chain rule" in results[1].log
    assert results[1].record is not None
    assert results[1].record.machine.gpus == {"cuda:1": "pretended:1"}
