"""versions.json, the one place that says what fits, as CMake, the scripts and Python read it."""

from __future__ import annotations

import json
import re
import sysconfig
from pathlib import Path

import pytest

import adapt_elastix
import fetch_sources as sources
import supported_versions
from fetch_sources import SourceError
from helpers import programs
from helpers.host_versions import HOSTS
from impact_plugin import _versions

ROOT = Path(__file__).resolve().parent.parent
LATER = HOSTS[-1].commit


def cmake(folder: Path, code: str) -> str:
    """Run CMake code after ImpactVersions.cmake, and give what it prints."""
    script = folder / "script.cmake"
    script.write_text(f'include("{ROOT}/cmake/ImpactVersions.cmake")\n{code}\n')
    program = Path(sysconfig.get_path("scripts")) / "cmake"
    run = programs.captured(program, "-P", script)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stderr.strip()


def test_file_is_sound() -> None:
    assert len({host.folder for host in HOSTS}) == len(HOSTS)
    versions = [version for host in HOSTS for version in host.itk_elastix]
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    assert numbers == sorted(set(numbers))
    for host in HOSTS:
        assert host.folder == f"elastix-{host.itk_elastix[0]}"
        assert re.fullmatch(r"[0-9a-f]{40}", host.commit)
    minors = [tuple(map(int, minor.split("."))) for minor in _versions.TORCH_MINORS]
    assert minors == [(2, minor) for minor in range(minors[0][1], minors[-1][1] + 1)]
    assert sources.ELASTIX.commit == HOSTS[0].commit


def test_python_reads_what_the_scripts_read() -> None:
    installed = Path(_versions.__file__).with_name("versions.json")
    assert json.loads(installed.read_text()) == json.loads(supported_versions.FILE.read_text())
    assert [vars(host) for host in _versions.HOSTS] == [vars(host) for host in HOSTS]


def test_cmake_says_the_same_as_python(tmp_path: Path) -> None:
    torch, elastix = _versions.TORCH, _versions.ITK_ELASTIX
    printed = cmake(tmp_path, 'message("${IMPACT_TORCH_RANGE} ${IMPACT_ITK_ELASTIX_RANGE}")')
    assert printed == f"{torch.specifier} {elastix.specifier}" == ">=2.8,<2.16 >=0.25.2,<0.26"
    table = cmake(tmp_path, 'message("${IMPACT_HOST_TABLE}")')
    assert table == " ".join(f"{host.folder}={','.join(host.itk_elastix)}" for host in HOSTS)


@pytest.mark.parametrize(
    ("version", "folder"),
    [
        ("0.25.2", "elastix-0.25.2"),
        ("0.25.3", "elastix-0.25.2"),
        ("0.25.3.1", "elastix-0.25.2"),
        ("0.25.4", "elastix-0.25.4"),
        ("0.25.1", ""),
        ("0.25.5", ""),
        ("0.25.30", ""),
        ("", ""),
    ],
)
def test_folder_of_a_version(tmp_path: Path, version: str, folder: str) -> None:
    code = f'impact_host_folder(folder "{version}")\nmessage("${{folder}}")'
    assert cmake(tmp_path, code) == folder
    known = [host.folder for host in _versions.HOSTS if version and host.has(version)]
    assert known == [folder] * bool(folder)


# The headers of the later elastix


@pytest.fixture(scope="module")
def elastix(elastix_testing: Path) -> Path:
    """The sources of elastix 5.3.1."""
    return elastix_testing.parent


def headers(source: Path, target: Path) -> Path:
    """Copy what is adapted."""
    for file in (
        "Core/Configuration/elxConfiguration.h",
        "Common/ParameterFileParser/itkParameterMapInterface.h",
        "Common/Transforms/itkAdvancedBSplineDeformableTransformBase.h",
        "CMake/elastixVersion.cmake",
    ):
        (target / file).parent.mkdir(parents=True)
        (target / file).write_text((source / file).read_text())
    return target


def test_headers_are_adapted_once(elastix: Path, tmp_path: Path) -> None:
    source = headers(elastix, tmp_path / "source")
    (source / "Testing").mkdir()
    before = {path: path.read_text() for path in source.rglob("*.h")}
    (cache := tmp_path / "cache").mkdir()
    made = adapt_elastix.adapt(source, cache, LATER)
    assert made.parent == cache
    assert adapt_elastix.is_later(made)
    assert not adapt_elastix.is_later(source)
    assert not (made / "Testing").exists()
    assert {path: path.read_text() for path in source.rglob("*.h")} == before
    (made / "mark").touch()
    assert adapt_elastix.adapt(source, cache, LATER) == made
    assert (made / "mark").exists()
    # Sources that are the later ones already stay as they are.
    assert adapt_elastix.obtain_later(LATER, str(made), cache) == made


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Configuration", "  BeforeAll() override;", "  BeforeAll();", "once 'BeforeAll"),
        ("Configuration", "return m_Param", "return (m_Param", "9 functions .* found 5"),
        ("MapInterface", "itkNewMacro(Self)", "itkSimpleNewMacro(Self)", "itkNewMacro"),
        ("TransformBase", "SetCoefficientImages(ImagePointer", "SetImages(ImagePointer", "Images"),
    ],
)
def test_other_headers_are_refused(
    elastix: Path, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    source = headers(elastix, tmp_path / "source")
    (header,) = source.rglob(f"*{file}.h")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))
    (cache := tmp_path / "cache").mkdir()
    with pytest.raises(SourceError, match=message) as error:
        adapt_elastix.adapt(source, cache, LATER)
    assert header.name in str(error.value)
    assert "IMPACT_ELASTIX_SOURCE_DIR" in str(error.value)
    assert list(cache.iterdir()) == []


def test_git_comes_first(elastix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit itself, where it can be had; it is then kept, and asked for no more."""
    asked = []

    def from_git(source: sources.Source, staging: Path) -> Path:
        asked.append(source.commit)
        return adapt_elastix.adapt(headers(elastix, staging / "x"), staging, "0" * 40)

    monkeypatch.setattr(adapt_elastix, "from_git", from_git)
    found = adapt_elastix.obtain_later(LATER, "", tmp_path)
    assert found == tmp_path / f"elastix-{LATER[:8]}"
    assert adapt_elastix.obtain_later(LATER, "", tmp_path) == found
    assert asked == [LATER]


def test_without_git_headers_are_made(
    elastix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And git is not waited for again."""
    asked = []

    def from_git(source: sources.Source, staging: Path) -> Path:
        asked.append(source.commit)
        raise sources.UnavailableError("no network")

    monkeypatch.setattr(adapt_elastix, "from_git", from_git)
    headers(elastix, tmp_path / "elastix-5.3.1")
    found = adapt_elastix.obtain_later(LATER, "", tmp_path)
    assert found.name.startswith(f"elastix-5.3.1-as-{LATER[:8]}-")
    assert adapt_elastix.obtain_later(LATER, "", tmp_path) == found
    assert asked == [LATER]
