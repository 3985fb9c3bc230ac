"""What becomes of tests that skip themselves: counted by reason, and failures in CI."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

import obtain_hosts
from helpers import host_versions, programs, skips

ROOT = Path(__file__).resolve().parent.parent

MODULES = {
    "test_some.py": """
        import pytest
        from helpers import skips

        def test_passes(): pass

        @pytest.mark.parametrize("which", [1, 2])
        @pytest.mark.skipif(True, reason=skips.NOT_SANITIZED)
        def test_of_another_build(which): pass

        @pytest.mark.skipif(True, reason=skips.AS_ROOT)
        def test_of_root(): pass

        {rest}
    """,
    "test_module.py": """
        import pytest
        pytest.importorskip("no_such_package")
        def test_never(): pass
    """,
}
OTHERS = """
        def test_for_want_of_a_network(): pytest.skip("no network")

        @pytest.fixture
        def disk(): pytest.skip("no disk")

        def test_by_its_fixture(disk): pass

        @pytest.mark.xfail(strict=True)
        def test_that_is_to_fail(): assert False
"""


def run_tests(folder: Path, required: str, *, others: bool) -> subprocess.CompletedProcess[str]:
    """Run tests under the project's rules, of which some skip themselves for other reasons."""
    for name, text in MODULES.items():
        if others or "{rest}" in text:
            text = text.replace("{rest}", OTHERS if others else "")
            (folder / name).write_text(text.replace("\n        ", "\n"))
    options = "-m pytest -p conftest -p no:cacheprovider --continue-on-collection-errors"
    return programs.python(
        *(*options.split(), "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)),
        folder,
        environment={
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "cmake")]),
            "IMPACT_REQUIRE_ALL": required,
        },
        cwd=folder,
    )


def summary(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Give the lines on what was skipped."""
    found = re.search(r"(?m)^=+ skipped, by reason =+\n((?:\d.*\n)+)", run.stdout)
    assert found is not None, run.stdout + run.stderr
    return found[1].splitlines()


def test_skips_are_counted_by_reason(tmp_path: Path) -> None:
    """At the end, above pytest's own last line."""
    run = run_tests(tmp_path, "", others=True)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = summary(run)
    assert lines[0] == f"2 of a build that CI does not make: {skips.NOT_SANITIZED}"
    assert sorted(lines[1:]) == [
        "1 for another reason: could not import 'no_such_package': "
        "No module named 'no_such_package'",
        "1 for another reason: no disk",
        "1 for another reason: no network",
        f"1 of root: {skips.AS_ROOT}",
    ]
    assert re.match(r"=+ 1 passed, 6 skipped, 1 xfailed in ", run.stdout.splitlines()[-1])


def test_ci_allows_what_is_listed(tmp_path: Path) -> None:
    run = run_tests(tmp_path, "1", others=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(summary(run)) == 2
    assert re.match(r"=+ 1 passed, 3 skipped in ", run.stdout.splitlines()[-1])


def test_ci_fails_for_any_other_reason(tmp_path: Path) -> None:
    """A test's own, a fixture's, a missing package's: each is named."""
    run = run_tests(tmp_path, "1", others=True)
    assert run.returncode != 0
    for reason in ("no network", "no disk", "could not import 'no_such_package'"):
        assert f"would be skipped: {reason}" in run.stdout
    assert len(summary(run)) == 2
    assert re.search(r"(?m)^(=+|!+) .*(error|failed)", run.stdout.splitlines()[-1])


@pytest.mark.parametrize("required", ["", "1"])
def test_downloads_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    """An index that is not there: skipped, or a failure where CI asks for the test."""
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("IMPACT_REQUIRE_DOWNLOADS", required)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    expected = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(expected, match=r"pip cannot download itk-elastix 0\.25\.2"):
        host_versions.host_library("0.25.2")


def test_constraints_of_the_machine_are_not_for_other_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What make and pip's own files pin is another version than the one asked for."""
    (tmp_path / "constraints.txt").write_text("itk-elastix==0.25.3\n")
    (tmp_path / "pip.conf").write_text(f"[global]\nconstraint = {tmp_path}/constraints.txt\n")
    wheel = tmp_path / "itk_elastix-0.25.2-py3-none-any.whl"
    write_wheel(wheel)
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    library = host_versions.host_library("0.25.2")
    assert library.read_text() == "a library"
    wheel.unlink()
    assert host_versions.host_library("0.25.2") == library  # kept


def write_wheel(path: Path) -> None:
    """Write a wheel with nothing but the library that is looked for."""
    info = "itk_elastix-0.25.2.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(obtain_hosts.LIBRARY, "a library")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: itk-elastix\nVersion: 0.25.2\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
