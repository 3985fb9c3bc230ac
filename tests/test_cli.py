"""The command line impact-plugin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import SimpleITK as sitk
from benchmarks import whole_runs

import impact_plugin
from helpers import programs
from helpers.pairs import shift_error, sitk_pair, squares, voxels, write_pair
from helpers.parameter_maps import as_text
from helpers.registrations import forbid_elastix
from impact_plugin import _versions
from impact_plugin.cli import diagnosis


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_pair(tmp_path, "fixed.nii.gz", "moving.mha")
    (tmp_path / "p.txt").write_text(as_text(squares()))
    return tmp_path


def test_help_names_every_command_with_examples() -> None:
    run = programs.plugin("--help")
    assert run.exit_code == 0
    commands = ("register", "rerun", "apply", "evaluate", "elastix-folder", "demo", "doctor")
    for name in (*commands, "check", "models"):
        assert f"  {name} " in run.output
    assert "impact-plugin register fixed.nii.gz moving.nii.gz -o result" in run.output
    for command in commands:
        run = programs.plugin(command, "--help")
        assert run.exit_code == 0
        assert f"impact-plugin {command}" in run.output.split("Examples:")[1]


@pytest.mark.parametrize("command", ["apply", "check", "evaluate", "features", "report", "rerun"])
def test_one_name_for_each_image(command: str) -> None:
    text = programs.plugin(command, "--help").output
    assert "-m, --moving, --moving-image" in text
    assert ("-f, --fixed, --fixed-image" in text) == (command not in ("apply", "features"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models", "mind", "--radius", "1", "--dimension", "4"), "dimension is 4"),
        (("features", "none.mha", "--model", "none.pt", "-o", "seen"), "none.mha"),
        (("register", "a.mha", "b.mha", "-o", "o", "--models", "m", "--model", "a=b"), "not both"),
        (("cohort", "p.csv", "-o", "o", "--models", "m", "--model", "a=b"), "not both"),
        (("cohort", "p.csv", "-o", "o", "--model", "M730.pt"), "expected NAME=FILE"),
        (("register", "a.mha", "b.mha", "-o", "o", "--default-pixel-value", "x"), "valid float"),
    ],
)
def test_errors_of_users_have_no_traceback(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = programs.plugin(*arguments)
    assert isinstance(run.exception, SystemExit)
    assert run.exit_code == (1 if said in ("dimension is 4", "none.mha") else 2)
    assert said in run.output


@pytest.mark.parametrize("kind", [ValueError, TypeError, OSError, ImportError])
def test_every_command_shows_errors_alike(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise kind("what is wrong")

    monkeypatch.setattr("impact_plugin.models.catalogue", failing)
    run = programs.plugin("models", "list")
    assert (run.exit_code, run.output) == (1, "Error: what is wrong\n")
    assert isinstance(run.exception, SystemExit)


HEAVY = {"torch", "itk", "numpy", "SimpleITK", "pandas", "nibabel", "tqdm", "matplotlib"}


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import impact_plugin", set()),
        ("import impact_plugin; impact_plugin.StopRegistration; dir(impact_plugin)", set()),
        ("import impact_plugin; impact_plugin.register_images", {"numpy"}),
        (
            "import sys; sys.argv[1:] = ['--help']; from impact_plugin.cli import main; main()",
            set(),
        ),
    ],
)
def test_heavy_modules_come_only_when_used(code: str, allowed: set[str]) -> None:
    """What a process has imported at its end."""
    script = f"import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules)); {code}"
    run = programs.python("-c", script, check=True)
    loaded = set(run.stdout.rpartition("LOADED")[2].split())
    assert loaded & HEAVY <= allowed
    if not allowed:
        assert "click" not in loaded or "cli" in code


def test_installed_program_and_module() -> None:
    program_file = Path(sysconfig.get_path("scripts")) / "impact-plugin"
    for command in ([program_file], [sys.executable, "-m", "impact_plugin.cli"]):
        run = programs.captured(*command, "--version", check=True)
        assert run.stdout == f"impact-plugin, version {impact_plugin.__version__}\n"


def test_register(files: Path) -> None:
    labels = sitk.Cast(sitk_pair()[1] > 100, sitk.sitkUInt8) * 3
    for name in ("organs.1.nii.gz", "organs.2.nii.gz"):
        sitk.WriteImage(labels, str(files / name))
    out = files / "out"
    run = programs.plugin(
        *("register", files / "fixed.nii.gz", files / "moving.mha", "-o", out),
        *("-p", files / "p.txt", "-t", "center", "--seed", "3", "--threads", "1"),
        *("--labels", files / "organs.1.nii.gz", "--labels", files / "organs.2.nii.gz"),
    )
    assert run.exit_code == 0, run.output
    assert "<RegistrationResult of p: 60 iterations" in run.output
    result = impact_plugin.RegistrationResult.load(out)
    assert shift_error(result) < 0.1
    assert (out / "elastix.log").is_file()
    for name in ("organs.1_warped.mha", "organs.2_warped.mha"):
        assert set(voxels(sitk.ReadImage(str(out / name))).ravel()) == {0, 3}


def test_verbose_says_where_the_time_went(files: Path) -> None:
    """All of the process: from its start, with elastix's log before, to its end."""
    begun = time.monotonic()
    run = programs.captured(
        *(programs.program_path("plugin"), "register", files / "fixed.nii.gz"),
        *(files / "moving.mha", "-o", files / "out", "-v", "--preset", "mind"),
        *("--iterations", "5"),
    )
    took = time.monotonic() - begun
    assert run.returncode == 0, run.stderr
    log, _, table = run.stderr.partition("Total time elapsed")
    assert 'Metric "Impact", resolution level 1 took' in log
    rows = re.findall(r"^ +(\d+\.\d\d) s  (.+)$", table, re.MULTILINE)
    timings = impact_plugin.RegistrationResult.load(files / "out").timings
    assert [name for _, name in rows] == [
        "start of the program",
        *timings,
        "labels and the rest",
        "all",
    ]
    *parts, whole = (float(seconds) for seconds, _ in rows)
    shown = whole_runs.phases(run.stderr)  # which knows them all
    assert sum(shown.values()) == pytest.approx(sum(parts))
    assert sum(parts) == pytest.approx(whole, abs=0.1)
    assert 0.8 * took < whole < took + 0.1


def test_register_with_a_preset(files: Path) -> None:
    run = programs.plugin(
        *("register", files / "fixed.nii.gz", files / "moving.mha", "-o", files / "out", "-q"),
        *("--preset", "rigid_mind", "--preset", "mind", "--iterations", "5,4,3,2,1"),
    )
    assert (run.exit_code, run.output) == (0, "")
    summary = json.loads((files / "out" / "result.json").read_text())
    assert summary["stages"] == ["rigid_mind", "mind"]
    levels = [each.levels for each in impact_plugin.records.read(files / "out").stages]
    assert [[level.iterations for level in stage] for stage in levels] == [[5, 4, 3], [2, 1]]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["nowhere.mha", "b.mha", "-o", "o"], 1, "Error: the fixed image: there is no file"),
        (["fixed.nii.gz", "moving.mha", "-o", "o", "--preset", "mnd"], 1, "did you mean 'mind'?"),
        (["fixed.nii.gz", "moving.mha", "-o", "o", "--model", "x"], 2, "expected NAME=FILE"),
        *(
            (["fixed.nii.gz", "moving.mha", "-o", "o", "--iterations", wrong], 2, expected)
            for wrong, expected in {
                "0": "iterations is 0, expected a whole number of at least 1",
                "5,x": "'5,x': expected a whole number, or one for each level: 200,200,500",
            }.items()
        ),
        (
            ["fixed.nii.gz", "moving.mha", "-o", "o", "--iterations", "5,5"],
            1,
            "or 5, one for each level: 3 of 'affine_mi', 2 of 'mind_mi'",
        ),
        (
            ["fixed.nii.gz", "moving.mha", "-o", "o", "--labels", "x.mha"],
            1,
            "Error: --labels x.mha: there is no file 'x.mha'",
        ),
        (
            ["fixed.nii.gz", "moving.mha", "-o", "o", "--labels", "p.txt"],
            1,
            "--labels p.txt: 'p.txt' cannot be read as an image",
        ),
        (
            ["fixed.nii.gz", "moving.mha", "-o", "o", *["--labels", "moving.mha"] * 2],
            2,
            "two files would be written to moving_warped.mha",
        ),
        (
            ["fixed.nii.gz", "moving.mha", "-o", "o", "--preset", "ct_cbct"],
            1,
            "`impact-plugin models download M730_1_Layers.pt` gets it from",
        ),
        (
            ["fixed.nii.gz", "moving.mha", "-o", "o", "--preset", "ct_cbct"],
            1,
            "say where it lies: --model M730_1_Layers.pt=PATH.",
        ),
        (["fixed.nii.gz", "moving.mha"], 2, "Missing option '-o'"),
    ],
)
def test_wrong_arguments(
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(files))
    forbid_elastix(monkeypatch)
    run = programs.plugin("register", *arguments)
    assert run.exit_code == exit_code
    assert message in " ".join(run.output.split())


def test_presets_are_listed_and_completed() -> None:
    run = programs.plugin("register", "--list-presets")
    assert run.exit_code == 0
    assert "rigid_mind" in run.output
    program_file = Path(sysconfig.get_path("scripts")) / "impact-plugin"
    completed = subprocess.run(
        [program_file],
        capture_output=True,
        text=True,
        check=False,
        env={
            "_IMPACT_PLUGIN_COMPLETE": "bash_complete",
            "COMP_WORDS": "impact-plugin register --preset ct",
            "COMP_CWORD": "3",
        },
    )
    assert completed.stdout == "plain,ct_cbct\n"


def test_a_command_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "impact_plugin.cli.doctor", None)
    run = programs.plugin("doctor")
    assert run.exit_code == 1
    assert "the command 'doctor' is not part of this installation" in run.output
    assert programs.plugin("surgeon").exit_code == 2


# doctor


def test_doctor_finds_this_installation_sound() -> None:
    run = programs.plugin("doctor", "--json")
    report = json.loads(run.output)
    assert report["problems"] == []
    assert run.exit_code == 0
    facts = report["facts"]
    assert facts["torch"].startswith("2.13")
    assert facts["elastix"] == "5.3.1"
    assert "elastix-0.25.2 (for itk-elastix 0.25.2 or 0.25.3)" in facts["built for"]
    assert facts["plugin"].endswith("libImpactMetric.so")
    guard = (
        r"versions fit, 2\d\d virtual tables are as built for "
        r"\(elastix-0\.25\.\d for itk-elastix 0\.25\.\d, torch 2\.13"
    )
    assert re.match(guard, facts["ABI guard"])
    assert facts["test registration"].startswith("off by 0.")
    text = programs.plugin("doctor", "--quick")
    assert text.exit_code == 0
    assert "Everything is as it should be." in text.output
    assert "test registration" not in text.output


def test_doctor_with_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _versions.installed
    monkeypatch.setattr(
        _versions,
        "installed",
        lambda name: "2.12.0" if name == "torch" else found(name),
    )
    run = programs.plugin("doctor", "--quick")
    assert run.exit_code == 1
    assert f"Problem: impact-plugin needs {_versions.requirements()[0]}" in run.output
    assert "-m pip install" in run.output


def test_doctor_with_a_gpu_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(diagnosis, "_driver", lambda: "580.1, NVIDIA H100, 81559 MiB")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = programs.plugin("doctor")
    assert run.exit_code == 1
    expected = "driver may be too old" if torch.version.cuda else "install a build for CUDA"
    assert "The driver has a GPU that torch does not see." in run.output
    assert expected in run.output
