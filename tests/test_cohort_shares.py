"""How registrations share a machine: processors, memory, GPUs; and workers elsewhere."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import SimpleITK as sitk
from distributed import Scheduler, SpecCluster, Worker

from helpers import cohorts
from helpers.pairs import write_pair
from impact_plugin import _core, cohort
from impact_plugin.check import ImageHeader
from impact_plugin.cohort import clusters, running, shares, tasks, work
from impact_plugin.cohort.journal import Journal
from impact_plugin.cohort.maps import Maps
from impact_plugin.cohort.plan import Task, Variant
from impact_plugin.cohort.shares import Machine

GIB = 1 << 30


def task(folder: Path, name: str, gib: float, threads: int = 1) -> Task:
    pair = cohort.Pair(name, {})
    memory = int(gib * GIB)
    return Task(pair, Variant("v"), name, str(folder), memory=memory, threads=threads)


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight processors and 10 GiB of available memory."""
    monkeypatch.setattr(shares, "processors", lambda: 8)
    monkeypatch.setattr(_core, "available_memory", lambda: 10 * GIB)


@pytest.mark.parametrize(
    ("gib", "workers", "threads", "number", "each"),
    [
        ([0.1] * 100, None, None, 8, 1),  # processors bound it
        ([0.1] * 3, None, None, 3, 2),  # pairs
        ([3.0] * 100, None, None, 2, 4),  # memory: 8 GiB of it
        ([50.0] * 100, None, None, 1, 8),
        ([0.1] * 100, 4, None, 4, 2),
        ([0.1] * 100, None, 4, 2, 4),
        ([0.1] * 100, 12, 1, 12, 1),  # as the caller wants it
    ],
)
@pytest.mark.usefixtures("eight")
def test_the_machine_is_full(
    gib: list[float], workers: int | None, threads: int | None, number: int, each: int
) -> None:
    machine, why = shares.divide([int(g * GIB) for g in gib], workers, threads)
    assert (machine.workers, machine.threads_of(int(gib[0] * GIB))) == (number, each)
    assert f"{number} worker" in why
    assert "of 10.0 available" in why


@pytest.mark.usefixtures("eight")
def test_small_pairs_beside_large_ones() -> None:
    machine, why = shares.divide([GIB // 2] * 20 + [5 * GIB] * 2, None, None)
    assert machine.workers == 8
    assert "0.5 to 5.0 GiB" in why
    assert "so that 1 of the largest run at once" in why
    large, small = machine.threads_of(5 * GIB), machine.threads_of(GIB // 2)
    assert (large, small) == (8, 1)


def test_what_fits(tmp_path: Path) -> None:
    machine = Machine(workers=3, processors=4, memory=8 * GIB)
    large, small = task(tmp_path, "l", 5, threads=2), task(tmp_path, "s", 1)
    assert machine.fits(large, [])
    assert not machine.fits(large, [large])  # memory
    assert machine.fits(small, [large])
    assert machine.fits(small, [large, small])
    assert not machine.fits(small, [small, small, small])  # workers
    assert not machine.fits(task(tmp_path, "x", 1, threads=3), [large])  # processors
    assert machine.fits(task(tmp_path, "x", 100), [])  # nothing else would let it run


def test_memory_bounds_what_runs_at_once(tmp_path: Path) -> None:
    """Real workers: the large ones first, one at a time, the small ones beside them."""
    machine = Machine(workers=2, processors=2, memory=4 * GIB)
    fixed, moving = map(str, write_pair(tmp_path))
    variant = Variant("v", maps=(str(cohorts.quick_map(tmp_path)),))
    tasks = [
        replace(
            task(tmp_path, name, gib),
            pair=cohort.Pair(name, {"fixed": fixed, "moving": moving}),
            variant=variant,
        )
        for name, gib in [*((f"s{i}", 1) for i in range(4)), *((f"l{i}", 3) for i in range(2))]
    ]
    runner = partial(work.run, register=cohorts.notes)
    with clusters.local(machine) as cluster, Journal(tmp_path, show=False) as journal:
        rows = list(running.run(cluster, tasks, journal, runner))
    assert all(row.status == "done" for row in rows)
    ran = []
    for each in tasks:
        path = tmp_path / f"{each.pair.name}.ran"
        begun, ended, size = map(float, path.read_text().split())
        ran.append((begun, ended, size))
    for begun, _, _ in ran:
        at_once = [size for other, end, size in ran if other <= begun < end]
        assert sum(at_once) <= 4 * GIB
    assert 3 * GIB in [size for _, _, size in sorted(ran)[:2]]
    assert any(a != b and a[0] < b[1] and b[0] < a[1] for a in ran for b in ran)


def test_one_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch, eight: None) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(shares, "count_gpus", lambda: 2)
    assert shares.gpus_of(None) == shares.gpus_of("cuda") == ("0", "1")
    assert shares.gpus_of("cuda:1") == ("1",)
    assert shares.gpus_of("cuda:2") == shares.gpus_of("cpu") == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, GPU-b")
    gpus = shares.gpus_of(None)
    assert gpus == ("GPU-a", "GPU-b")
    machine, why = shares.divide([GIB // 10] * 100, None, None, gpus)
    assert (machine.workers, machine.threads_of(GIB // 10)) == (2, 4)
    assert "2 workers on 8 processors and 2 GPUs" in why
    with clusters.local(machine) as cluster:
        seen = cluster.client.run(os.getenv, "CUDA_VISIBLE_DEVICES")
    assert sorted(seen.values()) == ["GPU-a", "GPU-b"]


def test_no_gpu_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """And torch is not asked in this process, which CUDA would take hold of."""
    monkeypatch.setattr(shares, "_DRIVERS", ("/dev/nowhere",))
    assert shares.count_gpus() == 0


def test_predicted_per_pair(tmp_path: Path) -> None:
    """More for larger images, as ``impact-plugin check`` says of features; below is measured."""
    names = {}
    for size in (32, 128):
        names[size] = str(tmp_path / f"{size}.mha")
        sitk.WriteImage(sitk.Image([size] * 3, sitk.sitkUInt8), names[size])
    headers = {path: ImageHeader.read(path) for path in names.values()}
    variant = Variant("mind", presets=("mind",))
    found = {}
    with Maps([variant], None) as maps:
        for size, path in names.items():
            pair = cohort.Pair(str(size), {"fixed": path, "moving": path})
            found[size] = tasks.predict(pair, variant, maps, headers)
    # Images of 16 MiB, features of 12 channels at 1.5 mm for a side of 157 mm.
    expected = (600 << 20) + 6 * (16 << 20) + 3 * 2 * 12 * 4 * round(157 / 1.5) ** 3
    assert found[128] == pytest.approx(expected, rel=0.1)
    assert found[32] < (600 << 20) + (30 << 20)


def test_no_less_than_a_registration_takes(tmp_path: Path) -> None:
    """The worker and elastix together, as the table has elastix's."""
    files = dict(zip(("fixed", "moving"), map(str, write_pair(tmp_path)), strict=True))
    headers = {path: ImageHeader.read(path) for path in files.values()}
    pair = cohort.Pair("a", files, options={"iterations": 5})
    variant = Variant("mind", presets=("mind",))
    with Maps([variant], None) as maps:
        predicted = tasks.predict(pair, variant, maps, headers)
    # A worker has no other children than elastix, as this process may have.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:
        row = worker.submit(work.run, Task(pair, variant, "k", str(tmp_path / "out"))).result()
    assert row.status == "done", row.error
    assert row.peak_memory_mb is not None
    assert row.peak_memory_mb * (1 << 20) + (250 << 20) < predicted


@contextmanager
def scheduler(resources: list[dict[str, float]]) -> Iterator[str]:
    """Give the address of a scheduler whose workers declare what they have."""
    workers = {
        number: {"cls": Worker, "options": {"resources": each, "dashboard": False}}
        for number, each in enumerate(resources)
    }
    options = {"dashboard_address": "127.0.0.1:0"}
    with SpecCluster(workers, {"cls": Scheduler, "options": options}, silence_logs=50) as cluster:
        yield cluster.scheduler_address


def test_workers_elsewhere_that_declare_memory(tmp_path: Path) -> None:
    large = [task(tmp_path, "l", 20)]
    with (
        scheduler([{"memory": 4e9}, {}, {"memory": 16e9}]) as address,
        clusters.remote(address) as found,
    ):
        assert found.asked(large[0]) == {"memory": 16e9}  # or it would wait for ever
        assert found.asked(task(tmp_path, "s", 1)) == {"memory": float(GIB)}
        assert "up to 20.0 GiB, and the largest worker has 14.9" in found.said_of_memory(large)
    with scheduler([{}]) as address, clusters.remote(address) as without:
        assert without.asked(large[0]) is None
        assert "declare no memory (dask worker --resources memory=" in without.said_of_memory(large)


def test_threads_elsewhere(tmp_path: Path) -> None:
    given = [task(tmp_path, "a", 1)]
    assert tasks.with_threads(given, None, None)[0].threads == 1
    assert tasks.with_threads(given, None, 4)[0].threads == 4
