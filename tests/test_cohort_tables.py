"""Tables of pairs as people and their programs write them, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.pairs import write_pair
from impact_plugin import cohort
from impact_plugin._io import expanded
from impact_plugin.cohort import preflight
from impact_plugin.cohort.errors import Problems


def write(where: Path, text: str, name: str = "pairs.csv") -> Path:
    path = where / name
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pair, fixed ,moving,set:A\n a, f.mha , m.mha,1 2\n", "spaces.csv"),
        ('"pair", "fixed", "moving", "set:A"\n"a", "f.mha", "m.mha", "1 2"\n', "quotes.csv"),
        ("pair\tfixed\tmoving\tset:A\na\tf.mha\tm.mha\t1 2\n", "T.TSV"),
        ("pair\tfixed\tmoving\tset:A\na\tf.mha\tm.mha\t1 2\n", "tabs.csv"),
        ("pair;fixed;moving;set:A\na;f.mha;m.mha;1 2\n", "semicolons.csv"),
        ('"pair";"fixed";"moving";"set:A"\n"a";"f.mha";"m.mha";"1 2"\n', "both.CSV"),
        ("\ufeffpair,fixed,moving,set:A\r\na,f.mha,m.mha,1 2\r\n", "bom.csv"),
        ("pair,fixed,moving,set:A\na,f.mha,m.mha,1 2\n,,,\n\n ,,,\n", "rows.csv"),
        ("pair,fixed,moving,set:A,,\na,f.mha,m.mha,1 2,,\n", "columns.csv"),
        ("pair,fixed,,moving,set:A\na,f.mha,,m.mha,1 2,,,\n", "between.csv"),
    ],
)
def test_as_spreadsheets_write_it(tmp_path: Path, text: str, name: str) -> None:
    files = {"fixed": str(tmp_path / "f.mha"), "moving": str(tmp_path / "m.mha")}
    expected = cohort.Pair("a", files, overrides={"A": ["1", "2"]})
    assert cohort.read_pairs(write(tmp_path, text, name)) == [expected]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("fixed,,moving\nf.mha,3,m.mha\n", r":2: the column of '3' has no name in the first line"),
        ("fixed,moving\nf.mha,m.mha,3\n", r":2: the row has not as many cells .* \(3, not 2\)"),
        ("fixed|moving\nf.mha|m.mha\n", r"'moving'\n.*'fixed\|moving' is not known"),
        ("fixed\nf.mha\n", "there is no column 'moving'"),
        ("", "there is no column 'fixed'\n.*\n.*there is no pair in it"),
        (
            "pair,fixed,moving\nMüller,f.mha,m.mha\n",
            "the pair's name is 'Müller', expected letters",
        ),
        (
            f"fixed,moving\n{'f' * 99}.mha,{'m' * 99}.mha\n",
            "characters.*\n.* a column `pair` gives",
        ),
        ("fixed,moving,seed\nf.mha,m.mha," + "9" * 5000 + "\n", "expected a whole number"),
        ('fixed,moving\n"f.mha,m.mha\n', "no table that can be read, CSV or TSV in UTF-8"),
    ],
)
def test_refused(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(cohort.PairsError, match=wrong) as caught:
        cohort.read_pairs(write(tmp_path, text))
    assert caught.value.pairs == []


def test_other_encodings(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    for encoding in ("latin-1", "utf-16"):
        table.write_text("fixed,moving\nMüller.mha,m.mha\n", encoding=encoding)
        with pytest.raises(cohort.PairsError, match="CSV or TSV in UTF-8: 'utf-8' codec"):
            cohort.read_pairs(table)


@pytest.mark.parametrize(
    ("fixed", "moving", "name"),
    [
        ("f.nii.gz", "m.mha", "f__m"),
        ("Müller T1.nii.gz", "Müller (2).nii.gz", "Muller_T1__Muller__2_"),
        ("ﬁxed.mha", "m².mha", "fixed__m2"),
        ("_f.mha", "_m.mha", "f___m"),
        ("脳.mha", "肺.mha", "pair"),
    ],
)
def test_default_names(tmp_path: Path, fixed: str, moving: str, name: str) -> None:
    (pair,) = cohort.read_pairs(write(tmp_path, f"fixed,moving\n{fixed},{moving}\n"))
    assert pair.name == name
    assert pair.files["fixed"] == str(tmp_path / fixed)


def test_default_names_that_are_the_same(tmp_path: Path) -> None:
    table = write(tmp_path, "fixed,moving\n脳.mha,肺.mha\n肺.mha,脳.mha\n")
    problems, _ = preflight.check_pairs(cohort.read_pairs(table))
    assert "two pairs are named 'pair'" in problems


@pytest.mark.parametrize(
    ("text", "iterations"),
    [("7", 7), ("200 200 500", [200, 200, 500]), ('"200,200, 500"', [200, 200, 500])],
)
def test_iterations_of_levels(tmp_path: Path, text: str, iterations: object) -> None:
    table = write(tmp_path, f"fixed,moving,iterations\nf.mha,m.mha,{text}\n")
    (pair,) = cohort.read_pairs(table)
    assert pair.options == {"iterations": iterations}


def test_iterations_that_are_none(tmp_path: Path) -> None:
    table = write(tmp_path, "fixed,moving,iterations\nf.mha,m.mha,200 many\n")
    with pytest.raises(cohort.PairsError, match="'200 many', expected a whole number, or one for"):
        cohort.read_pairs(table)


def test_everything_of_a_row(tmp_path: Path) -> None:
    table = "fixed,moving,fixed_mask,seed,iterations,set:A B\n,m.mha,~nouser/x.mha,-1,0,1\n"
    with pytest.raises(cohort.PairsError, match="fixed is empty") as caught:
        cohort.read_pairs(write(tmp_path, table))
    for wrong in (
        "fixed_mask: '~nouser/x.mha': the home folder of '~nouser' is not known",
        "seed is '-1', expected a whole number",
        "iterations is 0, expected a whole number of at least 1",
        "set:A B is ['1']",
    ):
        assert wrong in str(caught.value)
    assert len(caught.value.problems) == 5


def test_right_rows_beside_wrong_ones(tmp_path: Path) -> None:
    """What is wrong with the right ones stands in the same report."""
    write_pair(tmp_path)
    table = write(
        tmp_path,
        "pair,fixed,moving,seed,colour\na,f.mha,m.mha,,\nb,f.mha,m.mha,x,\n"
        "a,m.mha,f.mha,,\nc,gone.mha,m.mha,,\n",
    )
    with pytest.raises(cohort.PairsError, match="seed is 'x'") as of_table:
        cohort.read_pairs(table)
    assert [pair.name for pair in of_table.value.pairs] == ["a", "a", "c"]
    with pytest.raises(cohort.CohortError, match="nothing was started") as caught:
        cohort.register_cohort(table, tmp_path / "out", preset="mnd")
    for wrong in (
        "pairs.csv:3: seed is 'x'",
        "the column 'colour' is not known",
        "two pairs are named 'a'",
        "pair 'c': fixed: there is no file",
        "there is no preset 'mnd'",
    ):
        assert wrong in str(caught.value)


def test_paths_of_pairs_with_unknown_users() -> None:
    files = {"fixed": "~nouser/f.mha", "moving": "m.mha"}
    problems = Problems()
    assert preflight.collect_pairs([cohort.Pair("a", files, "~nouser/t.txt")], problems) == []
    assert [each.split(": the home")[0] for each in problems] == [
        "pair 'a': fixed: '~nouser/f.mha'",
        "pair 'a': initial_transform: '~nouser/t.txt'",
    ]


def test_home_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a.mha") == tmp_path / "a.mha"
    assert expanded("a~b/~c") == Path("a~b/~c")
    with pytest.raises(FileNotFoundError, match=r"'~nouser/a.mha': the home folder of '~nouser' i"):
        expanded("~nouser/a.mha")
