"""Registrations in a process of their own, for tests/test_process.py.

    python in_one_process.py orders MODEL ORDER main|worker
    python in_one_process.py others MODEL

MODEL is a TorchScript file with three layers (helpers.tiny_models.Layers). The first imports the
modules in this order and registers in both modes. The second does one thing after the other, and
for each prints a line, JSON: its name, and what it found.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

SHIFT = (1.4, -1.1, 0.9)  # mm, from fixed to moving
MODES = ("Static", "Jacobian")


def images() -> tuple[Any, Any]:
    """Make two images of the same waves, that translation apart."""
    import itk
    import numpy as np

    z, y, x = np.meshgrid(*(np.arange(size, dtype=float) for size in (20, 22, 24)), indexing="ij")

    def seen(dx: float, dy: float, dz: float) -> itk.Image:
        values = np.sin(0.31 * (x - dx)) + np.cos(0.41 * (y - dy) + 0.2 * (x - dx))
        values += np.sin(0.37 * (z - dz) - 0.15 * (y - dy))
        return itk.image_from_array((100 * values).astype(np.float32))

    return seen(0, 0, 0), seen(*SHIFT)


def register(model: str, mode: str, pair: tuple[Any, Any] | None = None, **more: str) -> list[str]:
    """Register the pair in a few iterations; give the parameters as elastix writes them."""
    import itk

    parameters = {
        "Registration": "MultiResolutionRegistration",
        "FixedImagePyramid": "FixedGenericImagePyramid",
        "MovingImagePyramid": "MovingGenericImagePyramid",
        "ImagePyramidSchedule": "1 1 1",
        "Interpolator": "LinearInterpolator",
        "ResampleInterpolator": "FinalLinearInterpolator",
        "Resampler": "DefaultResampler",
        "Optimizer": "AdaptiveStochasticGradientDescent",
        "Transform": "TranslationTransform",
        "AutomaticTransformInitialization": "false",
        "NumberOfResolutions": "1",
        "NumberOfGradientMeasurements": "3",
        "NumberOfSamplesForExactGradient": "500",
        "MaximumNumberOfIterations": "25",
        "ImageSampler": "RandomCoordinate",
        "NumberOfSpatialSamples": "200" if mode == "Static" else "80",
        "NewSamplesEveryIteration": "true",
        "RandomSeed": "3",
        "WriteResultImage": "false",
        "Metric": "Impact",
        "Mode": mode,
        "VoxelSize": "1*1*1",
        "PatchSize": "0*0*0" if mode == "Static" else "5*5*5",
        "LayersMask": "100" if mode == "Static" else "010",
    } | more
    split = {name: value.split() for name, value in parameters.items()} | {"ModelsPath": [model]}
    parameter_object = itk.ParameterObject.New()
    parameter_object.AddParameterMap(split)
    method = itk.ElastixRegistrationMethod.New(*(pair or images()))
    method.SetParameterObject(parameter_object)
    method.SetLogToConsole(False)
    method.UpdateLargestPossibleRegion()
    result = method.GetTransformParameterObject().GetParameterMap(0)
    return list(result["TransformParameters"])


def check(parameters: list[str]) -> None:
    """Check that a registration found the translation."""
    errors = [abs(float(value) - true) for value, true in zip(parameters, SHIFT, strict=True)]
    assert max(errors) < 0.15, f"found {parameters}, expected {SHIFT}"


def in_thread(function: Callable[[], Any]) -> Any:  # noqa: ANN401  (what the function gives)
    """Run in a worker thread and give the result, or raise what it raised."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def orders(model: str, order: str, where: str) -> None:
    """Import in this order, register in both modes, and load the module that links elastix."""
    for name in order.split(","):
        importlib.import_module("impact_plugin._core" if name == "impact_plugin" else name)
    for mode in MODES:
        if where == "worker":
            check(in_thread(functools.partial(register, model, mode)))
        else:
            check(register(model, mode))
    import impact_plugin._core as core

    settings, findings = core.parse_settings({"ModelsPath": [model], "VoxelSize": ["1"]}, 1, 3)
    assert [finding.message for finding in findings if finding.is_error] == []
    assert settings[0].fixed_models[0].path == model
    print("done")


def ticks_meanwhile(
    model: str,
    mode: str,
    iterations: int,
    **more: Any,  # noqa: ANN401
) -> dict[str, float]:
    """Count, in another thread that wants a tick each millisecond, while a registration goes on.

    Gives the ticks and the processor time of the registration, which is the same on a machine that
    has other things to do.
    """
    # What happens once is not to be timed.
    register(model, mode, None, MaximumNumberOfIterations="1", **more)
    pair = images()
    running = threading.Event()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while running.is_set():
            time.sleep(0.001)
            ticks += 1

    thread = threading.Thread(target=tick)
    running.set()
    thread.start()
    time.sleep(0.05)
    before = ticks
    start = time.process_time()
    register(model, mode, pair, MaximumNumberOfIterations=str(iterations), **more)
    seconds = time.process_time() - start
    during = ticks - before
    running.clear()
    thread.join()
    return {"ticks": during, "milliseconds": 1000 * seconds}


def torch_state(model: str) -> list[str]:
    """Register in every state that a program may have put torch into; nothing changes it."""
    import torch

    def state() -> dict[str, object]:
        names = ("_get_graph_executor_optimize", "_jit_texpr_fuser_enabled", "_jit_can_fuse_on_cpu")
        return {
            "gradients": torch.is_grad_enabled(),
            "inference": torch.is_inference_mode_enabled(),
            "type": str(torch.get_default_dtype()),
            "threads": torch.get_num_threads(),
            "interop threads": torch.get_num_interop_threads(),
            "autocast": torch.is_autocast_enabled("cpu"),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "anomalies": torch.is_anomaly_enabled(),
            "random": torch.get_rng_state().tolist(),
            **{name: getattr(torch._C, name)() for name in names},
        }

    expected = {mode: register(model, mode) for mode in MODES}
    for parameters in expected.values():
        check(parameters)

    different = []

    def compare(name: str) -> None:
        before = state()
        for mode in MODES:
            try:
                same = register(model, mode) == expected[mode]
                text = "" if same else "another result"
            except RuntimeError as error:
                text = str(error)
            if text:
                different.append(f"{name}, {mode}: {text}")
        after = state()
        different.extend(
            f"{name}: {key} was {before[key]}, is {after[key]}"
            for key in before
            if before[key] != after[key]
        )

    compare("as it is")
    with torch.no_grad():
        compare("no_grad")
    with torch.inference_mode():
        compare("inference_mode")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compare("autocast")
    torch.set_default_dtype(torch.float64)
    compare("default dtype float64")
    torch.set_default_dtype(torch.float32)
    for number in (1, 3):
        torch.set_num_threads(number)
        compare(f"{number} threads")
    torch.use_deterministic_algorithms(True)
    compare("deterministic algorithms")
    torch.use_deterministic_algorithms(False)
    with torch.jit._fuser.optimized_execution(False):
        compare("unoptimised TorchScript")
    with torch.autograd.set_detect_anomaly(True):
        compare("detect_anomaly")
    return different


def failing_threads(model: str) -> list[str]:
    """Fail in a worker thread, before and within the iterations, and go on after that."""
    texts = []
    changes: list[dict[str, Any]] = [{"Distance": "L7"}, {"RequiredRatioOfValidSamples": "1.0"}]
    for change in changes:
        try:
            in_thread(functools.partial(register, model, "Jacobian", **change))
        except RuntimeError as error:
            texts.append(str(error))
    for mode in MODES:
        check(in_thread(functools.partial(register, model, mode)))
        check(register(model, mode))
    return texts


def several_at_once(model: str) -> int:
    """Register in several threads at the same time."""
    expected = {mode: register(model, mode) for mode in MODES}
    results: list[tuple[str, list[str]]] = []

    def work(mode: str) -> None:
        for _ in range(6):
            results.append((mode, register(model, mode)))

    threads = [threading.Thread(target=work, args=(mode,)) for mode in MODES * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mode, parameters in results:
        check(parameters)
        assert parameters == expected[mode], "a registration disturbed another"
    return len(results)


def metric_after_itk(model: str) -> dict[str, float]:
    """Evaluate the metric itself, in a process that has registered with itk before."""
    import itk
    import numpy as np

    check(register(model, "Static"))
    import impact_testing
    from impact_plugin import _core

    values = {}
    for mode in MODES:
        fixed, moving = (
            _core.Image(itk.array_from_image(image), (1, 1, 1), (0, 0, 0), np.eye(3))
            for image in images()
        )
        size = "0" if mode == "Static" else "5"
        parameters = {
            "Mode": [mode],
            "ModelsPath": [model],
            "VoxelSize": ["1"],
            "PatchSize": [size],
            "LayersMask": ["010"],
        }
        found = []
        for threads in (1, 2, 4):
            metric = impact_testing.MetricEvaluator(
                fixed, moving, parameters, "BSpline", control_point_spacing=8.0, threads=threads
            )
            at = [0.01 * (number % 7) for number in range(len(metric.identity_parameters))]
            value, derivative = metric.value_and_derivative(at)
            found.append((value, derivative.tobytes()))
        assert len(set(found)) == 1, "the number of threads changes the metric"
        values[mode] = found[0][0]
    check(register(model, "Jacobian"))
    return values


def others(model: str) -> None:
    """Do all but the orders of imports."""
    own = functools.partial(ticks_meanwhile, model, "Static", 5000, Metric="AdvancedMeanSquares")
    scenarios: list[tuple[str, Callable[[], object]]] = [
        ("ticks Static", functools.partial(ticks_meanwhile, model, "Static", 1500)),
        ("ticks Jacobian", functools.partial(ticks_meanwhile, model, "Jacobian", 150)),
        ("ticks elastix's own", own),
        ("torch_state", functools.partial(torch_state, model)),
        ("failing_threads", functools.partial(failing_threads, model)),
        ("several_at_once", functools.partial(several_at_once, model)),
        ("metric_after_itk", functools.partial(metric_after_itk, model)),
    ]
    for name, scenario in scenarios:
        try:
            found = scenario()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        print(json.dumps([name, found]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "orders":
        orders(*sys.argv[2:])
    else:
        others(*sys.argv[2:])
