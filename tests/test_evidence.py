"""`make evidence`: truths, measures, means, halves, what is missing; and one small registration."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks.evidence import (
    measures,
    methods,
    motions,
    pairs,
    pictures,
    ratios,
    report,
    run,
    running,
    scenes,
)
from benchmarks.evidence.pairs import PAIRS, Pair
from benchmarks.evidence.results import Results
from benchmarks.evidence.rivals import Rival, RivalError
from benchmarks.evidence.workers import registered

from impact_plugin import preset_map

ROOT = Path(__file__).resolve().parents[1]

TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def image(size: tuple[int, ...] = (9, 11, 13)) -> sitk.Image:
    """An image with anisotropic voxels and turned axes."""
    found = sitk.GetImageFromArray(np.random.default_rng(0).random(size[::-1]).astype(np.float32))
    found.SetSpacing((1.0, 2.0, 3.0)[: len(size)])
    found.SetOrigin((10.0, -20.0, 5.0)[: len(size)])
    if len(size) == 3:
        found.SetDirection(TURNED)
    return found


def field(transform: sitk.Transform, grid: sitk.Image) -> sitk.Image:
    """T(x) - x on a grid."""
    return measures.composed(None, transform, grid)


def some_points(grid: sitk.Image, count: int = 40) -> np.ndarray:
    """Points inside a grid, not at voxel centres."""
    index = np.random.default_rng(1).uniform(
        0, np.array(grid.GetSize()) - 1, (count, grid.GetDimension())
    )
    return np.array([grid.TransformContinuousIndexToPhysicalPoint(each) for each in index.tolist()])


# Pairs


def test_there_are_pairs_of_every_kind_in_both_halves() -> None:
    assert len(PAIRS) >= 40
    assert len({pair.name for pair in PAIRS}) == len(PAIRS)
    halves = {(pair.kind, pair.split) for pair in PAIRS}
    assert halves == {(kind, split) for kind in pairs.KINDS for split in pairs.SPLITS}


def test_a_pair_is_its_name() -> None:
    for pair in PAIRS:
        assert Pair.named(pair.name) == pair
        motions.Motion.named(pair.motion)
    # The half is the name's: of these two, whatever is added to the list.
    assert Pair.named("mr/p07T1-p07FLAIR-both40").split == "report"
    assert Pair.named("mr/p19T1-p19T2-both20").split == "choose"


@pytest.mark.parametrize(
    "name",
    ["mr/a-b", "mr/a-b-turned5", "mr/a-b-none-", "mr/a-b-none-dirty", "mr/a-b-none-noise-bias"],
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no pair, expected|expected one of noise, bias"):
        Pair.named(name)


@pytest.mark.parametrize("kind", sorted({pair.kind for pair in PAIRS}))
def test_a_pair_of_every_kind_is_made(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the data at hand."""
    monkeypatch.setattr(scenes, "fetch", lambda name, _: pytest.fail(f"{name} is fetched"))
    data = scenes.Data.of(None)
    if not data.places[0].is_dir():
        pytest.skip("no ../shared/data: docs/evidence.md says how to get it")
    scene = scenes.make(next(pair for pair in PAIRS if pair.kind == kind), 1, data)
    dimension = scene.fixed.GetDimension()
    assert scene.moving.GetDimension() == dimension
    assert sitk.GetArrayViewFromImage(scene.mask).any()
    if scene.labels is None:
        assert scene.points.shape == scene.places.shape
        assert len(scene.points) > 20
        assert scene.points.shape[1] == dimension


def test_a_part_of_the_pairs_is_chosen() -> None:
    assert pairs.chosen(PAIRS, r"lung/", None) == tuple(p for p in PAIRS if p.kind == "lung")
    halves = [pairs.chosen(PAIRS, None, split) for split in pairs.SPLITS]
    assert sorted(p.name for half in halves for p in half) == sorted(p.name for p in PAIRS)


# Truths


@pytest.mark.parametrize("size", [(9, 11), (9, 11, 13)], ids=["2D", "3D"])
def test_a_rigid_motion_has_the_angle_and_shift_of_its_name(size: tuple[int, ...]) -> None:
    moved = image(size)
    truth = motions.Motion.named("rigid15").drawn(moved, np.random.default_rng(2), scale=3.0)
    middle = np.array([motions.middle(moved)])
    assert np.linalg.norm(motions.mapped(truth, middle) - middle) == pytest.approx(3 * 20.0)
    axes = np.eye(len(size))
    matrix = (motions.mapped(truth, middle + axes) - motions.mapped(truth, middle)).T
    cosine = matrix[0, 0] if len(size) == 2 else (np.trace(matrix) - 1) / 2
    assert math.degrees(math.acos(cosine)) == pytest.approx(15)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_a_spline_motion_has_the_deviation_of_its_name() -> None:
    moved = sitk.Image((60, 60, 60), sitk.sitkFloat32)
    moved.SetSpacing((4.0,) * 3)
    truth = motions.Motion.named("spline20").drawn(moved, np.random.default_rng(3))
    coefficients = truth.GetNthTransform(0).GetParameters()
    assert np.std(coefficients) == pytest.approx(3, rel=0.05)
    assert len(coefficients) == 3 * (240 // 20 + 3) ** 3


def test_a_spline_is_applied_after_the_rigid_motion() -> None:
    moved = image()
    truth = motions.Motion.named("both40").drawn(moved, np.random.default_rng(4))
    spline, rigid = truth.GetNthTransform(0), truth.GetNthTransform(1)
    points = some_points(moved)
    np.testing.assert_allclose(
        motions.mapped(truth, points), motions.mapped(spline, motions.mapped(rigid, points))
    )


@pytest.mark.parametrize("name", ["rigid7", "spline", "both10", "none5", "shear20"])
def test_an_unknown_motion_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected none, rigid with one of"):
        motions.Motion.named(name)


def test_the_error_is_that_of_the_composition() -> None:
    """A found T that is the inverse of S but for a shift of (3, 0, 4) mm: by S turned, 5 mm."""
    fixed = image()
    truth = motions.Motion.named("rigid30").drawn(fixed, np.random.default_rng(5))
    inverse = truth.GetInverse()
    points = some_points(fixed)
    right = measures.errors(field(inverse, fixed), truth, points, points)
    assert right.max() < 1e-9
    shifted = sitk.CompositeTransform([sitk.TranslationTransform(3, (3.0, 0.0, 4.0)), inverse])
    off = measures.errors(field(shifted, fixed), truth, points, points)
    np.testing.assert_allclose(off, 5)


def test_an_image_is_moved_by_its_truth() -> None:
    """moving'(y) = moving(S(y)), at voxels whose S(y) lies inside."""
    x, y, z = np.meshgrid(*[np.arange(30.0)] * 3, indexing="ij")
    moving = sitk.GetImageFromArray((2 * x - y + 3 * z).transpose(2, 1, 0).astype(np.float32))
    mask = sitk.Cast(moving * 0 + 1, sitk.sitkUInt8)
    scene = scenes.Scene(
        moving, moving, mask, np.empty((0, 3)), np.empty((0, 3)), sitk.Transform(), margin=True
    )
    motion = motions.Motion(degrees=10, shift=4)
    made = scenes._moved(scene, motion, np.random.default_rng(6))
    assert made.moving.GetSize()[0] > 30
    index = (np.array(made.moving.GetSize()) // 2).tolist()
    at = made.truth.TransformPoint(made.moving.TransformIndexToPhysicalPoint(index))
    assert made.moving[index] == pytest.approx(2 * at[0] - at[1] + 3 * at[2], abs=1e-3)


def test_places_that_the_moved_image_does_not_show_are_left_out() -> None:
    """Shifted by S: y -> y + 6 mm along x, on the same grid, what lay in the first 6 mm is gone."""
    moving = image((20, 6, 5))
    places = scenes._voxels(sitk.Cast(moving * 0 + 1, sitk.sitkUInt8))
    along = np.array(moving.TransformIndexToPhysicalPoint((6, 0, 0))) - moving.GetOrigin()
    seen = scenes._shown(places, sitk.TranslationTransform(3, along.tolist()), moving)
    index = [moving.TransformPhysicalPointToIndex(place)[0] for place in places.tolist()]
    # Half the diagonal is 1.9 mm: voxel 5 is 1 mm from the first that is shown, 4 is 2 mm.
    np.testing.assert_array_equal(seen, np.array(index) >= 5)
    assert scenes._shown(np.empty((0, 3)), sitk.Transform(), moving).shape == (0,)


def test_a_part_keeps_the_points_inside_it() -> None:
    fixed = image((9, 11, 20))
    mask = sitk.Cast(fixed * 0 + 1, sitk.sitkUInt8)
    points = scenes._voxels(mask)
    part = scenes._part(scenes.Scene(fixed, fixed, mask, points, points, sitk.Transform()))
    assert part.fixed.GetSize() == part.mask.GetSize() == (9, 11, 12)
    assert len(part.points) == 9 * 11 * 12
    np.testing.assert_array_equal(part.points, part.places)


def test_an_affine_transform_of_any_class_is_read() -> None:
    text = (
        "#Insight Transform File V1.0\n#Transform 0\n"
        "Transform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 0 -1 0 1 0 0 0 0 1 5 6 7\nFixedParameters: 1 2 3\n"
    )
    found = motions.read_affine(text).TransformPoint((2.0, 2.0, 3.0))
    assert found == pytest.approx(
        (6.0, 9.0, 10.0)
    )  # (1, 0, 0) from the centre turns into (0, 1, 0)
    with pytest.raises(ValueError, match="12 Parameters"):
        motions.read_affine("Parameters: 1 2 3\nFixedParameters: 1 2 3\n")


# Measures


def test_points_follow_a_field_between_its_voxels() -> None:
    grid = image()
    matrix, offset = (
        np.array([[1.1, 0.2, 0.0], [0.0, 0.9, 0.1], [0.3, 0.0, 1.0]]),
        np.array([4.0, 5.0, -6.0]),
    )
    points = some_points(grid)
    given = field(motions.affine(matrix, offset), grid)
    np.testing.assert_allclose(measures.followed(given, points), points @ matrix.T + offset)
    found = measures.fitted_affine(given)
    np.testing.assert_allclose(found[0], matrix, atol=1e-9)
    np.testing.assert_allclose(found[1], offset, atol=1e-9)


def test_dice() -> None:
    one = np.array([1, 1, 1, 2, 2, 0, 9])
    other = np.array([1, 1, 0, 2, 0, 0, 0])
    assert measures.dice(one, other, [1, 2, 7]) == pytest.approx(
        (4 / 5 + 2 / 3) / 2
    )  # 7 is in neither
    assert measures.dice(one, other, [9]) == 0
    with pytest.raises(ValueError, match=r"none of the labels \[7\]"):
        measures.dice(one, other, [7])


def test_labels_are_taken_where_both_transforms_lead() -> None:
    labels = sitk.GetImageFromArray(np.arange(8, dtype=np.uint8).reshape(1, 1, 8))
    shift = sitk.TranslationTransform(3, (2.0, 0.0, 0.0))
    there = measures.warped_labels(
        field(sitk.TranslationTransform(3, (1.0, 0.0, 0.0)), labels), shift, labels, labels
    )
    assert sitk.GetArrayFromImage(there).ravel().tolist() == [3, 4, 5, 6, 7, 0, 0, 0]


def test_folding_is_the_share_inside_the_mask() -> None:
    """The transform x -> |x|, about the middle, folds one half."""
    grid = sitk.Image((20, 5, 5), sitk.sitkUInt8)
    array = np.zeros((5, 5, 20, 3))
    x = np.arange(20) - 9.5
    array[..., 0] = np.abs(x) - x
    found = sitk.GetImageFromArray(array, isVector=True)
    assert measures.folding(found, grid + 1) == pytest.approx(0.5)
    right = sitk.GetImageFromArray(np.broadcast_to(x > 2, (5, 5, 20)).astype(np.uint8))
    assert measures.folding(found, right) == 0


def test_a_warp_is_applied_before_the_start() -> None:
    grid = image()
    warp = field(sitk.TranslationTransform(3, (1.0, 0.0, 0.0)), grid)
    scaled = motions.affine(2 * np.eye(3), np.zeros(3))
    points = some_points(grid)
    found = measures.followed(measures.composed(warp, scaled, grid), points)
    np.testing.assert_allclose(found, 2 * (points + np.array([1, 0, 0])))


def test_the_same_images_have_the_most_information() -> None:
    grid = image()
    still = measures.information(grid, grid, (np.eye(3), np.zeros(3)))
    moved = measures.information(grid, grid, (np.eye(3), np.array([4.0, 0.0, 0.0])))
    assert still > 2 * moved


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_start_is_the_same_in_both_frames(dimension: int) -> None:
    random = np.random.default_rng(7)
    linear = random.normal(size=(dimension, dimension)), random.normal(size=dimension)
    flip = np.array([-1.0, -1.0, 1.0])[:dimension]
    point = random.normal(size=dimension)
    in_ras = running.in_ras(linear)
    there = (in_ras @ np.append(flip * point, 1))[:-1] * flip
    np.testing.assert_allclose(there, linear[0] @ point + linear[1])
    for part, same in zip(running.of_ras(in_ras), linear, strict=True):
        np.testing.assert_allclose(part, same)


def test_the_start_with_the_most_information_is_taken() -> None:
    plain = [[[1, 0], [0, 1]], [0, 0]]
    records: dict[str, running.Record] = {
        "one": {"linear": plain, "information": 1.0},
        "other": {"linear": plain, "information": 2.0},
        "none": {"failed": "of it"},
    }
    best = running.best_start(records)
    assert best is not None
    assert best[0] == "other"
    assert running.best_start({"none": {"failed": "of it"}}) is None


# Means


def test_a_geometric_mean() -> None:
    assert ratios.geometric_mean([0.5, 2, 4, 4]) == pytest.approx(2)
    with pytest.raises(ValueError, match="positive"):
        ratios.geometric_mean([1, 0])
    with pytest.raises(ValueError, match="at least one"):
        ratios.geometric_mean([])


def test_the_interval_is_students_over_seeds() -> None:
    found = ratios.over_seeds({1: [0.5, 2], 2: [math.e], 3: [math.e**2]})
    assert math.log(found.value) == pytest.approx(1)
    assert found.low is not None
    assert found.high is not None
    half = 4.302653 / math.sqrt(3)  # two degrees of freedom; the deviation of 0, 1, 2 is 1
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((1 - half, 1 + half))


def test_one_seed_has_no_interval() -> None:
    assert str(ratios.over_seeds({1: [0.25, 1], 2: []})) == "0.50"
    with pytest.raises(ValueError, match="at least one seed"):
        ratios.over_seeds({})


# Methods, results, and what is missing


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text('(Transform "AffineTransform")\n')
    mine = methods.own(f"mine={file}", fitted=False)
    assert (mine.job["what"], mine.job["files"], mine.ours) == ("maps", [str(file)], True)
    fitted = methods.own(f"mine=affine_mind,{file}", fitted=True)
    assert fitted.job == {"what": "presets", "files": ["affine_mind", str(file)]}
    before = mine.identity()
    file.write_text('(Transform "EulerTransform")\n')
    assert mine.identity() != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine", "expected NAME=FILE"),
        ("impact=a.txt", "a name other than impact"),
        ("mine=nowhere.txt", "no such parameter file"),
        (
            "mine=affine_mind",
            "no such parameter file",
        ),  # a preset stands only where maps are fitted
    ],
)
def test_another_method_of_ones_own_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.own(text, fitted=False)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="no method 'mi-11'; the methods are impact"):
        methods.named(["impact", "mi-11"], ())


def test_results_go_on_where_they_were_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    record = {"pair": "mr/a-b-none", "method": "impact", "seed": 1, "key": "k", "mean": 1.0}
    Results(file).add(record)
    Results(file).add(record | {"mean": 2.0})
    with file.open("a") as stream:
        stream.write('{"pair": "mr/a-b-')
    known = Results(file)
    assert known.known("mr/a-b-none", "impact", 1, "k") == record | {"mean": 2.0}
    assert known.known("mr/a-b-none", "impact", 1, "other") is None
    assert known.known("mr/a-b-none", "impact", 2, "k") is None
    Results(file).add(record | {"seed": 2})
    assert set(Results(file).records) == {
        ("mr/a-b-none", "impact", 1),
        ("mr/a-b-none", "impact", 2),
    }


def test_a_rival_that_does_not_install_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nothing-1.0-py3-none-any.whl"
    rival = Rival("made-up", (str(missing),), "nothing")
    with pytest.raises(RivalError, match=r"nothing-1.0\S* cannot be installed: .*nothing-1.0"):
        rival.python(tmp_path / "env")
    with pytest.raises(RivalError, match="cannot be installed"):
        rival.python(tmp_path / "env")
    assert capsys.readouterr().out.count("installing") == 1
    with pytest.raises(
        RivalError, match=r"other-1.0\S* cannot be installed"
    ):  # another version is tried anew
        Rival("made-up", (str(tmp_path / "other-1.0-py3-none-any.whl"),), "other").python(
            tmp_path / "env"
        )


def test_without_data_or_rival_the_rest_runs_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(self: Rival, folder: Path) -> Path:
        raise RivalError(f"{self.name} of {folder.name} cannot be installed")

    def made(pair: Pair, seed: int, data: scenes.Data) -> scenes.Scene:
        if pair.kind != "histology":
            data.paths("ms/p07_T1.nii.gz")
        fixed = image((9, 11))
        mask = sitk.Cast(fixed * 0 + 1, sitk.sitkUInt8)
        points = some_points(fixed)
        return scenes.Scene(
            fixed, fixed, mask, points, points + seed, sitk.Transform(2, sitk.sitkIdentity)
        )

    def ran(*arguments: object) -> dict[str, object]:
        method = arguments[0]
        assert isinstance(method, methods.Method)
        of_linear = (
            {"linear": [np.eye(2).tolist(), [0, 0]], "information": 1.0} if method.linear else {}
        )
        mean = 1.0 if method.ours else 2.0
        return {"wall": 1, "cpu": 1, "peak": 1, "mean": mean, "p95": 3, "folding": 0, **of_linear}

    monkeypatch.setattr(Rival, "python", without)
    monkeypatch.setattr(scenes, "make", made)
    monkeypatch.setattr(running, "run", ran)
    monkeypatch.setattr(run, "OUT", tmp_path / "out")
    page = tmp_path / "evidence.md"
    monkeypatch.setattr(run, "PAGE", page)
    published = tmp_path / "published.jsonl"
    monkeypatch.setattr(run, "PUBLISHED", published)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    arguments = [
        "--data",
        str(tmp_path),
        "--pairs",
        "HE-proSPC|p07T1-p07T2-both40",
        "--seeds",
        "1,2",
    ]
    run.main([*arguments, "--methods", "impact,mi-15,convex-adam,greedy-nmi"])
    text = page.read_text()
    assert "- Without itk-impact: it wants torch 2.12" in text
    assert "- Without convex-adam: convex-adam of env cannot be installed." in text
    assert f"- Without mr/p07T1-p07T2-both40-noise: not in {tmp_path}: ms/p07_T1.nii.gz." in text
    said = (
        "| `histology` | neighbouring slices, two stains, 2D | 3 | `impact` | 0.50 (0.50 to 0.50) |"
    )
    assert said in text
    assert "| `histology` | 2.00 | 2.00 |" in text  # over the default: the linear method and mi-15
    assert "`greedy-nmi`" not in text
    assert " runs are not done, blank below" in text
    kept = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert {json.loads(line)["method"] for line in kept} == {"mi-affine", "impact", "mi-15"}
    assert "without greedy" in capsys.readouterr().out
    run.main([*arguments, "--methods", "impact"])
    assert (
        tmp_path / "out" / "results.jsonl"
    ).read_text().splitlines() == kept  # nothing was run again
    run.main([*arguments, "--methods", "impact", "--again"])
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) > len(kept)

    # Where nothing else is known, from what was published; what has changed since is told.
    assert len(published.read_text().splitlines()) == len(kept)
    shutil.rmtree(tmp_path / "out")
    run.main([*arguments, "--methods", "impact,mi-15"])
    assert not (tmp_path / "out" / "results.jsonl").exists()
    assert "of an earlier build" not in page.read_text()
    monkeypatch.setattr(methods, "our_code", lambda: "changed")
    run.main([*arguments, "--methods", "impact,mi-15", "--table"])
    assert "- 6 of " in page.read_text()
    assert " runs are of an earlier build, preset, or version" in page.read_text()


MAP = """
(FixedImageDimension 2)
(MovingImageDimension 2)
(Registration "MultiResolutionRegistration")
(FixedImagePyramid "FixedGenericImagePyramid")
(MovingImagePyramid "MovingGenericImagePyramid")
(Interpolator "LinearInterpolator")
(Metric "AdvancedMeanSquares")
(Optimizer "AdaptiveStochasticGradientDescent")
(Transform "TranslationTransform")
(ResampleInterpolator "FinalLinearInterpolator")
(Resampler "DefaultResampler")
(NumberOfResolutions 1)
(MaximumNumberOfIterations 200)
(ImageSampler "Full")
(WriteResultImage "false")
"""


def test_a_registration_is_run_and_measured(tmp_path: Path) -> None:
    """A blob moved by a known shift, found by a map of one's own in a process of its own."""
    x, y = np.meshgrid(np.arange(48.0), np.arange(40.0))
    blob = 100 * np.exp(-((x - 22) ** 2 / 90 + (y - 19) ** 2 / 50))
    fixed = sitk.GetImageFromArray(blob.astype(np.float32))
    nothing = sitk.Transform(2, sitk.sitkIdentity)
    mask = sitk.Cast(fixed > 20, sitk.sitkUInt8)
    points = scenes._voxels(mask)
    aligned = scenes.Scene(fixed, fixed, mask, points, points, nothing)
    scene = scenes._moved(aligned, motions.Motion(shift=4), np.random.default_rng(8))
    assert running.before(scene)["mean"] == pytest.approx(4)
    (tmp_path / "mine.txt").write_text(MAP)
    mine = methods.own(f"mine={tmp_path / 'mine.txt'}", fitted=False)
    images = tmp_path / "images"
    running.written(scene, images)
    found = running.run(mine, scene, images, Path(sys.executable), None, seed=1, threads=1)
    assert found["mean"] < found["p95"] + 1e-9 < 0.2
    assert found["folding"] == 0
    assert found["wall"] > 0 < found["cpu"]
    assert found["peak"] > 2**20
    assert not (images / "mine").exists()
    (tmp_path / "mine.txt").write_text(MAP.replace("AdvancedMeanSquares", "NoMetric"))
    failed = running.run(mine, scene, images, Path(sys.executable), None, seed=1, threads=1)
    assert "NoMetric" in failed["failed"]
    assert (images / "mine" / "output.txt").exists()  # to be looked at


def test_rivals_have_our_levels_with_their_metric(tmp_path: Path) -> None:
    file = str(tmp_path / "image.mha")
    sitk.WriteImage(image((40, 44, 48)), file)
    ours = [preset_map(name, fixed=file, moving=file) for name in ("affine_mind", "mind")]
    theirs = registered.exchanged(file, file, "AdvancedNormalizedCorrelation", 20.0)
    for own, other in zip(ours, theirs, strict=True):
        assert other["Metric"] == ["AdvancedNormalizedCorrelation"]
        assert not {"ModelsPath", "VoxelSize", "Distance", "Mode"} & other.keys()
        for same in ("NumberOfResolutions", "NumberOfSpatialSamples", "MaximumNumberOfIterations"):
            assert other[same] == own[same]
    (grid,), (fitted,) = (m["FinalGridSpacingInPhysicalUnits"] for m in (theirs[1], ours[1]))
    assert float(grid) == pytest.approx(2 * float(fitted))  # the file's are 10 mm


def test_a_pair_is_seldom_the_best_rivals() -> None:
    """The best rival is another one on each pair; what failed, or one side alone, has no ratio."""
    asked = [Pair.named(f"lung/{name}-b-none") for name in "acd"]
    one, other = methods.METHODS["mi-10"], methods.METHODS["mi-20"]
    found = {("impact", 0): 1.0, ("mi-10", 0): 2.0, ("mi-20", 0): 4.0}
    found |= {("impact", 1): 1.0, ("mi-10", 1): 0.8, ("mi-20", 1): 0.5, ("impact", 2): 1.0}
    records: dict[tuple[str, str, int], running.Record] = {
        (asked[pair].name, method, 1): {"mean": error} for (method, pair), error in found.items()
    }
    records[asked[2].name, "mi-10", 1] = {"failed": "exit code 1", "mean": 0.1}
    given = report.ratios(records, asked, methods.DEFAULT, [one, other], 1)
    assert given == {asked[0].name: 0.5, asked[1].name: 2.0}
    assert str(report.mean_ratio(records, asked, methods.DEFAULT, [one, other], [1])) == "1.00"


def test_the_best_the_median_and_the_worst_case_are_shown() -> None:
    of_kind = [pair.name for pair in pairs.chosen(PAIRS, "^mr/", "report")][:6]
    (other,) = [pair.name for pair in pairs.chosen(PAIRS, "^mr/", "choose")][:1]
    errors = dict(zip((*of_kind, other), (5.0, 1.0, 3.0, 2.0, 4.0, 9.0, 0.1), strict=True))
    records: dict[tuple[str, str, int], running.Record] = {
        (name, method, 2): {"mean": error}
        for name in (*of_kind[:5], other)  # one pair was not run
        for method, error in (("impact", errors[name]), ("mi-15", 2.0))
    }
    found = pictures.cases(records, "mr")
    assert [(pair.name, seed, ratio) for pair, seed, ratio in found] == [
        (of_kind[1], 2, 0.5),
        (of_kind[2], 2, 1.5),
        (of_kind[0], 2, 2.5),
    ]
    assert pictures.cases(records, "lung") == []


def test_every_kind_has_its_paragraph_and_picture() -> None:
    lines = report._kind_by_kind(pairs.KINDS)
    for kind, what in pairs.KINDS.items():
        place = lines.index(f"### `{kind}`: {what}")
        assert len(lines[place + 2]) > 200
        assert lines[place + 4] == (f"![{kind}: best, median, worst](images/evidence_{kind}.png)")


def test_labels_count_by_what_they_lack() -> None:
    assert report.score({"dice": 0.75}) == pytest.approx(0.25)
    assert report.score({"mean": 0.0}) == report.LEAST
    assert report.score({"failed": "exit code 1"}) is None
