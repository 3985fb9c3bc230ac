"""The wheel in other environments: with and without torch and itk-elastix, upgraded, removed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import wheels
from impact_plugin import _versions

SITE = Path(sysconfig.get_path("platlib"))
OURS = re.compile(r"impact_plugin(-[^/]*)?")


class Environment:
    """A virtual environment.

    Args:
        folder: Where to make it.
        filled: Whether it has all packages of this one but ours, as links to the same files.
    """

    def __init__(self, folder: Path, filled: bool) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        self.site = folder / SITE.relative_to(sys.prefix)
        if filled:
            self._link_packages()

    def _link_packages(self) -> None:
        """Link all packages but ours; of those that ours puts files into, each file.

        And of itk, from which the folder of the plugin is looked for as `..`.
        """
        for path in SITE.iterdir():
            target = self.site / path.name
            if OURS.fullmatch(path.name) or path.suffix == ".pth":
                continue
            if path.name in ("itk", "itk_elastix.libs"):
                shutil.copytree(path, target, copy_function=os.link)
            else:
                target.symlink_to(path)
        (self.site / "itk_elastix.libs" / "libImpactMetric.so").unlink(missing_ok=True)

    def files(self) -> set[str]:
        """Give all files and folders."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def pip(self, *arguments: str | Path) -> str:
        """Run pip on it, without any index: what is to be installed is there or given."""
        command = [sys.executable, "-m", "pip", "--python", self.python, *arguments]
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_without_settings()
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def install(self, *arguments: str | Path) -> str:
        return self.pip("install", "--no-index", *arguments)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**_without_settings(), "OMP_WAIT_POLICY": "passive"},
        )

    def works(self) -> bool:
        """Tell whether a registration of two images succeeds, and by the plugin in here."""
        run = self.run("impact-plugin", "doctor", "--json")
        report = json.loads(run.stdout)
        assert report["problems"] == []
        assert report["facts"]["plugin"].startswith(str(self.site))
        return run.returncode == 0 and "test registration" in report["facts"]


def _without_settings() -> dict[str, str]:
    """Give this process's variables, without those that reach into other environments."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "PYTHON", "LD_"))
    }
    return kept | {"PIP_CONFIG_FILE": os.devnull}


@pytest.fixture(scope="module")
def filled() -> Iterator[Environment]:
    """One that has torch and itk-elastix, beside this one: links need one file system."""
    folder = Path(sys.prefix).parent / "build" / f"installed-{os.getpid()}"
    folder.parent.mkdir(exist_ok=True)
    yield Environment(folder, filled=True)
    shutil.rmtree(folder)


def older(folder: Path) -> Path:
    """Make a wheel of an older version, with a module that the newer one does not have."""
    version = importlib.metadata.version("impact-plugin")
    files = {}
    for name, data in wheels.contents(wheels.built()).items():
        if name.endswith("METADATA"):
            data = data.replace(f"\nVersion: {version}".encode(), b"\nVersion: 0.0.9", 1)
        files[name.replace(f"-{version}.dist-info", "-0.0.9.dist-info")] = data
    files["impact_plugin/models/of_old.py"] = b"OLD = True\n"
    return wheels.write(folder / wheels.built().name.replace(version, "0.0.9"), files)


def test_upgraded_and_removed_where_torch_and_itk_are(filled: Environment, tmp_path: Path) -> None:
    before = filled.files()
    output = filled.install(older(tmp_path))
    assert "Would install" not in output
    assert "Requirement already satisfied: torch<2.16,>=2.8" in output
    assert "Successfully installed impact-plugin-0.0.9\n" in output
    old = filled.site / "impact_plugin" / "models" / "of_old.py"
    assert old.is_file()

    filled.install("--upgrade", wheels.built())
    assert not old.exists()
    assert not list(filled.site.glob("impact_plugin-0.0.9*"))
    assert filled.works()
    # Those that Python wrote while it ran are removed, too.
    assert (filled.site / "impact_plugin" / "__pycache__").is_dir()
    added = {name for name in filled.files() - before if "__pycache__" not in name}
    assert any(name.endswith("itk_elastix.libs/libImpactMetric.so") for name in added)
    assert all("impact" in name.lower() for name in added)

    filled.pip("uninstall", "--yes", "impact-plugin")
    after = filled.files()
    # Other packages' caches are theirs: written when they were first imported here.
    left = {name for name in after - before if "__pycache__" not in name or "impact" in name}
    assert left == set()
    assert before - after == set()


def test_alone_it_says_what_it_needs_and_leaves_nothing(tmp_path: Path) -> None:
    """Without torch and itk-elastix; its own folder for the plugin goes with it."""
    bare = Environment(tmp_path / "bare", filled=False)
    before = bare.files()
    bare.install("--no-deps", wheels.built())
    run = bare.run("impact-elastix", "--version")
    assert run.returncode == 1
    assert "found torch (none) and itk-elastix (none)" in run.stderr
    torch = _versions.requirements()[0]
    assert f'-m pip install "{torch}" "itk-elastix>=0.25.2,<0.26"' in run.stderr
    assert "Traceback" not in run.stderr
    bare.pip("uninstall", "--yes", "impact-plugin")
    assert bare.files() == before


def test_pip_refuses_it_beside_another_torch(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "other", filled=False)
    for name, version in (("torch", "2.16.0"), ("itk-elastix", "0.25.3")):
        info = environment.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("")
        (info / "INSTALLER").write_text("pip\n")
    with pytest.raises(AssertionError, match=r"No matching distribution found for torch<2\.16"):
        environment.install(wheels.built())
    assert not (environment.site / "impact_plugin").exists()
