"""The code in pages of docs and in docstrings runs as it stands."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from benchmarks.evidence.fetching import SOURCES
from benchmarks.evidence.scenes import Data

import impact_plugin
from helpers import programs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def itk_examples(elastix_testing: Path) -> Path:
    """The folder Examples/Data of the ITK sources against which the package was built."""
    given = os.environ.get("IMPACT_ITK_SOURCE_DIR")
    sources = Path(given) if given else elastix_testing.parents[1] / "ITK-5.4.7"
    return sources / "Examples" / "Data"


def heads(folder: Path) -> Path:
    """The images of two contrasts, at hand or fetched, under the names that the page gives them."""
    for name in ("T1", "T2"):
        (file,) = Data.of(None).paths(f"ms/p07_{name}.nii.gz")
        (path,) = SOURCES[f"ms/p07_{name}.nii.gz"].paths
        (folder / Path(path).name).symlink_to(file)
        text = (ROOT / "docs" / "tutorial-multimodal.md").read_text()
        assert path.rpartition("/")[0] in text  # what it tells to fetch, from where
    return folder


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
    if page == "tutorial-multimodal.md":
        monkeypatch.setenv("HEADS", str(heads(tmp_path)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page}
    for line, block in blocks:
        # Line numbers in tracebacks are those of the page.
        exec(compile("\n" * line + block, page, "exec"), names)
    if page == "tutorial-multimodal.md":
        commands = re.findall(r"(?m)^    impact-plugin (.+)$", text)
        assert len(commands) >= 2
        for command in commands:
            run = programs.plugin(*shlex.split(command))
            assert run.exit_code == 0, run.output
        last = json.loads(Path("shell.json").read_text())["steps"][-1]
        assert last["landmarks"]["mean"] < 1.0


def modules() -> list[str]:
    """Name the modules of the package that are written in Python, but for programs."""
    root = Path(impact_plugin.__file__).parent
    files = [path for path in sorted(root.rglob("*.py")) if not path.stem.startswith("__")]
    return [
        ".".join(("impact_plugin", *path.relative_to(root).with_suffix("").parts)) for path in files
    ]


def test_docstrings() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    assert sum(result.attempted for result in results) >= 9
    assert sum(result.failed for result in results) == 0
