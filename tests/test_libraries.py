"""Which torch is built for, and what is said where the parts for torch do not open."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import fetch_sources
import obtain_torch
from impact_plugin import _versions

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_path("platlib"))


def write_torch(folder: Path, version: str) -> None:
    """Write a package that says it is torch, with its metadata, and without libraries."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").touch()
    (folder / "torch" / "version.py").write_text(f"__version__ = '{version}'\n")
    (folder / f"torch-{version}.dist-info").mkdir()
    metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    (folder / f"torch-{version}.dist-info" / "METADATA").write_text(metadata)


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_parameters_are_read_without_torch() -> None:
    code = (
        "from impact_plugin import _core; assert _core.parameter_table()\n"
        "assert 'libtorch' not in open('/proc/self/maps').read()"
    )
    assert run("-c", code).stderr == ""


@pytest.mark.parametrize("version", ["2.7.1", "2.16.0+cpu"])
def test_another_torch(tmp_path: Path, version: str) -> None:
    write_torch(tmp_path, version)
    found = run("-c", "import impact_plugin._networks", PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    needed = f"impact-plugin needs {_versions.requirements()[0]} and "
    assert f"VersionMismatchError: {needed}" in found.stderr
    assert f"found torch {version} and " in found.stderr
    assert _versions.install_command() in found.stderr


def test_a_torch_without_its_libraries(tmp_path: Path) -> None:
    built = _versions.built_torches()[0]
    write_torch(tmp_path, f"{built}.0")
    found = run("-c", "import impact_plugin._networks", PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert f"impact-plugin cannot open its part for torch {built}.0: " in found.stderr
    assert f"{tmp_path}/torch/lib/libtorch.so" in found.stderr
    assert f'pip install --force-reinstall "torch=={built}.0"' in found.stderr


def test_a_build_is_for_what_is_where_it_will_be_installed(tmp_path: Path) -> None:
    """An isolated build has another torch, newer, which comes first for Python."""
    write_torch(tmp_path, "2.99.0")
    found = run(ROOT / "cmake" / "locate_packages.py", PYTHONPATH=str(tmp_path)).stdout
    assert f'set(_impact_torch_dir "{SITE.resolve()}/torch")' in found
    assert "2.99" not in found


@pytest.mark.parametrize("series", ["2", "2.13.0", "new", ""])
def test_a_torch_to_build_for_is_a_minor_version(tmp_path: Path, series: str) -> None:
    expected = f"IMPACT_TORCH_SERIES has {series!r}; allowed: minor versions, as in 2.13"
    with pytest.raises(fetch_sources.SourceError, match=re.escape(expected)):
        obtain_torch.obtain(series, tmp_path)


def test_a_torch_that_pip_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(fetch_sources.SourceError, match=r"pip does not give torch 2\.9, which"):
        obtain_torch.obtain("2.9", tmp_path)
    assert not list(tmp_path.iterdir())  # nothing half done
