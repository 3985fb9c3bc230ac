"""The demo, up to the registrations, which tests/test_lung_pair.py has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers import programs
from impact_plugin import datasets
from impact_plugin.demo import lung_pair
from impact_plugin.demo import program as demo
from impact_plugin.evaluation import LandmarkErrors
from impact_plugin.registration import presets


def pair(testing: Path, out: Path) -> lung_pair.LungPair:
    return lung_pair.LungPair(datasets.lung_pair(testing), out, presets.map_folder(), None, None)


def test_errors_before_registration(elastix_testing: Path, tmp_path: Path) -> None:
    """As transformix finds them (docs/validation.md)."""
    lungs = pair(elastix_testing, tmp_path)
    assert lungs.number_of_points == 51
    assert lungs.errors_before("unregistered").mean == pytest.approx(35.27, abs=0.005)
    assert lungs.errors_before("affine").mean == pytest.approx(5.87, abs=0.005)


@pytest.mark.parametrize("bound", [1.5, 0.5])
def test_report(
    elastix_testing: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bound: float,
) -> None:
    """What is printed and written of two registrations, and whether they were good enough."""
    errors = LandmarkErrors.between(np.array([[1.25, 0, 0]]), np.zeros((1, 3)))
    monkeypatch.setattr(lung_pair.LungPair, "register", lambda *_: (errors, {"features": 3.0}))
    code = demo.run(elastix_testing, tmp_path, presets.map_folder(), bound=bound)
    assert code == (0 if bound > 1.25 else 1)
    shown = capsys.readouterr()
    assert "Error of 51 landmarks, mm" in shown.out
    assert "mean error 1.25 mm, expected at most 0.50" in shown.err or code == 0
    written = json.loads((tmp_path / "results.json").read_text())
    assert list(written["errors_mm"]) == [
        *("unregistered", "affine"),
        *("Jacobian mode, TotalSegmentator layer", "Static mode, MIND"),
    ]


def test_missing_data(tmp_path: Path) -> None:
    run = programs.plugin("demo", "--data", tmp_path)
    assert run.exit_code == 1
    assert "these files are missing (see --data and --maps)" in run.output
    assert "3DCT_lung_baseline.mha" in run.output


@pytest.mark.slow
@pytest.mark.parametrize("run", lung_pair.RUNS, ids=lambda run: run.name)
def test_registrations_run(elastix_testing: Path, tmp_path: Path, run: lung_pair.Run) -> None:
    """Both of them, for two iterations a level: from the pair to a written result."""
    lungs = lung_pair.LungPair(
        datasets.lung_pair(elastix_testing), tmp_path, presets.map_folder(), 2, None
    )
    errors, seconds = lungs.register(run)
    assert errors.mean < 7.0
    assert seconds
    assert (tmp_path / run.name / "TransformParameters.0.txt").is_file()
