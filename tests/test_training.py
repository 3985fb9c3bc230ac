"""Training on made-up anatomy: what is drawn, what is asked, and that a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import Generator, default_rng
from training import anatomy, contrast, export, judge, run
from training.__main__ import main
from training.network import Learned, Shape

from impact_plugin import models
from impact_plugin._mind import MindSSC


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("dimension", [2, 3])
def test_smooth_fields_have_mean_0_and_deviation_1(dimension: int) -> None:
    fields = anatomy.smooth(400, (40, 30, 20)[:dimension], 4.0, default_rng(1))
    assert fields.shape == (400, *(40, 30, 20)[:dimension])
    assert float(fields.mean()) == pytest.approx(0, abs=0.05)
    assert float(fields.std()) == pytest.approx(1, abs=0.05)
    steps = (fields[:, 1:] - fields[:, :-1]).abs().mean()
    assert float(steps) < 0.3  # a quarter of a cell


@pytest.mark.parametrize("dimension", [2, 3])
def test_places_say_where_the_fixed_picture_shows_the_same(dimension: int) -> None:
    """One contrast, no noise: the moving picture is the fixed one, looked up."""
    random = default_rng(2)
    drawn = anatomy.drawn(32, dimension, random)
    places = anatomy.deformation(32, dimension, random)
    moved = anatomy.sampled(drawn.textures, places.reshape(-1, dimension)).T
    index = (9, 20, 13)[:dimension]
    at = places[index].double().numpy()
    base = np.floor(at).astype(int)
    wanted = 0.0
    for corner in np.ndindex(*(2,) * dimension):
        weight = np.prod([1 - abs(a - b - c) for a, b, c in zip(at, base, corner, strict=True)])
        wanted += weight * float(drawn.textures[1][tuple(np.add(base, corner))])
    found = moved[1].reshape((32,) * dimension)[index]
    assert float(found) == pytest.approx(wanted, abs=1e-5)
    # Near the identity: some degrees and voxels.
    rest = places - torch.stack(
        torch.meshgrid(*[torch.arange(32.0)] * dimension, indexing="ij"), dim=-1
    )
    assert 0 < float(rest.abs().max()) < 20


def test_two_pictures_of_one_anatomy_have_contrasts_of_their_own() -> None:
    pairs = [anatomy.pictures(32, 2, default_rng(seed)) for seed in range(40)]
    likeness = []
    for pair in pairs:
        moved = anatomy.sampled(pair.fixed[0], pair.places.reshape(-1, 2)).ravel()
        both = torch.stack([moved, pair.moving.ravel()])
        likeness.append(float(torch.corrcoef(both)[0, 1]))
    found = np.array(likeness)
    assert (found > 0.7).any()  # the same contrast
    assert (found < -0.2).any()  # inverted
    assert (np.abs(found) < 0.5).any()
    assert all(pair.edges.any() for pair in pairs)


def test_the_loss_is_small_for_features_that_know_their_place_and_large_for_others() -> None:
    random = default_rng(3)
    pair = anatomy.pictures(32, 3, random)
    grid = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    there = pair.places.movedim(-1, 0)
    small, hits = contrast.loss(5 * grid, 5 * there, pair, 4, default_rng(4))
    large, misses = contrast.loss(5 * grid, 5 * grid.flip(1), pair, 4, default_rng(4))
    assert hits > 0.95
    assert float(small) < 0.1
    assert misses < 0.5
    assert float(large) > 1.0


def test_placing_is_exact_for_features_that_know_their_place() -> None:
    """Squares of small steps have a parabola; an L1 distance of places has its kink there."""
    random = default_rng(3)
    pair = anatomy.pictures(32, 3, random)
    there = pair.places.movedim(-1, 0)
    grid = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    known = float(contrast.placed(grid, there, pair, 6, default_rng(4)))
    noise = [torch.randn(c.shape, generator=torch.Generator().manual_seed(5)) for c in (grid, grid)]
    unknown = float(contrast.placed(noise[0], noise[1].flip(1), pair, 6, default_rng(4)))
    assert known < 0.35 < 0.45 < unknown


def test_a_run_begins_with_another_s_weights_and_keeps_mind_beside(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    main(["--dimension", "2", "--steps", "1", "--size", "40", "--out", str(first)])
    given = ["--dimension", "2", "--steps", "2", "--size", "40", "--rate", "0", "--beside"]
    main([*given, "--place", "4", "--begin", str(first), "--out", str(second)])
    networks = [export.load(folder) for folder in (first, second)]
    image = torch.rand(1, 1, 40, 40)
    one, both = (network(image)[0] for network in networks)
    mind = MindSSC(1, 2, 2)(image)[0]
    torch.testing.assert_close(both[:, : mind.shape[1]], mind)
    assert [networks[1].weight.item(), networks[1].temperature.item()] == [-2.0, 1.5]
    weight = networks[1].weight.exp()
    torch.testing.assert_close(both[:, mind.shape[1] :], one * weight, rtol=1e-4, atol=1e-5)
    export.main([str(second), str(tmp_path / "model.pt")])
    (layer,) = models.inspect(tmp_path / "model.pt").layers
    assert layer.channels == 20

    begun = run.Settings(steps=1, size=40, begin=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"no .*none/weights\.pt: give the folder of a finished"):
        run.train(Shape(2), begun, tmp_path / "third")
    begun = run.Settings(steps=1, size=40, begin=str(first))
    with pytest.raises(ValueError, match=r"first/weights\.pt has the shape .*, this run .*\(8, "):
        run.train(Shape(2, channels=(8, 8, 8)), begun, tmp_path / "third")


@pytest.mark.parametrize("dimension", [2, 3])
def test_features_see_no_more_than_their_field_of_view(dimension: int) -> None:
    torch.manual_seed(1)
    shape = Shape(dimension)
    network = Learned(shape).eval()
    size = shape.field_of_view + 8
    image = torch.rand(1, 1, *(size,) * dimension)
    middle = sum(size // 2 * size**axis for axis in range(dimension))
    before = network(image)[0][0].flatten(1)[:, middle]
    reach = shape.field_of_view // 2
    inside = torch.arange(size).sub(size // 2).abs() <= reach
    both = inside[:, None] & inside
    seen = both if dimension == 2 else both[..., None] & inside
    other = torch.where(seen, image, torch.rand(image.shape))
    after = network(other)[0][0].flatten(1)[:, middle]
    assert torch.equal(before, after)
    bright = network(image * 37)[0][0].flatten(1)[:, middle]
    torch.testing.assert_close(bright, before, rtol=1e-3, atol=1e-4)


def test_a_run_learns_goes_on_where_it_was_left_and_is_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "EVERY", 20)
    given = ["--dimension", "2", "--steps", "60", "--size", "40", "--out"]
    main([*given, str(tmp_path / "whole")])
    weights = Path(capsys.readouterr().out.strip())
    assert weights == tmp_path / "whole" / "weights.pt"

    seen: list[int] = []

    def stopped(size: int, dimension: int, random: Generator) -> anatomy.Pictures:
        seen.append(1)
        if len(seen) == 45:  # 40 steps are kept
            raise KeyboardInterrupt
        return anatomy.pictures(size, dimension, random)

    monkeypatch.setattr(run, "pictures", stopped)
    with pytest.raises(KeyboardInterrupt):
        main([*given, str(tmp_path / "parts")])
    main([*given, str(tmp_path / "parts")])
    assert len(seen) == 45 + 20
    whole, parts = (
        torch.load(tmp_path / name / "weights.pt", weights_only=True)["weights"]
        for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name

    lines = (tmp_path / "whole" / "record.jsonl").read_text().splitlines()
    head, *steps = map(json.loads, lines)
    assert head["settings"] == {
        **{"seed": 1, "steps": 60, "size": 40, "rate": 0.002},
        **{"place": 0.0, "begin": ""},
    }
    assert head["shape"]["dimension"] == 2
    assert [line["step"] for line in steps] == [20, 40, 60]
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_another_shape_in_a_folder_with_a_run_is_refused(tmp_path: Path) -> None:
    settings = run.Settings(steps=1, size=40)
    run.train(Shape(2), settings, tmp_path)
    with pytest.raises(
        ValueError, match=r"record\.jsonl is of a run with .*16.*, not with .*8.*: give another"
    ):
        run.train(Shape(2, channels=(8, 8, 8)), settings, tmp_path)


def test_a_model_file_is_scaled_as_mind_is(tmp_path: Path) -> None:
    run.train(Shape(2), run.Settings(steps=1, size=40), tmp_path)
    export.main([str(tmp_path), str(tmp_path / "model.pt")])
    model = torch.jit.load(str(tmp_path / "model.pt"))  # type: ignore[no-untyped-call]
    mind = export.distance(MindSSC(1, 2, 2), 2)
    assert export.distance(model, 2) == pytest.approx(mind, rel=1e-4)
    report = models.inspect(tmp_path / "model.pt")
    assert [(layer.channels, layer.stride) for layer in report.layers] == [(16, (1.0, 1.0))]
    assert report.differentiable


def test_judging_finds_how_far_features_are_off() -> None:
    image = torch.from_numpy(default_rng(5).normal(0, 1, (1, 1, 40, 40, 40))).float()
    inside = torch.ones(40, 40, 40, dtype=torch.bool)

    def network(by: int) -> torch.nn.Module:
        class Same(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
                return [torch.roll(x - 1000, by, -1) if x.mean() > 500 else x]

        return Same()

    for by in (0, 2):
        assert judge.error(network(by), image, image + 1000, inside) == pytest.approx(by)
