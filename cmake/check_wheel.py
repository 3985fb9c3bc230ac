"""Check what a wheel of this project consists of: ``python cmake/check_wheel.py dist/*.whl``.

That it has the files meant and no others, nothing of torch or ITK among them, no path of the
machine that built it; that its binaries look for libraries relative to themselves, and of glibc and
libstdc++ want no more than the platform tag in its name promises, by auditwheel's list; that
checksums, licences and bill of materials are there. Prints every fault and the platform tag that
the binaries allow; ends with exit code 1 where there are faults.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import Policy, WheelPolicies
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from supported_versions import hosts

TORCH = {"libtorch.so", "libtorch_cpu.so", "libc10.so"}
ITK = {"_ElastixPython.abi3.so"}
BASE = {"libimpact_base.so"}
CORE = BASE | {"libimpact_core.so"}
_SUFFIX = r"\.cpython-3\d+-x86_64-linux-gnu\.so"
LOADER = {"ld-linux-x86-64.so.2"}
"""What starts every program; auditwheel's lists leave it out."""

_HOSTS = [re.escape(host.folder) for host in hosts()]
OF_HOST = {
    rf"_elastix{_SUFFIX}": ITK,
    r"libimpact_elastix\.so": CORE | ITK,
    r"host_classes\.txt": set[str](),
}
"""What the folder of each elastix has that a wheel was built for, one at least."""

BINARIES = {
    rf"impact_plugin/_core{_SUFFIX}": BASE,
    rf"impact_plugin/_networks_api{_SUFFIX}": CORE,
    r"impact_plugin/libimpact_base\.so": set[str](),
    r"impact_plugin/torch-\d+\.\d+/libimpact_core\.so": TORCH | BASE,
    r"itk_elastix\.libs/libImpactMetric\.so": set[str](),
    **{
        f"impact_plugin/{folder}/{name}": links
        for folder in _HOSTS
        for name, links in OF_HOST.items()
        if links
    },
}
"""The binaries, and what each links of ours and of other wheels."""

SEARCHED = {"$ORIGIN", "$ORIGIN/..", "$ORIGIN/../../itk", "$ORIGIN/../../torch/lib"}
"""The folders in which binaries may look for others."""

_METADATA = r"impact_plugin-[^/]+\.dist-info/"
_FILES = (
    r"impact_plugin/([a-z_]+/)*[a-z_0-9]+\.(py|pyi)",
    r"impact_plugin/py\.typed",
    r"impact_plugin/([a-z_]+/)*[a-z_.]+\.(json|html|j2|css|js)",
    rf"impact_plugin/({'|'.join(_HOSTS)})/host_classes\.txt",
    r"impact_plugin/parameter_maps/\w+\.(txt|md)",
    _METADATA + r"(METADATA|WHEEL|RECORD|entry_points\.txt)",
    _METADATA + r"licenses/(LICENSE|compiled_in/\w+/[\w.]+)",
    _METADATA + r"sboms/impact-plugin\.cdx\.json",
)
_NEEDED = (
    "impact_plugin/__init__.py",
    "impact_plugin/py.typed",
    r"impact_plugin/versions\.json",
    rf"impact_plugin/_core{_SUFFIX}",
    r"itk_elastix\.libs/libImpactMetric\.so",
    "impact_plugin/parameter_maps/mind.txt",
    r".*\.dist-info/licenses/LICENSE",
    r".*\.dist-info/licenses/compiled_in/elastix/(LICENSE)",
    r".*\.dist-info/licenses/compiled_in/itk/LICENSE",
    r".*\.dist-info/licenses/compiled_in/eigen/COPYING\.MPL2",
    r".*\.dist-info/licenses/compiled_in/pybind11/LICENSE",
    r".*\.dist-info/licenses/compiled_in/torch/LICENSE",
    r".*\.dist-info/sboms/impact-plugin\.cdx\.json",
)
LARGEST = 30_000_000  # bytes, unpacked: torch or ITK would be ten times that

# An absolute path, which no other text precedes: of a URL or of a relative path it is the rest.
_PATH = re.compile(rb"(?<![\w$.:/>~-])/(?:[\w.+@-]{2,}/)+[\w.+@-]{2,}")
_ENVIRONMENT = re.compile(rb"[\w./-]*(?:site|dist)-packages/[\w./-]+")
"""A path into a Python environment, relative ones among them: what a compiler cache makes of it."""

_ANYWHERE = re.compile(rb"/(proc|sys|dev)/|/lib64/ld-linux")
"""Paths that are the same on every machine."""


@dataclass
class Report:
    """What was found out about one wheel.

    Args:
        faults: One line each.
        tag: The oldest platform that has all that the binaries want, such as manylinux_2_28_x86_64.
        newest: By library, the newest version of its symbols that the binaries want.
    """

    faults: list[str] = field(default_factory=list)
    tag: str = ""
    newest: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Binary:
    """What an ELF file says of itself."""

    needed: set[str]
    search: list[str]
    absolute: bool  # DT_RPATH, which comes before LD_LIBRARY_PATH
    versions: set[str]  # such as GLIBC_2.34

    @classmethod
    def read(cls, data: bytes) -> Binary:
        """Read a shared library."""
        elf = ELFFile(io.BytesIO(data))
        dynamic = elf.get_section_by_name(".dynamic")
        entries: dict[str, list[str]] = {"DT_NEEDED": [], "DT_RUNPATH": [], "DT_RPATH": []}
        for tag in dynamic.iter_tags() if isinstance(dynamic, DynamicSection) else ():
            if tag.entry.d_tag in entries:  # such a tag has its text as an attribute: needed, ...
                entries[tag.entry.d_tag].append(getattr(tag, tag.entry.d_tag[3:].lower()))
        wanted = elf.get_section_by_name(".gnu.version_r")
        folders = [*entries["DT_RUNPATH"], *entries["DT_RPATH"]]
        return cls(
            set(entries["DT_NEEDED"]) - LOADER,
            [folder for paths in folders for folder in paths.split(":")],
            bool(entries["DT_RPATH"]),
            {
                auxiliary.name
                for _, auxiliaries in (
                    wanted.iter_versions() if isinstance(wanted, GNUVerNeedSection) else ()
                )
                for auxiliary in auxiliaries
            },
        )


def policies() -> list[Policy]:
    """Give auditwheel's platforms, the oldest first."""
    every = WheelPolicies(libc=Libc.GLIBC, arch=Architecture.x86_64)
    return sorted((p for p in every if p.name != every.linux.name), reverse=True)


def allows(policy: Policy, binary: Binary, others: set[str]) -> bool:
    """Tell whether a platform has all that a binary wants.

    Args:
        policy: The platform.
        binary: The binary.
        others: Libraries that come with other wheels.
    """
    if not binary.needed - others <= policy.whitelist:
        return False
    for version in binary.versions:
        name, _, number = version.partition("_")
        if name in policy.symbol_versions and number not in policy.symbol_versions[name]:
            return False
    return True


def paths_in(data: bytes) -> list[str]:
    """Find paths of the building machine in a binary."""
    found = {match[0] for match in _PATH.finditer(data) if len(match[0]) >= 9}
    found |= set(_ENVIRONMENT.findall(data))
    return sorted(path.decode() for path in found if not _ANYWHERE.match(path))


def newest(versions: set[str]) -> dict[str, str]:
    """Give the newest of several versions of each library."""
    found: dict[str, str] = {}
    for version in versions:
        name, _, number = version.partition("_")
        if re.fullmatch(r"[\d.]+", number):
            found[name] = max(found.get(name, "0"), number, key=_numbers)
    return dict(sorted(found.items()))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def check(path: Path) -> Report:
    """Check a wheel.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        zipfile.BadZipFile: It is no wheel.
    """
    report = Report()
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/")]
        report.faults += _check_names(names)
        report.faults += _check_record(wheel, names)
        size = sum(info.file_size for info in wheel.infolist())
        if size > LARGEST:
            report.faults.append(f"{size} bytes unpacked, expected at most {LARGEST}")
        binaries = {}
        for name in names:
            data = wheel.read(name)
            if data.startswith(b"\x7fELF"):
                binaries[name] = Binary.read(data)
                report.faults += [f"{name}: the path {found}" for found in paths_in(data)]
    for name, binary in binaries.items():
        report.faults += _check_binary(name, binary)
    _check_platform(path, binaries, report)
    return report


def _check_names(names: list[str]) -> Iterator[str]:
    for name in names:
        if not any(re.fullmatch(pattern, name) for pattern in (*_FILES, *BINARIES)):
            yield f"{name}: not one of the files meant"
    built = [
        folder for folder in _HOSTS if any(re.match(f"impact_plugin/{folder}/", n) for n in names)
    ]
    if not built:
        yield f"impact_plugin/({'|'.join(_HOSTS)}): missing, all of them"
    of_hosts = [f"impact_plugin/{folder}/{name}" for folder in built for name in OF_HOST]
    for pattern in (*_NEEDED, *of_hosts):
        if not any(re.fullmatch(pattern, name) for name in names):
            yield f"{pattern}: missing"


def _check_record(wheel: zipfile.ZipFile, names: list[str]) -> Iterator[str]:
    record = next((name for name in names if name.endswith(".dist-info/RECORD")), None)
    if record is None:
        yield "RECORD: missing"
        return
    rows = {row[0]: row[1] for row in csv.reader(wheel.read(record).decode().splitlines())}
    for name in sorted({*names} ^ rows.keys()):
        yield f"{name}: in the wheel or in RECORD, and not in both"
    for name in {*names} & rows.keys() - {record}:
        digest = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest())
        if rows[name] != f"sha256={digest.decode().rstrip('=')}":
            yield f"{name}: another checksum than in RECORD"


def _others(name: str) -> set[str]:
    return next(
        (links for pattern, links in BINARIES.items() if re.fullmatch(pattern, name)), set()
    )


def _check_binary(name: str, binary: Binary) -> Iterator[str]:
    if binary.absolute:
        yield f"{name}: DT_RPATH, expected DT_RUNPATH"
    for folder in binary.search:
        if folder not in SEARCHED:
            yield f"{name}: looks for libraries in {folder}"
    for library in sorted(_others(name) - binary.needed):
        yield f"{name}: does not link {library}"


def _check_platform(path: Path, binaries: dict[str, Binary], report: Report) -> None:
    report.newest = newest({v for binary in binaries.values() for v in binary.versions})
    known = policies()
    fits = [
        policy
        for policy in known
        if all(allows(policy, binary, _others(name)) for name, binary in binaries.items())
    ]
    if not fits:
        every = known[-1]
        for name, binary in binaries.items():
            foreign = binary.needed - _others(name) - every.whitelist
            report.faults += [f"{name}: links {library}" for library in sorted(foreign)]
        report.faults.append(f"no manylinux platform has {report.newest}")
        return
    report.tag = fits[0].name
    promised = path.stem.rpartition("-")[2].split(".")
    for tag in promised:
        if tag != "linux_x86_64" and tag not in {p.name for p in fits}:
            report.faults.append(f"its name promises {tag}, and the binaries want {report.tag}")


def main() -> int:
    """Check the wheels that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheels", type=Path, nargs="+", metavar="WHEEL")
    parser.add_argument(
        "--tag", action="store_true", help="rename to the platform tag that the binaries allow"
    )
    parser.add_argument("--largest", type=float, help="bytes that a wheel may have, as a file")
    options = parser.parse_args()
    failed = False
    for path in options.wheels:
        report = check(path)
        size = path.stat().st_size
        if options.largest and size > options.largest:
            report.faults.append(f"{size} bytes, expected at most {options.largest:.0f}")
        for fault in report.faults:
            print(f"{path.name}: {fault}", file=sys.stderr)
        failed = failed or bool(report.faults)
        if not report.faults:
            wanted = ", ".join(f"{name} {version}" for name, version in report.newest.items())
            print(f"{path.name}: sound. {report.tag or 'linux_x86_64'}: {wanted}")
            if options.tag:
                command = [sys.executable, "-m", "wheel", "tags", "--remove"]
                subprocess.run([*command, f"--platform-tag={report.tag}", str(path)], check=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
