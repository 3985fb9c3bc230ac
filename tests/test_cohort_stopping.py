"""Cohorts that are killed or stopped: Ctrl-C in a terminal, SIGTERM, SIGKILL; then they go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from helpers import cohorts, programs
from helpers.pairs import write_pair

TESTS = Path(__file__).resolve().parent
PROGRAM = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
from helpers import cohorts
if __name__ == "__main__":
    result = cohorts.register(Path({pairs!r}), Path({out!r}), workers=1, progress=True)
    print(result.failed, repr(result.interrupted))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Registers eight pairs, one after the other."""
    write_pair(tmp_path)
    pairs = cohorts.table(tmp_path, Path(), [f"p{number}" for number in range(8)])
    path = tmp_path / "run.py"
    out = str(tmp_path / "out")
    path.write_text(PROGRAM.format(tests=str(TESTS), pairs=str(pairs), out=out))
    return path


def done(script: Path) -> int:
    return len(list((script.parent / "out").glob("pairs/*/quick/task.json")))


def stop(script: Path, number: int, way: signal.Signals, whole_group: bool) -> tuple[str, str]:
    """Start it, and stop it when so many pairs are done."""
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while done(script) < number and time.monotonic() < end:
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(process.pid, way)
    found = process.communicate(timeout=60)
    assert number <= done(script) < 8
    return found


def test_killed_runs_go_on(script: Path) -> None:
    """SIGKILL to the run, Ctrl-C to it and its workers, SIGTERM to it, then the end of it."""
    stop(script, 1, signal.SIGKILL, whole_group=False)

    out, err = stop(script, 2, signal.SIGINT, whole_group=True)
    assert "'stopped by Ctrl-C'" in out, err
    lines = [each for each in err.splitlines() if " done, " not in each]
    assert len(lines) == 2, err  # how many workers, how many pairs; no traceback of anybody
    assert (script.parent / "out/cohort.csv").is_file()

    (script.parent / "out/cohort.csv").unlink()
    out, err = stop(script, 4, signal.SIGTERM, whole_group=False)
    assert "'stopped by SIGTERM'" in out, err
    assert "Traceback" not in err
    table = pd.read_csv(script.parent / "out/cohort.csv")
    assert set(table["status"]) == {"done", "not run"}
    # One may end while the table is written; the next run finds it.
    assert 4 <= (table["status"] == "done").sum() <= done(script)
    log = (script.parent / "out/cohort.jsonl").read_text().splitlines()
    last = json.loads(log[-1])
    assert (last["event"], last["interrupted"]) == ("ended all", "stopped by SIGTERM")
    assert last["done"] + last["left"] == 8

    ended = programs.python(script, timeout=120)
    assert ended.stdout == "0 ''\n", ended.stderr
    assert done(script) == 8
    assert not list((script.parent / "out").glob(".lock"))
