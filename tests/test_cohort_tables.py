"""Tables of pairs as people and their programs write them, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from impact_plugin._files import expanded


def test_home_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a.mha") == tmp_path / "a.mha"
    assert expanded("a~b/~c") == Path("a~b/~c")
    with pytest.raises(FileNotFoundError, match=r"'~nouser/a.mha': the home folder of '~nouser' i"):
        expanded("~nouser/a.mha")
