"""Fixtures and rules that all tests share."""

from __future__ import annotations

import locale
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import pretended, skips, tiny_models
from helpers.evaluators import SmoothModels
from helpers.itk_process import ItkProcess, opened
from helpers.pairs import write_pair
from helpers.registrations import forbid_elastix
from impact_plugin import models
from impact_plugin.cohort import clusters
from impact_plugin.cohort.clusters import Cluster
from impact_plugin.cohort.shares import Machine

if pretended.IS_WANTED:
    pretended.open_here()

ROOT = Path(__file__).resolve().parent.parent
LOCALE = locale.setlocale(locale.LC_ALL)


@pytest.fixture(scope="session")
def elastix_testing() -> Path:
    """The `Testing` directory of elastix's sources, with `Data` and `Baselines`."""
    script = str(ROOT / "cmake" / "obtain_sources.py")
    return Path(
        subprocess.check_output([sys.executable, script, "--print-data"], text=True).strip()
    )


@pytest.fixture(autouse=True)
def _locale() -> Iterator[None]:
    """What a test has ITK itself read changes nothing for the next."""
    locale.setlocale(locale.LC_ALL, LOCALE)  # fixtures of a wider scope came before
    yield
    locale.setlocale(locale.LC_ALL, LOCALE)


@pytest.fixture(scope="session")
def itk_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ItkProcess]:
    """A process that has imported the stock itk, which takes seconds, and keeps it."""
    with opened(tmp_path_factory.mktemp("itk")) as process:
        yield process


@pytest.fixture
def own_process(tmp_path: Path) -> Iterator[ItkProcess]:
    """A process of the test's own: none uses more threads than elastix was once told there."""
    with opened(tmp_path) as process:
        yield process


@pytest.fixture(scope="session")
def mind(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """MIND models for images of 2 and of 3 dimensions."""
    folder = tmp_path_factory.mktemp("mind")
    return {dimension: str(models.mind(dimension=dimension, path=folder)) for dimension in (2, 3)}


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Models with three layers (tiny_models.Layers) for images of 2 and of 3 dimensions."""
    folder = tmp_path_factory.mktemp("layers")
    return {
        dimension: str(tiny_models.save(tiny_models.Layers(dimension), folder / f"{dimension}.pt"))
        for dimension in (2, 3)
    }


@pytest.fixture(scope="session")
def smooth_models(tmp_path_factory: pytest.TempPathFactory) -> SmoothModels:
    """Models that suit finite differences, by dimension, channels and padding."""
    return SmoothModels(tmp_path_factory.mktemp("smooth"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where there is none, or fail it where one is required."""
    if item.get_closest_marker("pretended") and not pretended.IS_WANTED:
        pytest.skip(skips.NOT_PRETENDED)
    if item.get_closest_marker("gpu") and not pretended.IS_WANTED:
        from impact_plugin import _devices

        if _devices.number_of_gpus() == 0:
            skips.skip_or_fail("IMPACT_REQUIRE_GPU", skips.NO_GPU)


@pytest.fixture
def no_elastix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test fails where it starts elastix."""
    forbid_elastix(monkeypatch)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with the images of helpers.pairs."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_pair(folder)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two workers of this machine that all tests of a module share."""
    with clusters.local(Machine(workers=2, processors=2, memory=8 << 30)) as found:
        yield found


@pytest.fixture
def shared(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts use the shared workers in place of their own."""

    @contextmanager
    def local(_: Machine) -> Iterator[Cluster]:
        yield cluster

    monkeypatch.setattr(clusters, "local", local)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Allow no skip but those that are listed, where all tests are to run."""
    return skips.judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Likewise of whole modules."""
    return skips.judged((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was skipped, by reason."""
    lines = skips.counted(terminalreporter.stats.get("skipped", []))
    if lines:
        terminalreporter.write_sep("=", "skipped, by reason")
        for line in lines:
            terminalreporter.write_line(line)
