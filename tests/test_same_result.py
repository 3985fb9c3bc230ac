"""The same registration again: threads, runs, seeds, and the command line instead of itk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.itk_process import ItkProcess
from helpers.parameter_maps import parameter_map
from helpers.programs import run_elastix
from helpers.registrations import MODES, first_value, impact, pair

FULL_PRECISION = 1e-12  # relative; elastix writes all digits


@pytest.mark.parametrize("mode", MODES)
def test_same_result_for_any_number_of_threads_and_in_every_run(
    own_process: ItkProcess, layers: dict[int, str], mode: str
) -> None:
    """To the bit; elastix's own mean squares differ with the threads in the last digits."""
    parameters = parameter_map(
        3,
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=12,
        MaximumNumberOfIterations=15,
        **impact(3, mode, layers[3], LayersMask="011", SubsetFeatures="3 6"),
    )
    images = pair(3)
    results = [
        own_process.register(*images, parameters, threads=threads).maps[0]["TransformParameters"]
        for threads in (4, 2, 2, 1)
    ]
    assert results == [results[0]] * 4
    assert len(set(results[0])) > 100


@pytest.mark.parametrize("mode", MODES)
def test_another_seed_gives_another_result(
    itk_process: ItkProcess, layers: dict[int, str], mode: str
) -> None:
    """Of the metric's own draws, here of channels: the samples are the same, on a grid."""
    images = pair(3)
    values = [
        first_value(
            itk_process,
            images,
            **impact(3, mode, layers[3], LayersMask="010", SubsetFeatures=3),
            ImageSampler="Grid",
            SampleGridSpacing=4,
            RandomSeed=seed,
        )
        for seed in (1, 2, 3, 1)
    ]
    assert len(set(values)) == 3
    assert values[0] == values[3]


@pytest.mark.parametrize("mode", MODES)
def test_command_line_gives_the_same_as_itk(
    itk_process: ItkProcess, layers: dict[int, str], tmp_path: Path, mode: str
) -> None:
    parameters = parameter_map(
        3,
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=12,
        MaximumNumberOfIterations=15,
        **impact(3, mode, layers[3], LayersMask="011"),
    )
    fixed, moving = pair(3)
    from_itk = itk_process.register(fixed, moving, parameters)
    found = run_elastix(tmp_path, fixed, moving, parameters)
    expected = from_itk.maps[0]
    for name in ("TransformParameters", "GridOrigin", "GridDirection"):
        np.testing.assert_allclose(
            np.array(found[name], float), np.array(expected[name], float), rtol=FULL_PRECISION
        )
    assert found["Size"] == ["34", "30", "26"]
