"""What publishing needs: one version, a changelog of it, a workflow for what is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import check_release
import run_matrix
import supported_versions

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())


def test_this_tree_has_one_version() -> None:
    assert list(check_release.faults(ROOT)) == []


def files(folder: Path, version: str, section: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {section}\n\n- a\n\n## 0.1.0, old\n")
    return folder


@pytest.mark.parametrize(
    ("section", "tag", "expected"),
    [
        ("0.3.0, unreleased", "", []),
        ("0.3.0, 2026-12-01", "v0.3.0", []),
        ("0.3.0, unreleased", "v0.3.0", ["still '0.3.0, unreleased': write the date"]),
        ("0.3.0, 2026-12-01", "v0.3.1", ["tag is 'v0.3.1', expected v0.3.0"]),
        ("0.2.0, 2026-12-01", "", ["section of CHANGELOG.md is '0.2.0, 2026-12-01'"]),
        ("next", "", ["expected '0.3.0, unreleased' or '0.3.0, YYYY-MM-DD'"]),
    ],
)
def test_what_is_missing(tmp_path: Path, section: str, tag: str, expected: list[str]) -> None:
    found = list(check_release.faults(files(tmp_path, "0.3.0", section), tag))
    assert len(found) == len(expected)
    for fault, text in zip(found, expected, strict=True):
        assert text in fault


def test_the_workflow_names_what_is_known() -> None:
    """Pairs to try are versions that the wheels are for, and each Python's wheel is tried."""
    jobs = WORKFLOW["jobs"]
    pythons = set(jobs["wheel"]["strategy"]["matrix"]["python"])
    tried = jobs["try"]["strategy"]["matrix"]["include"]
    assert {each["wheel"] for each in tried} == pythons
    versions = [version for host in supported_versions.hosts() for version in host.itk_elastix]
    torches, hosts = set(), set()
    for each in tried:
        assert each["python"].replace(".", "") == each["wheel"]
        for pair in each["pairs"].split():
            torch, host = pair.split(",")
            torches.add(torch)
            hosts.add(host)
    known = supported_versions.torches()
    assert {known[0], known[-1]} <= torches <= set(known)
    assert hosts == set(versions)


def test_the_workflow_runs_what_there_is() -> None:
    """Every script that it, or the settings of cibuildwheel, name is in the tree."""
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    text = "\n".join(step.get("run", "") for step in steps)
    settings = (ROOT / "pyproject.toml").read_text().partition("[tool.cibuildwheel]")[2]
    named = set(re.findall(r"\bpython ([\w/.]+\.py)", text + settings.partition("[tool.pytest")[0]))
    assert {"cmake/check_release.py", "cmake/check_wheel.py", "tests/run_matrix.py"} <= named
    for script in named:
        assert (ROOT / script).is_file(), script
    assert WORKFLOW["jobs"]["publish"]["if"] == "github.ref_type == 'tag'"
    assert not re.search(r"secrets\.|password|token:", text)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("2.15,0.25.4", ""),
        ("2.15.0,0.25.4", ""),
        ("2.14,0.25.4", "has no impact_testing for it, so the wheel was built without that pair"),
        ("2.15,0.25.3", "IMPACT_TORCH_SERIES and IMPACT_HOSTS"),
        ("2.15", "'2.15' is no pair of versions: expected TORCH,ITK_ELASTIX, as in 2.15,0.25.4"),
        ("2.15,0.26.0", "of itk-elastix one of 0.25.2, 0.25.3, 0.25.4"),
        ("x,0.25.4", "is no pair of versions"),
    ],
)
def test_pairs_that_cannot_be_tried(
    tmp_path: Path, pair: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused before anything is downloaded."""
    monkeypatch.setattr(run_matrix, "NEEDED", 1)
    part = tmp_path / "impact_testing-parts/torch-2.15/elastix-0.25.4"
    part.mkdir(parents=True)
    (part / "impact_testing.cpython-311-x86_64-linux-gnu.so").touch()
    found = list(run_matrix.faults(tmp_path, [pair]))
    assert len(found) == bool(expected)
    assert expected in "".join(found)


def test_no_pair_is_tried_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes and what to do is said before gigabytes are downloaded."""
    monkeypatch.setattr(run_matrix, "NEEDED", 1e18)
    (fault,) = run_matrix.faults(tmp_path, [])
    assert re.search(r" has \d+\.\d GB left, and a pair takes up to \d+ GB .* set TMPDIR", fault)
