"""The wheel that `make wheel` built, and others made of it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def built() -> Path:
    """Find the wheel in dist/."""
    found = sorted(
        (ROOT / "dist").glob("impact_plugin-*.whl"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        pytest.fail("there is no wheel in dist: run `make wheel`")
    return found[-1]


def contents(path: Path) -> dict[str, bytes]:
    """Read all files of a wheel."""
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def write(path: Path, files: dict[str, bytes]) -> Path:
    """Write a wheel, with a RECORD that fits."""
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    rows = [f"{name},{_digest(data)},{len(data)}" for name, data in files.items() if name != record]
    whole = files | {record: "\n".join([*rows, f"{record},,", ""]).encode()}
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in whole.items():
            wheel.writestr(name, data)
    return path


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.decode().rstrip('=')}"
