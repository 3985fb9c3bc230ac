"""Features of an atlas are made once for all pairs of a cohort, through the on-disk cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.pairs import sitk_pair
from impact_plugin.parameters import map_files

FROM_CACHE = "From IMPACT_FEATURE_CACHE: the features of "


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """An atlas, and two scans, which are not the same."""
    fixed, moving = sitk_pair()
    sitk.WriteImage(fixed, str(tmp_path / "atlas.mha"))
    (tmp_path / "scans").mkdir()
    few = impact_plugin.preset_map("rigid_mind") | {"MaximumNumberOfIterations": ["2"]}
    (tmp_path / "rigid.txt").write_text(map_files.dump(few))
    for number in range(2):
        name = str(tmp_path / f"scans/s{number}.mha")
        sitk.WriteImage(moving + number * sitk.Cast(moving > 50, moving.GetPixelID()), name)
    return tmp_path


def register(scans: Path, out: str, workers: int) -> list[str]:
    """Register the scans with the atlas; gives the logs of the pairs."""
    arguments = ["--atlas", str(scans / "atlas.mha"), "--images", str(scans / "scans/*.mha")]
    arguments += ["-o", str(scans / out), "-p", str(scans / "rigid.txt"), "--workers", str(workers)]
    arguments += ["--threads", "1", "--feature-cache", str(scans / "features"), "-q"]
    found = programs.plugin("cohort", *arguments)
    assert found.exit_code == 0, found.output
    folders = [scans / out / f"pairs/s{number}/rigid" for number in range(2)]
    return ["\n".join(p.read_text() for p in each.glob("*.log")) for each in folders]


def test_one_after_the_other(scans: Path) -> None:
    logs = register(scans, "out", workers=1)
    files = list((scans / "features").glob("*.features"))
    # Three levels: of the atlas once, of each scan its own.
    assert len(files) == 3 * (1 + 2)
    assert logs[0].count(FROM_CACHE) == 0
    for log in logs[1:]:
        assert log.count(FROM_CACHE + "1 of 2 images") == 3


def test_at_the_same_moment(scans: Path) -> None:
    """Each worker may make the atlas' for itself; what is there is whole, and as many."""
    register(scans, "out", workers=2)
    assert len(list((scans / "features").iterdir())) == 3 * (1 + 2)
    register(scans, "again", workers=2)
    assert len(list((scans / "features").iterdir())) == 3 * (1 + 2)
    for number in range(2):
        names = [scans / out / f"pairs/s{number}/rigid" for out in ("out", "again")]
        first, again = (sorted(each.glob("TransformParameters*.txt")) for each in names)
        assert first
        assert [p.read_text() for p in first] == [p.read_text() for p in again]
