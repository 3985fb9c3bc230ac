"""Same seed, same result to the bit: whatever the threads, the run, the process."""

from __future__ import annotations

import pytest

from helpers.evaluators import SmoothModels, images, parameters, start
from impact_plugin import _metric


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_same_result_to_the_bit_for_every_number_of_threads(
    smooth_models: SmoothModels, mode: str
) -> None:
    fixed, moving = images(3)
    settings = parameters([smooth_models(3)], [3], 3, mode, "Cosine", "11")
    results = []
    for threads in (1, 2, 4):
        evaluator = _metric.MetricEvaluator(
            fixed,
            moving,
            settings,
            "BSpline",
            control_point_spacing=17.0,
            sample_spacing=2,
            threads=threads,
        )
        position, _ = start(evaluator, "BSpline", 3)
        value, derivative = evaluator.value_and_derivative(list(position))
        results.append((value, derivative.tobytes()))
    assert results[0] == results[1] == results[2]
