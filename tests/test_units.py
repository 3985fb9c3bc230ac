"""The C++ unit tests of tests/cpp/unit: kernels on each kind of processor, parsing, threads."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

import pytest

from helpers import programs

PROGRAM = Path(sysconfig.get_path("platlib")) / "impact_testing-parts" / "impact_units"


@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_units(processor: str) -> None:
    """Up to that kind of processor, as far as the machine has it."""
    assert PROGRAM.is_file(), "not built: apt-get install doctest-dev, then make install"
    run = programs.captured(PROGRAM, environment={"IMPACT_PROCESSOR": processor})
    assert run.returncode == 0, run.stdout
    found = re.search(r"test cases: +(\d+) \| +(\d+) passed \| 0 failed \| 0 skipped", run.stdout)
    assert found is not None
    assert int(found[1]) == int(found[2]) >= 31
