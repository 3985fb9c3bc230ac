"""Evaluates metrics with several numbers of threads, and prints values and derivatives as JSON.

Takes the file that tests/test_instruction_sets.py writes: images, parameter maps, threads. What is
in the environment holds for the whole process. Python's torch is not imported.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import impact_testing
from impact_plugin import _core


def image(described: dict[str, list[float]]) -> _core.Image:
    pixels = np.array(described["pixels"], np.float32)
    return _core.Image(
        pixels, described["spacing"], described["origin"], np.array(described["direction"])
    )


def main() -> None:
    with open(sys.argv[1]) as file:  # noqa: PTH123  (one import less)
        job = json.load(file)
    fixed, moving = image(job["fixed"]), image(job["moving"])
    results = {}
    for name, parameters in job["metrics"].items():
        for threads in job["threads"]:
            evaluator = impact_testing.MetricEvaluator(
                fixed,
                moving,
                parameters,
                "BSpline",
                control_point_spacing=17.0,
                sample_spacing=2,
                threads=threads,
            )
            offsets = np.random.default_rng(11).uniform(
                -1.0, 1.0, len(evaluator.identity_parameters)
            )
            value, derivative = evaluator.value_and_derivative(
                list(np.array(evaluator.identity_parameters) + offsets)
            )
            # As hexadecimal numbers: to the bit.
            results[f"{name} {threads}"] = [
                float(number).hex() for number in (value, *derivative.tolist())
            ]
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
