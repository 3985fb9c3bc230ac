"""``find_start`` and ``initial_transform="search"``: found from anywhere, and said how surely."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import impact_plugin
from helpers import programs
from helpers.bodies import FIXED, FLAT, FLAT_MOVING, MOVING, OBLIQUE, Body, mapped
from helpers.images import Array, Grid, Image, Scene, mean_distance, waves
from helpers.pairs import sitk_image
from impact_plugin.elastix.process import Ask
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters import map_files
from impact_plugin.registration import presets
from impact_plugin.registration.starting import Start
from impact_plugin.search import SearchKind, coarse, process, rotations
from impact_plugin.transforms import from_elastix, initial


@pytest.fixture(scope="module")
def bodies() -> list[Body]:
    return [Body(FIXED, MOVING, seed, turn) for seed, turn in enumerate(rotations.spread(3, 5), 1)]


@pytest.fixture(scope="module")
def found(bodies: list[Body]) -> list[Start]:
    """Where each is found, from hundreds of mm away."""
    return [impact_plugin.find_start(body.fixed_image(), body.moving_image()) for body in bodies]


def test_a_body_of_another_contrast_is_found_from_any_angle(
    bodies: list[Body], found: list[Start]
) -> None:
    """Three sizes, anisotropic voxels, oblique axes; a voxel is 2.5 mm at most."""
    errors = [
        mean_distance(mapped(start, body.points()), body.truth(body.points()))
        for body, start in zip(bodies, found, strict=True)
    ]
    assert max(errors) < 1.0, errors
    assert all(start.is_sure for start in found)


def test_what_is_found_is_rigid(found: list[Start]) -> None:
    for start in found:
        matrix = np.array([mapped(start, row[None])[0] for row in np.eye(3)])
        matrix = (matrix - mapped(start, np.zeros((1, 3)))).T
        assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(matrix) > 0


@pytest.mark.parametrize("degrees", [35, 180])
def test_a_picture_is_found_from_any_angle(degrees: float) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    body = Body(FLAT, FLAT_MOVING, 3, turn)
    start = impact_plugin.find_start(body.fixed_image(), body.moving_image())
    assert mean_distance(mapped(start, body.points()), body.truth(body.points())) < 1.0


def test_half_of_the_moving_image_is_enough(bodies: list[Body]) -> None:
    body = bodies[1]
    moving = body.moving_image()
    half = moving[:, :, : moving.GetSize()[2] // 2]
    start = impact_plugin.find_start(body.fixed_image(), half)
    assert mean_distance(mapped(start, body.points()), body.truth(body.points())) < 4.0


def test_an_affine_transform_is_nearer_where_the_truth_is_one(bodies: list[Body]) -> None:
    body = bodies[0]
    stretch = np.diag([1.08, 0.94, 1.0])
    body = Body(body.grid, body.moving, 1, body.turn)
    fixed = body.fixed_image()
    body.turn = body.turn @ np.linalg.inv(stretch).T  # moving(y) = body(turn^-1 y)
    moving = body.moving_image()
    truth = (body.points() - body.middles[0]) @ np.linalg.inv(body.turn) + body.middles[1]
    errors = [
        mean_distance(
            mapped(impact_plugin.find_start(fixed, moving, transform=kind), body.points()), truth
        )
        for kind in ("rigid", "affine")
    ]
    assert errors[1] < 0.5 * errors[0], errors


def test_the_number_of_threads_changes_nothing(bodies: list[Body]) -> None:
    images = bodies[2].fixed_image(), bodies[2].moving_image()
    one, three = (impact_plugin.find_start(*images, threads=number) for number in (1, 3))
    assert one.chain.maps == three.chain.maps
    assert (one.score, one.runner_up) == (three.score, three.runner_up)


def test_a_mask_hides_what_is_elsewhere(bodies: list[Body]) -> None:
    """A second body in the moving image, in the fixed image's contrast, which is no match."""
    body = bodies[3]
    moving = body.moving_image()
    array = sitk.GetArrayFromImage(moving)
    decoy = sitk.GetArrayFromImage(body.fixed_image())[8:30, 10:46, 6:38]
    wide = np.zeros((array.shape[0], array.shape[1], array.shape[2] + 40), np.float32)
    wide[:, :, : array.shape[2]] = array
    wide[4:26, 6:42, -36:-4] = decoy
    both = sitk.GetImageFromArray(wide)
    mask = sitk.GetImageFromArray((np.indices(wide.shape)[2] < array.shape[2]).astype(np.uint8))
    for image in (both, mask):
        image.SetOrigin(moving.GetOrigin())
        image.SetSpacing(moving.GetSpacing())
        image.SetDirection(moving.GetDirection())
    start = impact_plugin.find_start(body.fixed_image(), both, moving_mask=mask)
    assert mean_distance(mapped(start, body.points()), body.truth(body.points())) < 1.0


def test_what_looks_the_same_from_two_sides_stays_as_it_lies_and_is_doubtful(
    caplog: pytest.LogCaptureFixture,
) -> None:
    z, y, x = np.indices((40, 44, 36)) - np.array([19.5, 21.5, 17.5]).reshape(3, 1, 1, 1)
    inside = (x / 14) ** 2 + (y / 18) ** 2 + (z / 10) ** 2 < 1
    image = sitk.GetImageFromArray((inside * 100).astype(np.float32))
    image = sitk.DiscreteGaussian(image, 1.0)
    start = impact_plugin.find_start(image, image)
    points = np.array([[10.0, 20, 30], [30, 20, 10], [17, 40, 17]])
    assert mean_distance(mapped(start, points), points) < 0.5
    assert not start.is_sure
    with caplog.at_level(logging.WARNING, logger="impact_plugin.search"):
        impact_plugin.register_images(
            image, image, preset="rigid_mind", iterations=2, initial_transform="search"
        )
    assert "another place is nearly as good" in caplog.text


def test_the_default_starts_with_a_search(bodies: list[Body]) -> None:
    """A word turns it off: mutual information does not find a body that is turned around."""
    body = bodies[4]
    images = body.fixed_image(), body.moving_image()
    result = impact_plugin.register_images(*images, iterations=5)
    points = body.points()
    assert mean_distance(result.map_points(points), body.truth(points)) < 2.0
    lying = impact_plugin.register_images(*images, iterations=5, initial_transform="none")
    assert mean_distance(lying.map_points(points), body.truth(points)) > 10.0
    assert result.timings["initial transform"] > 10 * lying.timings["initial transform"]


def test_elastix_begins_at_what_was_found(bodies: list[Body], found: list[Start]) -> None:
    body = bodies[4]
    result = impact_plugin.register_images(
        body.fixed_image(),
        body.moving_image(),
        preset="rigid_mind",
        iterations=3,
        initial_transform="search",
    )
    assert result.record is not None
    recorded = result.record.initial_transform
    assert recorded is not None
    assert recorded.given == "search"
    assert recorded.parameters == found[4].chain.maps
    points = body.points()
    assert mean_distance(result.map_points(points), body.truth(points)) < 5.0  # of 430 mm


@pytest.mark.parametrize("name", ["start.txt", "start.tfm", "start.h5"])
def test_a_saved_start_is_the_same_start(name: str, found: list[Start], tmp_path: Path) -> None:
    file = found[0].save(tmp_path / name)
    points = np.array([[30.0, -50, 12], [60, 10, 40]])
    chain = initial.read(
        file, Geometry.of(sitk_image(Image(np.zeros((2, 2, 2), np.float32), FIXED)))
    )
    again = from_elastix.to_sitk(chain, 3)
    for point, there in zip(points.tolist(), mapped(found[0], points), strict=True):
        assert np.allclose(again.TransformPoint(point), there, atol=1e-9)


def test_the_command_writes_a_start(bodies: list[Body], found: list[Start], tmp_path: Path) -> None:
    fixed, moving, out = (str(tmp_path / name) for name in ("f.nii.gz", "m.nrrd", "start.txt"))
    sitk.WriteImage(bodies[0].fixed_image(), fixed)
    sitk.WriteImage(bodies[0].moving_image(), moving)
    run = programs.plugin("start", fixed, moving, "-o", out)
    assert run.exit_code == 0, run.output
    assert f"score {found[0].score:.3f}, best elsewhere {found[0].runner_up:.3f}" in run.output
    text = Path(out).read_text()
    assert '(Transform "AffineTransform")' in text
    assert '(InitialTransformParameterFileName "NoInitialTransform")' in text


@pytest.fixture(scope="module")
def bent() -> tuple[sitk.Image, sitk.Image, Array, Array]:
    """Images of one scene, moving(y) = scene(bend(y)), with points of it and where they are."""
    scene = Scene(FIXED, widths=(3.0, 8.0), count=150, seed=4)
    bend = waves(FIXED, 8.0)
    wider = Grid(
        (60, 70, 52), FIXED.spacing, tuple(FIXED.at(np.array([[-8.0, -7, -7]]))[0]), OBLIQUE
    )
    moving = np.abs(700 - scene.seen(wider, bend).voxels)
    points = wider.points()[::97]
    mapped_there = bend(points)
    inside = ((mapped_there - FIXED.origin) @ FIXED.direction / FIXED.spacing) / FIXED.size
    seen = ((inside > 0.15) & (inside < 0.85)).all(axis=1)
    return (
        sitk_image(scene.seen(FIXED)),
        sitk_image(Image(moving.astype(np.float32), wider)),
        mapped_there[seen],
        points[seen],
    )


def test_a_deformation_is_found_and_saved(
    bent: tuple[sitk.Image, sitk.Image, Array, Array], tmp_path: Path
) -> None:
    """Waves of 8 mm along each axis, at voxels of some 4 mm."""
    fixed, moving, points, places = bent
    rigid = impact_plugin.find_start(fixed, moving)
    start, again = (
        impact_plugin.find_start(fixed, moving, transform="deformable", threads=number)
        for number in (1, 3)
    )
    assert start.chain.maps == again.chain.maps
    before, after = (mean_distance(mapped(each, points), places) for each in (rigid, start))
    assert after < 0.45 * before, (before, after)
    file = start.save(tmp_path / "start.txt")
    assert (tmp_path / "start.deformation.txt").is_file()
    chain = initial.read(file, Geometry.of(fixed))
    read = from_elastix.to_sitk(chain, 3)
    for point, there in zip(points[:20].tolist(), mapped(start, points[:20]), strict=True):
        assert np.allclose(read.TransformPoint(point), there, atol=1e-6)
    result = impact_plugin.register_images(
        fixed, moving, preset="rigid_mind", iterations=1, initial_transform=file
    )
    assert [each["Transform"][0] for each in result.elastix_parameters][:2] == [
        "BSplineTransform",
        "AffineTransform",
    ]
    assert mean_distance(result.map_points(points), places) < before


class Blurs(torch.nn.Module):
    """Differences of the image and its means over three and seven voxels; the second in half."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        near = torch.nn.functional.avg_pool3d(x, 3, 1, 1)
        far = torch.nn.functional.avg_pool3d(x, 7, 1, 3)
        both = torch.cat([x - near, near - far], 1)
        return [both, torch.nn.functional.avg_pool3d(both, 2, 2)]


@pytest.mark.parametrize("layer", [0, 1])
def test_any_network_can_be_searched_with(layer: int, tmp_path: Path) -> None:
    """Of one contrast: these features know bright from dark."""
    body = Body(FIXED, MOVING, 9, rotations.spread(3, 9)[5])
    values = body._at((body.moving.points() - body.middles[1]) @ body.turn)
    same = Image(values.reshape(body.moving.size[::-1]).astype(np.float32), body.moving)
    file = tmp_path / "blurs.pt"
    torch.jit.script(Blurs()).save(str(file))  # type: ignore[no-untyped-call]
    start = impact_plugin.find_start(body.fixed_image(), sitk_image(same), model=file, layer=layer)
    assert mean_distance(mapped(start, body.points()), body.truth(body.points())) < 2.0
    with pytest.raises(ValueError, match="has 2 layers, and layer is 2: 0 to 1"):
        impact_plugin.find_start(body.fixed_image(), sitk_image(same), model=file, layer=2)


def test_a_network_of_other_dimensions_is_named(bodies: list[Body], tmp_path: Path) -> None:
    file = tmp_path / "flat.pt"
    torch.jit.script(torch.nn.Conv2d(2, 4, 3)).save(str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match=r"flat.pt.* takes no image of 1 or 3 channels and 3 dim"):
        impact_plugin.find_start(bodies[0].fixed_image(), bodies[0].moving_image(), model=file)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"transform": "bspline"}, "transform is 'bspline', expected"),
        ({"threads": 0}, "threads is 0"),
        ({"layer": -1}, "layer is -1"),
        ({"device": "cuda:99"}, "device is 'cuda:99'"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, object], says: str, bodies: list[Body]
) -> None:
    body = bodies[0]
    with pytest.raises(ValueError, match=says):
        impact_plugin.find_start(body.fixed_image(), body.moving_image(), **options)  # type: ignore[arg-type]


def test_a_mask_that_leaves_nothing_to_see_is_named(bodies: list[Body]) -> None:
    body = bodies[0]
    image = body.fixed_image()
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[:2, :2, :2] = 1
    mask = sitk.GetImageFromArray(array)
    mask.CopyInformation(image)
    with pytest.raises(
        ValueError, match="the fixed image has nothing to be found by in fixed_mask"
    ):
        impact_plugin.find_start(image, body.moving_image(), fixed_mask=mask)


@pytest.fixture(scope="module")
def flat() -> Body:
    angle = np.radians(120)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Body(FLAT, FLAT_MOVING, 3, turn)


@pytest.mark.parametrize("kind", ["affine", "deformable"])
def test_words_for_a_start_give_what_find_start_gives(kind: SearchKind, flat: Body) -> None:
    images = flat.fixed_image(), flat.moving_image()
    start = impact_plugin.find_start(*images, transform=kind)
    assert initial.make_chain(f"search-{kind}", *images).maps == start.chain.maps
    assert mean_distance(mapped(start, flat.points()), flat.truth(flat.points())) < 2.0


def test_elastix_takes_a_saved_deformation_from_any_folder(flat: Body, tmp_path: Path) -> None:
    """Its own program, in another folder than the files."""
    folder = tmp_path / "starts"
    folder.mkdir()
    fixed, moving = folder / "f.mha", folder / "m.mha"
    sitk.WriteImage(flat.fixed_image(), str(fixed))
    sitk.WriteImage(flat.moving_image(), str(moving))
    start = impact_plugin.find_start(fixed, moving, transform="deformable")
    file = start.save(folder / "start.txt")
    parameters = dict(impact_plugin.preset_map("affine_mi", 2))
    parameters |= {"NumberOfResolutions": ["1"], "MaximumNumberOfIterations": ["1"]}
    (tmp_path / "p.txt").write_text(map_files.dump(parameters))
    images: list[str | Path] = ["-f", fixed, "-m", moving, "-t0", file]
    elastix = programs.program_path("elastix")
    run = programs.captured(elastix, *images, "-p", "p.txt", "-out", ".", cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    result = impact_plugin.RegistrationResult.load(tmp_path)
    points = flat.points()
    assert mean_distance(result.map_points(points), flat.truth(points)) < 5.0


def test_a_start_is_not_written_over_an_input(bodies: list[Body], tmp_path: Path) -> None:
    """Its second file neither."""
    model = tmp_path / "start.deformation.txt"
    model.write_bytes(b"precious")
    images = tmp_path / "f.mha", tmp_path / "m.mha"
    for path, image in zip(
        images, (bodies[0].fixed_image(), bodies[0].moving_image()), strict=True
    ):
        sitk.WriteImage(image, str(path))
    out = tmp_path / "start.txt"
    options = ("--transform", "deformable", "--model", model)
    run = programs.plugin("start", *images, "-o", out, *options)
    assert run.exit_code != 0
    assert "start.deformation.txt" in run.output
    assert model.read_bytes() == b"precious"
    assert not out.exists()


def test_a_search_whose_process_ends_says_what_to_do(
    bodies: list[Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def killed(*_: object) -> Iterator[Ask]:
        yield lambda *_: (b"", -9)

    monkeypatch.setattr(process, "answering", killed)
    with pytest.raises(impact_plugin.SearchError, match=r'SIGKILL.*initial_transform is "none"'):
        impact_plugin.find_start(bodies[0].fixed_image(), bodies[0].moving_image())


def test_a_search_starts_before_images_are_read_and_ends_where_they_are_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Ask] = []
    begin = process.started

    @contextlib.contextmanager
    def started() -> Iterator[Ask]:
        with begin() as ask:
            asked.append(ask)
            yield ask

    monkeypatch.setattr(process, "started", started)
    for given, processes in ((None, 1), ("search", 2), ("none", 2), ("center", 2)):
        with pytest.raises(FileNotFoundError, match=r"no\.mha"):
            impact_plugin.register_images("no.mha", "no.mha", initial_transform=given)
        assert len(asked) == processes
    for ask in asked:
        with pytest.raises(ValueError, match="closed file"):  # and the process was waited for
            ask(b"", None)


def test_the_default_is_the_default_by_name_too() -> None:
    assert presets.are_default(None, None)
    assert presets.are_default(["affine_mi", "mind_mi"], None)
    assert not presets.are_default("mind_mi", None)
    assert not presets.are_default(["mind_mi"], None)
    assert not presets.are_default(None, {"Metric": "Impact"})


def test_names_of_files_are_checked_first(tmp_path: Path) -> None:
    for name in ("start.json", "start.mat", "start.TXT"):
        run = programs.plugin("start", "no.mha", "no.mha", "-o", str(tmp_path / name))
        assert f"{name}: expected a name that ends in .txt" in " ".join(run.output.split())
    run = programs.plugin("start", "no.mha", "no.mha", "-o", str(tmp_path / "start.json"))
    assert run.exit_code != 0
    assert "start.json: expected a name that ends in .txt" in " ".join(run.output.split())


def test_what_a_search_costs_does_not_depend_on_the_voxels(bodies: list[Body]) -> None:
    body = bodies[0]
    fixed, moving = body.fixed_image(), body.moving_image()
    finer = sitk.Expand(fixed, [2, 2, 2])
    shapes = [
        [
            image.values.shape
            for pair in coarse.levels_of((each, moving), (None, None), 2)[0]
            for image in pair
        ]
        for each in (fixed, finer)
    ]
    assert np.allclose(shapes[0], shapes[1], atol=4)


def test_no_rotation_is_far_from_those_that_are_tried() -> None:
    tried = rotations.spread(3, 500)
    assert np.allclose(tried @ tried.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    for turn in rotations.spread(3, 333):
        cosines = (np.einsum("nij,ij->n", tried, turn) - 1) / 2
        assert np.degrees(np.arccos(np.clip(cosines.max(), -1, 1))) < 30


def test_a_scene_without_edges_is_found() -> None:
    """Structure everywhere, up to the borders: what is seen is cut off elsewhere in each image."""
    scene = Scene(FIXED, widths=(3.0, 8.0), count=150, seed=4)
    angle = np.radians(70)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    )
    middles = [each.at((np.array(each.size)[None] - 1) / 2)[0] for each in (FIXED, MOVING)]
    moving = scene.seen(MOVING, lambda points: (points - middles[1]) @ turn + middles[0])
    start = impact_plugin.find_start(sitk_image(scene.seen(FIXED)), sitk_image(moving))
    points = FIXED.random_points(50, 0.2)
    truth = (points - middles[0]) @ turn.T + middles[1]
    assert mean_distance(mapped(start, points), truth) < 1.5
