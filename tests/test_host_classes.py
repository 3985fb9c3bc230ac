"""The classes in the versions of itk-elastix, against what the plugin expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import describe_host
from describe_host import Library
from helpers.host_versions import host_library
from helpers.programs import write_parameters
from helpers.registrations import pair

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_path("platlib"))


def expected() -> dict[str, tuple[int, str]]:
    """Give the size and the sum of functions of each virtual table in the installed list."""
    lines = (SITE / "impact_plugin/host_classes.txt").read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("class ")]
    return {table: (int(size), functions) for _, table, size, functions in words}


def found(host: Library) -> dict[str, tuple[int, str]]:
    """Give the same of a library, for those tables that it has."""
    slots = host.slots(expected().keys() & host.tables.keys())
    return {
        table: (host.tables[table], describe_host.digest(functions))
        for table, functions in slots.items()
    }


def test_list_names_what_the_plugin_calls() -> None:
    tables = expected()
    assert len(tables) > 200
    for name in (
        "_ZTVN7elastix13ConfigurationE",  # only functions of it are called
        "_ZTVN3itk21ParameterMapInterfaceE",
        "_ZTVN3itk34AdvancedBSplineDeformableTransformIdLj3ELj3EEE",  # only looked for
        "_ZTVN3itk18ImageToImageMetricINS_5ImageIfLj3EEES2_EE",  # inherited from
    ):
        assert name in tables


@pytest.mark.parametrize("version", ["0.25.2", "0.25.3"])
def test_supported_versions_fit(version: str) -> None:
    """Sizes, and which function stands at which place."""
    assert found(describe_host.read(host_library(version))) == expected()


def test_next_version_does_not_fit() -> None:
    tables, other = expected(), found(describe_host.read(host_library("0.25.4")))
    assert other["_ZTVN7elastix13ConfigurationE"][0] == 400
    assert tables["_ZTVN7elastix13ConfigurationE"][0] == 392
    assert "_ZTVN3itk21ParameterMapInterfaceE" in tables.keys() - other.keys()


def packages(folder: Path, *own: str) -> Path:
    """Make a folder of links to the installed packages, in some of which files can be replaced."""
    for entry in SITE.iterdir():
        if entry.name not in own:
            (folder / entry.name).symlink_to(entry)
    for name in own:
        (folder / name).mkdir()
        for entry in (SITE / name).iterdir():
            (folder / name / entry.name).symlink_to(entry)
    return folder


def replace(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages with the library of the next version under the version number of this one."""
    site = packages(tmp_path_factory.mktemp("site"), "itk", "impact_plugin", "itk_elastix.libs")
    library = site / "itk/_ElastixPython.abi3.so"
    library.unlink()
    library.symlink_to(host_library("0.25.4"))
    return site


def run_in(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-m", *arguments],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_loader_refuses_other_classes(site: Path, tmp_path: Path, layers: dict[int, str]) -> None:
    images = [image.write(tmp_path / f"{n}.mha") for n, image in enumerate(pair(3))]
    write_parameters(tmp_path / "map.txt", Metric="Impact", ModelsPath=layers[3])
    files = ("-f", images[0], "-m", images[1], "-p", tmp_path / "map.txt", "-out", tmp_path)
    run = run_in(site, "impact_plugin.command_line", "elastix", *files)
    assert run.returncode == 1, run.stdout + run.stderr
    log = (tmp_path / "elastix.log").read_text()
    library = site / "itk/_ElastixPython.abi3.so"
    assert f"{library} is not the elastix this plugin was built for (elastix 5.3.1" in log
    assert "it has no class itk::ParameterMapInterface" in log
    assert "Reinstall with: python -m pip install" in log


def refusal_by_doctor(site: Path) -> str:
    run = run_in(site, "impact_plugin.cli", "doctor", "--quick", "--json")
    assert run.returncode == 1, run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["facts"]["ABI guard"] == "refuses to load the plugin"
    (problem,) = report["problems"]
    assert isinstance(problem, str)
    return problem


def test_doctor_tells_what_the_loader_will_say(site: Path) -> None:
    assert "it has no class itk::ParameterMapInterface" in refusal_by_doctor(site)


def test_older_cpp_library(tmp_path: Path) -> None:
    """A symbol version that the process's libstdc++ does not have yet."""
    site = packages(tmp_path, "impact_plugin", "itk_elastix.libs")
    description = site / "impact_plugin/host_classes.txt"
    text = description.read_text()
    replace(description, "needs libstdc++.so.6 GLIBCXX_3.4.99\n" + text)
    expected = "lacks GLIBCXX_3.4.99 in libstdc++.so.6. Install a newer one"
    assert expected in refusal_by_doctor(site)


def test_torch_of_the_old_strings(tmp_path: Path) -> None:
    """What a torch that was compiled with _GLIBCXX_USE_CXX11_ABI=0 calls its functions."""
    site = packages(tmp_path, "impact_plugin", "itk_elastix.libs", "torch")
    (site / "torch/lib").unlink()
    (site / "torch/lib").mkdir()
    (site / "torch/lib/libtorch_cpu.so").touch()
    (site / "torch/lib/libc10.so").write_text("_ZN3c105ErrorC1ENS_14SourceLocationESs")
    problem = refusal_by_doctor(site)
    assert "torch 2.13" in problem
    assert "was compiled with _GLIBCXX_USE_CXX11_ABI=0 and this plugin with 1" in problem


def test_build_without_legacy_remove_is_stopped(tmp_path: Path) -> None:
    """itk::Transform has two virtual functions more then."""
    (tmp_path / "transform.cpp").write_text(
        "#include <itkConfigure.h>\n#undef ITK_LEGACY_REMOVE\n"
        "#include <itkTranslationTransform.h>\n"
        "void * made() { return itk::TranslationTransform<double, 3>::New().GetPointer(); }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.24)\nproject(legacy LANGUAGES C CXX)\n"
        "set(CMAKE_POSITION_INDEPENDENT_CODE ON)\n"
        "find_package(Python REQUIRED COMPONENTS Interpreter)\n"
        f'list(APPEND CMAKE_MODULE_PATH "{ROOT / "cmake"}")\ninclude(ImpactHost)\n'
        "add_library(transform MODULE transform.cpp)\n"
        "target_link_libraries(transform PRIVATE impact_host)\n"
    )
    cmake = str(Path(sys.executable).with_name("cmake"))
    steps: tuple[list[str | Path], ...] = (
        ["-S", tmp_path, "-B", tmp_path, "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}"],
        ["--build", tmp_path],
    )
    for arguments in steps:
        run = subprocess.run([cmake, *arguments], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    run = subprocess.run(
        [
            sys.executable,
            ROOT / "cmake/describe_host.py",
            tmp_path / "libtransform.so",
            SITE / "itk/_ElastixPython.abi3.so",
            tmp_path / "classes.txt",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "libtransform.so does not fit " in run.stderr
    assert "_ZTVN3itk9TransformIdLj3ELj3EEE: " in run.stderr
    assert "compiled with other options (ITK_LEGACY_REMOVE)" in run.stderr
    assert not (tmp_path / "classes.txt").exists()
