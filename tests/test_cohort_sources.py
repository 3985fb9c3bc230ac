"""Where the pairs of a cohort come from: tables, folders as of BIDS, all to one atlas."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import programs
from impact_plugin import cohort


def test_pairs_of_bids(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        folder = tmp_path / f"sub-{subject}/anat"
        folder.mkdir(parents=True)
        for kind in ("T1w", "T2w"):
            (folder / f"sub-{subject}_{kind}.nii.gz").touch()
    patterns = ("sub-*/anat/*_T1w.nii.gz", "sub-*/anat/*_T2w.nii.gz")
    pairs = cohort.match_patterns(tmp_path, *patterns)
    assert [pair.name for pair in pairs] == ["sub-01", "sub-02"]
    assert pairs[1].files["moving"].endswith("sub-02/anat/sub-02_T2w.nii.gz")
    (tmp_path / "sub-02/anat/sub-02_T2w.nii.gz").unlink()
    with pytest.raises(cohort.PairsError, match="only one of the two images of sub-02") as caught:
        cohort.match_patterns(tmp_path, *patterns)
    assert caught.value.pairs == pairs[:1]
    (tmp_path / "sub-01/anat/sub-01_acq-2_T1w.nii.gz").touch()
    with pytest.raises(cohort.PairsError, match=r"\.gz are all sub-01: narrow") as caught:
        cohort.match_patterns(tmp_path, *patterns)
    assert "only one of the two images of sub-02" in str(caught.value)
    assert caught.value.pairs == []


def test_pairs_with_an_atlas(tmp_path: Path) -> None:
    pairs = cohort.all_to_atlas("atlas.mha", [tmp_path / "a.nii.gz", tmp_path / "b.mha"])
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert {pair.files["fixed"] for pair in pairs} == {str(Path.cwd() / "atlas.mha")}
    with pytest.raises(cohort.PairsError, match=r"'~nouser/a.mha': the home folder") as caught:
        cohort.all_to_atlas("atlas.mha", ["~nouser/a.mha", "é.mha", f"{'b' * 121}.mha"])
    assert "of 121 characters, expected at most 120" in str(caught.value)
    assert [pair.name for pair in caught.value.pairs] == ["e"]
    for images in ([], ["atlas.mha"]):
        with pytest.raises(cohort.PairsError, match="there is no image"):
            cohort.all_to_atlas("atlas.mha", images)


def test_tables_with_tabs_and_overrides(tmp_path: Path) -> None:
    table = tmp_path / "pairs.tsv"
    table.write_text("fixed\tmoving\tset:GridSpacing\nf.mha\tm.mha\t8 8 8\n")
    (pair,) = cohort.read_pairs(table)
    assert pair.name == "f__m"
    assert pair.overrides == {"GridSpacing": ["8", "8", "8"]}
    assert pair.files["fixed"] == str(tmp_path / "f.mha")


BIDS = ["--bids", "study"]
ATLAS = ["--atlas", "a.mha"]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ([], "Give one of PAIRS, --atlas or --bids"),
        (["pairs.csv", *ATLAS], "Give one of PAIRS, --atlas or --bids"),
        (ATLAS, "--atlas needs --images"),
        ([*BIDS, "--fixed", "*"], "--bids needs --fixed and --moving"),
        (["pairs.csv", "--fixed", "x"], "--fixed cannot be given with PAIRS"),
        (["pairs.csv", "--images", ""], "--images cannot be given with PAIRS"),
        ([*ATLAS, "--images", "x", "--moving", "x"], "--moving cannot be given with --atlas"),
        ([*BIDS, "--fixed", "f", "--moving", "m", "--images", "x"], "be given with --bids"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], wrong: str) -> None:
    found = programs.plugin("cohort", *arguments, "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert wrong in found.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ([*ATLAS, "--images", "/nowhere/*.mha"], "no file matches '/nowhere/*.mha' (images)"),
        ([*ATLAS, "--images", ""], "images is '', expected a pattern of files"),
        ([*ATLAS, "--images", "/"], "images is '/', expected a pattern of files"),
        ([*ATLAS, "--images", "~nouser/*"], "images is '~nouser/*', expected a pattern of files"),
        (["--atlas", "~nouser/a.mha", "--images", "*.mha"], "the home folder of '~nouser' is not"),
        ([*BIDS, "--fixed", "f*", "--moving", "*"], "study: no file matches 'f*' (fixed)"),
        ([*BIDS, "--fixed", "/abs/sub-*", "--moving", "x"], "fixed is '/abs/sub-*', expected a"),
        ([*BIDS, "--fixed", "", "--moving", "x"], "fixed is '', expected a pattern of files rel"),
        ([*BIDS, "--fixed", "*", "--moving", "x**y/z"], "'x**y/z'"),
        (["--bids", "~nouser", "--fixed", "*", "--moving", "*"], "the home folder of '~nouser' i"),
        (["~nouser/pairs.csv"], "the home folder of '~nouser' is not known"),
        (["gone.csv"], "No such file or directory"),
    ],
)
def test_what_cannot_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], wrong: str
) -> None:
    """It stands in one report with all else that is wrong."""
    monkeypatch.chdir(tmp_path)
    Path("x.mha").touch()
    Path("out").mkdir()
    Path("out/thesis.doc").touch()
    found = programs.plugin("cohort", *arguments, "-o", "out", "--preset", "mnd")
    assert found.exit_code == 1
    assert isinstance(found.exception, SystemExit)
    assert wrong in found.output
    assert "out is not empty and not a cohort's folder" in found.output
    assert "there is no preset 'mnd'" in found.output
    assert "index out of range" not in found.output


def test_found_pairs_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where others could not be found."""
    monkeypatch.chdir(tmp_path)
    for file in ("sub-1_T1w.mha", "sub-1_T2w.mha", "sub-2_T1w.mha"):
        Path(file).touch()
    patterns = ["--fixed", "*_T1w.mha", "--moving", "*_T2w.mha"]
    found = programs.plugin("cohort", "--bids", ".", *patterns, "-o", "out")
    assert "there is only one of the two images of sub-2" in found.output
    assert "pair 'sub-1': fixed: " in found.output
    assert not Path("out").exists()
