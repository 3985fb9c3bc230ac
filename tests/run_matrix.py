"""Try one wheel with several torches and several itk-elastixes: ``make matrix``.

For each pair a fresh environment, in which pip installs torch (the build for CUDA, as most users
have it), itk-elastix and the wheel, and in which the tests of `TESTS` run from this checkout:
derivatives, the lung pair in both modes, the same bits for any number of threads, the exit of the
process in each order of imports; then `impact-plugin doctor`. It is removed afterwards: some 7 GB
each. Prints a table, which docs/build.md has, and ends with exit code 1 where a pair failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from supported_versions import hosts

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "tests/test_gradients.py",
    "tests/test_lung_pair.py",
    "tests/test_same_result.py",
    "tests/test_process.py",
    "tests/test_bad_input.py::test_gpu_where_there_is_none",
)
# For CI, which has minutes: all but the derivatives.
QUICK = TESTS[1:]
# What the tests import beside the wheel and what it asks for.
TOOLS = ("pytest>=9", "pytest-xdist>=3.6", "scipy", "nibabel", "playwright")


NEEDED = 12e9
"""Bytes of disk that a pair takes: the environment, and what pip unpacks it from."""


@dataclass
class Row:
    """How a pair of versions did.

    Args:
        torch: The version that pip took, "2.15.0+cu130".
        itk_elastix: Likewise.
        passed: Whether all went well.
        text: pytest's closing line, or what failed.
        seconds: For all of it, downloads included.
    """

    torch: str
    itk_elastix: str
    passed: bool
    text: str
    seconds: float


def try_pair(
    wheel: Path, testing: Path, torch: str, itk_elastix: str, tests: Sequence[str] = TESTS
) -> Row:
    """Try one pair.

    Args:
        wheel: To install.
        testing: The folder with the modules for tests, as `make release-wheel` leaves them.
        torch: Its minor version, or the whole one.
        itk_elastix: Its version.
        tests: Files of tests, or tests.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="impact-matrix-") as folder:
        python = Path(folder) / "bin" / "python"
        # pip's own settings of a development machine hold torch at one version and one build.
        environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_CONSTRAINT": ""}
        environment |= {"PIP_FIND_LINKS": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment = {n: v for n, v in environment.items() if not n.startswith("PYTHON")}

        def run(*command: str | Path, quiet: bool = True) -> str:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode != 0 or not quiet:
                print(done.stdout + done.stderr, flush=True)
            if done.returncode != 0:
                raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
            return done.stdout

        found = (torch, itk_elastix)
        try:
            run(sys.executable, "-m", "venv", folder)
            # Three =: a version with a local part, the build for the CPU, is another one.
            exact = f"torch==={torch}" if torch.count(".") > 1 else f"torch=={torch}.*"
            run(python, "-m", "pip", "install", exact, f"itk-elastix=={itk_elastix}", wheel)
            run(python, "-m", "pip", "install", *TOOLS)
            code = (
                "import importlib.metadata as m; print(*map(m.version, ('torch', 'itk-elastix')))"
            )
            version, host = run(python, "-c", code).split()
            found = (version, host)
            site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))")
            for module in _testing_module(testing, version, host):
                shutil.copy(module, site.strip())
            run(python.with_name("impact-plugin"), "doctor", quiet=False)
            tested = run(
                *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-n", "2", "--dist", "loadfile", *tests),
                quiet=False,
            )
        except subprocess.CalledProcessError as error:
            last = (error.stdout or "").strip().splitlines()[-1:] or [""]
            text = f"{Path(str(error.cmd[0])).name} {error.cmd[1]}: {last[0]}"
            return Row(*found, False, text, time.monotonic() - begin)
        return Row(*found, True, tested.strip().splitlines()[-1], time.monotonic() - begin)


def _testing_module(testing: Path, torch: str, itk_elastix: str) -> list[Path]:
    """Find the module for tests of a pair; nothing where the wheel was built without it."""
    minor = ".".join(torch.split(".")[:2])
    folders = [host.folder for host in hosts() if itk_elastix in host.itk_elastix]
    parts = testing / "impact_testing-parts" / f"torch-{minor}"
    return [module for each in folders for module in (parts / each).glob("impact_testing.*.so")]


def faults(testing: Path, pairs: Sequence[str]) -> Iterator[str]:
    """Give what keeps pairs from being tried, before gigabytes are downloaded for them.

    Args:
        testing: As for :func:`try_pair`.
        pairs: As the command line has them.
    """
    place = tempfile.gettempdir()
    if (free := shutil.disk_usage(place).free) < NEEDED:
        yield (
            f"{place} has {free / 1e9:.1f} GB left, and a pair takes up to {NEEDED / 1e9:.0f} GB "
            "for as long as it is tried: make room, or set TMPDIR to another disk's folder"
        )
    known = [version for host in hosts() for version in host.itk_elastix]
    for pair in pairs:
        torch, _, itk_elastix = pair.partition(",")
        if not re.fullmatch(r"\d+\.\d+(\.\d+)?", torch) or itk_elastix not in known:
            yield (
                f"{pair!r} is no pair of versions: expected TORCH,ITK_ELASTIX, as in 2.15,0.25.4; "
                f"of itk-elastix one of {', '.join(known)}"
            )
        elif not _testing_module(testing, torch, itk_elastix):
            yield (
                f"{pair}: {testing} has no impact_testing for it, so the wheel was built without "
                "that pair. make release-wheel builds for all, and make for those that "
                'IMPACT_TORCH_SERIES and IMPACT_HOSTS name ("2.13;2.15", "0.25.3;0.25.4")'
            )


def table(rows: list[Row]) -> str:
    """Give the rows as docs/build.md has them."""
    lines = ["| torch | itk-elastix | | pytest's closing line | minutes |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.torch} | {row.itk_elastix} | {'passed' if row.passed else 'FAILED'} "
        f"| {row.text.strip('= ')} | {row.seconds / 60:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Try the pairs that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without the tests of derivatives")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("testing", type=Path, help="folder of the modules for tests: dist/testing")
    parser.add_argument("pairs", nargs="+", metavar="TORCH,ITK_ELASTIX", help="as in 2.15,0.25.4")
    options = parser.parse_args()
    wheel, testing = options.wheel.resolve(), options.testing.resolve()
    if found := list(faults(testing, options.pairs)):
        parser.error("\n".join(found))
    rows = []
    for pair in options.pairs:
        torch, _, itk_elastix = pair.partition(",")
        print(f"torch {torch}, itk-elastix {itk_elastix}", flush=True)
        rows.append(try_pair(wheel, testing, torch, itk_elastix, QUICK if options.quick else TESTS))
        print(table(rows[-1:]), flush=True)
    print(table(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
