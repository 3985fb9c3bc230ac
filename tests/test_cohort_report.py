"""The page of a cohort: its figures, its pictures, and what it claims."""

from __future__ import annotations

import base64
import html
import io
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

import impact_plugin
from helpers import browser, cohort_tables, programs
from helpers.cohort_tables import done, failed
from helpers.images import Scene, shift
from helpers.registrations import GRIDS, SHIFTS
from impact_plugin import cohort
from impact_plugin.cohort import table
from impact_plugin.cohort.report import cases, comparisons, facts
from impact_plugin.cohort.report.measures import MEASURES
from impact_plugin.images.grid import Geometry
from impact_plugin.report import planes

HOSTILE = "<script>alert(1)</script> $x_{ $"
BY_COLUMN = {each.column: each for each in MEASURES}
ERROR = BY_COLUMN["tre_mean_mm"]


def cells(page: str, after: str) -> list[list[str]]:
    """Give the cells of the first table after some text."""
    found = re.search(r"<table>(.*?)</table>", page[page.index(after) :], re.DOTALL)
    assert found
    rows = re.findall(r"<tr>(.*?)</tr>", found[1], re.DOTALL)
    return [[html.unescape(x) for x in re.findall(r"<t[hd][^>]*>(.*?)</t", row)] for row in rows]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> cohort.CohortResult:
    """A cohort of oblique images with landmarks and label maps, and of one that fails."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["pair,fixed,moving,fixed_points,moving_points,fixed_labels,moving_labels,iterations"]
    for dimension in (2, 3):
        grid = GRIDS[dimension]
        scene = Scene(grid)
        images = {"f": scene.seen(grid), "m": scene.seen(grid, shift(*-SHIFTS[dimension]))}
        ends = np.array([[0.2, 0.3, 0.4], [0.6, 0.5, 0.7], [0.8, 0.7, 0.3]])[:, :dimension]
        points = grid.at(ends * (np.array(grid.size) - 1))
        for (name, image), places in zip(
            images.items(), (points, points + SHIFTS[dimension]), strict=True
        ):
            path = image.write(folder / f"{name}{dimension}.mha")
            labels = sitk.BinaryThreshold(sitk.ReadImage(str(path)), 300, 1e9, 3, 0)
            sitk.WriteImage(labels, str(folder / f"{name}{dimension}l.mha"))
            text = "\n".join(" ".join(map(repr, row)) for row in places.tolist())
            (folder / f"{name}{dimension}.txt").write_text(f"point\n{len(points)}\n{text}\n")
        d = dimension
        rows.append(
            f"in{d}d,f{d}.mha,m{d}.mha,f{d}.txt,m{d}.txt,f{d}l.mha,m{d}l.mha,40",
        )
    sitk.WriteImage(sitk.Image([16, 16, 16], sitk.sitkFloat32), str(folder / "constant.mha"))
    rows.append("constant,f3.mha,constant.mha,,,,,2")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return cohort.register_cohort(
        folder / "pairs.csv", folder / "out", preset="rigid_mind", workers=2, progress=False
    )


def test_page_in_a_browser(registered: cohort.CohortResult) -> None:
    """Complete, quiet, drawn; the figures in it are those of the table."""
    assert registered.report == registered.folder / "report.html"
    text = registered.report.read_text(encoding="utf-8")
    assert "3 pairs, each registered in 1 way: of 3 registrations 2 done, 1 failed." in text
    with browser.opened(registered.report) as shown:
        # Two cases of which one is 2D, before and after; a chart for each measure but folding,
        # which is the same of all.
        shown.check_pictures(at_least=2 * (1 + 3) + 6)
        body = shown.page.inner_text("body")
        shown.check_fits()
        shown.check_quiet()
    assert registered.table["error"][2].splitlines()[0] in body
    assert f"impact-plugin {impact_plugin.__version__}" in body
    rows = pd.read_csv(registered.folder / "cohort.csv").set_index("pair")
    for measure in MEASURES:
        shown_rows = {row[0]: row[1:] for row in cells(text, f'id="{measure.column}"')}
        for name, column in (("before", measure.before), ("rigid_mind", measure.column)):
            if not column:
                continue
            values = rows[column].dropna()[["in2d", "in3d"]] * measure.factor
            expected = [2, values.mean(), values.min(), values.quantile(0.05)]
            assert [float(x) for x in shown_rows[name][:4]] == pytest.approx(expected, rel=1e-3)
            assert float(shown_rows[name][-1]) == pytest.approx(values.max(), rel=1e-3)
    listed = {row[0]: row for row in cells(text, 'id="registrations"')[1:]}
    assert next(iter(listed)) == "constant"  # what is not done comes first
    assert float(listed["in3d"][5]) == pytest.approx(rows["tre_mean_mm"]["in3d"], rel=1e-3)


def test_pictures_are_of_the_registrations(registered: cohort.CohortResult) -> None:
    """Magenta and green lie apart before, and together they are grey after."""
    for pair, number in (("in2d", 1), ("in3d", 3)):
        found, notes = cases.slices(registered.folder / f"pairs/{pair}/rigid_mind")
        assert notes == []
        apart = {}
        for when, drawn in found.items():
            assert len(drawn) == number
            for plane, uri in drawn.items():
                data = io.BytesIO(base64.b64decode(uri.split(",")[1]))
                colours = np.asarray(Image.open(data).convert("RGB"), dtype=float)
                # Not the rim: what comes from outside the moving image there has no partner.
                rows, columns = (slice(n // 5, n - n // 5) for n in colours.shape[:2])
                inner = colours[rows, columns]
                apart[when, plane] = np.abs(inner[..., 0] - inner[..., 1]).mean()
        for plane in found["after"]:
            assert apart["after", plane] < 0.4 * apart["before", plane]


def test_slices_lie_where_the_voxels_are() -> None:
    generator = np.random.default_rng(0)
    image = sitk.GetImageFromArray(generator.normal(size=(5, 7, 9)))
    image.SetSpacing((0.9, 1.1, 2.5))
    image.SetOrigin((10, -20, 30))
    image.SetDirection((0, 0, -1, 1, 0, 0, 0, 1, 0))
    array, grid = planes.oriented(image), planes.nearest_to_lps(Geometry.of(image))
    for plane in planes.PLANES_3D:
        assert plane.across is not None
        size = grid.size[plane.right], grid.size[plane.vertical]
        resampler = sitk.ResampleImageFilter()
        planes.slice_grid(grid, plane, size).set_on(resampler)
        got = plane.slice(sitk.GetArrayFromImage(resampler.Execute(image)), 0)
        middle = plane.slice(array, grid.size[plane.across] // 2)
        np.testing.assert_allclose(got, middle, atol=1e-6)
        # Twice as coarse: the first pixel's centre lies between the first two voxels.
        half = planes.slice_grid(grid, plane, (2, 2))
        assert half.centre == pytest.approx(planes.slice_grid(grid, plane, size).centre)


def test_damaged_results(registered: cohort.CohortResult, tmp_path: Path) -> None:
    """What cannot be drawn says why, and the rest of the page is there."""
    rows = [done("a", "v", tre_mean_mm=1.0), done("b", "v", tre_mean_mm=2.0)]
    folder = cohort_tables.write(tmp_path / "c", rows, {"v": ["mind"]})
    found = facts.read(folder)
    shown = cases.worst(found, 5)
    assert [case.pair for case in shown] == ["b", "a"]
    cases.draw(found, shown)
    assert all("does not exist" in case.notes[0] for case in shown)
    out = folder / "pairs/b/v"
    out.mkdir(parents=True)
    (out / "result.json").write_text('{"transform": ')
    page = impact_plugin.write_cohort_report(folder).read_text()
    assert "is no JSON file" in page
    real = facts.read(registered.folder)
    shown = cases.worst(real, 5)
    cases.draw(real, shown, budget=1)
    assert shown[0].pictures
    assert "take all their room" in shown[1].notes[0]


def test_hostile_names(tmp_path: Path) -> None:
    rows = [
        done(HOSTILE, HOSTILE, tre_mean_mm=1.0, before_tre_mean_mm=2.0),
        done("日本 \x07", HOSTILE, tre_mean_mm=float("inf"), before_tre_mean_mm=float("nan")),
        failed(HOSTILE, "../../x", f"ValueError: {HOSTILE}"),
        failed("b", "../../x", "x" * 100_000),
        done("b", "変形", tre_mean_mm=3.0),
    ]
    folder = cohort_tables.write(tmp_path / "c", rows, {HOSTILE: [HOSTILE], "../../x": ["mind"]})
    path = impact_plugin.write_cohort_report(folder)
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert html.escape(HOSTILE) in page
    assert len(page) < 300_000
    with browser.opened(path) as shown:
        body = shown.page.inner_text("body")
        shown.check_fits()
        shown.check_quiet()
    assert f"ValueError: {HOSTILE}" in body


def test_nothing_done(tmp_path: Path) -> None:
    rows = [failed(f"p{i}", v, f"OSError: no file 'x{i}.mha'") for i in range(40) for v in "ab"]
    rows.append(cohort.Row(pair="q", variant="a", status="not run", error=""))
    folder = cohort_tables.write(tmp_path / "c", rows, {"a": ["mind"], "b": ["mind"]})
    page = impact_plugin.write_cohort_report(folder).read_text()
    assert "of 81 registrations 0 done, 80 failed, 1 not run." in page
    assert "80 registrations</strong>, a, b: p0, p0, p1" in page  # one cause
    assert "and 72 more" in page
    assert "Nothing is done" in page
    assert "There is no pair of which both are done" in page


def test_one_variant_without_landmarks(tmp_path: Path) -> None:
    """The metric then says which are the worst, by its rank within the variant."""
    rows = [done(f"p{i}", "a", metric=float(i), folding=0.0) for i in range(5)]
    folder = cohort_tables.write(tmp_path / "c", rows, {"a": ["mind"]})
    page = impact_plugin.write_cohort_report(folder, worst=2).read_text()
    assert "There is one variant only" in page
    assert "There are no landmarks and no label maps" in page
    assert "worst by metric: 4 with a" in page
    assert page.count('class="case"') == 2
    assert "mean error" not in page
    rows += [done(f"p{i}", "b", metric=1000.0 - i) for i in range(5)]
    found = facts.read(cohort_tables.write(tmp_path / "c", rows, {"a": [], "b": []}))
    assert [case.pair for case in cases.worst(found, 2)] == ["p4", "p0"]


def test_bootstrap_is_scipys() -> None:
    sample = np.random.default_rng(3).lognormal(0, 1, 60)
    expected = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="percentile", random_state=0
    ).confidence_interval
    got = comparisons.bootstrap_mean(sample)
    width = expected.high - expected.low
    assert got == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    assert got == comparisons.bootstrap_mean(sample)  # the seed is fixed


def test_intervals_hold_the_truth() -> None:
    """Of means that are known, about as often as is said."""
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = comparisons.bootstrap_mean(generator.normal(1.0, 2.0, 30))
        hits += low <= 1.0 <= high
    assert 0.88 < hits / 200 < 0.99


def compared(
    errors: dict[str, NDArray[np.float64]], column: str = "tre_mean_mm"
) -> comparisons.Comparison:
    rows = [
        done(f"p{i}", variant, **{column: float(value)})
        for variant, values in errors.items()
        for i, value in enumerate(values)
    ]
    rows.append(failed("other", "a", "ValueError: x"))
    found = comparisons.compare(table.make(rows), BY_COLUMN[column], "a", "b")
    assert found is not None
    return found


def test_comparisons() -> None:
    generator = np.random.default_rng(0)
    first = generator.uniform(2, 4, 50)
    second = first - 0.5 + generator.normal(0, 0.1, 50)
    found = compared({"a": first, "b": second})
    assert found.means == pytest.approx((first.mean(), second.mean()))
    assert found.interval is not None
    # Far narrower than the spread between pairs, since it is paired.
    assert found.interval == pytest.approx((-0.53, -0.47), abs=0.03)
    assert found.better_in == 50
    assert found.left_out == 1
    assert found.conclusion == "mean error: lower with b than with a, on average: better."
    worse = compared({"a": first, "b": second}, "dice_mean")
    assert worse.conclusion == "Dice: lower with b than with a, on average: worse."
    assert worse.better_in == 0
    none = compared({"a": first, "b": first + generator.normal(0, 0.5, 50)})
    assert "no difference is shown" in none.conclusion
    same = compared({"a": first, "b": first})
    assert same.conclusion == "mean error: the same in each of 50 pairs."
    few = compared({"a": first[:19], "b": second[:19]})
    assert few.interval is None
    assert few.conclusion == "mean error: nothing; 19 pairs are too few (at least 20)."


def test_pairs_that_only_one_finished_are_left_out(tmp_path: Path) -> None:
    rows = cohort_tables.measured(30, {"a": 0.5, "b": 0.25})
    for index in range(0, 10, 2):  # of a, the first five pairs
        rows[2 * index] = failed(f"p{index}", "a", "ValueError: x")
    folder = cohort_tables.write(tmp_path / "c", rows, {"a": ["mind"], "b": ["mind"]})
    page = impact_plugin.write_cohort_report(folder).read_text()
    row = cells(page, 'id="comparison"')[1]
    wide = table.make(rows).pivot(index="pair", columns="variant", values="tre_mean_mm").dropna()
    assert len(wide) == 25
    difference = (wide["b"] - wide["a"]).mean()
    expected = [wide["a"].mean(), wide["b"].mean(), difference]
    assert [float(x) for x in row[1:4]] == pytest.approx(expected, rel=1e-3)
    assert row[5:] == ["25 of 25", "5"]
    assert "mean error: lower with b than with a, on average: better." in page


def test_ten_thousand_pairs(tmp_path: Path) -> None:
    """Ten times as many pairs take less than twenty times the processor time; a page, no more."""

    def written(pairs: int, bad: int) -> tuple[Path, float]:
        rows = cohort_tables.measured(pairs, {"a": 0.3, "b": 0.25})
        rows += [failed(f"bad{i}", "a", f"E{'x' * (i % 50)}: {i}") for i in range(bad)]
        variants = {"a": ["mind"], "b": ["mind"]}
        folder = cohort_tables.write(tmp_path / str(pairs), rows, variants)
        begun = time.process_time()
        path = impact_plugin.write_cohort_report(folder)
        return path, time.process_time() - begun

    written(10, 1)  # what happens once, such as imports, is not to be timed
    _, of_tenth = written(1000, 50)
    path, taken = written(10_000, 500)
    assert taken < 20 * of_tenth
    assert path.stat().st_size < 500_000
    page = path.read_text()
    assert "20300 more are in cohort.csv" in page
    assert "other causes" in page


def test_folding_of_large_images() -> None:
    """Every voxel of small images; of large ones a coarser grid over the same area."""
    grid = Geometry((100, 90, 80), (1.0, 1.5, 2.0), (5.0, 6.0, 7.0), (0, 1, 0, 1, 0, 0, 0, 0, 1))
    assert grid.thinned(720_000) == grid
    thin = grid.thinned(719_999)
    assert thin.size == (50, 45, 40)
    indices = np.array([[3, 2, 1]])
    places = indices @ thin.matrix.T + thin.origin
    assert places == pytest.approx(2 * indices @ grid.matrix.T + grid.origin)
    assert grid.thinned(30).size == (3, 3, 3)


def test_types_of_the_table(tmp_path: Path) -> None:
    """They are the same whatever is missing, in memory and in the file."""
    empty = table.make([cohort.Row(pair="p", variant="v", status="not run", error="")])
    full = table.make(cohort_tables.measured(2, {"a": 1.0}))
    assert dict(empty.dtypes) == dict(full.dtypes)
    schemas = []
    for name, made in (("empty", empty), ("full", full)):
        (tmp_path / name).mkdir()
        table.write(made, tmp_path / name)
        read = pd.read_parquet(tmp_path / name / table.PARQUET)
        schemas.append({c: str(t) for c, t in read.dtypes.items()})
        assert list(read.columns) == list(table.COLUMNS)
    assert schemas[0] == schemas[1]
    assert (tmp_path / "full/cohort.csv").read_text().splitlines()[1].startswith("p0,a,done,,,1,")


def test_a_cohort_without_its_page(
    registered: cohort.CohortResult,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is lost where the page cannot be made."""

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("impact_plugin.cohort.report.page.write", full)
    from impact_plugin.cohort import api
    from impact_plugin.cohort.journal import Journal

    assert api._report(registered.folder, Journal(registered.folder, show=True)) is None
    assert "no report: [Errno 28] No space left" in capsys.readouterr().err


def test_command(registered: cohort.CohortResult, tmp_path: Path) -> None:
    def command(*arguments: object) -> tuple[int, str]:
        ran = programs.plugin("cohort-report", *arguments)
        return ran.exit_code, ran.output

    code, said = command(registered.folder, "-o", tmp_path / "a.html", "--worst", 0)
    assert code == 0, said
    assert said.startswith(f"{tmp_path / 'a.html'} (")
    assert "data:image/webp" in (tmp_path / "a.html").read_text()
    assert 'class="case"' not in (tmp_path / "a.html").read_text()
    code, said = command(tmp_path)
    assert code == 1
    assert "is no cohort's folder: there is no cohort.parquet" in said
    (tmp_path / "cohort.parquet").write_text("no")
    code, said = command(tmp_path)
    assert code == 1
    assert "cannot be read" in said
    assert command(registered.folder, "--worst", -1)[0] == 2
