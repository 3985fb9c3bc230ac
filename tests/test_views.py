"""Views of SimpleITK images do not keep them: one of an image that is gone reads freed memory."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def dangling(code: str) -> list[int]:
    """Give the lines in which a view is made of what a call has just given."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("GetArrayViewFromImage")
        and isinstance(node.args[0], ast.Call)
    ]


@pytest.mark.parametrize("folder", ["src/python", "benchmarks", "docs", "tests"])
def test_every_view_is_of_an_image_that_is_held(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    found = {str(path.relative_to(ROOT)): dangling(path.read_text()) for path in files}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_such_a_view_is_found() -> None:
    code = "import SimpleITK as sitk\nx = sitk.GetArrayViewFromImage(sitk.ReadImage(path))\n"
    assert dangling(code) == [2]
