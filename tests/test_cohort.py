"""Cohorts on this machine: real registrations, resuming, pairs that fail or kill their worker."""

from __future__ import annotations

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import jsonschema
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import cohorts
from helpers.pairs import write_pair
from impact_plugin import _versions, cohort
from impact_plugin.check import ImageHeader
from impact_plugin.cohort import Row, journal, work
from impact_plugin.cohort.clusters import Cluster
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.plan import Checksums, Task, Variant, content_key
from impact_plugin.parameters import map_files


def statuses(result: cohort.CohortResult) -> dict[str, str]:
    return dict(zip(result.table["pair"], result.table["status"], strict=True))


@pytest.mark.usefixtures("shared")
def test_registrations(tmp_path: Path, images: Path) -> None:
    """One pair, two presets; a pair that cannot be registered; then the same call again."""
    empty = sitk.Image([16, 16, 16], sitk.sitkFloat32)
    sitk.WriteImage(empty, str(tmp_path / "constant.mha"))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "pair,fixed,moving,iterations,set:NumberOfResolutions\n"
        f"good,{images / 'f.mha'},{images / 'm.mha'},2 3 1,\n"
        f"constant,{images / 'f.mha'},constant.mha,2,\n"
    )
    presets = ["rigid_mind", "affine_mind"]
    result = cohort.register_cohort(pairs, tmp_path / "out", variants=presets, progress=False)
    assert list(result.table["status"]) == ["done", "done", "failed", "failed"]
    assert result.failed == 2
    assert list(result.table["attempts"]) == [1, 1, 2, 2]
    assert "constant" in result.table["error"][2]
    good = tmp_path / "out/pairs/good/affine_mind"
    loaded = impact_plugin.RegistrationResult.load(good)
    assert float(loaded.history.metric[-1]) == result.table["metric"][1]
    assert np.bincount(loaded.history.level).tolist() == [2, 3, 1]
    record = json.loads((good / "record.json").read_text())
    assert record["images"]["moving"]["path"] == str(images / "m.mha")
    row = json.loads((good / "task.json").read_text())
    jsonschema.validate(row, cohort.row_schema())
    assert {"pair", "variant", "status", "error", "key", "metric", "folding"} <= row.keys()
    assert Row(**row).attempts == 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**row, "status": "lost"}, cohort.row_schema())
    # Nothing in the folder names the one in which it was written.
    assert ".unfinished" not in "".join(p.read_text() for p in good.glob("*.txt"))
    assert not list((tmp_path / "out").glob("pairs/*/.*"))
    same = pd.read_parquet(tmp_path / "out/cohort.parquet")
    assert list(same["status"]) == list(result.table["status"])
    assert result.table["peak_memory_mb"][0] > 10

    before = (good / "task.json").stat().st_mtime_ns
    again = cohort.register_cohort(pairs, tmp_path / "out", variants=presets, progress=False)
    assert (good / "task.json").stat().st_mtime_ns == before  # not done again; failed ones were
    assert statuses(again) == statuses(result)


@pytest.mark.usefixtures("shared")
def test_isolation(tmp_path: Path, images: Path) -> None:
    """Who kills their worker are reported; who fails, too; who ran beside them are done."""
    names = ["kills1", *(f"p{i}" for i in range(12)), "bad", "kills2"]
    pairs = cohorts.table(tmp_path, images, names)
    result = cohorts.register(pairs, tmp_path / "out", cohorts.as_named)
    expected = {n: "done" if n.startswith("p") else "failed" for n in names}
    assert statuses(result) == expected
    errors = result.table.set_index("pair")
    assert errors["error"]["kills1"].startswith(work.DIED)
    assert errors["attempts"]["kills1"] == 2
    assert errors["error"]["bad"] == "ValueError: bad"
    assert errors["attempts"]["bad"] == 2
    lines = [json.loads(x) for x in (tmp_path / "out/cohort.jsonl").read_text().splitlines()]
    assert sum(each["event"] == "ended" for each in lines) == len(names)


@pytest.mark.usefixtures("shared")
def test_changed_pairs_are_done_again(tmp_path: Path, images: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(images, own)
    pairs = cohorts.table(tmp_path, own, ["a", "b"])
    out = tmp_path / "out"

    def run() -> list[float]:
        assert cohorts.register(pairs, out).failed == 0
        return [(out / f"pairs/{n}/quick/task.json").stat().st_mtime_ns for n in "ab"]

    first = run()
    assert run() == first
    pairs.write_text(pairs.read_text().replace(",1\n", ",7\n"))  # the seed of b
    second = run()
    assert second[0] == first[0]
    assert second[1] > first[1]
    image = sitk.ReadImage(str(own / "m.mha"))
    sitk.WriteImage(image + 1, str(own / "m.mha"))
    third = run()
    assert third[0] > second[0]
    assert third[1] > second[1]


def test_a_changed_transform_beneath_the_initial_one(tmp_path: Path, images: Path) -> None:
    """A pair's key has all files that its initial transform consists of."""
    begin = '(Transform "TranslationTransform")\n(NumberOfParameters 3)\n'
    beneath, start = tmp_path / "first.txt", tmp_path / "second.txt"
    start.write_text(
        begin + f'(TransformParameters 0 0 0)\n(InitialTransformParameterFileName "{beneath}")\n'
    )
    files = {"fixed": str(images / "f.mha"), "moving": str(images / "m.mha")}
    keys = []
    for shift in (1, 2):
        beneath.write_text(begin + f"(TransformParameters {shift} 0 0)\n")
        checksums = Checksums(tmp_path / f"{shift}.json")
        pair = cohort.Pair("a", files, initial_transform=str(start))
        keys.append(content_key(pair, [], {}, checksums))
    assert keys[0] != keys[1]


@pytest.mark.usefixtures("shared")
def test_other_scheduler(cluster: Cluster, tmp_path: Path, images: Path) -> None:
    pairs = cohorts.table(tmp_path, images, ["a", "b"])
    address = cluster.client.scheduler.address
    result = cohorts.register(pairs, tmp_path / "out", scheduler=address)
    assert result.failed == 0


@pytest.mark.usefixtures("shared")
def test_workers_with_other_versions(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_versions, "describe", lambda: "impact-plugin 0.0.1")
    with pytest.raises(cohort.CohortError, match=r"worker tcp.* has impact-plugin .*0\.0\.1"):
        cohorts.register(cohorts.table(tmp_path, images, ["a"]), tmp_path / "out")
    assert not (tmp_path / "out/pairs").exists()


@pytest.mark.usefixtures("shared")
def test_attempts_and_causes(tmp_path: Path, images: Path) -> None:
    """Of a pair that fails once and whose worker dies once, and of a crash; also when resumed."""
    pairs = cohorts.table(tmp_path, images, ["a"])
    out = tmp_path / "out"

    def run(register: work.Register, retries: int) -> pd.DataFrame:
        return cohorts.register(pairs, out, register, retries=retries).table

    found = run(cohorts.segfaults, 1)
    last = f"(last {socket.gethostname()}:"
    assert f"each of the 2 times that it ran {last}" in found["error"][0]
    assert "it was killed by signal 11 (SIGSEGV), a crash" in found["error"][0]
    assert found["attempts"][0] == 2

    for _ in range(2):  # the second time the row is the one that is there
        found = run(cohorts.fails_then_dies, 2)
        assert found["status"][0] == "done"
        assert found["attempts"][0] == 3
    lines = [json.loads(line) for line in (out / "cohort.jsonl").read_text().splitlines()]
    again = [each["why"] for each in lines if each["event"] == "again"]
    assert again == ["its worker died", "ValueError: first", "its worker died"]
    ends = [each for each in lines if each["event"] == "ended all"]
    assert [(each["done"], each["failed"], each["left"]) for each in ends] == [
        (0, 1, 0),
        (1, 0, 0),
        (1, 0, 0),
    ]
    starts = [(each["tasks"], each["kept"]) for each in lines if each["event"] == "started"]
    assert starts == [(1, 0), (1, 0), (0, 1)]


@pytest.mark.usefixtures("shared")
def test_the_log_goes_on_after_half_a_line(tmp_path: Path, images: Path) -> None:
    """As a kill leaves one."""
    pairs = cohorts.table(tmp_path, images, ["a", "bad"])
    out = tmp_path / "out"
    for _ in range(2):
        cohorts.register(pairs, out, cohorts.as_named)
        with (out / "cohort.jsonl").open("a") as file:
            file.write('{"time": 17')
    whole, broken = [], 0
    for line in (out / "cohort.jsonl").read_text().splitlines():
        try:
            whole.append(json.loads(line)["event"])
        except ValueError:
            broken += 1
    assert broken == 2
    second = whole.index("started", 1)
    # the two pairs run side by side, in whichever order they end
    assert [whole[0], *sorted(whole[1 : second - 1]), whole[second - 1]] == [
        "started",
        "again",
        "ended",
        "ended",
        "ended all",
    ]
    assert whole[second:] == ["started", "again", "ended", "ended all"]


@pytest.mark.parametrize("module", [impact_plugin, cohort])
def test_the_former_name_of_results(module: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match=r"Cohort is now called .*CohortResult"):
        assert module.Cohort is cohort.CohortResult


def test_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, time per pair and time left, as for a log file."""
    with journal.Journal(tmp_path, show=True) as found:
        found.begin(total=10, kept=4)
        found.ended(Row(pair="a", variant="v", status="done", error="", seconds=4.0))
        found.ended(Row(pair="b", variant="v", status="failed", error="E: x\ny"))
        found.tick(there=4, workers=2)
    said = capsys.readouterr().err
    assert "failed: b, v: E: x\n" in said
    assert "5 of 10 done, 1 failed, 2 running on 2 workers, 4.0 s per pair, 0:00:0" in said


@pytest.mark.usefixtures("shared")
def test_workers_that_come_later_with_other_versions(tmp_path: Path, images: Path) -> None:
    """Which the start did not see: their pairs fail, and nothing of theirs is kept."""
    task = Task(
        cohort.Pair("a", {}), Variant("v"), "k", str(tmp_path), versions="impact-plugin 0.0.1"
    )
    row = work.run(task)
    assert row.status == "failed"
    assert "and the cohort is of impact-plugin 0.0.1" in row.error
    assert not task.folder.exists()


def test_results_written_twice_at_the_same_time(tmp_path: Path) -> None:
    """By a worker that an earlier run has left behind: one of them is there, and whole."""
    place = tmp_path / "place"

    def put(number: int) -> None:
        for _ in range(50):
            unfinished = tmp_path / f".unfinished-{number}"
            unfinished.mkdir()
            (unfinished / "a").write_text(str(number))
            (unfinished / "b").write_text(str(number))
            work.put(unfinished, place)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put, range(2)))
    assert (place / "a").read_text() == (place / "b").read_text()
    assert not list(tmp_path.glob(".unfinished-*"))


def test_models_of_one_variant_only(tmp_path: Path) -> None:
    """The others' maps do not name it; two names may be one file."""
    model = impact_plugin.models.mind(1, 2, 3)
    links = {name: tmp_path / name for name in ("one.pt", "two.pt")}
    for link in links.values():
        link.symlink_to(model)
    parameters = impact_plugin.preset_map("mind") | {"ModelsPath": list(links)}
    own = tmp_path / "own.txt"
    own.write_text(map_files.dump(parameters))
    variants = [Variant("mind", presets=("mind",)), Variant("own", maps=(str(own),))]
    pair = cohort.Pair("a", {"fixed": "f", "moving": "m"})
    headers = dict(zip("fm", map(ImageHeader.read, write_pair(tmp_path)), strict=True))
    with Maps(variants, {name: str(path) for name, path in links.items()}) as maps:
        assert maps.check([pair], headers) == []
        assert maps.of(variants[0], pair, headers).given is None
        loaded = maps.of(variants[1], pair, headers)
        sums = maps.checksums(loaded, Checksums(tmp_path / "sums"))
    assert list(sums) == ["one.pt", "two.pt"]
    assert len(set(sums.values())) == 1
    with Maps(variants, {"three.pt": str(model)}) as maps:
        assert "models has 'three.pt', and no map names it" in maps.check([pair], headers)[-1]


@pytest.mark.usefixtures("shared")
def test_axes_and_folders(tmp_path: Path, images: Path) -> None:
    """Landmarks in RAS, and a registration's folder to begin with, as register_images has them."""
    first = cohorts.register(
        [cohort.Pair("a", {"fixed": str(images / "f.mha"), "moving": str(images / "m.mha")})],
        tmp_path / "first",
    )
    (folder,) = (first.folder / "pairs" / "a").iterdir()
    image = sitk.ReadImage(str(images / "f.mha"))
    places = [image.TransformContinuousIndexToPhysicalPoint([0.5 * n for n in image.GetSize()])]
    lps = "\n".join(" ".join(map(str, place)) for place in places)
    ras = "\n".join(f"{-x} {-y} {z}" for x, y, z in places)
    (images / "lps.txt").write_text(lps + "\n")
    (images / "ras.txt").write_text(ras + "\n")
    rows = ["pair,fixed,moving,initial_transform,fixed_points,moving_points,axes"]
    rows += [
        f"in_{axes},f.mha,m.mha,{folder},{axes}.txt,{axes}.txt,{axes.upper()}"
        for axes in ("lps", "ras")
    ]
    (images / "pairs.csv").write_text("\n".join(rows) + "\n")
    result = cohorts.register(images / "pairs.csv", tmp_path / "out")
    assert list(result.table["status"]) == ["done", "done"], list(result.table["error"])
    one, other = result.table["tre_mean_mm"]
    assert one == other
    (again,) = (result.folder / "pairs" / "in_ras").iterdir()
    loaded = impact_plugin.RegistrationResult.load(again)
    assert loaded.initial == 1
    assert (
        loaded.chain.maps[0]["TransformParameters"]
        == (impact_plugin.RegistrationResult.load(folder).chain.maps[0]["TransformParameters"])
    )
    assert all(cohorts.register(images / "pairs.csv", tmp_path / "out").table["status"] == "done")


def test_folders_without_a_registration(tmp_path: Path, images: Path) -> None:
    (tmp_path / "empty").mkdir()
    files = {"fixed": str(images / "f.mha"), "moving": str(images / "m.mha")}
    pair = cohort.Pair("a", files, initial_transform=str(tmp_path / "empty"))
    with pytest.raises(
        cohort.CohortError, match=r"'a': initial_transform: .* holds no reg"
    ) as error:
        cohorts.register([pair], tmp_path / "out")
    assert [each.kind for each in error.value.problems] == ["initial-transform"]


def give_a_dict(task: Task) -> dict[str, object]:
    return work.run(task).as_dict()


def give_nothing(_: Task) -> str:
    return "no row"


@pytest.mark.usefixtures("shared")
def test_rows_of_runners_of_before(tmp_path: Path, images: Path) -> None:
    """Dictionaries will do; what is no row is said of the pair."""
    files = {"fixed": str(images / "f.mha"), "moving": str(images / "m.mha")}
    pairs = [cohort.Pair("a", files)]
    options = {"parameter_files": [cohorts.quick_map(tmp_path)], "progress": False, "retries": 0}
    for runner, status in ((give_a_dict, "done"), (give_nothing, "failed")):
        result = cohort.register_cohort(
            pairs,
            tmp_path / status,
            runner=runner,  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )
        assert list(result.table["status"]) == [status]
    assert "the runner gives no row" in result.table["error"][0]
    row = Row(pair="a", variant="v", status="done", error="")
    with pytest.warns(DeprecationWarning, match=r"write \.status in place of \['status'\]"):
        assert row["status"] == "done"
