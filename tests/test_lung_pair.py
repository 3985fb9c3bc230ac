"""The real pair of CT images, judged by its landmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

import impact_plugin
from impact_plugin.demo import landmarks, lung_pair, metaimage, runs


@pytest.mark.slow
def test_lung_pair(elastix_testing: Path, tmp_path: Path, mind: dict[int, str]) -> None:
    """The demo's Static registration, with half of its iterations and a coarser start."""
    data = lung_pair.Data(elastix_testing)
    maps = Path(impact_plugin.__file__).parent / "parameter_maps"
    run = next(run for run in lung_pair.RUNS if run.name == "static")
    text = (maps / run.parameter_map).read_text().replace("MIND_R1D2_3D.pt", mind[3])
    text = runs.set_parameter(text, "MaximumNumberOfIterations", 100)
    text = text.replace('(WriteResultImage "true")', '(WriteResultImage "false")')
    text += "(NumberOfSamplesForExactGradient 10000)\n"
    (tmp_path / "parameters.txt").write_text(text)
    log, _ = runs.elastix(
        [
            *("-f", data.fixed, "-m", data.moving, "-t0", data.affine),
            *("-p", tmp_path / "parameters.txt", "-out", tmp_path),
        ],
        text,
    )
    assert [len(level.values) for level in log.levels] == [100, 100]
    runs.transformix(
        [
            *("-def", data.landmarks, "-out", tmp_path),
            *("-tp", tmp_path / "TransformParameters.0.txt"),
        ]
    )
    points = landmarks.read_points(data.landmarks)
    inside = metaimage.read(data.fixed).contains(points)
    truth = landmarks.read_points(data.truth)
    found = landmarks.read_output_points(tmp_path / "outputpoints.txt")
    assert inside.sum() == 51
    assert landmarks.Errors.between(found[inside], truth[inside]).mean <= 1.60
