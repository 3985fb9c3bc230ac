"""The code in pages of docs and in docstrings runs as it stands."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import impact_plugin
from impact_plugin.cli.program import program

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def itk_examples(elastix_testing: Path) -> Path:
    """The folder Examples/Data of the ITK sources against which the package was built."""
    given = os.environ.get("IMPACT_ITK_SOURCE_DIR")
    sources = Path(given) if given else elastix_testing.parents[1] / "ITK-5.4.7"
    return sources / "Examples" / "Data"


PAGES = sorted(
    str(path.relative_to(ROOT / "docs"))
    for path in (ROOT / "docs").rglob("*.md")
    if "```python\n" in path.read_text()
)


# test_parameters_documentation.py runs the blocks of these, which want maps and models of its own.
@pytest.mark.parametrize("page", sorted({*PAGES} - {"parameter-maps.md", "checking.md"}))
def test_code_blocks(
    page: str, itk_examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / page).read_text()
    blocks = [
        (text.count("\n", 0, found.start(1)), found[1])
        for found in re.finditer(r"(?ms)^```python\n(.*?)^```$", text)
    ]
    assert blocks
    monkeypatch.setenv("ITK_EXAMPLES_DATA", str(itk_examples))
    monkeypatch.setenv("IMPACT_ITK_SOURCE_DIR", str(itk_examples.parents[1]))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page}
    for line, block in blocks:
        # Line numbers in tracebacks are those of the page.
        exec(compile("\n" * line + block, page, "exec"), names)
    if page == "tutorial-multimodal.md":
        commands = re.findall(r"(?m)^    impact-plugin (.+)$", text)
        assert len(commands) >= 2
        for command in commands:
            run = CliRunner().invoke(program, shlex.split(command))
            assert run.exit_code == 0, run.output
        last = json.loads(Path("shell.json").read_text())["steps"][-1]
        assert last["landmarks"]["mean"] < 0.3


def modules() -> list[str]:
    """Name the modules of the packages behind register_images."""
    return [
        f"impact_plugin.{package}.{found.name}"
        for package in ("engine", "evaluation", "images", "pairwise", "records", "transforms")
        for found in pkgutil.iter_modules([str(Path(impact_plugin.__file__).parent / package)])
    ]


def test_docstrings() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    assert sum(result.attempted for result in results) >= 9
    assert sum(result.failed for result in results) == 0
