"""The code in docs/tutorial.md, registration.md, records.md and in docstrings runs as it stands."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
from pathlib import Path

import pytest

import impact_plugin

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def itk_examples(elastix_testing: Path) -> Path:
    """The folder Examples/Data of the ITK sources against which the package was built."""
    given = os.environ.get("IMPACT_ITK_SOURCE_DIR")
    sources = Path(given) if given else elastix_testing.parents[1] / "ITK-5.4.7"
    return sources / "Examples" / "Data"


@pytest.mark.parametrize("page", ["tutorial.md", "registration.md", "records.md"])
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
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page}
    for line, block in blocks:
        # Line numbers in tracebacks are those of the page.
        exec(compile("\n" * line + block, page, "exec"), names)


def modules() -> list[str]:
    """Name the modules of the packages behind register_images."""
    return [
        f"impact_plugin.{package}.{found.name}"
        for package in ("engine", "images", "pairwise", "records", "transforms")
        for found in pkgutil.iter_modules([str(Path(impact_plugin.__file__).parent / package)])
    ]


def test_docstrings() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    assert sum(result.attempted for result in results) >= 9
    assert sum(result.failed for result in results) == 0
