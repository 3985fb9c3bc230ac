"""The data of elastix's and ITK's objects: how large they are, and where their members lie.

Virtual tables are compared at each build. What inline code of headers reads and writes has no
table: here each host makes objects of its classes by its own functions, and the size of what it
allocates is compared with what the headers say that we compile against, as are the places of
members after the host's functions have set them.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import pytest

from helpers import programs, skips
from helpers.host_versions import HOSTS, LATEST, folder_of, host_package

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sysconfig.get_path("platlib"))
SOURCE = ROOT / "tests" / "programs" / "host_data"
BUILT = [folder for folder in LATEST if (SITE / "impact_plugin" / folder).is_dir()]

_LOAD = """
import ctypes, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
compare = ctypes.CDLL(sys.argv[2]).hostData
compare.restype = ctypes.c_char_p
print(compare().decode())
"""


def write_classes(folder: str, path: Path) -> None:
    """Write a row for each class of elastix and ITK that the plugin knows."""
    lines = (SITE / "impact_plugin" / folder / "host_classes.txt").read_text().splitlines()
    tables = "\n".join(line.split()[1] for line in lines if line.startswith("class "))
    names = programs.captured("c++filt", input=tables, check=True).stdout
    classes = re.findall(r"(?m)^vtable for ((?:itk|elastix)::.*)$", names)
    assert len(classes) > 200
    path.write_text("".join(f"CLASS({name})\n" for name in classes))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled comparisons, for each host that the installed plugin was built for."""
    build = tmp_path_factory.mktemp("host_data")
    options = [f"-DIMPACT_HOSTS={','.join(LATEST[folder] for folder in BUILT)}"]
    for folder in BUILT:
        write_classes(folder, build / f"{folder}.inc")
        options.append(f"-DCLASSES_{folder}={build / folder}.inc")
    cmake = Path(sysconfig.get_path("scripts")) / "cmake"
    options += [f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Debug"]
    options += ["-DCMAKE_CXX_FLAGS_DEBUG=-O1"]
    for arguments in ([f"-S{SOURCE}", f"-B{build}", "-GNinja", *options], ["--build", build]):
        run = programs.captured(cmake, *arguments)
        assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    return build


def compared(build: Path, version: str) -> dict[str, tuple[int, int]]:
    """Give what the headers say and what the host does, by class or member."""
    host = host_package(version) / "itk"
    probe = build / f"libhost_data-{folder_of(version)}.so"
    run = programs.python(
        "-c",
        _LOAD,
        host / "_ElastixPython.abi3.so",
        probe,
        environment={"LD_PRELOAD": str(build / "liballocations.so"), "LD_LIBRARY_PATH": str(host)},
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    lines = [line.split("\t") for line in run.stdout.splitlines() if line]
    return {where: (int(ours), int(hosts)) for where, ours, hosts in lines}


@pytest.mark.slow
@pytest.mark.parametrize("version", [v for host in HOSTS for v in host.itk_elastix])
def test_sizes_and_places_are_those_of_the_host(build: Path, version: str) -> None:
    if folder_of(version) not in BUILT:
        reason = f"the plugin is not built for itk-elastix {version}: IMPACT_HOSTS, docs/build.md"
        skips.skip_or_fail("IMPACT_REQUIRE_HOSTS", reason)
    found = compared(build, version)
    assert {where: pair for where, pair in found.items() if pair[0] != pair[1]} == {}
    # Not an empty comparison.
    sizes = [where for where in found if re.fullmatch(r"N(3itk|7elastix)\w+", where)]
    assert len(sizes) > 80
    assert sum(" to its second base" in where for where in found) == 36
    assert "N7elastix13ConfigurationE" in sizes
    assert "N3itk34AdvancedBSplineDeformableTransformIdLj3ELj3EEE" in sizes
    assert sum("::" in where for where in found) > 45


@pytest.mark.slow
def test_data_tell_the_hosts_apart(build: Path) -> None:
    """What is compared finds the difference that there is: one size, and what follows it."""
    if len(BUILT) < 2:
        skips.skip_or_fail("IMPACT_REQUIRE_HOSTS", "the plugin is built for one itk-elastix alone")
    sizes = [compared(build, LATEST[folder])["N7elastix13ConfigurationE"] for folder in BUILT]
    assert sizes == [(216, 216), (272, 272)]
