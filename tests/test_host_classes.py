"""The classes in the versions of itk-elastix, against what the plugin expects."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import pytest

import describe_host
from describe_host import Library
from helpers import programs, skips
from helpers.host_versions import HOSTS, INSTALLED, LATEST, folder_of, host_library, packages
from helpers.programs import write_parameters
from helpers.registrations import pair

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_path("platlib"))
FOLDER = folder_of(INSTALLED)


def expected(folder: str = FOLDER) -> dict[str, tuple[int, str]]:
    """Give the size and the sum of functions of each virtual table in an installed list."""
    path = SITE / "impact_plugin" / folder / "host_classes.txt"
    if not path.exists():
        skips.skip_or_fail("IMPACT_REQUIRE_HOSTS", f"the plugin is not built for {folder}")
    words = [line.split() for line in path.read_text().splitlines() if line.startswith("class ")]
    return {table: (int(size), functions) for _, table, size, functions in words}


def found(host: Library, tables: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Give the same of a library, for those tables that it has."""
    slots = host.slots(set(tables) & host.tables.keys())
    return {
        table: (host.tables[table], describe_host.digest(functions))
        for table, functions in slots.items()
    }


@pytest.mark.parametrize("folder", LATEST)
def test_list_names_what_the_plugin_calls(folder: str) -> None:
    tables = expected(folder)
    assert len(tables) > 200
    for name in (
        "_ZTVN7elastix13ConfigurationE",  # only functions of it are called
        "_ZTVN3itk34AdvancedBSplineDeformableTransformIdLj3ELj3EEE",  # only looked for
        "_ZTVN3itk18ImageToImageMetricINS_5ImageIfLj3EEES2_EE",  # inherited from
    ):
        assert name in tables


@pytest.mark.parametrize("version", [v for host in HOSTS for v in host.itk_elastix])
def test_supported_versions_fit(version: str) -> None:
    """Sizes, and which function stands at which place."""
    tables = expected(folder_of(version))
    assert found(describe_host.read(host_library(version)), tables) == tables


def test_hosts_do_not_fit_each_other() -> None:
    """The lists tell them apart: else one would do for both."""
    old, new = LATEST
    tables = expected(old)
    other = found(describe_host.read(host_library(LATEST[new])), tables)
    assert other["_ZTVN7elastix13ConfigurationE"][0] == 400
    assert tables["_ZTVN7elastix13ConfigurationE"][0] == 392
    assert "_ZTVN3itk21ParameterMapInterfaceE" in tables.keys() - other.keys()
    tables = expected(new)
    assert found(describe_host.read(host_library(LATEST[old])), tables) != tables


def replace(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


OTHER = next(version for folder, version in LATEST.items() if folder != FOLDER)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages with the library of another version under the version number of this one."""
    expected(folder_of(OTHER))  # else the test is skipped: the loader knows what it was built for
    site = packages(tmp_path_factory.mktemp("site"), "itk", "impact_plugin", "itk_elastix.libs")
    library = site / "itk/_ElastixPython.abi3.so"
    library.unlink()
    library.symlink_to(host_library(OTHER))
    return site


def run_in(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return programs.python(
        "-S", "-m", *arguments, environment={"PYTHONPATH": str(site)}, timeout=120
    )


def log_of_refusal(site: Path, folder: Path, layers: dict[int, str]) -> str:
    images = [image.write(folder / f"{n}.mha") for n, image in enumerate(pair(3))]
    write_parameters(folder / "map.txt", Metric="Impact", ModelsPath=layers[3])
    files = ("-f", images[0], "-m", images[1], "-p", folder / "map.txt", "-out", folder)
    run = run_in(site, "impact_plugin.command_line", "elastix", *files)
    assert run.returncode == 1, run.stdout + run.stderr
    return (folder / "elastix.log").read_text()


def test_loader_refuses_other_classes(site: Path, tmp_path: Path, layers: dict[int, str]) -> None:
    """As an interrupted upgrade leaves them. Which version the library is of, is known."""
    log = log_of_refusal(site, tmp_path, layers)
    library = site / "itk/_ElastixPython.abi3.so"
    assert MIXED in log
    assert str(library) in log
    assert f'--force-reinstall --no-deps "itk-elastix=={INSTALLED}"' in log
    assert 'Metric "Impact" cannot be loaded: ' in log


def test_loader_refuses_classes_of_none(tmp_path: Path, layers: dict[int, str]) -> None:
    """Each folder is compared, and each difference told."""
    site = packages(tmp_path / "site", "impact_plugin", "itk_elastix.libs")
    lists = list(site.glob("impact_plugin/elastix-*/host_classes.txt"))
    for path in lists:
        text = path.read_text().replace("ConfigurationE 392 ", "ConfigurationE 384 ")
        replace(path, text.replace("ConfigurationE 400 ", "ConfigurationE 384 "))
    log = log_of_refusal(site, tmp_path, layers)
    assert f"is not the elastix of itk-elastix {INSTALLED} that this plugin was built for" in log
    for path in lists:
        assert f"{path.parent.name}: " in log
    assert "elastix::Configuration has 392 bytes, and not 384" in log
    assert "Run: python -m pip install --force-reinstall --no-deps impact-plugin" in log


def test_loader_refuses_a_plugin_of_another_folder(tmp_path: Path, layers: dict[int, str]) -> None:
    """The list fits and the plugin beside it is for another elastix."""
    site = packages(tmp_path / "site", "impact_plugin", "itk_elastix.libs")
    plugin = site / "impact_plugin" / FOLDER / "libimpact_elastix.so"
    code = plugin.read_bytes()
    assert code.count(FOLDER.encode() + b"\0") == 1
    plugin.unlink()
    plugin.write_bytes(code.replace(FOLDER.encode() + b"\0", b"elastix-9.99.9\0"))
    log = log_of_refusal(site, tmp_path, layers)
    assert f"{FOLDER}/libimpact_elastix.so was built for another elastix, that of elastix-9" in log
    assert "files of two are mixed" in log


MIXED = f"has the classes of itk-elastix {OTHER}, but its metadata say {INSTALLED}"


def refusal_by_doctor(site: Path) -> str:
    run = run_in(site, "impact_plugin.cli", "doctor", "--quick", "--json")
    assert run.returncode == 1, run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["facts"]["ABI guard"] == "refuses to load the plugin"
    (problem,) = report["problems"]
    assert isinstance(problem, str)
    return problem


def test_doctor_tells_what_the_loader_will_say(site: Path) -> None:
    assert MIXED in refusal_by_doctor(site)


def test_older_cpp_library(tmp_path: Path) -> None:
    """A symbol version that the process's libstdc++ does not have yet."""
    site = packages(tmp_path, "impact_plugin", "itk_elastix.libs")
    description = site / "impact_plugin" / FOLDER / "host_classes.txt"
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
        run = programs.captured(cmake, *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
    run = programs.python(
        ROOT / "cmake/describe_host.py",
        tmp_path / "libtransform.so",
        SITE / "itk/_ElastixPython.abi3.so",
        tmp_path / "classes.txt",
    )
    assert run.returncode == 1
    assert "libtransform.so does not fit " in run.stderr
    assert "_ZTVN3itk9TransformIdLj3ELj3EEE: " in run.stderr
    assert "compiled with other options (ITK_LEGACY_REMOVE)" in run.stderr
    assert not (tmp_path / "classes.txt").exists()
