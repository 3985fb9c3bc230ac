"""What cohorts refuse before anything starts: all of it, in one report."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import SimpleITK as sitk

from helpers import programs
from impact_plugin import _versions, cohort
from impact_plugin.cohort import clusters, folder, queues
from impact_plugin.cohort.errors import ProblemKind
from impact_plugin.cohort.folder import COHORT


def kinds(error: cohort.CohortError) -> list[str]:
    return [each.kind for each in error.problems]


def write(where: Path, text: str, name: str = "pairs.csv") -> Path:
    path = where / name
    path.write_text(text)
    return path


def test_everything_at_once(images: Path) -> None:
    pairs = write(
        images,
        "pair,fixed,moving,fixed_points,moving_points,initial_transform\n"
        "a,f.mha,m.mha,,,center\n"
        "a,f.mha,gone.mha,,,\n"
        "b,f.mha,m.mha,points.txt,points.txt,center\n"
        "c,pairs.csv,m.mha,pairs.csv,,nowhere.tfm\n"
        "d,f.mha,m.mha,,,center\n",
    )
    write(images, "one two\n", "points.txt")
    out = images / "out"
    out.mkdir()
    (out / "thesis.doc").touch()
    with pytest.raises(cohort.CohortError, match="nothing was started") as caught:
        cohort.register_cohort(pairs, out, variants=["mind", "mnd", "mind"], workers=0)
    found = [(each.kind, each) for each in caught.value.problems]
    for kind, about in (
        ("pair", "'a'"),
        ("missing-file", f"pair 'a': moving: there is no file '{images / 'gone.mha'}'"),
        ("pair", "'a' and 'd'"),
        ("image", f"pair 'c': fixed: '{pairs}'"),
        ("pair", "pair 'c': points"),
        ("points", f"pair 'b': moving_points: {images / 'points.txt'}, line 1:"),
        ("missing-file", f"initial_transform: there is no file '{images / 'nowhere.tfm'}'"),
        ("folder", str(out)),
        ("map", "there is no preset 'mnd'; did you mean 'mind'?"),
        ("variant", "'mind'"),
        ("argument", "workers is 0, expected a whole number of at least 1"),
    ):
        assert any(kind == each and about in text for each, text in found), (kind, about)
    assert str(caught.value).count("\n  - ") == len(found)
    assert [each.name for each in out.iterdir()] == ["thesis.doc"]


def test_masks_and_initial_transforms(images: Path) -> None:
    """Each is looked at with the pair's own images."""
    mask = sitk.ReadImage(str(images / "f.mha")) > 0
    sitk.WriteImage(mask[1:, :, :], str(images / "small.mha"))
    first = '(Transform "TranslationTransform")\n(FixedImageDimension 2)\n'
    flat = write(images, first + "(NumberOfParameters 2)\n(TransformParameters 0 0)\n", "flat.txt")
    lost = first.replace("Dimension 2", "Dimension 3") + (
        "(NumberOfParameters 3)\n(TransformParameters 0 0 0)\n"
        '(InitialTransformParameterFileName "gone.txt")\n'
    )
    write(images, lost, "lost.txt")
    write(images, "no transform\n", "prose.txt")
    pairs = write(
        images,
        "pair,fixed,moving,fixed_mask,moving_mask,initial_transform\n"
        "a,f.mha,m.mha,small.mha,,\n"
        "b,f.mha,m.mha,,small.mha,\n"
        "c,f.mha,m.mha,,,flat.txt\n"
        "d,f.mha,m.mha,,,lost.txt\n"
        "e,f.mha,m.mha,,,prose.txt\n",
    )
    with pytest.raises(cohort.CohortError, match="nothing was started") as caught:
        cohort.register_cohort(pairs, images / "out", preset="mind")
    assert kinds(caught.value) == [
        *("grid", "grid", "initial-transform", "initial-transform", "initial-transform")
    ]
    text = str(caught.value)
    for wrong in (
        "pair 'a': fixed_mask does not lie on the grid of the fixed image: size",
        "pair 'b': moving_mask does not lie on the grid of the moving image: size",
        "pair 'c': initial_transform is for 2 dimensions",
        f"pair 'd': initial_transform: {images / 'lost.txt'} builds on the transform "
        f"'{images / 'gone.txt'}' (InitialTransformParameterFileName), which is not there",
        f"pair 'e': initial_transform: '{images / 'prose.txt'}' is neither a transform parameter",
    ):
        assert wrong in text
    assert flat.is_file()
    assert not (images / "out").exists()


@pytest.mark.parametrize(
    ("text", "wrong", "kind"),
    [
        ("fixed\nf.mha\n", "there is no column 'moving'", "table"),
        ("fixed,moving,maskk\nf.mha,m.mha,\n", "the column 'maskk' is not known", "table"),
        ("fixed,moving,fixed\nf.mha,m.mha,\n", "the column 'fixed' is there 2 times", "table"),
        ("fixed,moving\n", "there is no pair in it", "table"),
        ("fixed,moving\nf.mha\n", r"pairs\.csv:2: the row has not as many cells", "table"),
        ("fixed,moving,seed\nf.mha,m.mha,x\n", r"pairs\.csv:2: seed is 'x', expected", "table"),
        ("fixed,moving\nf.mha,\n", r"pairs\.csv:2: moving is empty", "table"),
        ("pair,fixed,moving\n../x,f.mha,m.mha\n", r"the pair's name is '\.\./x'", "pair"),
        (
            "fixed,moving,channel\nf.mha,m.mha,grey\n",
            r"pairs\.csv:2: .* channel is 'grey', expected 'luminance'",
            "pair",
        ),
        (
            "fixed,moving,axes\nf.mha,m.mha,ras\n",
            r"pairs\.csv:2: .* axes is 'ras', expected 'LPS' or 'RAS'",
            "pair",
        ),
    ],
)
def test_tables(images: Path, text: str, wrong: str, kind: str) -> None:
    with pytest.raises(cohort.CohortError, match=wrong) as caught:
        cohort.register_cohort(write(images, text), images / "out")
    assert set(kinds(caught.value)) == {kind}
    assert not (images / "out").exists()


def test_inputs_among_the_results(images: Path) -> None:
    """They would be lost: a result takes the place of all that is in its folder."""
    out = images / "out"
    pairs = write(images, "pair,fixed,moving\na,f.mha,link.mha\nb,f.mha,m.mha\n")
    place = out / "pairs" / "b" / "mind"
    place.mkdir(parents=True)
    (images / "m.mha").rename(place / "result.mha")
    (images / "link.mha").symlink_to(place / "result.mha")
    (images / "m.mha").symlink_to(place / "result.mha")
    with pytest.raises(cohort.CohortError, match=r"pair 'a': moving is '.*link\.mha'") as caught:
        cohort.register_cohort(pairs, out, variants=["mind"], workers=0)
    assert "overwritten-input" in kinds(caught.value)
    start = pair(images, "b", initial_transform=str(place))
    with pytest.raises(cohort.CohortError, match="pair 'b': initial_transform is") as caught:
        cohort.register_cohort([start], out, variants=["mind"], workers=0)
    assert "overwritten-input" in kinds(caught.value)
    assert (place / "result.mha").is_file()


def test_a_folder_of_another_cohort(images: Path) -> None:
    pairs = write(images, "pair,fixed,moving\na,f.mha,m.mha\n")
    (images / "out").mkdir()
    (images / "out" / COHORT).write_text('{"pairs": {"z": ["/f.mha", "/m.mha", "1", "2"]}}')
    with pytest.raises(cohort.CohortError, match="another cohort, with 1 pairs") as caught:
        cohort.register_cohort(pairs, images / "out", preset="mind")
    assert kinds(caught.value) == ["folder"]


def test_an_unreachable_scheduler(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the same report as the rest."""
    monkeypatch.setattr(clusters, "TIMEOUT", 1)
    pairs = write(images, "pair,fixed,moving\na,f.mha,m.mha\n")
    command_line = [str(pairs), "-o", str(images / "out"), "--preset", "mind", "-q"]
    found = programs.plugin("cohort", *command_line, "--scheduler", "tcp://127.0.0.1:9")
    assert found.exit_code == 1
    assert "the scheduler 'tcp://127.0.0.1:9' cannot be reached" in found.output
    assert "1 thing is wrong" in found.output
    found = programs.plugin("cohort", *command_line, "--device", "gpu", "--scheduler", "x:y")
    assert "2 things are wrong" in found.output
    assert not (images / "out").exists()


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
    with pytest.raises(cohort.CohortError, match=wrong) as caught:
        queues.read(write(tmp_path, text, "cluster.toml"))
    assert kinds(caught.value) == ["cluster-file"]


def pair(images: Path, name: str = "a", **values: object) -> cohort.Pair:
    files = {"fixed": str(images / "f.mha"), "moving": str(images / "m.mha")}
    return cohort.Pair(**{"name": name, "files": files, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"name": "../../escaped"}, r"the pair's name is '\.\./\.\./escaped', expected letters"),
        ({"name": "a" * 300}, "of 300 characters, expected at most 120"),
        ({"name": 7}, "the pair's name is 7, expected letters"),
        ({"files": {}}, r"'a': fixed is missing: .*\n.*'a': moving is missing"),
        ({"files": {"fixd": "f.mha"}}, "'fixd' is no role of a file; there are fixed, moving, fix"),
        ({"files": {"fixed": 3, "moving": None}}, r"fixed is 3, expected .*\n.*moving is None"),
        ({"files": None}, "files is None, expected a dict"),
        (
            {"initial_transform": 3},
            "initial_transform is 3, expected none, center, mass, search, search-",
        ),
        ({"options": {"iteration": 3}}, "'iteration' is no option; there are iterations, seed, ch"),
        ({"options": {"channel": -1}}, "'a': channel is -1, expected"),
        ({"options": {"axes": "IJK"}}, "'a': axes is 'IJK', expected 'LPS' or 'RAS'"),
        ({"options": {"iterations": 0}}, "'a': iterations is 0, expected a whole number of at le"),
        (
            {"options": {"iterations": [5, 0]}},
            r"'a': iterations\[1\] is 0, expected a whole number",
        ),
        (
            {"options": {"iterations": [5, 5, 5]}},
            r"pair 'a', mind: iterations is \[5, 5, 5\], of 3 numbers, .*: 2 of 'mind'",
        ),
        (
            {"options": {"iterations": [5, 5]}, "overrides": {"NumberOfResolutions": ["1"]}},
            r"pair 'a', mind: iterations is \[5, 5\], of 2 numbers, .*: 1 of 'mind'",
        ),
        ({"options": {"seed": 2**32}}, "'a': seed is 4294967296, expected .* at most 4294967295"),
        ({"overrides": {"Metric": {1}}}, r"'a': set:Metric: \{1\} \(set\) is not allowed"),
        ({"overrides": {"Metric": []}}, r"'a': set:Metric is \[\]: a parameter and its values"),
        (
            {"options": {"seed": 1}, "overrides": {"RandomSeed": ["2"]}},
            "seed and set:RandomSeed exclude each other",
        ),
    ],
)
def test_pairs_of_python(images: Path, values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(cohort.CohortError, match=wrong):
        cohort.register_cohort([pair(images, **values)], images / "out", preset="mind")
    assert not (images / "out").exists()


def test_what_is_no_pair(images: Path) -> None:
    wrong = r"3 \(int\) is no impact_plugin.cohort.Pair"
    with pytest.raises(cohort.CohortError, match=wrong):
        cohort.register_cohort([3], images / "out", preset="mind")  # type: ignore[list-item]
    with pytest.raises(cohort.CohortError, match="pairs is 3, expected the path of a table"):
        cohort.register_cohort(3, images / "out", preset="mind")  # type: ignore[arg-type]
    with pytest.raises(cohort.CohortError, match="variants has 3, expected the name"):
        cohort.register_cohort([pair(images)], images / "out", variants=[3])  # type: ignore[list-item]


def test_the_old_name_of_variants(images: Path) -> None:
    with (
        pytest.warns(DeprecationWarning, match="argument presets is now called variants"),
        pytest.raises(cohort.CohortError, match="'mnd'"),
    ):
        cohort.register_cohort([pair(images)], images / "out", presets=["mnd"])  # type: ignore[call-arg]


def test_names_that_a_file_system_may_confuse(images: Path) -> None:
    other = {"fixed": str(images / "m.mha"), "moving": str(images / "f.mha")}
    both = [pair(images, "p01"), pair(images, "P01", files=other)]
    with pytest.raises(cohort.CohortError, match="pairs 'p01' and 'P01' differ only in case"):
        cohort.register_cohort(both, images / "out", preset="mind")


def test_names_of_variants(images: Path) -> None:
    odd = write(images, "", "my map (1).txt")
    with pytest.raises(cohort.CohortError, match=r"name is 'my map \(1\)'.*rename the parameter f"):
        cohort.register_cohort([pair(images)], images / "out", parameter_files=[odd])


@pytest.mark.parametrize(
    ("parameter", "value", "wrong"),
    [
        ("VoxelSiz", "3", "there is no such parameter. The nearest is VoxelSize"),
        ("Distance", "L7", r'"L7" is not allowed. Allowed: "L1", "L2"'),
        ("NumberOfResolutions", "x", '"x" is not allowed. Allowed: numbers'),
        ("MaximumNumberOfIteration", "9", "no such parameter. The nearest is MaximumNumberOfIte"),
        ("MaximumNumberOfIterations", "9.5", '"9.5" is not allowed. Allowed: whole numbers'),
        ("NewSamplesEveryIteration", "yes", '"yes" is not allowed. Allowed: true, false'),
        ("Transform", "BSplin", r'\(Transform "BSplin"\), which elastix does not have'),
        ("ModelsPath", "gone.pt", "names the model 'gone.pt', which is in none of these"),
    ],
)
def test_overrides(images: Path, parameter: str, value: str, wrong: str) -> None:
    """The report names pair, variant, parameter, value and what is allowed."""
    table = f"pair,fixed,moving,set:{parameter}\nb,m.mha,f.mha,\na,f.mha,m.mha,{value}\n"
    with pytest.raises(cohort.CohortError) as caught:
        cohort.register_cohort(write(images, table), images / "out", preset="mind")
    (problem,) = caught.value.problems
    assert problem.kind == ("missing-file" if "names the model" in wrong else "parameter")
    assert problem.startswith("pair 'a', mind: ")
    assert f"set:{parameter}" in problem
    assert re.search(wrong, problem)


def test_seeds_and_iterations_of_tables(images: Path) -> None:
    table = "pair,fixed,moving,seed,iterations\na,f.mha,m.mha,99999999999,0\n"
    with pytest.raises(cohort.CohortError) as caught:
        cohort.register_cohort(write(images, table), images / "out", preset="mind")
    assert "pairs.csv:2: pair 'a': seed is 99999999999, expected" in str(caught.value)
    assert "iterations is 0, expected" in str(caught.value)


def test_maps_that_are_wrong(images: Path) -> None:
    """As ``impact-plugin check`` says it, and once, not for each pair."""
    own = write(images, '(Metric "Impact") (Mode "Statik")', "own.txt")
    pairs = [pair(images), pair(images, "b", options={"seed": 3})]
    with pytest.raises(cohort.CohortError, match="own: ") as caught:
        cohort.register_cohort(pairs, images / "out", parameter_files=[own])
    assert set(kinds(caught.value)) == {"map"}
    assert len(caught.value.problems) == len(set(caught.value.problems))


def test_a_device_that_is_not_there(images: Path) -> None:
    for device, wrong in (("cuda:7", "torch sees no such GPU"), ("gpu", 'expected "cpu", "cuda"')):
        with pytest.raises(cohort.CohortError, match=wrong) as caught:
            cohort.register_cohort([pair(images)], images / "out", preset="mind", device=device)
        assert kinds(caught.value) == ["device"]


@pytest.mark.usefixtures("shared")
def test_a_refused_start_leaves_nothing(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the folder nor those it is in; what was there before stays."""
    monkeypatch.setattr(_versions, "describe", lambda: "impact-plugin 0.0.1")
    out = images / "results/of/all"
    (images / "results").mkdir()
    for _ in range(2):
        with pytest.raises(cohort.CohortError, match=r"impact-plugin 0\.0\.1") as caught:
            cohort.register_cohort([pair(images)], out, preset="mind")
        assert set(kinds(caught.value)) == {"worker"}
        assert not list((images / "results").iterdir())


def test_what_a_killed_start_leaves_is_taken_for_its_own(images: Path) -> None:
    out = images / "out"
    out.mkdir()
    for name in ("cohort.jsonl", ".checksums.json", ".lock"):
        (out / name).touch()
    (out / ".token-1").mkdir()
    assert folder.check(out, [pair(images)]) == []
    folder.clear(out)
    assert not (out / ".token-1").exists()


def test_one_run_at_a_time(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = images / "out"
    with folder.claimed(out) as note:
        assert note == ""
        with pytest.raises(cohort.CohortError, match=rf"process {os.getpid()} on ") as caught:
            cohort.register_cohort([pair(images)], out, preset="mind")
        assert kinds(caught.value) == ["folder"]
        assert (out / ".lock").is_file()
    assert not list(out.iterdir())

    def without_locks(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with folder.claimed(out) as note:
        assert "a file system without locks (No locks available)" in note


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom impact_plugin.cohort import folder\n"
        "with folder.claimed(Path(sys.argv[1])):\n    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "out"], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(cohort.CohortError, match=f"in use by process {process.pid} on "),
            folder.claimed(tmp_path / "out"),
        ):
            pass
        process.kill()
        process.wait()
        with folder.claimed(tmp_path / "out") as note:
            assert note == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ('{"pairs": []}', "pairs is an array of 0 items, expected an object"),
        (
            '{"pairs": {"a b": ["x"]}, "variants": []}',
            'pairs["a b"] is an array of 1 items, expected an array of length >= 4',
        ),
    ],
)
def test_a_damaged_description(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "cohort.json").write_text(text)
    (problem,) = folder.check(tmp_path, [])
    assert problem.startswith(f"{tmp_path}/cohort.json cannot be read ({message}")
    assert problem.kind == "folder"


@pytest.mark.parametrize(
    ("arguments", "match", "kind"),
    [
        ({"variants": 3}, "variants is 3, expected the name of a preset", "argument"),
        ({"parameter_files": 3}, "parameter_files is 3, expected the path", "argument"),
        ({"parameter_files": "gone.txt"}, r"gone: .*No such file.*gone\.txt", "missing-file"),
        ({"preset": 3}, "preset is 3, expected the name of a preset", "argument"),
        ({"preset": []}, "preset is empty, expected the name of a preset", "argument"),
        ({"output_directory": "~nobody9/x"}, "home folder of '~nobody9' is", "missing-file"),
        ({"output_directory": ""}, "output_directory is empty, expected a path", "argument"),
        ({"cluster_file": 3}, "cluster_file is 3, expected a path", "argument"),
        ({"models": 3}, "models is 3, expected a dict of files by name, or a path", "argument"),
        ({"models": {"gone.pt": "x.pt"}}, "models has 'gone.pt', and no map names it", "map"),
        ({"progress": "yes"}, "progress is 'yes', expected True or False", "argument"),
        ({"feature_cache": "/dev/null/x"}, "and /dev/null is no folder", "feature-cache"),
        ({"scheduler": "x:y"}, "the scheduler 'x:y' cannot be reached", "scheduler"),
    ],
)
def test_each_wrong_argument_is_one_problem(
    images: Path, arguments: dict[str, Any], match: str, kind: str
) -> None:
    pairs = write(images, "pair,fixed,moving\na,f.mha,m.mha\n")
    with pytest.raises(cohort.CohortError, match=match) as caught:
        cohort.register_cohort(pairs, **{"output_directory": images / "out", **arguments})
    assert kinds(caught.value) == [kind]


def test_kinds_are_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "cohorts.md").read_text().split("`kind`", 1)[1]
    table = text.split("|---|---|")[1].split("\n\n")[0]
    assert set(re.findall(r"(?m)^\| `([\w-]+)` \|", table)) == set(get_args(ProblemKind))
