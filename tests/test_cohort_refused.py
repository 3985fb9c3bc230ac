"""What cohorts refuse before anything starts: all of it, in one report."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from helpers.pairs import sitk_pair
from impact_plugin import cohort
from impact_plugin.cli.cohort import cohort as command
from impact_plugin.cohort import clusters
from impact_plugin.cohort.folder import COHORT


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, image in zip(("f.mha", "m.mha"), sitk_pair(), strict=True):
        sitk.WriteImage(image, str(tmp_path / name))
    return tmp_path


def write(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_everything_at_once(images: Path) -> None:
    pairs = write(
        images,
        "pair,fixed,moving,fixed_points,initial_transform\n"
        "a,f.mha,m.mha,,center\n"
        "a,f.mha,gone.mha,,\n"
        "b,f.mha,m.mha,,center\n"
        "c,pairs.csv,m.mha,pairs.csv,nowhere.tfm\n",
    )
    out = images / "out"
    out.mkdir()
    (out / "thesis.doc").touch()
    with pytest.raises(cohort.CohortError, match="nothing was started") as caught:
        cohort.register_cohort(pairs, out, presets=["mind", "mnd", "mind"], workers=0)
    text = str(caught.value)
    for wrong in (
        "two pairs are named 'a'",
        f"moving: there is no file '{images / 'gone.mha'}'",
        "the pairs 'a' and 'b' are the same",
        f"pair 'c': fixed: '{pairs}' is no image that can be read",
        "pair 'c': points are given of one of the two images only",
        f"initial_transform: there is no file '{images / 'nowhere.tfm'}'",
        f"{out} is not empty and not a cohort's folder",
        "there is no preset 'mnd'; did you mean 'mind'?",
        "'mind' is there twice",
        "workers is 0, expected a whole number from 1",
    ):
        assert wrong in text
    assert [each.name for each in out.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("fixed\nf.mha\n", "there is no column 'moving'"),
        ("fixed,moving,maskk\nf.mha,m.mha,\n", "the column 'maskk' is not known"),
        ("fixed,moving,fixed\nf.mha,m.mha,\n", "the column 'fixed' is there 2 times"),
        ("fixed,moving\n", "there is no pair in it"),
        ("fixed,moving\nf.mha\n", r"pairs\.csv:2: the row has not as many cells"),
        ("fixed,moving,seed\nf.mha,m.mha,x\n", r"pairs\.csv:2: seed is 'x', expected a whole"),
        ("fixed,moving\nf.mha,\n", r"pairs\.csv:2: moving is empty"),
        ("pair,fixed,moving\n../x,f.mha,m.mha\n", r"the pair's name is '\.\./x'"),
    ],
)
def test_tables(images: Path, text: str, wrong: str) -> None:
    with pytest.raises(cohort.CohortError, match=wrong):
        cohort.register_cohort(write(images, text), images / "out")
    assert not (images / "out").exists()


def test_a_folder_of_another_cohort(images: Path) -> None:
    pairs = write(images, "pair,fixed,moving\na,f.mha,m.mha\n")
    (images / "out").mkdir()
    (images / "out" / COHORT).write_text('{"pairs": [["z", "/f.mha", "/m.mha"]]}')
    with pytest.raises(cohort.CohortError, match="the folder of another cohort, with 1 pairs"):
        cohort.register_cohort(pairs, images / "out", presets="mind")


def test_an_unreachable_scheduler(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_TIMEOUT", 1)
    pairs = write(images, "pair,fixed,moving\na,f.mha,m.mha\n")
    command_line = [str(pairs), "-o", str(images / "out"), "--preset", "mind", "-q"]
    found = CliRunner().invoke(command, [*command_line, "--scheduler", "tcp://127.0.0.1:9"])
    assert found.exit_code == 1
    assert "the scheduler 'tcp://127.0.0.1:9' cannot be reached" in found.output
    assert not (images / "out/pairs").exists()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("jobs = 2\ncores = 4\nmemory = '8GB'\n", "system is None, expected one of slurm"),
        ("system = 'slurm'\njobs = 0\ncores = 4\nmemory = '8GB'\n", "jobs is 0"),
        ("system = 'slurm'\njobs = 2\ncores = 4\n", "memory is missing"),
        ("system = ", "cannot be read"),
    ],
)
def test_cluster_files(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(cohort.CohortError, match=wrong):
        clusters.read_cluster_file(write(tmp_path, text, "cluster.toml"))


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


def test_tables_with_tabs_and_overrides(images: Path) -> None:
    text = "fixed\tmoving\tset:GridSpacing\nf.mha\tm.mha\t8 8 8\n"
    (pair,) = cohort.read_pairs(write(images, text, "pairs.tsv"))
    assert pair.name == "f__m"
    assert pair.overrides == {"GridSpacing": ["8", "8", "8"]}
    assert pair.files["fixed"] == str(images / "f.mha")
