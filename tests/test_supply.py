"""What the development environment is made of: pinned, with checksums, from no named host."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "dev-lock.txt").read_text()


def locked() -> dict[str, str]:
    """Give the versions in the lock."""
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+) \\$", LOCK))


def group(groups: dict[str, list[Any]], name: str) -> list[Requirement]:
    """Give the requirements of a dependency group and of those that it includes."""
    found: list[Requirement] = []
    for each in groups[name]:
        found += (
            [Requirement(each)] if isinstance(each, str) else group(groups, each["include-group"])
        )
    return found


def test_lock_has_a_checksum_for_each_and_names_no_host() -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", LOCK)[1:]
    assert len(blocks) == len(locked()) > 100
    for block in blocks:
        lines = block.strip().splitlines()
        assert len(lines) >= 2, block
        for line in lines[1:]:
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
    assert "//" not in LOCK
    assert "index" not in LOCK.replace("importlib", "")


def test_lock_leaves_out_what_depends_on_the_build_of_torch() -> None:
    names = locked()
    assert not [n for n in names if re.match(r"torch$|triton|nvidia-|cuda-", n)]
    constraints = (ROOT / "constraints.txt").read_text()
    assert "\ntorch==2.13.0\n" in constraints
    assert f"\nitk-elastix=={names['itk-elastix']}\n" in constraints


def test_lock_is_of_this_pyproject() -> None:
    """A requirement that was added or changed needs `make lock`."""
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()
    names = locked()
    wanted = group(project["dependency-groups"], "dev")
    assert len(wanted) > 20
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        if name != "torch":
            assert name in names, f"{name} is not in dev-lock.txt: run `make lock`"
            assert requirement.specifier.contains(names[name]), f"{name}: run `make lock`"
    # What pip would fetch for an isolated build is what the lock has.
    for text in project["build-system"]["requires"]:
        requirement = Requirement(text)
        if requirement.name != "torch":
            assert requirement.specifier.contains(names[canonicalize_name(requirement.name)])


def test_isolated_builds_take_the_versions_of_the_lock() -> None:
    """All that pip fetches for one, at any depth: `make lock` makes the file."""
    lines = (ROOT / "build-constraints.txt").read_text().splitlines()[1:]
    pinned = dict(line.split("==") for line in lines)
    names = locked()
    assert pinned.pop("torch") == "2.13.0"
    assert pinned.items() <= names.items()
    waiting, seen = {"scikit-build-core", "pybind11", "itk-elastix", "cmake", "ninja"}, set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        assert name in pinned, f"{name} is not in build-constraints.txt: run `make lock`"
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            wanted = canonicalize_name(requirement.name)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting |= {wanted} - seen
    for file in (".ci/run", "tests/run_sdist.sh", "tests/run_clean_install.sh"):
        assert "build-constraints.txt" in (ROOT / file).read_text()


def test_sources_are_pinned_with_checksums() -> None:
    import fetch_sources

    for source in (fetch_sources.ELASTIX, fetch_sources.ITK):
        assert re.fullmatch(r"[0-9a-f]{40}", source.commit)
        assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)


def test_security_policy_says_how_to_report_and_whom_not_to_write() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "private vulnerability reporting" in text
    assert "TorchScript runs code of its author's choosing" in text
    assert not re.search(r"\w@\w", text)
    for link in re.findall(r"\]\((\S+?)\)", text):
        assert (ROOT / link).is_file(), link
