"""What objects show in a notebook, and what result.show() opens."""

from __future__ import annotations

import pickle
import re
import shutil
import sys
import webbrowser
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from msgspec import structs

import impact_plugin
from helpers.pairs import sitk_pair, squares
from impact_plugin import _html, cohort
from impact_plugin.evaluation import Evaluation, LandmarkErrors
from impact_plugin.evaluation.results import StepEvaluation
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters import Level, Model, Parameters
from impact_plugin.report.features import FeatureView
from impact_plugin.report.features.extraction import FeatureMap

HOSTILE = "<script>alert('x')</script>&\"' <img src=x onerror=y>"
LARGEST = 300_000
_VOID = {"img"}


class Page(HTMLParser):
    """Reads a piece of HTML, whose tags must be closed in order and load nothing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        assert len(text) < LARGEST
        self.feed(text)
        self.close()
        assert self._open == []
        assert not {"script", "link", "iframe", "object", "style"} & set(self.tags)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self._open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert str(value).startswith("data:image/")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def page(shown: Any) -> Page:  # noqa: ANN401  (whatever a notebook shows)
    return Page(shown._repr_html_())


@pytest.fixture(scope="module", params=[2, 3])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images, and in `out` their registration in two stages."""
    folder = tmp_path_factory.mktemp(f"saved{request.param}")
    for image, name in zip(sitk_pair(request.param), ("fixed", "moving"), strict=True):
        sitk.WriteImage(image, str(folder / f"{name}.mha"))
    (folder / "maps").mkdir()
    impact_plugin.register_images(
        folder / "fixed.mha",
        folder / "moving.mha",
        parameter_maps=[
            squares(request.param, NumberOfResolutions=2),
            squares(request.param, Transform="EulerTransform"),
        ],
        iterations=[7, 6, 5],
        threads=1,
        output_directory=folder / "out",
    )
    return folder


@pytest.fixture
def result(saved: Path) -> impact_plugin.RegistrationResult:
    return impact_plugin.RegistrationResult.load(saved / "out")


def test_a_result(saved: Path, result: impact_plugin.RegistrationResult) -> None:
    shown = page(result)
    size = " x ".join(map(str, result.fixed.size))
    for text in (
        "Registration: map 0 then map 1",
        "map 0 1 7",
        "map 0 2 6",
        "map 1 1 5",
        f"{size} voxels of",
        "TranslationTransform of",
        "then EulerTransform of",
        str(saved / "out"),
        "fixed magenta, registered green",
        "torch",
        "warped image",
    ):
        assert text in shown.text
    assert shown.tags.count("img") == {2: 1, 3: 3}[result.fixed.dimension]
    assert shown.tags.count("svg") == 3
    assert "left out" not in shown.text


def test_thumbnails_show_both_images(result: impact_plugin.RegistrationResult) -> None:
    """The registered image on itself is grey; on another one it is not."""
    from impact_plugin.report.registration.thumbnails import thumbnails

    same = thumbnails(result.image, result.image)
    assert same == thumbnails(None, result.image)
    assert same != thumbnails(sitk_pair(result.fixed.dimension)[1], result.image)


def test_images_that_are_gone(
    saved: Path, tmp_path: Path, result: impact_plugin.RegistrationResult
) -> None:
    """By their place, by what lies there now, and by their grid."""
    (tmp_path / "damaged.mha").write_text("no image")
    other = sitk_pair(result.fixed.dimension)[0]
    other.SetSpacing([2.0 * each for each in other.GetSpacing()])
    for fixed in (tmp_path / "gone.mha", tmp_path / "damaged.mha", other):
        shown = page(replace(result, inputs=(fixed, saved / "moving.mha")))
        assert "registered green" not in shown.text
        assert ": registered" in shown.text
        assert "left out" not in shown.text
    moved = tmp_path / "moved"
    shutil.copytree(saved / "out", moved)
    (moved / "elastix.log").unlink()
    (moved / "record.json").unlink()
    assert "map 0 1 7" in page(impact_plugin.RegistrationResult.load(moved)).text


def test_without_matplotlib(
    result: impact_plugin.RegistrationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shown = page(result)
    assert "img" not in shown.tags
    assert "map 1 1 5" in shown.text
    assert "left out" not in shown.text


def test_what_fails_is_left_out(
    result: impact_plugin.RegistrationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("impact_plugin.registration.showing.thumbnails", fail)
    shown = page(result)
    assert f"left out: RuntimeError: {HOSTILE}" in shown.text
    assert "map 1 1 5" in shown.text


def test_pickles_show_the_same(result: impact_plugin.RegistrationResult) -> None:
    before = result._repr_html_()
    copied = pickle.loads(pickle.dumps(result))
    assert copied._repr_html_() == before
    assert copied == result


def test_sizes_are_bounded(result: impact_plugin.RegistrationResult) -> None:
    """Of noise, which cannot be compressed, of long courses, and of many stages and levels."""
    dimension = result.fixed.dimension
    size = (200,) * dimension
    noise = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8))
    count = 100_000
    history = impact_plugin.History(
        np.repeat(np.arange(100), count // 100),
        np.zeros(count, np.int64),
        np.arange(count),
        np.random.default_rng(0).normal(size=count),
        *(np.full(count, np.nan) for _ in range(3)),
    )
    large = replace(
        result,
        image=noise,
        fixed=Geometry.of(noise),
        history=history,
        stages=("x" * 10_000,) * 100,
        timings={f"{'y' * 1000}{number}": 1.0 for number in range(1000)},
        inputs=(noise, noise),
    )
    shown = page(large)
    assert "and 70 more" in shown.text
    assert shown.tags.count("img") == {2: 1, 3: 3}[dimension]


def test_hostile_names(result: impact_plugin.RegistrationResult) -> None:
    assert result.record
    hostile = replace(
        result,
        stages=(HOSTILE,) * 2,
        timings={HOSTILE: 1.0},
        record=structs.replace(result.record, versions={HOSTILE: HOSTILE}),
        output_directory=Path(HOSTILE),
    )
    assert page(hostile).text.count(HOSTILE) >= 6


def test_a_history(result: impact_plugin.RegistrationResult) -> None:
    shown = page(result.history)
    assert "History of 18 iterations" in shown.text
    assert "stage 1 2 6" in shown.text
    assert f"{result.history.metric[-1]:.4g}" in shown.text
    empty = impact_plugin.History.of(())
    assert "History of 0 iterations" in page(empty).text
    assert "nan" not in page(replace(result, history=empty)).text


def test_curves() -> None:
    assert _html.sparkline([1.0, np.nan]) == ""
    for values in ([1.0, 1.0, 1.0], [1, np.inf, 3, 2], np.arange(10_000.0)):
        points = re.findall(r"[\d.]+,[\d.]+", _html.sparkline(values))
        assert 2 <= len(points) <= 200
        places = np.array([list(map(float, each.split(","))) for each in points])
        assert (places >= 0).all()
        assert (places <= [160, 24]).all()


def test_a_rerun(saved: Path, result: impact_plugin.RegistrationResult) -> None:
    again = impact_plugin.rerun(saved / "out", progress=False)
    assert "Registration run again: the same to the bit" in page(again).text
    other = replace(again, same=False, differences=(HOSTILE,) * 100, remarks=(HOSTILE,))
    assert page(other).text.count(HOSTILE) == 20
    assert "not the same" in page(other).text
    assert "map 1 1 5" in page(replace(again, result=result)).text


def test_an_evaluation() -> None:
    errors = LandmarkErrors.between(np.zeros((2, 3)), np.eye(3)[:2] * [[1], [2]], (HOSTILE, "b"))
    steps = (StepEvaluation("unregistered", errors), *(StepEvaluation(HOSTILE, errors),) * 2)
    shown = page(Evaluation(steps))
    assert "Error of 2 landmarks, mm mean" in shown.text
    assert shown.text.count(HOSTILE) == 2
    assert shown.text.count("1.50") == 6
    assert page(Evaluation((StepEvaluation("unregistered"),))).text == "Evaluation"


def test_a_cohort(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "pair": [f"{HOSTILE}{number}" for number in range(1000)],
            "status": ["failed"] + ["done"] * 999,
            "seconds": 1.5,
        }
    )
    shown = page(cohort.CohortResult(tmp_path, table))
    assert "Cohort of 1000 registrations, 1 not done" in shown.text
    assert f"{HOSTILE}0" in shown.text
    assert str(tmp_path / "cohort.csv") in shown.text


def test_features(tmp_path: Path) -> None:
    grid = Geometry((4, 3), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    features = FeatureMap(2, np.zeros((3, 4, 5), np.float32), grid)
    shown = page(FeatureView(tmp_path, tmp_path / HOSTILE, (features,), (), ()))
    assert "2 5 4 x 3" in shown.text
    assert HOSTILE in shown.text


def test_parameters() -> None:
    level = Level(models=Model(path="<b>.pt", voxel_size=1, patch_size=3))
    shown = page(Parameters.around([level, level]))
    assert "Parameters of 2 levels, 3D" in shown.text
    assert "2 Jacobian cpu <b>.pt" in shown.text
    assert "NumberOfResolutions 2" in shown.text


# What show() does


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was asked to open."""
    addresses: list[str] = []

    def note(address: str) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    return addresses


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_show_in_a_browser(
    saved: Path,
    result: impact_plugin.RegistrationResult,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    result.show()
    assert opened == [(saved / "out/report.html").as_uri()]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    result.show()
    assert str(saved / "out/report.html") in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_show_without_a_display(
    tmp_path: Path,
    result: impact_plugin.RegistrationResult,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result.show(tmp_path / "here.html", slices=2)
    assert opened == []
    assert capsys.readouterr().out.endswith(f"registration is {tmp_path / 'here.html'}\n")
    assert (tmp_path / "here.html").is_file()


def test_show_in_a_notebook(
    saved: Path,
    result: impact_plugin.RegistrationResult,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: list[str] = []
    shell = SimpleNamespace(kernel=object())
    ipython = ModuleType("IPython")
    display = ModuleType("IPython.display")
    vars(ipython).update(get_ipython=lambda: shell)
    vars(display).update(HTML=lambda text: text, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    (saved / "out/report.html").unlink(missing_ok=True)
    result.show(slices=2)
    assert len(shown) == 1
    assert shown[0].startswith('<div><iframe srcdoc="&lt;!')  # bare ones IPython warns of
    assert shown[0].count("<") == 4  # the page is escaped
    assert not (saved / "out/report.html").exists()
    assert opened == []
    assert capsys.readouterr().out == ""
    # IPython in a terminal is no notebook.
    del shell.kernel
    monkeypatch.setenv("DISPLAY", ":0")
    result.show(slices=2)
    assert len(opened) == len(shown) == 1
