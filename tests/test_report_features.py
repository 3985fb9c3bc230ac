"""The features that a network sees: as images in place, in colours, and under translations."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
import impact_testing
from helpers import browser, programs
from helpers.images import Scene, shift
from helpers.registrations import GRIDS
from impact_plugin import _core, _networks
from impact_plugin.images.grid import Geometry
from impact_plugin.report.features import extraction, scans
from impact_plugin.report.features.colours import Basis
from impact_plugin.report.features.scans import Curve

ALONG_X = 3.0  # mm, from the fixed to the moving image


def images(dimension: int, folder: Path) -> tuple[Path, Path]:
    grid = GRIDS[dimension]
    scene = Scene(grid)
    back = shift(-ALONG_X, *[0.0] * (dimension - 1))
    return (
        scene.seen(grid).write(folder / "fixed.mha"),
        scene.seen(grid, back).write(folder / "moving.mha"),
    )


@pytest.mark.parametrize("dimension", [2, 3])
def test_pair_whose_shift_is_known(dimension: int, layers: dict[int, str], tmp_path: Path) -> None:
    """The minimum is where the moving image is; files lie where the features do."""
    fixed, moving = images(dimension, tmp_path)
    options = "--layers 0,2 --range 5 --steps 21 --distance L2 --distance NCC --samples 600"
    ran = programs.plugin(
        *("features", fixed, "--model", layers[dimension], "-m", moving, "-o", tmp_path / "out"),
        *("--format", "nii.gz", *options.split()),
    )
    assert ran.exit_code == 0, ran.output
    out = tmp_path / "out"
    with (out / "sharpness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["distance"]) for row in rows] == [
        (layer, distance) for layer in ("0", "2") for distance in ("L2", "NCC")
    ]
    for row in rows:
        assert float(row["minimum x (mm)"]) == pytest.approx(ALONG_X, abs=0.51)
        assert abs(float(row["minimum y (mm)"])) <= 1.01
        assert row["minimum at identity"] == "False"
    curves = json.loads((out / "sharpness.json").read_text())[0]["curves"]
    assert len(curves["x"]["values"]) == 21

    grid = GRIDS[dimension]
    image = sitk.ReadImage(str(fixed))
    for name in ("fixed_layer0", "fixed_layer0_rgb", "moving_layer2", "moving_layer2_rgb"):
        written = sitk.ReadImage(str(out / f"{name}.nii.gz"))
        step = 2 if "layer2" in name else 1
        np.testing.assert_allclose(written.GetSpacing(), step * np.array(grid.spacing), rtol=1e-5)
        np.testing.assert_allclose(written.GetDirection(), image.GetDirection(), atol=1e-5)
        # The first voxel of a strided layer is centred half a voxel in.
        first = image.TransformContinuousIndexToPhysicalPoint([(step - 1) / 2] * dimension)
        np.testing.assert_allclose(written.GetOrigin(), first, atol=1e-3)
        channels = 3 if "rgb" in name else 1 if "layer0" in name else 6
        assert written.GetNumberOfComponentsPerPixel() == channels
    # Layer 0 is the image over 300, where it was.
    layer = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "fixed_layer0.nii.gz")))
    np.testing.assert_allclose(
        layer.reshape(image.GetSize()[::-1]), sitk.GetArrayFromImage(image) / 300, atol=1e-5
    )

    with browser.opened(out / "features.html") as shown:
        shown.wait_shown("canvas-0-moving", "0 ")
        shown.check_pictures(at_least=5)
        before = {side: shown.pixels(f"canvas-0-{side}") for side in ("fixed", "moving")}
        assert before["fixed"] != before["moving"]
        shown.page.select_option("#layer", "2")
        shown.wait_shown("canvas-0-moving", "2 ")
        assert shown.pixels("canvas-0-fixed") != before["fixed"]
        if dimension == 3:
            old = shown.pixels("canvas-2-fixed")
            shown.slide("slice-2", 1)
            shown.wait_shown("canvas-2-moving", "2 1 ")
            assert shown.pixels("canvas-2-fixed") != old
        assert shown.page.locator("#table tbody tr").count() == 4
        shown.check_fits()
        shown.check_quiet()


def test_image_against_itself_and_start(layers: dict[int, str], tmp_path: Path) -> None:
    """Alone, an image is sharpest at no shift; so is a pair from where it was put together."""
    fixed, moving = images(2, tmp_path)
    alone = impact_plugin.view_features(fixed, layers[2], tmp_path / "a", scan_range=5)
    assert {each.layer for each in alone.sharpness} == {0, 1, 2}
    # A perfect match is no minimum of the other two where features have either sign.
    best = [each for each in alone.sharpness if each.distance not in ("Dice", "DotProduct")]
    assert len(best) == 15
    assert all(each.at_identity and each.offset == 0 for each in best)
    assert not list((tmp_path / "a").glob("moving*"))
    start = tmp_path / "start.tfm"
    sitk.WriteTransform(sitk.TranslationTransform(2, (ALONG_X, 0.0)), str(start))
    pair = impact_plugin.view_features(
        fixed, layers[2], tmp_path / "b", moving=moving, initial_transform=start, layers=[1],
        distances=["L1"], scan_range=5, voxel_size=[1.0, 1.3],
    )  # fmt: skip
    (sharp,) = pair.sharpness
    assert sharp.at_identity
    assert pair.page.read_text().count('<tr class="best">') == 1


def test_normalized_features(layers: dict[int, str], tmp_path: Path) -> None:
    fixed, _ = images(2, tmp_path)
    view = impact_plugin.view_features(
        fixed, layers[2], tmp_path / "a", layers=[1], feature_normalization="l2", distances=["L1"]
    )
    np.testing.assert_allclose(np.linalg.norm(view.fixed[0].features, axis=-1), 1, atol=1e-5)
    assert "as in Static mode, each vector scaled to unit length." in view.page.read_text()
    options = ("--model", layers[2], "-o", tmp_path / "b", "--feature-normalization")
    ran = programs.plugin("features", fixed, *options, "standardized")
    assert ran.exit_code == 1
    assert re.search("selected layer 0 of model .* has one channel", " ".join(ran.output.split()))
    wrong: Any = "L2"
    with pytest.raises(ValueError, match="feature_normalization is 'L2'"):
        impact_plugin.view_features(fixed, layers[2], tmp_path, feature_normalization=wrong)


def test_same_values_as_the_metric(layers: dict[int, str], tmp_path: Path) -> None:
    """What is scanned is the metric: Static mode's value at the same points."""
    paths = images(3, tmp_path)
    pair = [sitk.ReadImage(str(path)) for path in paths]
    grid = GRIDS[3]
    points = grid.random_points(200, margin=0.2)
    moved = points + np.array([1.3, -0.7, 2.1])
    model = extraction.model_of(layers[3], [2], 3, 3, 1, grid.spacing)
    ours, theirs = (extraction.extract(image, model, -1)[0] for image in pair)
    first, second = (
        _core.Image(
            sitk.GetArrayFromImage(image), grid.spacing, grid.origin, grid.direction.tolist()
        )
        for image in pair
    )
    similarity = impact_testing.StaticSimilarity(first, second, extraction.level_settings(model, 3))
    expected, _ = similarity.evaluate(points, moved)
    value, _ = _networks.distance("L2", ours.at(points), theirs.at(moved))
    assert value == pytest.approx(expected, rel=1e-5)


def test_same_colours_are_same_features() -> None:
    random = np.random.default_rng(2)
    features = random.standard_normal((6, 7, 5)).astype(np.float32) * [5, 3, 2, 0.1, 0.1]
    basis = Basis.of(
        extraction.FeatureMap(
            0, features.astype(np.float32), Geometry(
                (7, 6), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0)
            )
        )
    )  # fmt: skip
    colours = basis.colour(features.astype(np.float32))
    np.testing.assert_array_equal(basis.colour(features[2:4].astype(np.float32)), colours[2:4])
    assert basis.explained[0] > basis.explained[1] > basis.explained[2]
    assert sum(basis.explained) > 0.95
    assert colours.reshape(-1, 3).std(axis=0).min() > 30


def test_figures_of_a_curve() -> None:
    shifts = np.linspace(-10, 10, 41)
    well = Curve("x", shifts, 3 + np.minimum((shifts - 1) ** 2 / 16, 1.0))
    assert well.minimum == 1.0
    assert well.depth == pytest.approx(1.0)
    assert well.width == pytest.approx(2 * np.sqrt(8), abs=0.05)
    assert well.curvature == pytest.approx(2 / 16, rel=1e-6)
    assert well.capture == pytest.approx(9)
    two = Curve("x", shifts, np.minimum(np.abs(shifts), np.abs(shifts - 6) + 0.5))
    assert two.minimum == 0.0
    assert two.capture == pytest.approx(3, abs=0.5)  # beyond, it leads to the other minimum
    slope = Curve("x", shifts, shifts)
    assert slope.width == float("inf")
    sharp = scans.Sharpness(0, "L2", (well, two))
    assert not sharp.at_identity
    assert sharp.offset == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "3"], r"layers: \[3\], and the model has 3: allowed are 0 to 2"),
        (["--layers", "one"], r"'one': expected numbers with commas between them"),
        (["--voxel-size", "0"], r"voxel_size is \[0.0\], expected 2 numbers of mm above 0"),
        (["--distance", "L3"], r"distances: \['L3'\]. Allowed: L1, L2, Cosine"),
        (["--steps", "20"], r"scan_steps is 20, expected an odd number"),
        (["--range", "-1"], r"scan_range is -1.0, expected mm above 0"),
        (["--range", "60"], r"0 of 2000 points of the fixed image stay in the moving image when"),
        (["-m", "solid.mha"], r"the fixed image has 2 dimensions .* moving image 3"),
        (["-m", "nothing.mha"], r"the moving image: there is no file 'nothing.mha'"),
        (["--dimension", "3"], r"dimension is 3, and the image has 2"),
        (["-o", "fixed.mha"], r"out.*fixed.mha"),
        (
            ["--model", "3d.pt"],
            r"is a 3D model, .* a 2D image, .* wants a 2D model. Take one, such",
        ),
    ],
)
def test_what_is_refused(
    layers: dict[int, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    images(2, tmp_path)
    grid = GRIDS[3]
    Scene(grid, count=3).seen(grid).write(tmp_path / "solid.mha")
    (tmp_path / "3d.pt").symlink_to(layers[3])
    ran = programs.plugin("features", "fixed.mha", "--model", layers[2], "-o", "out", *arguments)
    assert ran.exit_code in (1, 2)
    assert re.search(message, " ".join(ran.output.split())), ran.output
