"""Gradients of the metric against finite differences, with whatever itk-elastix is on the path.

    python host_gradients.py FOLDER

Prints JSON: for each mode and transform the value at one place and the relative error of the
gradient. Models are made in FOLDER.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import impact_testing
from helpers.evaluators import (
    FirstEvaluations,
    SmoothModels,
    images,
    parameters,
    relative_error,
    start,
    transform_options,
)


def main() -> None:
    """Print them."""
    models = SmoothModels(Path(sys.argv[1]))
    fixed, moving = images(3)
    found = {}
    for mode in ("Static", "Jacobian"):
        given = parameters([models(3, 1, 1, 1)], [3], 3, mode, "L2", "11")
        for transform in ("Affine", "BSpline", "AffineThenBSpline"):
            name, options = transform_options(transform, 3)
            spacing = 3 if mode == "Static" else 6

            def make(
                given: dict[str, list[str]] = given,
                name: str = name,
                options: dict[str, Any] = options,
                spacing: int = spacing,
            ) -> impact_testing.MetricEvaluator:
                return impact_testing.MetricEvaluator(
                    fixed, moving, given, name, sample_spacing=spacing, **options
                )

            evaluator = FirstEvaluations(make)
            position, scale = start(evaluator, transform, 3)
            error = relative_error(evaluator, position, scale, random_directions=1)
            found[f"{mode} {transform}"] = [evaluator.value(list(position)), error]
    print(json.dumps({"file": impact_testing.__file__, "found": found}))


if __name__ == "__main__":
    main()
