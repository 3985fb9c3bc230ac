"""The code in docs/tutorial.md and docs/registration.md runs as it stands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def itk_examples(elastix_testing: Path) -> Path:
    """The folder Examples/Data of the ITK sources against which the package was built."""
    given = os.environ.get("IMPACT_ITK_SOURCE_DIR")
    sources = Path(given) if given else elastix_testing.parents[1] / "ITK-5.4.7"
    return sources / "Examples" / "Data"


@pytest.mark.parametrize("page", ["tutorial.md", "registration.md"])
def test_code_blocks(
    page: str, itk_examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / page).read_text()
    blocks = [
        (text.count("\n", 0, found.start(1)), found[1])
        for found in re.finditer(r"(?ms)^```python\n(.*?)^```$", text)
    ]
    assert len(blocks) >= 4
    monkeypatch.setenv("ITK_EXAMPLES_DATA", str(itk_examples))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page}
    for line, block in blocks:
        # Line numbers in tracebacks are those of the page.
        exec(compile("\n" * line + block, page, "exec"), names)
