"""Cohorts on this machine: real registrations, resuming, pairs that fail or kill their worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import cohort_runners
from helpers.pairs import sitk_pair
from impact_plugin import _versions, cohort
from impact_plugin.cohort import clusters
from impact_plugin.cohort.clusters import Cluster
from impact_plugin.cohort.shares import Machine

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of two workers that all tests here share."""
    with clusters.local(Machine(workers=2, processors=2, memory=8 << 30)) as found:
        yield found


@pytest.fixture
def shared(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts use the shared cluster in place of their own."""

    @contextmanager
    def local(_: Machine) -> Iterator[Cluster]:
        yield cluster

    monkeypatch.setattr(clusters, "local", local)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, image in zip(("f.mha", "m.mha"), sitk_pair(), strict=True):
        sitk.WriteImage(image, str(folder / name))
    return folder


def table(folder: Path, images: Path, names: list[str]) -> Path:
    """Write a table of pairs; each has a seed of its own, so that no two are the same."""
    path = folder / "pairs.csv"
    rows = [f"{n},{images / 'f.mha'},{images / 'm.mha'},{i}" for i, n in enumerate(names)]
    path.write_text("\n".join(["pair,fixed,moving,seed", *rows]) + "\n")
    return path


def statuses(result: cohort.Cohort) -> dict[str, str]:
    return dict(zip(result.table["pair"], result.table["status"], strict=True))


@pytest.mark.usefixtures("shared")
def test_registrations(tmp_path: Path, images: Path) -> None:
    """One pair, two presets; a pair that cannot be registered; then the same call again."""
    empty = sitk.Image([16, 16, 16], sitk.sitkFloat32)
    sitk.WriteImage(empty, str(tmp_path / "constant.mha"))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "pair,fixed,moving,iterations,set:NumberOfResolutions\n"
        f"good,{images / 'f.mha'},{images / 'm.mha'},2,\n"
        f"constant,{images / 'f.mha'},constant.mha,2,\n"
    )
    presets = ["rigid_mind", "affine_mind"]
    result = cohort.register_cohort(pairs, tmp_path / "out", presets=presets, progress=False)
    assert list(result.table["status"]) == ["done", "done", "failed", "failed"]
    assert result.failed == 2
    assert list(result.table["attempts"]) == [1, 1, 2, 2]
    assert "constant" in result.table["error"][2]
    good = tmp_path / "out/pairs/good/affine_mind"
    loaded = impact_plugin.RegistrationResult.load(good)
    assert float(loaded.history.metric[-1]) == result.table["metric"][1]
    record = json.loads((good / "record.json").read_text())
    assert record["images"]["moving"]["path"] == str(images / "m.mha")
    # Nothing in the folder names the one in which it was written.
    assert ".unfinished" not in "".join(p.read_text() for p in good.glob("*.txt"))
    assert not list((tmp_path / "out").glob("pairs/*/.*"))
    same = pd.read_parquet(tmp_path / "out/cohort.parquet")
    assert list(same["status"]) == list(result.table["status"])
    assert result.table["peak_memory_mb"][0] > 10

    before = (good / "task.json").stat().st_mtime_ns
    again = cohort.register_cohort(pairs, tmp_path / "out", presets=presets, progress=False)
    assert (good / "task.json").stat().st_mtime_ns == before  # not done again; failed ones were
    assert statuses(again) == statuses(result)


@pytest.mark.usefixtures("shared")
def test_isolation(tmp_path: Path, images: Path) -> None:
    """Who kills their worker are reported; who fails, too; who ran beside them are done."""
    names = ["kills1", *(f"p{i}" for i in range(12)), "bad", "kills2"]
    pairs = table(tmp_path, images, names)
    result = cohort.register_cohort(
        pairs, tmp_path / "out", presets="mind", progress=False, runner=cohort_runners.fake
    )
    expected = {n: "done" if n.startswith("p") else "failed" for n in names}
    assert statuses(result) == expected
    errors = result.table.set_index("pair")
    assert "its worker died each of the 2 times" in errors["error"]["kills1"]
    assert errors["error"]["bad"] == "ValueError: bad"
    assert errors["attempts"]["bad"] == 2
    lines = [json.loads(x) for x in (tmp_path / "out/cohort.jsonl").read_text().splitlines()]
    assert sum(each["event"] == "ended" for each in lines) == len(names)


@pytest.mark.usefixtures("shared")
def test_changed_pairs_are_done_again(tmp_path: Path, images: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(images, own)
    pairs = table(tmp_path, own, ["a", "b"])
    out = tmp_path / "out"

    def run() -> list[float]:
        result = cohort.register_cohort(
            pairs,
            out,
            presets="mind",
            progress=False,
            runner=cohort_runners.fake,
        )
        assert result.failed == 0
        return [(out / f"pairs/{n}/mind/task.json").stat().st_mtime_ns for n in "ab"]

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


@pytest.mark.usefixtures("shared")
def test_other_scheduler(cluster: Cluster, tmp_path: Path, images: Path) -> None:
    pairs = table(tmp_path, images, ["a", "b"])
    result = cohort.register_cohort(
        pairs,
        tmp_path / "out",
        presets="mind",
        scheduler=cluster.client.scheduler.address,
        progress=False,
        runner=cohort_runners.fake,
    )
    assert result.failed == 0


@pytest.mark.usefixtures("shared")
def test_workers_with_other_versions(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_versions, "describe", lambda: "impact-plugin 0.0.1")
    with pytest.raises(cohort.CohortError, match=r"worker tcp.* has impact-plugin .*0\.0\.1"):
        cohort.register_cohort(
            table(tmp_path, images, ["a"]), tmp_path / "out", presets="mind", progress=False
        )
    assert not (tmp_path / "out/pairs").exists()


def test_killed_runs_go_on(tmp_path: Path, images: Path) -> None:
    """SIGKILL to the whole run, then SIGINT, then the end of it."""
    pairs = table(tmp_path, images, [f"p{i}" for i in range(8)])
    program = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from impact_plugin import cohort\nfrom helpers import cohort_runners\n"
        "if __name__ == '__main__':\n"
        f"    r = cohort.register_cohort({str(pairs)!r}, {str(tmp_path / 'out')!r}, workers=1,\n"
        "        presets='mind', runner=cohort_runners.interrupted)\n"
        "    print(r.failed, repr(r.interrupted))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)

    def done() -> int:
        return len(list((tmp_path / "out").glob("pairs/*/mind/task.json")))

    for number, way in ((1, signal.SIGKILL), (3, signal.SIGINT)):
        process = subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 120
        while done() < number and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, way)
        out, err = process.communicate(timeout=60)
        assert number <= done() < 8
        if way == signal.SIGINT:
            assert "stopped by Ctrl-C" in out, err
            assert "Traceback" not in err
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "0 ''\n", ended.stderr
    assert done() == 8
