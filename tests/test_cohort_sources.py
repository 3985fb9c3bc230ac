"""Where the pairs of a cohort come from: tables, folders as of BIDS, all to one atlas."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from impact_plugin import cohort
from impact_plugin.cli.cohort import cohort as command


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
    with pytest.raises(cohort.PairsError, match="only one of the two images of sub-02"):
        cohort.match_patterns(tmp_path, *patterns)


def test_pairs_with_an_atlas(tmp_path: Path) -> None:
    pairs = cohort.all_to_atlas("atlas.mha", [tmp_path / "a.nii.gz", tmp_path / "b.mha"])
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert {pair.files["fixed"] for pair in pairs} == {str(Path.cwd() / "atlas.mha")}


def test_tables_with_tabs_and_overrides(tmp_path: Path) -> None:
    table = tmp_path / "pairs.tsv"
    table.write_text("fixed\tmoving\tset:GridSpacing\nf.mha\tm.mha\t8 8 8\n")
    (pair,) = cohort.read_pairs(table)
    assert pair.name == "f__m"
    assert pair.overrides == {"GridSpacing": ["8", "8", "8"]}
    assert pair.files["fixed"] == str(tmp_path / "f.mha")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ([], "Give one of PAIRS, --atlas or --bids"),
        (["pairs.csv", "--atlas", "a.mha"], "Give one of PAIRS, --atlas or --bids"),
        (["--atlas", "a.mha"], "--atlas needs --images"),
        (["--bids", "study", "--fixed", "*"], "--bids needs --fixed and --moving"),
        (["--atlas", "a.mha", "--images", "/nowhere/*.mha"], "there is no image"),
        (["--bids", "/nowhere", "--fixed", "f*", "--moving", "m*"], "no file matches 'f*'"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], wrong: str) -> None:
    found = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "out")])
    assert found.exit_code in (1, 2)
    assert wrong in found.output
    assert not (tmp_path / "out").exists()
