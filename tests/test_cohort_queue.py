"""The Slurm example of docs/cohorts.md, with an sbatch that runs jobs on this machine at once."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import dask
import pytest

from helpers import cohorts
from helpers.pairs import write_pair
from impact_plugin import cohort
from impact_plugin.cohort import queues

TESTS = Path(__file__).resolve().parent
SBATCH = """#!/bin/sh
grep '^#SBATCH' "$1" >> {folder}/asked
cp "$1" {folder}/job$$.sh
setsid sh {folder}/job$$.sh >> {folder}/log 2>&1 &
echo $! >> {folder}/jobs
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$1" >> {folder}/cancelled
kill -- -"$1" 2>/dev/null || true
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the example says, one job of it; beside it what the queue was asked for."""
    page = (TESTS.parent / "docs/cohorts.md").read_text()
    found = re.search(r'(?:^    .*\n)*^    system = "slurm"\n(?:^    .*\n)*', page, re.MULTILINE)
    assert found is not None
    example = re.sub(
        r"^jobs = \d+", "jobs = 1", found[0].replace("\n    ", "\n").strip(), flags=re.M
    )
    example = example.replace("source ~/venv/bin/activate", f"touch {tmp_path}/prologue")
    (tmp_path / "slurm.toml").write_text(example + "\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(folder=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(TESTS))  # where jobs find the runner
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)
    cohorts.table(tmp_path, Path(), [f"p{number}" for number in range(6)])
    return tmp_path


def test_the_example(slurm: Path) -> None:
    """A job that ends while a pair runs is submitted anew, and the pair tried again."""
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}):
        result = cohorts.register(
            slurm / "pairs.csv",
            slurm / "out",
            cohorts.kills_its_job_once,
            cluster_file="slurm.toml",
            threads=4,
        )
    log = (slurm / "log").read_text()
    assert result.failed == 0, log
    assert (slurm / "prologue").exists()
    asked = (slurm / "asked").read_text()
    assert "--cpus-per-task=4" in asked
    assert "-p normal" in asked
    jobs = (slurm / "jobs").read_text().split()
    assert len(jobs) == 2
    end = time.monotonic() + 120  # all of them end, or are cancelled
    while any(map(is_there, jobs)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(is_there, jobs))
    assert max(result.table["attempts"]) == 2


def is_there(job: str) -> bool:
    try:
        os.killpg(int(job), 0)
    except ProcessLookupError:
        return False
    return True


def test_what_the_queue_refuses(slurm: Path) -> None:
    """A message, not a traceback; and nothing is left."""
    (slurm / "bin/sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: no such queue' >&2; exit 1\n"
    )
    with pytest.raises(cohort.CohortError, match="no such queue"):
        cohort.register_cohort(
            "pairs.csv", "out", preset="mind", cluster_file="slurm.toml", progress=False
        )
    assert not (slurm / "out").exists()


def test_an_argument_that_there_is_not(slurm: Path) -> None:
    with (slurm / "slurm.toml").open("a") as file:
        file.write('quueue = "normal"\n')
    with pytest.raises(cohort.CohortError, match=r"SLURMCluster does not take it: .*quueue"):
        cohort.register_cohort(
            "pairs.csv", "out", preset="mind", cluster_file="slurm.toml", progress=False
        )


def test_memory_of_jobs_is_declared(slurm: Path) -> None:
    _, jobs, arguments = queues.check("slurm.toml")
    assert (jobs, arguments["processes"]) == (1, 1)
    assert arguments["worker_extra_args"][-2:] == ["--resources", "memory=16000000000"]
