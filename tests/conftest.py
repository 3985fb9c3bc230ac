"""Fixtures and rules that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def elastix_testing() -> Path:
    """The `Testing` directory of elastix's sources, with `Data` and `Baselines`."""
    script = str(ROOT / "cmake" / "obtain_sources.py")
    return Path(
        subprocess.check_output([sys.executable, script, "--print-data"], text=True).strip()
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where there is none, or fail it where one is required."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            reason = "no CUDA device"
            if os.environ.get("IMPACT_REQUIRE_GPU") == "1":
                pytest.fail(f"{reason}, though IMPACT_REQUIRE_GPU=1 asks for one")
            pytest.skip(reason)
