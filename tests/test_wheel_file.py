"""cmake/check_wheel.py: that our wheel is sound, and that wheels that are not are found out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import check_wheel
from helpers import host_versions, programs, wheels

ROOT = Path(__file__).resolve().parent.parent
FOLDER = f"impact_plugin/{host_versions.folder_of(host_versions.INSTALLED)}"
PLUGIN = f"{FOLDER}/libimpact_elastix.so"
VERSION = version("impact-plugin")
INFO = f"impact_plugin-{VERSION}.dist-info"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return wheels.contents(wheels.built())


def faults(folder: Path, files: dict[str, bytes], name: str | None = None) -> list[str]:
    """Check a wheel of these files."""
    path = wheels.write(folder / (name or wheels.built().name), files)
    return check_wheel.check(path).faults


def test_our_wheel_is_sound() -> None:
    command = [sys.executable, str(ROOT / "cmake" / "check_wheel.py"), str(wheels.built())]
    run = programs.captured(*command)
    assert run.stderr == ""
    assert run.returncode == 0
    assert ": sound. manylinux_2_" in run.stdout


def test_platform_tag_of_our_wheel() -> None:
    """What it says of glibc is what auditwheel's list says of that platform."""
    report = check_wheel.check(wheels.built())
    (policy,) = (p for p in check_wheel.policies() if p.name == report.tag)
    assert report.newest["GLIBC"] in policy.symbol_versions["GLIBC"]
    assert report.newest["GLIBCXX"] in policy.symbol_versions["GLIBCXX"]
    older = check_wheel.policies()[: check_wheel.policies().index(policy)]
    assert older
    for each in older:
        assert any(
            report.newest[name] not in each.symbol_versions[name] for name in ("GLIBC", "GLIBCXX")
        )


def test_foreign_and_missing_files(files: dict[str, bytes], tmp_path: Path) -> None:
    more = files | {
        "impact_plugin/libtorch.so": files[PLUGIN],
        "itk/__init__.py": b"",
        "src.cpp": b"",
    }
    found = faults(tmp_path, more)
    for name in ("impact_plugin/libtorch.so", "itk/__init__.py", "src.cpp"):
        assert f"{name}: not one of the files meant" in found
    less = {name: data for name, data in files.items() if not name.endswith("licenses/LICENSE")}
    assert any("licenses/LICENSE: missing" in fault for fault in faults(tmp_path, less))
    # Of the folder of an elastix all or nothing; of these folders one at least.
    less = {name: data for name, data in files.items() if name != f"{FOLDER}/host_classes.txt"}
    (fault,) = faults(tmp_path, less)
    assert fault.endswith(r"/host_classes\.txt: missing")
    less = {name: data for name, data in files.items() if "/elastix-" not in name}
    (fault,) = faults(tmp_path, less)
    assert fault.endswith("missing, all of them")
    less = {name: data for name, data in files.items() if "/sboms/" not in name}
    assert any("cdx" in fault and "missing" in fault for fault in faults(tmp_path, less))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/%s/me/impact/src/cpp/impact/models/model.cpp" % b"home", True),
        (b"/tmp/pip-build-env-x_/lib/torch/csrc/node.h", True),
        (b"../../.venv/lib/python3.11/site-packages/torch/include/node.h", True),
        (b"https://github.com/InsightSoftwareConsortium/ITK", False),
        (b"/proc/self/status", False),
        (b"torch/include/torch/csrc/node.h", False),
        (b"../itk/Modules/Core", False),
    ],
)
def test_paths_of_the_machine(
    files: dict[str, bytes], tmp_path: Path, path: bytes, found: bool
) -> None:
    damaged = files | {PLUGIN: files[PLUGIN] + b"\0" + path + b"\0"}
    expected = [f"{PLUGIN}: the path {path.decode()}"] if found else []
    assert faults(tmp_path, damaged) == expected


def test_search_paths(files: dict[str, bytes], tmp_path: Path) -> None:
    elsewhere = files[PLUGIN].replace(b"$ORIGIN/../../itk", b"/opt/itk-0.25.999")
    assert elsewhere != files[PLUGIN]
    found = faults(tmp_path, files | {PLUGIN: elsewhere})
    assert f"{PLUGIN}: looks for libraries in /opt/itk-0.25.999" in found


def test_libraries_that_no_platform_has(files: dict[str, bytes], tmp_path: Path) -> None:
    other = files[PLUGIN].replace(b"libstdc++.so.6\0", b"libfoobar.so.6\0")
    assert other != files[PLUGIN]
    assert f"{PLUGIN}: links libfoobar.so.6" in faults(tmp_path, files | {PLUGIN: other})
    core = next(name for name in files if name.endswith("/libimpact_core.so"))
    other = files[core].replace(b"libtorch_cpu.so\0", b"libtorch_xxx.so\0")
    found = faults(tmp_path, files | {core: other})
    assert f"{core}: does not link libtorch_cpu.so" in found


def test_names_that_promise_too_much(files: dict[str, bytes], tmp_path: Path) -> None:
    tag = check_wheel.check(wheels.built()).tag
    name = f"impact_plugin-{VERSION}-cp311-cp311-{{}}.whl"
    assert faults(tmp_path, files, name.format(tag)) == []
    (fault,) = faults(tmp_path, files, name.format("manylinux_2_17_x86_64"))
    assert fault == f"its name promises manylinux_2_17_x86_64, and the binaries want {tag}"


def test_checksums(files: dict[str, bytes], tmp_path: Path) -> None:
    path = wheels.write(tmp_path / wheels.built().name, files)
    whole = wheels.contents(path)
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in whole.items():
            wheel.writestr(name, data + b"\n" if name.endswith("py.typed") else data)
    assert check_wheel.check(path).faults == [
        "impact_plugin/py.typed: another checksum than in RECORD"
    ]


def test_tag_can_be_put_into_the_name(tmp_path: Path) -> None:
    path = tmp_path / wheels.built().name
    path.write_bytes(wheels.built().read_bytes())
    command = [sys.executable, str(ROOT / "cmake" / "check_wheel.py"), "--tag", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    (tagged,) = tmp_path.iterdir()
    report = check_wheel.check(tagged)
    assert (report.faults, tagged.name.rpartition("-")[2]) == ([], f"{report.tag}.whl")
    assert f"Tag: cp311-cp311-{report.tag}" in wheels.contents(tagged)[f"{INFO}/WHEEL"].decode()


# The bill of materials


@pytest.fixture(scope="module")
def bill(files: dict[str, bytes]) -> str:
    return files[f"{INFO}/sboms/impact-plugin.cdx.json"].decode()


def test_bill_is_valid(bill: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(bill) is None
    assert validator.validate_str(bill.replace('"library"', '"shelf"')) is not None


def test_bill_has_what_is_compiled_in(bill: str, files: dict[str, bytes]) -> None:
    import fetch_sources

    found = {part["name"]: part for part in json.loads(bill)["components"]}
    assert set(found) == {"elastix", "ITK", "pybind11", "torch", "itk-elastix"}
    for source in (fetch_sources.ELASTIX, fetch_sources.ITK):
        part = found[source.name]
        assert part["version"] == source.version
        assert source.commit in part["purl"]
        hashes = [h["content"] for r in part["externalReferences"] for h in r.get("hashes", [])]
        assert hashes == [source.sha256]
    references = [r.get("comment", "") for r in found["elastix"]["externalReferences"]]
    for host in host_versions.HOSTS:
        built = any(name.startswith(f"impact_plugin/{host.folder}/") for name in files)
        named = any(host.commit in text for text in references)
        assert named == (built or host.commit == fetch_sources.ELASTIX.commit)
    assert found["torch"]["version"].startswith("2.13.")
    assert [part["name"] for part in found["ITK"]["components"]] == ["Eigen", "VXL"]
    licensed = {
        name.split("/")[3] for name in files if name.startswith(f"{INFO}/licenses/compiled_in/")
    }
    assert licensed == {"elastix", "itk", "eigen", "vxl", "pybind11", "torch"}
    metadata = json.loads(bill)["metadata"]
    assert metadata["component"]["version"] == VERSION
    assert str(ROOT) not in bill


def test_bill_is_the_same_for_the_same(tmp_path: Path) -> None:
    script = ROOT / "cmake" / "bill_of_materials.py"
    texts = []
    for name, epoch in (("a", "1700000000"), ("b", "1700000000"), ("c", "1800000000")):
        arguments = [str(tmp_path / name), "--version", VERSION, "--compiler", "GNU 12.2.0"]
        subprocess.run(
            [sys.executable, str(script), *arguments],
            check=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert '"timestamp": "2023-11-14T22:13:20Z"' in texts[0]


# The source distribution


def test_sdist_has_what_the_build_reads(tmp_path: Path) -> None:
    """And nothing that was built. `make sdist-check` builds a wheel of it, which takes minutes."""
    command = [
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (path,) = tmp_path.iterdir()
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        mtimes = {member.mtime for member in archive.getmembers()}
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    for folder in ("src", "cmake", "ParameterMaps"):
        assert {name for name in tracked if name.startswith(f"{folder}/")} <= names
    assert {"CMakeLists.txt", "pyproject.toml", "LICENSE", "README.md", "PKG-INFO"} <= names
    assert len(mtimes) == 1
    for name in names:
        assert not name.startswith((".venv", "build/", "dist/", "out/")), name
        assert not name.endswith((".so", ".pyc", ".whl", ".o")), name
