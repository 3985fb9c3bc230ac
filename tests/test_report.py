"""The page of a registration: what is on it, what it does in a browser, and what it refuses."""

from __future__ import annotations

import json
import logging
import math
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

import impact_plugin
from helpers import browser, programs
from helpers.images import Scene, shift
from helpers.pairs import on_grid
from helpers.registrations import GRIDS, SHIFTS
from impact_plugin.elastix.errors import find_cause
from impact_plugin.elastix.levels import Levels
from impact_plugin.folders import elastix_log
from impact_plugin.images.grid import Geometry
from impact_plugin.report import planes
from impact_plugin.report.registration import deformation
from impact_plugin.report.registration.deformation import Deformation
from impact_plugin.transforms import to_elastix
from impact_plugin.transforms.chain import Chain, of_maps

ENDS = np.array([[0.2, 0.3, 0.4], [0.6, 0.5, 0.7], [0.8, 0.7, 0.3]])


@pytest.fixture(scope="module", params=[2, 3])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved registration of oblique images, with landmarks and label maps beside it."""
    dimension = request.param
    folder = tmp_path_factory.mktemp(f"saved{dimension}")
    grid = GRIDS[dimension]
    scene = Scene(grid)
    fixed = scene.seen(grid).write(folder / "fixed.mha")
    moving = scene.seen(grid, shift(*-SHIFTS[dimension])).write(folder / "moving.mha")
    points = grid.at(ENDS[:, :dimension] * (np.array(grid.size) - 1))
    for name, places in (("fixed", points), ("moving", points + SHIFTS[dimension])):
        rows = "\n".join(" ".join(map(repr, row)) for row in places.tolist())
        (folder / f"{name}.txt").write_text(f"point\n{len(points)}\n{rows}\n")
    for name, image in (("fixed", fixed), ("moving", moving)):
        labels = sitk.BinaryThreshold(sitk.ReadImage(str(image)), 300, 1e9, 3, 0)
        sitk.WriteImage(labels, str(folder / f"{name}_labels.mha"))
    result = impact_plugin.register_images(
        fixed,
        moving,
        preset="rigid_mind",
        iterations=60,
        output_directory=folder / "out",
        threads=1,
    )
    result.save(folder / "out")
    return folder


def command(*arguments: object) -> tuple[int, str]:
    ran = programs.plugin(*arguments)
    return ran.exit_code, ran.output


def test_page_in_a_browser(saved: Path) -> None:
    """No complaint, no request, all pictures drawn; sliders and modes change what is seen."""
    code, said = command(
        "report",
        saved / "out",
        *("--fixed-points", saved / "fixed.txt"),
        *("--moving-points", saved / "moving.txt"),
        *("--fixed-labels", saved / "fixed_labels.mha"),
        *("--moving-labels", saved / "moving_labels.mha"),
    )
    assert code == 0, said
    path = saved / "out" / "report.html"
    assert said.startswith(str(path))
    assert path.stat().st_size < 1.5e6
    dimension = 2 if "saved2" in str(saved) else 3
    number_of_planes = 1 if dimension == 2 else 3
    with browser.opened(path) as shown:
        shown.wait_shown("canvas-0", "colours step 1")
        assert shown.page.locator("canvas").count() == number_of_planes
        shown.check_pictures(at_least=2 * number_of_planes + 2)
        pictures = {}
        for mode in (
            *("colours", "fade", "checkerboard", "difference"),
            *("determinant", "grid", "fixed", "moving"),
        ):
            shown.page.select_option("#mode", mode)
            shown.wait_shown("canvas-0", f"{mode} ")
            pictures[mode] = shown.pixels("canvas-0")
            assert max(pictures[mode][0::4]) > min(pictures[mode][0::4])
        assert len({tuple(picture) for picture in pictures.values()}) == len(pictures)

        shown.page.select_option("#step", "step 0")
        shown.wait_shown("canvas-0", "moving step 0")
        assert shown.pixels("canvas-0") != pictures["moving"]

        shown.page.select_option("#mode", "fade")
        shown.slide("amount", 0)
        shown.page.wait_for_function(
            "() => /^fade .* 0$/.test(document.getElementById('canvas-0').dataset.shown)"
        )
        assert shown.pixels("canvas-0") == pictures["fixed"]
        if dimension == 3:
            before = shown.page.inner_text("#place-1")
            shown.slide("slice-1", 2)
            shown.page.wait_for_function(
                "() => / 2 0$/.test(document.getElementById('canvas-1').dataset.shown)"
            )
            assert shown.page.inner_text("#place-1") != before
            assert "slice" in str(shown.page.get_attribute("#canvas-1", "aria-label"))
        else:
            assert not shown.page.is_visible("#slice-0")
        text = shown.page.inner_text("body")
        shown.check_fits()
        shown.check_quiet()
    for expected in ("rigid_mind", "Nothing is folded", "label 3", "3 landmarks", "iterations, le"):
        assert expected in text
    errors = re.search(r"registered\t([\d.]+)", text)
    assert errors
    assert float(errors[1]) < 0.3  # mm; 3.2 to 4 before


def test_slices_are_those_of_the_images(saved: Path) -> None:
    """What the browser shows of the fixed image is the fixed image."""
    path = impact_plugin.write_report(saved / "out", saved / "again.html", window=(-200, 500))
    image = sitk.ReadImage(str(saved / "fixed.mha"))
    array = planes.oriented(image)
    plane = planes.planes_of(Geometry.of(image))[0]
    with browser.opened(path) as shown:
        shown.page.select_option("#mode", "fixed")
        shown.wait_shown("canvas-0", "fixed ")
        width, height = shown.page.evaluate(
            "() => { const c = document.getElementById('canvas-0'); return [c.width, c.height]; }"
        )
        seen = np.array(shown.pixels("canvas-0")).reshape(height, width, 4)[..., 0]
        shown.check_quiet()
    extent = np.array(image.GetSize()) * image.GetSpacing()
    assert width / height == pytest.approx(extent[0] / extent[1], rel=0.05)
    middle = array.shape[0] // 2 if array.ndim == 3 else 0
    expected = np.clip((plane.slice(array, middle) + 200) / 700 * 255, 0, 255)
    rows = (np.arange(height) + 0.5) / height * expected.shape[0] - 0.5
    columns = (np.arange(width) + 0.5) / width * expected.shape[1] - 0.5
    nearest = expected[np.rint(rows).astype(int)][:, np.rint(columns).astype(int)]
    assert np.abs(seen - nearest).mean() < 8


def test_folder_of_elastix_alone(saved: Path, tmp_path: Path) -> None:
    """Without what this package adds: transforms, log and iterations tell nearly the same."""
    folder = tmp_path / "moved"
    shutil.copytree(saved / "out", folder)
    ours = ("result.json", "record.json", "history.csv", "report.html")
    for name in (*ours, "result.mha", "Parameters.0.txt"):
        (folder / name).unlink(missing_ok=True)
    text = impact_plugin.write_report(folder).read_text()
    assert str(len(impact_plugin.RegistrationResult.load(saved / "out").history)) in text
    for expected in ("registered, middle slices", "NumberOfSpatialSamples", "5.3.1", "level 2"):
        assert expected in text
    record = json.loads((saved / "out" / "record.json").read_text())
    record["versions"] = {"python": "3.99.1", "glibc": None}
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "elastix.log").unlink()  # and without the log, with a record
    text = impact_plugin.write_report(folder).read_text()
    assert "as the images lie, middle slices" in text
    assert "<td>3.99.1</td>" in text
    assert "<td>None</td>" not in text
    (folder / "record.json").write_text("{")
    text = impact_plugin.write_report(folder).read_text()
    assert f"record.json was left out: {folder}/record.json is no JSON file: " in text
    (folder / "record.json").unlink()
    text = impact_plugin.write_report(
        folder, fixed=saved / "fixed.mha", moving=saved / "moving.mha"
    ).read_text()
    assert "There is no elastix.log" in text
    assert "metric from" in text  # of the IterationInfo files
    text = impact_plugin.write_report(folder).read_text()
    assert "The moving image is not known: give it (--moving)." in text
    assert "step 0" not in text


def test_report_of_a_result_in_memory(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = impact_plugin.RegistrationResult.load(saved / "out")
    assert loaded.inputs == (saved / "fixed.mha", saved / "moving.mha")
    images = [sitk.ReadImage(str(saved / f"{name}.mha")) for name in ("fixed", "moving")]
    result = replace(loaded, output_directory=None, inputs=(images[0], images[1]))
    monkeypatch.chdir(saved)
    # A display that is not there, and a backend that wants one, do not matter.
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    assert result.report() == saved / "report.html"
    assert "as the images lie, middle slices" in (saved / "report.html").read_text()
    assert pickle.loads(pickle.dumps(loaded)).inputs == loaded.inputs
    assert pickle.loads(pickle.dumps(result)).inputs is None
    assert json.loads((saved / "out" / "result.json").read_text())["images"] == {
        "fixed": str(saved / "fixed.mha"),
        "moving": str(saved / "moving.mha"),
    }


def affine(matrix: NDArray[np.float64]) -> Chain:
    dimension = len(matrix)
    numbers = [*map(str, matrix.ravel()), *["0"] * dimension]
    return of_maps(
        [
            {
                "Transform": ["AffineTransform"],
                "FixedImageDimension": [str(dimension)],
                "MovingImageDimension": [str(dimension)],
                "FixedInternalImagePixelType": ["float"],
                "MovingInternalImagePixelType": ["float"],
                "HowToCombineTransforms": ["Compose"],
                "UseDirectionCosines": ["true"],
                "ResampleInterpolator": ["FinalBSplineInterpolator"],
                "Resampler": ["DefaultResampler"],
                "NumberOfParameters": [str(len(numbers))],
                "TransformParameters": numbers,
                "CenterOfRotationPoint": ["0"] * dimension,
            }
        ]
    )


def oblique(dimension: int) -> Geometry:
    grid = GRIDS[dimension]
    return Geometry(grid.size, grid.spacing, grid.origin, tuple(grid.direction.ravel().tolist()))


@pytest.mark.parametrize("dimension", [2, 3])
def test_jacobian_determinant_on_oblique_grids(dimension: int) -> None:
    """Of an affine map it is the matrix's, whichever way the grid's axes run."""
    random = np.random.default_rng(4)
    matrix = np.eye(dimension) + 0.3 * random.standard_normal((dimension, dimension))
    found = Deformation.of(affine(matrix), oblique(dimension))
    np.testing.assert_allclose(found.determinant, np.linalg.det(matrix), rtol=2e-3)
    assert found.folded == (found.determinant.size if np.linalg.det(matrix) <= 0 else 0)


def test_folding_is_counted_marked_and_said(saved: Path, tmp_path: Path) -> None:
    loaded = impact_plugin.RegistrationResult.load(saved / "out")
    dimension = loaded.fixed.dimension
    # A displacement field that folds some places: steep waves along x.
    grid = loaded.fixed
    index = np.stack(np.meshgrid(*map(np.arange, grid.size), indexing="ij"), axis=-1).T
    index = np.moveaxis(index, 0, -1)
    field = np.zeros((*grid.size[::-1], dimension))
    field[..., 0] = 5 * np.sin((index @ grid.matrix.T)[..., 0] / 3)  # slopes up to 5/3
    image = on_grid(field, grid, vectors=True)
    maps = of_maps(
        [
            {
                "Transform": ["DeformationFieldTransform"],
                "FixedImageDimension": [str(dimension)],
                "DeformationFieldFileName": ["field.mha"],
                "DeformationFieldInterpolationOrder": ["1"],
            }
        ]
    ).maps
    chain = Chain(maps, {"field.mha": image})
    found = Deformation.of(chain, grid)
    share = found.folded / found.determinant.size
    assert share == pytest.approx(math.acos(3 / 5) / math.pi, abs=0.06)
    plane = planes.planes_of(grid)[0]
    picture = found.determinant_picture(plane, 0.5, (60, 50))
    yellow = (picture == np.array(deformation.FOLDED)).all(axis=-1)
    assert 0.1 < yellow.mean() < 0.6
    result = replace(loaded, chain=chain, output_directory=None)
    text = result.report(tmp_path / "folded.html").read_text()
    assert '<p id="folding" class="warnings">' in text
    assert f"Folded: at {found.folded} of {found.determinant.size} points" in text


def test_grid_is_straight_where_nothing_moves_and_follows_a_shift() -> None:
    geometry = oblique(3)
    plane = planes.PLANES_3D[0]
    still = Deformation.of(Chain(), geometry).grid_picture(plane, 0.5, (120, 130), 8.0)
    assert (still.max(axis=0) == 255).all() or (still.max(axis=1) == 255).all()
    columns = np.flatnonzero(still.min(axis=0) > 0)  # lines from top to bottom
    rows = np.flatnonzero(still.min(axis=1) > 0)
    assert len(columns) > 2
    assert len(rows) > 2


def test_large_image_is_evaluated_on_fewer_points() -> None:
    geometry = Geometry((200, 200, 200), (1.0, 1.0, 1.0), (0, 0, 0), tuple(np.eye(3).ravel()))
    found = Deformation.of(Chain(), geometry)
    assert found.displacement[..., 0].size <= 4_000_000
    assert (found.step, found.determinant.size) == (1, 200**3)
    thin = geometry.thinned(1_000_000)
    assert (thin.size, thin.spacing) == ((100, 100, 100), (2.0, 2.0, 2.0))
    np.testing.assert_allclose(found.geometry.centre, geometry.centre)
    np.testing.assert_allclose(np.array(found.geometry.size) * found.geometry.spacing, 200)


def test_log_of_a_registration_that_failed(tmp_path: Path) -> None:
    log = tmp_path / "elastix.log"
    log.write_text(
        "-f        /data/a b.mha\n-m        unspecified\n"
        'WARNING: The parameter "SP_A", requested at entry number 0, does not exist at all.\n'
        "WARNING: something odd\nWARNING: something odd\n<script>alert(1)</script>\n"
    )
    facts = elastix_log.read(log)
    assert facts.fixed == "/data/a b.mha"
    assert facts.moving == ""
    assert facts.warnings == ["WARNING: something odd (2 times)"]
    assert not facts.finished


OWN_MESSAGES = {
    "at the beginning": 'Metric "Impact" cannot run:',
    "later": 'Metric "Impact" cannot go on (resolution level 0, iteration 12):',
}


@pytest.mark.parametrize("when", OWN_MESSAGES)
def test_all_lines_of_the_metric_s_message(when: str, tmp_path: Path) -> None:
    """In the report, in the error and in the log of Python: one knowledge of how it begins."""
    lines = [
        *("itk::ExceptionObject (0x55d0c8a3b2f0)", f"Description: ITK ERROR: {OWN_MESSAGES[when]}"),
        *("Layer 2: 3 channels were expected.", "The model gave 4.", "Errors occurred!", ""),
        "Something else",
    ]
    message = [OWN_MESSAGES[when], "Layer 2: 3 channels were expected.", "The model gave 4."]
    assert find_cause(lines) == "\n".join(message)
    log = tmp_path / "elastix.log"
    log.write_text("\n".join(lines) + "\n")
    assert elastix_log.read(log).warnings == [lines[1], *message[1:], "Errors occurred!"]
    levels = Levels()
    raised = [line for line in lines if levels.of(line) == logging.ERROR]
    assert raised == [lines[1], *message[1:], "Errors occurred!"]


def test_the_failure_of_another_metric(tmp_path: Path) -> None:
    """What ITK's exceptions describe, with the lines that go on."""
    lines = [
        *("0\t-0.5\t1.0", "Stopping condition: Error in metric.", "itk::ExceptionObject (0x55d0)"),
        "Description: ITK ERROR: AdvancedMattesMutualInformation(0x55d1):",
        *("Too many samples map outside moving image buffer: 0 / 2000", "", "Errors occurred!"),
    ]
    log = tmp_path / "elastix.log"
    log.write_text("\n".join(lines) + "\n")
    assert elastix_log.read(log).warnings == [*lines[3:5], "Errors occurred!"]


@pytest.mark.parametrize("saved", [3], indirect=True)
def test_images_that_the_record_kept(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(saved / "out", folder)
    (folder / "inputs").mkdir()
    for name in ("fixed", "moving"):
        shutil.copy(saved / f"{name}.mha", folder / "inputs")
    gone = {name: f"/gone/{name}.mha" for name in ("fixed", "moving")}
    for file in ("record.json", "result.json"):
        content = json.loads((folder / file).read_text())
        if file == "result.json":
            content["images"] = gone
        for name in gone if file == "record.json" else ():
            kept = {"path": gone[name], "stored": f"inputs/{name}.mha"}
            content["images"][name] = content["images"][name] | kept
        (folder / file).write_text(json.dumps(content))
    assert "no longer at" not in impact_plugin.write_report(folder).read_text()
    shutil.rmtree(folder / "inputs")
    text = impact_plugin.write_report(folder).read_text()
    assert "The fixed image is no longer at /gone/fixed.mha: give it (--fixed)." in text


@pytest.mark.parametrize("saved", [3], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], r"missing does not exist .*expected the output folder of a registration"),
        (["."], r"holds no registration: neither result.json.*nor TransformParameters.0.txt"),
        (["saved", "-f", "cut.mha"], r"the fixed image \(--fixed\) does not lie on the grid of"),
        (["saved", "-m", "flat.mha"], r"the moving image \(--moving\) has 2 dimensions"),
        (["saved", "-f", "gone.mha"], r"the fixed image: there is no file 'gone.mha'"),
        (["saved", "-f", "fixed.txt"], r"the fixed image: 'fixed.txt' cannot be read as an image"),
        (["saved", "--fixed-points", "fixed.txt"], "fixed_points and moving_points go together"),
        (
            ["saved", "--fixed-points", "cut.mha", "--moving-points", "fixed.txt"],
            r"cut\.mha",
        ),
        (
            ["saved", "--fixed-points", "far.txt", "--moving-points", "far.txt"],
            "no landmark lies inside the images",
        ),
        (
            ["saved", "--fixed-labels", "less.mha", "--moving-labels", "less.mha"],
            "fixed_labels does not lie on the grid of the fixed image: size",
        ),
        (
            ["saved", "--fixed-labels", "fixed.mha", "--moving-labels", "fixed.mha"],
            "fixed_labels is no label map: it has the value",
        ),
        (["saved", "--window", "5", "5"], r"window is \(5.0, 5.0\), expected two intensities"),
        (["saved", "-o", "."], "is a folder, expected the name of an HTML file"),
        (["saved", "-o", "fixed.txt/report.html"], r"report.html cannot be written: "),
    ],
)
def test_what_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(saved)
    image = sitk.ReadImage("fixed.mha")
    sitk.WriteImage(image[1:], "cut.mha")
    sitk.WriteImage(image[:, :, 3], "flat.mha")
    sitk.WriteImage(sitk.ReadImage("fixed_labels.mha")[1:], "less.mha")
    Path("far.txt").write_text("point\n1\n9000 9000 9000\n")
    code, said = command("report", *["out" if each == "saved" else each for each in arguments])
    assert code == 1
    assert "Traceback" not in said
    assert re.search(message, " ".join(said.split())), said


def test_library_that_is_missing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(ImportError, match=r'need jinja2.*pip install "impact-plugin\[report\]"'):
        impact_plugin.write_report(saved / "out")


@pytest.mark.parametrize("fold", [False, True])
def test_folding_is_what_evaluate_says(saved: Path, tmp_path: Path, fold: bool) -> None:
    """One computation, whatever the image's orientation: of B-splines elastix's derivatives."""
    loaded = impact_plugin.RegistrationResult.load(saved / "out")
    grid = loaded.fixed
    image = on_grid(np.zeros(grid.size[::-1], np.uint8), grid)
    spline = sitk.BSplineTransformInitializer(image, [4] * grid.dimension, 3)
    random = np.random.default_rng(5)
    number = len(spline.GetParameters())
    spline.SetParameters((random.normal(size=number) * (16 if fold else 0.5)).tolist())
    result = replace(loaded, chain=to_elastix.from_sitk(spline, grid), output_directory=None)
    said = result.evaluate().after.jacobian
    assert said
    assert (said.folding > 0.01) == fold
    found = Deformation.of(result.chain, grid)
    assert found.jacobian == said
    assert found.folded == round(said.folding * said.voxels)
    at = tuple(n // 2 for n in grid.size)
    place = np.array(image.TransformIndexToPhysicalPoint(at))
    steps = 1e-4 * np.eye(grid.dimension)
    columns = [
        (np.array(spline.TransformPoint(place + s)) - spline.TransformPoint(place - s)) / 2e-4
        for s in steps
    ]
    middle = np.linalg.det(np.array(columns).T)
    assert np.abs(found.determinant - middle).min() < 1e-4  # elastix's are of floats
    text = result.report(tmp_path / "page.html", slices=2).read_text()
    if fold:
        shown = f"Folded: at {found.folded} of {said.voxels} points ({100 * said.folding:.3g} %)"
    else:
        shown = f"Nothing is folded: the Jacobian determinant is above 0 at all {said.voxels}"
    assert shown in text
    assert f"{said.min:.4g}" in text
