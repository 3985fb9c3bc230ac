"""How the build finds the sources of elastix and ITK, tried without any network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import subprocess
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fetch_sources as sources
import obtain_sources
from helpers import programs

SCRIPT = obtain_sources.__file__


def version_text(version: str) -> str:
    parts = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    return "".join(f'set(ELASTIX_VERSION_{name} "{number}")\n' for name, number in parts)


def make_tree(directory: Path, version: str = sources.ELASTIX.version) -> Path:
    """Make what passes for a source tree of elastix."""
    file = directory / sources.ELASTIX.version_file
    file.parent.mkdir(parents=True)
    file.write_text(version_text(version))
    return directory


def make_archive(file: Path, members: dict[str, str]) -> str:
    """Write an archive whose members lie in one directory, and return its SHA-256."""
    with tarfile.open(file, "w:gz") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(f"elastix-5.3.1/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def unavailable(reason: str) -> Callable[..., Path]:
    def way(source: object, staging: Path) -> Path:
        raise sources.UnavailableError(reason)

    return way


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in an environment that names no sources."""
    for variable in (sources.ELASTIX.variable, sources.ITK.variable):
        monkeypatch.delenv(variable, raising=False)
    directory = tmp_path / "cache"
    directory.mkdir()
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(directory))
    return directory


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose files a stand-in for apt-get "downloads"."""
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "apt-get"
    stand_in.write_text(f'#!/bin/sh\ncase "$*" in *" source "*) cp {served}/* . ;; esac\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def source_list(directory: Path, configuration: Path) -> Path:
        return directory / "debian.sources"

    monkeypatch.setattr(sources, "debian_source_list", source_list)
    return served


def test_ways_are_tried_in_order_and_the_cache_is_filled(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def from_git(source: object, staging: Path) -> Path:
        tried.append("git")
        raise sources.UnavailableError("no network")

    def from_debian(source: object, staging: Path) -> Path:
        tried.append("debian")
        return make_tree(staging / "tree")

    monkeypatch.setattr(sources, "from_git", from_git)
    monkeypatch.setattr(sources, "from_debian", from_debian)

    first = sources.obtain(sources.ELASTIX, "", cache)
    assert tried == ["git", "debian"]
    assert first == cache / "elastix-5.3.1"
    assert list(cache.iterdir()) == [first], "nothing is left of the staging directory"
    assert "from Debian source package elastix=5.3.1-1" in capsys.readouterr().out

    assert sources.obtain(sources.ELASTIX, "", cache) == first
    assert tried == ["git", "debian"], "the second time the cache has it"
    assert "from the cache" in capsys.readouterr().out


def test_git_comes_before_debian(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "from_git", lambda _, staging: make_tree(staging / "git"))
    monkeypatch.setattr(sources, "from_debian", unavailable("must not be tried"))
    assert sources.obtain(sources.ELASTIX, "", cache) == cache / "elastix-5.3.1"


def test_users_directory_comes_before_the_cache(cache: Path, tmp_path: Path) -> None:
    make_tree(cache / "elastix-5.3.1")
    own = make_tree(tmp_path / "own")
    assert sources.obtain(sources.ELASTIX, str(own), cache) == own


def test_users_directory_of_another_version_is_refused(cache: Path, tmp_path: Path) -> None:
    make_tree(cache / "elastix-5.3.1")
    own = make_tree(tmp_path / "own", "5.2.0")
    with pytest.raises(
        sources.SourceError,
        match=r"(?s)IMPACT_ELASTIX_SOURCE_DIR .* elastix 5\.3\.1: .*own holds elastix 5\.2\.0",
    ):
        sources.obtain(sources.ELASTIX, str(own), cache)


def test_users_directory_without_sources_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(sources.SourceError, match=r"has no CMake/elastixVersion\.cmake"):
        sources.obtain(sources.ELASTIX, str(tmp_path), cache)


def test_error_lists_every_way_with_its_reason(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "from_git", unavailable("could not resolve host"))
    monkeypatch.setattr(sources, "from_debian", unavailable("this system has no apt-get"))
    with pytest.raises(sources.SourceError) as caught:
        sources.obtain(sources.ITK, "", cache)
    assert str(caught.value).splitlines() == [
        "cannot find the sources of ITK 5.4.7. Tried in this order:",
        "  1. IMPACT_ITK_SOURCE_DIR: not set",
        f"  2. cache: {cache}/ITK-5.4.7 has no CMake/itkVersion.cmake",
        f"  3. git {sources.ITK.repository}: could not resolve host",
        "  4. Debian source package insighttoolkit5=5.4.7-1: this system has no apt-get",
        "Set IMPACT_ELASTIX_SOURCE_DIR and IMPACT_ITK_SOURCE_DIR (as environment or CMake "
        "variables) to unpacked sources of elastix 5.3.1 and ITK 5.4.7; docs/build.md says more.",
    ]
    assert not list(cache.iterdir())


def test_debian_archive_is_checked_and_unpacked(cache: Path, apt: Path) -> None:
    members = {
        sources.ELASTIX.version_file: version_text("5.3.1"),
        "Testing/big.txt": "big",
        "Common/elxNotTesting/keep.txt": "kept",
    }
    digest = make_archive(apt / sources.ELASTIX.archive, members)
    source = dataclasses.replace(
        sources.ELASTIX, repository="/nowhere", sha256=digest, unneeded="Testing/"
    )
    tree = sources.obtain(source, "", cache)
    assert (tree / "Common/elxNotTesting/keep.txt").read_text() == "kept"
    assert not (tree / "Testing").exists()


def test_debian_archive_with_another_sha256_is_refused(cache: Path, apt: Path) -> None:
    make_archive(apt / sources.ELASTIX.archive, {sources.ELASTIX.version_file: "forged"})
    source = dataclasses.replace(sources.ELASTIX, repository="/nowhere")
    with pytest.raises(
        sources.SourceError, match=rf"orig\.tar\.gz has SHA-256 \w+, not {source.sha256}"
    ):
        sources.obtain(source, "", cache)
    assert not (cache / "elastix-5.3.1").exists()


@pytest.mark.parametrize(
    ("name", "machine", "derived"),
    [
        (
            "sources.list.d/debian.sources",
            "Types: deb\n# mirror\nURIs: mirror:/a\nSuites: stable\n stable-updates\n"
            "Components: main contrib\nSigned-By: /key.gpg\n\nTypes: deb\nURIs: mirror:/security\n",
            "Types: deb-src\n# mirror\nURIs: mirror:/a\nSuites: sid\n"
            "Components: main\nSigned-By: /key.gpg\n",
        ),
        (
            "sources.list",
            "# comment\ndeb [signed-by=/key.gpg] mirror:/a stable main\ndeb mirror:/b stable x\n",
            "deb-src [signed-by=/key.gpg] mirror:/a sid main\n",
        ),
    ],
)
def test_source_list_is_derived_from_the_machines_own(
    tmp_path: Path, name: str, machine: str, derived: str
) -> None:
    configuration = tmp_path / "etc"
    (configuration / "sources.list.d").mkdir(parents=True)
    (configuration / "sources.list.d" / "another.sources").write_text("# none\n")
    (configuration / name).write_text(machine)
    written = sources.debian_source_list(tmp_path, configuration)
    assert written.suffix == Path(name).suffix
    assert written.read_text() == derived


def test_machine_without_source_list(tmp_path: Path) -> None:
    with pytest.raises(sources.UnavailableError, match="no package list"):
        sources.debian_source_list(tmp_path, tmp_path)


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.check_output(["git", "-C", directory, *identity, *arguments], text=True)


def test_git_fetches_the_pinned_commit_and_no_other(cache: Path, tmp_path: Path) -> None:
    repository = make_tree(tmp_path / "repository")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=pinned")
    pinned = git(repository, "rev-parse", "HEAD").strip()
    (repository / "later.txt").touch()
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=later")

    source = dataclasses.replace(sources.ELASTIX, repository=str(repository), commit=pinned)
    tree = sources.obtain(source, "", cache)
    assert not (tree / "later.txt").exists()

    (other := tmp_path / "other").mkdir()
    with pytest.raises(sources.UnavailableError, match=r"gave commit \w+, not HEAD"):
        sources.from_git(dataclasses.replace(source, commit="HEAD"), other)


def test_command_that_hangs_is_given_up() -> None:
    with pytest.raises(sources.UnavailableError, match=r"sleep gave no answer within 0\.1 s"):
        sources.run(["sleep", "10"], 0.1)


def test_builds_side_by_side_fetch_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = []

    def slow(source: object, staging: Path) -> Path:
        fetched.append(staging)
        time.sleep(0.2)
        return make_tree(staging / "tree")

    def build(_: int) -> object:
        with sources.locked(cache):  # each opens the lock file anew, as processes do
            return sources.obtain(sources.ELASTIX, "", cache)

    monkeypatch.setattr(sources, "from_git", slow)
    with ThreadPoolExecutor(2) as builds:
        assert set(builds.map(build, range(2))) == {cache / "elastix-5.3.1"}
    assert len(fetched) == 1
    assert "waiting for another build" in capsys.readouterr().out


def test_configures_once_and_again_after_a_failure(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    cmake = tmp_path / "cmake"
    cmake.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" = --version ] || [ ! -e {tmp_path}/broken ] '
        "|| { echo no module; exit 1; }\n"
    )
    cmake.chmod(0o755)

    def configure() -> Path:
        trees = (tmp_path / "elastix", tmp_path / "itk")
        return obtain_sources.configure(*trees, cache, str(cmake), "true", ["-G", "Ninja"])

    (tmp_path / "broken").touch()
    with pytest.raises(sources.SourceError, match=r"(?s)cannot configure itk .*no module"):
        configure()
    (tmp_path / "broken").unlink()

    log.unlink()
    build = configure()
    version, itk, elastix = log.read_text().splitlines()
    assert version == "--version"
    assert itk.startswith(f"-S {tmp_path}/itk -B {build}/itk -Wno-dev -G Ninja ")
    assert "-DITK_LEGACY_REMOVE=ON" in itk
    assert elastix.startswith(f"-S {tmp_path}/elastix -B {build}/elastix -Wno-dev -G Ninja ")
    assert elastix.endswith(f"-DITK_DIR={build}/itk")

    log.unlink()
    assert configure() == build
    assert log.read_text() == "--version\n"


def test_unwritable_cache_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(sources.SourceError, match=r"(?s)cannot write .*Set IMPACT_CACHE_DIR"),
        sources.locked(tmp_path / "file" / "cache"),
    ):
        pass


def test_print_data_prints_the_path_alone(cache: Path) -> None:
    tree = make_tree(cache / "elastix-5.3.1")
    result = programs.python(SCRIPT, "--print-data", check=True)
    assert result.stdout == f"{tree}/Testing\n"
    assert "from the cache" in result.stderr


def test_failure_ends_with_the_reason(cache: Path, tmp_path: Path) -> None:
    result = programs.python(SCRIPT, "--print-data", "--elastix-source", tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "IMPACT_ELASTIX_SOURCE_DIR should hold the sources of elastix 5.3.1" in result.stderr
