"""What the documentation points to is there; the site's own build finds the rest (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("page", ["README.md", "ParameterMaps/README.md"])
def test_links_to_files(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
    local = {target for target in targets if "://" not in target}
    assert len(local) >= 8
    missing = [target for target in sorted(local) if not ((ROOT / page).parent / target).exists()]
    assert missing == []


def test_pictures_that_the_script_draws_are_shown() -> None:
    script = (ROOT / "docs/pictures/make_pictures.py").read_text(encoding="utf-8")
    drawn = set(re.findall(r'write\(figure, "(\w+)"\)', script))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {
        name
        for page in pages
        for name in re.findall(r"images/(\w+)\.png", page.read_text(encoding="utf-8"))
    }
    assert len(drawn) == 4
    assert drawn <= shown
    assert all((ROOT / f"docs/images/{name}.png").is_file() for name in drawn)
