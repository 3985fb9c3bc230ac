"""What must not be lost: results that cannot be measured, moved studies, tables without room."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from helpers import cohorts, programs
from impact_plugin import cohort
from impact_plugin.cohort import work, workers
from impact_plugin.cohort.clusters import Cluster
from impact_plugin.cohort.plan import Checksums, Task, Variant, content_key
from impact_plugin.elastix.errors import RegistrationError


def pair(images: Path, name: str = "a", **more: str) -> cohort.Pair:
    files = {"fixed": "f.mha", "moving": "m.mha", **more}
    return cohort.Pair(name, {role: str(images / file) for role, file in files.items()})


def points(path: Path, *rows: tuple[float, ...]) -> None:
    path.write_text("point\n" + f"{len(rows)}\n" + "".join(f"{x} {y} {z}\n" for x, y, z in rows))


def test_landmarks_are_compared_with_images_beforehand(images: Path, tmp_path: Path) -> None:
    image = sitk.ReadImage(str(images / "f.mha"))
    inside = [image.TransformIndexToPhysicalPoint([i + 6] * 3) for i in range(3)]
    points(images / "three.txt", *inside)
    points(images / "two.txt", *inside[:2])
    points(images / "far.txt", *inside[:2], (1e4, 0.0, 0.0))
    labels = sitk.Cast(image > sitk.GetArrayViewFromImage(image).mean(), sitk.sitkUInt8)
    sitk.WriteImage(labels, str(images / "labels.mha"))
    labels.SetOrigin([1000.0, 0.0, 0.0])
    sitk.WriteImage(labels, str(images / "elsewhere.mha"))
    pairs = [
        pair(images, "number", fixed_points="three.txt", moving_points="two.txt"),
        pair(images, "outside", fixed_points="far.txt", moving_points="three.txt"),
        pair(images, "labels", fixed_labels="elsewhere.mha", moving_labels="labels.mha"),
    ]
    with pytest.raises(cohort.CohortError, match="nothing was started") as caught:
        cohort.register_cohort(pairs, tmp_path / "out", preset="mind")
    number, outside, grid = caught.value.problems
    assert [each.kind for each in caught.value.problems] == ["points", "outside", "grid"]
    assert "pair 'number': " in number
    assert "3" in number
    assert "pair 'outside': 1 of 3 fixed_points lie outside the fixed image" in outside
    assert "pair 'labels': fixed_labels does not lie on the grid of the fixed image" in grid

    table = images / "pairs.csv"
    table.write_text("fixed,moving,fixed_points,moving_points\nf.mha,m.mha,far.txt,three.txt\n")
    said = programs.plugin("cohort", table, "-o", tmp_path / "out")
    assert said.exit_code == 1
    assert "--leave-out-outside leaves them out" in said.output


@pytest.mark.usefixtures("shared")
def test_what_cannot_be_measured_is_kept(images: Path, tmp_path: Path) -> None:
    """Half a label is found when it is measured: the registration is there all the same."""
    image = sitk.ReadImage(str(images / "f.mha"))
    half = sitk.GetImageFromArray(np.full(image.GetSize()[::-1], 0.5, np.float32))
    half.CopyInformation(image)
    sitk.WriteImage(half, str(images / "half.mha"))
    given = pair(images, fixed_labels="half.mha", moving_labels="half.mha")
    given = cohort.Pair("a", given.files, options={"iterations": 2})
    result = cohort.register_cohort([given], tmp_path / "out", preset="rigid_mind", progress=False)
    (row,) = result.table.to_dict("records")
    assert row["status"] == "done"
    assert row["attempts"] == 1
    assert "fixed_labels is no label map: it has the value 0.5" in row["measure_error"]
    assert (tmp_path / "out/pairs/a/rigid_mind/result.mha").is_file()
    assert result.report is not None
    assert "0.5; expected whole numbers" in result.report.read_text()


@pytest.mark.usefixtures("shared")
def test_moved_studies_go_on(images: Path, tmp_path: Path) -> None:
    """A folder is known by what is in its images; those of another cohort are refused."""
    cohorts.register(
        [pair(images, "a"), cohort.Pair("b", pair(images).files, "center")], images / "out"
    )
    moved = tmp_path / "moved"
    shutil.move(images, moved)
    before = (moved / "out/pairs/a/quick/task.json").stat().st_mtime_ns
    log = moved / "out/cohort.jsonl"
    log.unlink()
    assert cohorts.register([pair(moved)], moved / "out").failed == 0
    assert (moved / "out/pairs/a/quick/task.json").stat().st_mtime_ns == before
    assert json.loads(log.read_text().splitlines()[0])["kept"] == 1

    # The pair that was not there this time is still the folder's.
    b = cohort.Pair("b", pair(moved).files, "center")
    assert json.loads((moved / "out/cohort.json").read_text())["pairs"].keys() == {"a", "b"}
    log.unlink()
    cohorts.register([b], moved / "out")
    assert json.loads(log.read_text().splitlines()[0])["kept"] == 1

    other = sitk.ReadImage(str(moved / "f.mha")) + 1
    sitk.WriteImage(other, str(moved / "other.mha"))
    with pytest.raises(cohort.CohortError, match="is the folder of another cohort, with 2 pairs"):
        cohorts.register([pair(moved, fixed="other.mha")], moved / "out")


@pytest.mark.usefixtures("shared")
def test_a_table_without_room(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "cohort.parquet")

    monkeypatch.setattr("impact_plugin.cohort.table.write", full)
    result = cohorts.register([pair(images)], tmp_path / "out")
    assert "the table cannot be written: [Errno 28] No space left" in result.unwritten
    assert list(result.table["status"]) == ["done"]
    last = json.loads((tmp_path / "out/cohort.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "ended all"
    monkeypatch.undo()


@pytest.mark.parametrize("cache", ["", "file", "file/below"])
def test_folders_of_features(images: Path, tmp_path: Path, cache: str) -> None:
    (tmp_path / "file").touch()
    where = str(tmp_path / cache) if cache else ""
    with pytest.raises(cohort.CohortError, match="feature_cache is"):
        cohort.register_cohort([pair(images)], tmp_path / "out", feature_cache=where)
    table = images / "pairs.csv"
    table.write_text("fixed,moving\nf.mha,m.mha\n")
    arguments = [str(table), "-o", str(tmp_path / "out"), "--feature-cache", where]
    said = programs.plugin("cohort", *arguments)
    assert said.exit_code == 1
    assert "feature_cache is" in said.output


UNGUARDED = """
from impact_plugin import cohort
cohort.register_cohort({pairs!r}, {out!r}, preset="mind", workers=1)
"""


@pytest.mark.parametrize("is_file", [True, False])
def test_scripts_that_workers_cannot_import(images: Path, tmp_path: Path, is_file: bool) -> None:
    table = images / "pairs.csv"
    table.write_text("fixed,moving\nf.mha,m.mha\n")
    text = UNGUARDED.format(pairs=str(table), out=str(tmp_path / "out"))
    script = tmp_path / "script.py"
    script.write_text(text)
    ended = programs.python(
        script if is_file else "-", input=None if is_file else text, timeout=120
    )
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    if is_file:
        assert 'needs `if __name__ == "__main__":` before what it does' in said
        assert "is in use by" not in ended.stderr  # of the child, which would start a run, too
    else:
        assert "the script is <stdin>, which workers of this machine cannot import" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seconds", [0.3, 1.2, 2.0, 2.8])
def test_stopped_while_workers_start(images: Path, tmp_path: Path, seconds: float) -> None:
    """At any moment: no traceback, and the same command goes on."""
    table = images / "pairs.csv"
    table.write_text("fixed,moving,iterations\nf.mha,m.mha,2\n")
    arguments = [str(table), "-o", str(tmp_path / "out"), "--preset", "rigid_mind"]
    program = str(Path(sys.executable).parent / "impact-plugin")
    begin = [program, "cohort", *arguments, "--workers", "1"]
    process = subprocess.Popen(begin, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds, process.send_signal, [signal.SIGTERM])
    timer.start()
    _, said = process.communicate(timeout=60)
    timer.cancel()
    assert process.returncode in (143, -signal.SIGTERM, 0), said
    assert "Traceback" not in said
    if seconds > 2:  # it is enough to go on once
        again = programs.captured(*begin, timeout=120)
        assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("http://127.0.0.1:9", "expected an address like tcp://host:8786"),
        ("nonsense", "Must include protocol like tcp://"),
    ],
)
def test_addresses_of_schedulers(images: Path, tmp_path: Path, address: str, wrong: str) -> None:
    with pytest.raises(cohort.CohortError, match=wrong):
        cohort.register_cohort([pair(images)], tmp_path / "out", scheduler=address)


def test_workers_that_do_not_answer(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "TIMEOUT", 0.5)
    process = cluster.client.submit(os.getpid, pure=False).result()
    os.kill(process, signal.SIGSTOP)
    try:
        (problem,) = workers.check(cluster, tmp_path)
    finally:
        os.kill(process, signal.SIGCONT)
    assert "does not answer within 0.5 s" in problem


def task(images: Path, out: Path) -> Task:
    return Task(pair(images), Variant("rigid_mind", ("rigid_mind",)), "key", str(out))


def test_logs_of_failures_are_in_the_folder(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a folder for temporary files, perhaps of another machine; nothing is left there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    dead = tmp_path / f"tmp/impact-plugin-worker-{os.uname().nodename}-4194305"
    dead.mkdir(parents=True)

    def fails(*_: object, **__: object) -> None:
        log = Path(tempfile.mkdtemp()) / "elastix.log"
        log.write_text("why\n")
        raise RegistrationError("cause", log=log)

    monkeypatch.setattr("impact_plugin.register_images", fails)
    row = work.run(task(images, tmp_path / "out"))
    kept = tmp_path / "out/failed/a@rigid_mind.log"
    assert kept.read_text() == "why\n"
    assert str(kept) in row.error
    assert not list((tmp_path / "tmp").iterdir())


def test_keys(images: Path, tmp_path: Path) -> None:
    """The processor is where networks run without a device, unless a map asks for a GPU."""
    given, checksums = pair(images), Checksums(tmp_path / "sums.json")
    on_gpu = [{"GPU": ["0"]}]
    keys = [
        content_key(given, maps, {}, checksums, device)
        for maps in ([{"GPU": ["-1"]}], on_gpu)
        for device in (None, "cpu")
    ]
    assert keys[0] == keys[1]
    assert keys[2] != keys[3]

    # Changed in place, with the size and the time of the last change as they were.
    file = images / "m.mha"
    state = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert content_key(given, on_gpu, {}, checksums, None) != keys[2]
