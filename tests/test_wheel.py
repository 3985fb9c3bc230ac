"""What the installed distribution consists of, and whether it fits the libraries it links."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from helpers.host_versions import HOSTS, host_library
from impact_plugin import _versions
from supported_versions import Host

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_path("platlib"))
HOST = SITE / "itk" / "_ElastixPython.abi3.so"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

RUNTIME = {"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"}
TORCH = {"libtorch.so", "libtorch_cpu.so", "libc10.so"}
ITK = {"_ElastixPython.abi3.so"}
BASE = {"libimpact_base.so"}
CORE = BASE | {"libimpact_core.so"}
TORCHES = [f"impact_plugin/torch-{built}" for built in _versions.built_torches()]
BUILT = [host for host in HOSTS if (SITE / "impact_plugin" / host.folder).is_dir()]
OF_HOST = {f"_elastix{SUFFIX}": ITK, "libimpact_elastix.so": CORE | ITK}
# All binaries, and what they link beside the C++ runtime.
LINKED = {
    f"impact_plugin/_core{SUFFIX}": BASE,
    f"impact_plugin/_networks_api{SUFFIX}": CORE,
    "impact_plugin/libimpact_base.so": set[str](),
    **{f"{folder}/libimpact_core.so": TORCH | BASE for folder in TORCHES},
    "itk_elastix.libs/libImpactMetric.so": set(),
    **{
        f"impact_plugin/{host.folder}/{name}": linked
        for host in BUILT
        for name, linked in OF_HOST.items()
    },
}


@functools.cache
def readelf(flag: str, path: Path) -> str:
    return subprocess.check_output(["readelf", "-W", flag, path], text=True)


def entries(path: Path, tag: str) -> set[str]:
    """Give the entries of one kind in the dynamic section of a library."""
    return set(re.findall(rf"\({tag}\).*\[(.*)\]", readelf("-d", path)))


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The files of the distribution, relative to the folder of packages, without caches."""
    recorded = importlib.metadata.files("impact-plugin")
    assert recorded is not None
    return {str(path) for path in recorded if "__pycache__" not in path.parts}


def test_files(files: set[str]) -> None:
    version = importlib.metadata.version("impact-plugin")
    kinds = {
        "package": r"impact_plugin/.+",
        "plugin": r"itk_elastix\.libs/libImpactMetric\.so",
        "metadata": rf"impact_plugin-{re.escape(version)}\.dist-info/.+",
        "programs": r"(\.\./)+bin/impact-(elastix|plugin|transformix)",
    }
    found = {
        kind: {path for path in files if re.fullmatch(pattern, path)}
        for kind, pattern in kinds.items()
    }
    assert files == set().union(*found.values())
    assert len(found["plugin"]) == 1
    assert len(found["programs"]) == 3
    assert {
        "impact_plugin/__init__.py",
        "impact_plugin/py.typed",
        "impact_plugin/_core.pyi",
        "impact_plugin/elastix/components.json",
        "impact_plugin/versions.json",
        "impact_plugin/parameter_maps/ct_cbct.txt",
        "impact_plugin/parameter_maps/mind.txt",
    } <= found["package"]
    assert f"impact_plugin-{version}.dist-info/licenses/LICENSE" in files
    # No sources, headers, libraries to link, or models.
    assert {Path(path).suffix for path in found["package"]} == {
        ".py",
        ".pyi",
        ".so",
        ".typed",
        ".json",
        ".txt",
        ".md",
        # pages: their templates
        ".html",
        ".css",
        ".js",
    }
    for path in files:
        assert (SITE / path).is_file(), path


def test_nothing_of_torch_or_itk_is_bundled(files: set[str]) -> None:
    assert {path for path in files if ".so" in path} == set(LINKED)
    assert sum((SITE / path).stat().st_size for path in files) < 20e6


@pytest.mark.parametrize("path", LINKED)
def test_what_is_linked(path: str) -> None:
    assert entries(SITE / path, "NEEDED") - RUNTIME == LINKED[path]


@pytest.mark.parametrize("path", LINKED)
def test_search_paths_are_relative(path: str) -> None:
    assert entries(SITE / path, "RPATH") == set()
    found = {folder for entry in entries(SITE / path, "RUNPATH") for folder in entry.split(":")}
    expected = {
        frozenset(BASE): {"$ORIGIN"},
        frozenset(CORE): {"$ORIGIN"},
        frozenset(ITK): {"$ORIGIN/..", "$ORIGIN/../../itk"},
        frozenset(CORE | ITK): {"$ORIGIN/..", "$ORIGIN/../../itk"},
        frozenset(TORCH | BASE): {"$ORIGIN/..", "$ORIGIN/../../torch/lib"},
        frozenset(): set[str](),
    }
    assert found == expected[frozenset(LINKED[path])]


def test_elastix_finds_the_plugin_by_its_bare_name() -> None:
    assert entries(SITE / "itk_elastix.libs/libImpactMetric.so", "SONAME") == {"libImpactMetric.so"}
    # The search path of what calls dlopen.
    found = entries(HOST, "RPATH") | entries(HOST, "RUNPATH")
    assert any("$ORIGIN/../itk_elastix.libs" in entry.split(":") for entry in found)


@pytest.mark.parametrize(
    "path",
    [path for path in LINKED if re.search(r"libimpact_elastix\.so|libImpactMetric", path)],
)
def test_install_function_is_exported(path: str) -> None:
    assert re.search(
        r"GLOBAL DEFAULT\s+\d+ ImpactMetricInstallComponent$",
        readelf("--dyn-syms", SITE / path),
        re.M,
    )


# The layout of classes


def virtual_tables(symbols: str) -> dict[str, int]:
    """Give the sizes in bytes of the virtual tables that a library defines, by symbol."""
    found = re.findall(
        r"(?m)^ *\d+: [0-9a-f]+ +(\d+) \w+ +\w+ +\w+ +\d+ (_ZTV\S+?)(?:@.*)?$", symbols
    )
    return {name: int(size) for size, name in found}


def _path_of(host: Host, name: str) -> str:
    """Where a binary for a host lies; what only tests see, beside the package."""
    if not name.startswith("impact_testing"):
        return f"impact_plugin/{host.folder}/{name}"
    torch = ".".join(importlib.metadata.version("torch").split(".")[:2])
    return f"impact_testing-parts/torch-{torch}/{host.folder}/{name}"


def unstripped(path: str) -> Path:
    """Find the library with all its symbols: as installed, or where it was built."""
    installed = SITE / path
    for candidate in (installed, *ROOT.glob(f"build/*/**/{installed.name}")):
        same = readelf("--dyn-syms", candidate) == readelf("--dyn-syms", installed)
        if same and ".symtab" in readelf("-S", candidate):
            return candidate
    pytest.fail(
        f"{installed} is stripped, and no folder under {ROOT / 'build'} is the one in which it was "
        "built: run `make install`"
    )


@pytest.mark.parametrize("host", BUILT, ids=lambda host: host.folder)
@pytest.mark.parametrize(
    ("name", "classes"),
    [
        (
            "libimpact_elastix.so",
            ("26AdvancedImageToImageMetric", "N7elastix10MetricBase", "18ImageToImageFilter"),
        ),
        (f"_elastix{SUFFIX}", ("MersenneTwister",)),
        (
            f"impact_testing{SUFFIX}",
            ("N3itk9TransformI", "17AdvancedTransform", "26AdvancedImageToImageMetric"),
        ),
    ],
)
def test_virtual_tables_are_those_of_the_host(
    host: Host, name: str, classes: tuple[str, ...]
) -> None:
    """Classes that both define have as many virtual functions in both.

    Compiled without ITK_LEGACY_REMOVE, itk::Transform has two more than in the wheel, and calling
    any function after them corrupts memory.
    """
    ours = virtual_tables(readelf("-s", unstripped(_path_of(host, name))))
    theirs = virtual_tables(readelf("--dyn-syms", host_library(host.itk_elastix[-1])))
    common = ours.keys() & theirs.keys()
    for each in classes:
        assert any(each in symbol for symbol in common), f"{each} is not among those compared"
    different = {each: (ours[each], theirs[each]) for each in common if ours[each] != theirs[each]}
    assert different == {}
