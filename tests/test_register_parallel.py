"""Several registrations at once: in threads, in processes of every kind, by joblib and by dask."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import impact_plugin
from helpers import programs
from helpers.jobs import in_this_process, register
from helpers.pairs import shift_error

Result = impact_plugin.RegistrationResult


@pytest.fixture(scope="module")
def alone() -> list[list[str]]:
    """The results of each seed when nothing else runs."""
    return [parameters_of(register(seed)) for seed in range(4)]


def parameters_of(result: Result) -> list[str]:
    return result.elastix_parameters[0]["TransformParameters"]


def test_threads_with_the_metric(mind: dict[int, str]) -> None:
    """Each registration has the result that it has alone."""
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(register, [0, 1, 0, 1], [mind[3]] * 4))
    found = [parameters_of(result) for result in results]
    assert found[0] == found[2] == parameters_of(register(0, mind[3]))
    assert found[1] == found[3] != found[0]
    assert max(map(shift_error, results)) < 0.2


def executor(kind: str) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(4)
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind))


@pytest.mark.parametrize("kind", ["threads", "spawn", "fork", "forkserver"])
def test_executors(kind: str, alone: list[list[str]]) -> None:
    with warnings.catch_warnings():
        # Python warns of every fork where there are threads, which SimpleITK keeps.
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        with executor(kind) as pool:
            pairs = list(pool.map(in_this_process, range(4)))
    assert [parameters_of(result) for _, result in pairs] == alone
    assert (os.getpid() in {process for process, _ in pairs}) == (kind == "threads")


def test_an_error_comes_out_of_a_process(mind: dict[int, str]) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(
            impact_plugin.RegistrationError,
            match=r'Metric "Impact" cannot run:\n.*test_register_parallel\.py',
        ),
    ):
        pool.submit(register, 0, __file__).result()


JOBS = """
import sys; sys.path.insert(0, sys.argv[1])
from helpers import jobs

if __name__ == "__main__":
    runs = {"joblib": lambda: jobs.with_joblib(jobs.in_this_process)}
    runs |= {f"dask {s}": (lambda s=s: jobs.with_dask(s)) for s in ("threads", "processes")}
    for name, run in runs.items():
        pairs = run()
        right = [bool(jobs.shift_error(result) < 0.1) for _, result in pairs]
        print(name, right, len({process for process, _ in pairs}))
"""


def test_joblib_and_dask(tmp_path: Path) -> None:
    """From a script, as users start them."""
    script = tmp_path / "script.py"
    script.write_text(JOBS)
    folder = Path(__file__).parent
    run = programs.python(script, folder, environment={"PYTHONPATH": str(folder)}, timeout=120)
    assert run.returncode == 0, run.stderr
    all_right = [True] * 4
    assert run.stdout.splitlines()[0].startswith(f"joblib {all_right} ")
    assert run.stdout.splitlines()[1] == f"dask threads {all_right} 1"
    assert run.stdout.splitlines()[2].startswith(f"dask processes {all_right} ")


def test_current_folder_does_not_shadow_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's signal.py beside his script is not what elastix's process imports."""
    for name in ("signal", "ctypes", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('wrong module')\n")
    monkeypatch.chdir(tmp_path)
    assert np.isfinite(shift_error(register(0)))
