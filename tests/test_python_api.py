"""The Python side: light import, version checks, registration, the programs, the demo's parsers."""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tomlkit

import impact_plugin
from helpers import host_versions, programs
from helpers.programs import read_output_points
from impact_plugin import _plugin, _versions, command_line, evaluation
from impact_plugin.elastix.log import ElastixLog

ROOT = Path(__file__).resolve().parent.parent


def python(code: str, *arguments: str) -> str:
    """Run code in a fresh process and give what it prints."""
    process = programs.python("-c", code, *arguments)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


# The package


def test_import_is_light() -> None:
    """By the modules that it imports: a time depends on the machine. See also test_cli.py."""
    python("""
import sys, impact_plugin
assert not {"torch", "itk", "numpy", "SimpleITK"} & set(sys.modules), "imported more than it needs"
""")


def test_submodules_come_at_first_use() -> None:
    python(
        "import impact_plugin; impact_plugin.models.mind; impact_plugin.command_line.elastix_main"
    )


def test_version_is_the_distribution_s() -> None:
    assert impact_plugin.__version__ == importlib.metadata.version("impact-plugin")


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="'impact_plugin' has no attribute 'nothing'"):
        _ = impact_plugin.nothing


# Versions


def set_versions(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    found = {"torch": "2.13.0+cpu", "itk_elastix": "0.25.3", "impact_plugin": "0.1.0"} | versions
    monkeypatch.setattr(_versions, "installed", lambda name: found[name.replace("-", "_")])


@pytest.mark.parametrize("torch", ["2.13.0", "2.13.0+cpu", "2.13.1+cu130"])
@pytest.mark.parametrize("itk_elastix", ["0.25.2", "0.25.3", "0.25.4", "0.25.3.1"])
def test_versions_that_fit(monkeypatch: pytest.MonkeyPatch, torch: str, itk_elastix: str) -> None:
    set_versions(monkeypatch, torch=torch, itk_elastix=itk_elastix)
    monkeypatch.setattr(_versions, "built_hosts", lambda: list(_versions.HOSTS))
    _versions.check()


@pytest.mark.parametrize(
    ("distribution", "version"),
    [
        ("torch", "2.12.1"),
        ("torch", "2.14.0"),
        ("torch", None),
        ("itk_elastix", "0.25.1"),
        ("itk_elastix", "0.26.0"),
        ("itk_elastix", None),
    ],
)
def test_versions_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, distribution: str, version: str | None
) -> None:
    set_versions(monkeypatch, **{distribution: version})
    found = f"{distribution.replace('_', '-')} {version or '(none)'}"
    with pytest.raises(_versions.VersionMismatchError, match=re.escape(found)) as error:
        _versions.check()
    torch = _versions.requirements()[0]
    command = f'{sys.executable} -m pip install "{torch}" "itk-elastix>=0.25.2,<0.26"'
    assert str(error.value).endswith(command)


def test_version_that_is_newer_than_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip's range allows it, and so would install it again."""
    set_versions(monkeypatch, itk_elastix="0.25.5")
    known = "0.25.2 or 0.25.3 or 0.25.4"
    with pytest.raises(_versions.VersionMismatchError, match=re.escape(known)) as error:
        _versions.check()
    assert str(error.value).endswith('-m pip install "itk-elastix==0.25.4"')


def test_version_that_was_not_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    set_versions(monkeypatch, itk_elastix="0.25.4")
    old = _versions.HOSTS[0]
    monkeypatch.setattr(_versions, "built_hosts", lambda: [old])
    has = re.escape(
        "was built without it. It has: elastix-0.25.2 (for itk-elastix 0.25.2 or 0.25.3)"
    )
    with pytest.raises(_versions.VersionMismatchError, match=has) as error:
        _versions.check()
    assert '-m pip install "itk-elastix==0.25.3"' in str(error.value)
    assert "--no-binary impact-plugin" in str(error.value)


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (["2.13"], "torch==2.13.*"),
        (["2.13", "2.14", "2.15"], "torch>=2.13,<2.16"),
        (["2.11", "2.13", "2.15"], "torch>=2.11,<2.16,!=2.12.*,!=2.14.*"),
    ],
)
def test_torches_between_those_that_were_built_for(
    monkeypatch: pytest.MonkeyPatch, built: list[str], expected: str
) -> None:
    """What pip is told to install fits."""
    monkeypatch.setattr(_versions, "built_torches", lambda: built)
    torch, _ = _versions.requirements()
    assert str(torch) == expected
    for minor in _versions.TORCH_MINORS:
        assert torch.allows(f"{minor}.1+cpu") == (minor in built)


def test_compiled_modules_come_from_the_folder_of_the_host() -> None:
    from impact_plugin import _elastix

    folder = _versions.host_folder()
    assert folder is not None
    assert _elastix.__file__ is not None
    assert Path(_elastix.__file__).parent == folder
    assert folder.name == host_versions.folder_of(host_versions.INSTALLED)


def test_pip_is_told_the_same_versions() -> None:
    """The requirements of the package, and those of its build."""
    both = (_versions.TORCH, _versions.ITK_ELASTIX)
    wanted = {each.distribution: set(each.specifier.split(",")) for each in both}
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text())
    for stated in (
        importlib.metadata.requires("impact-plugin") or [],
        project["build-system"]["requires"],
        project["dependency-groups"]["build"],
    ):
        texts = [text.replace(" ", "") for text in stated]
        for name, clauses in wanted.items():
            matching = [text for text in texts if re.match(rf"{name}[=<>]", text)]
            assert [set(text.removeprefix(name).split(",")) for text in matching] == [clauses]


# Registration


@pytest.mark.slow
def test_register_is_idempotent_and_thread_safe() -> None:
    code = """
import ctypes, threading
from impact_plugin import load_plugin
results = []
threads = [threading.Thread(target=lambda: results.append(load_plugin())) for _ in "123"]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(results) == 3 and len(set(results)) == 1, results
ctypes.CDLL("libImpactMetric.so")  # found by its bare name, as elastix looks for it
print(results[0])
"""
    assert re.search(r'\(Metric "Impact"\) is available from .*/libImpactMetric\.so', python(code))


def test_register_without_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_plugin, "_installed_files", list)
    monkeypatch.setattr(_plugin, "_where_elastix_looks", lambda: [tmp_path / "lib.so"])
    monkeypatch.setattr(_plugin, "__file__", str(tmp_path / "impact_plugin" / "x.py"))
    with pytest.raises(FileNotFoundError, match=r"(?s)none of these places.*lib\.so.*pip install"):
        _plugin.find_library()


def test_register_with_another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plugin, "_report", None)
    set_versions(monkeypatch, torch="2.14.0")
    with pytest.raises(_versions.VersionMismatchError, match=r"torch 2\.14\.0"):
        impact_plugin.load_plugin()


# The programs


@pytest.fixture
def fake_elastix(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Put a stand-in for the compiled module, which keeps the command lines; exit code 7."""
    calls: list[list[str]] = []

    def run(argv: list[bytes]) -> int:
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_DFL
        calls.append([os.fsdecode(argument) for argument in argv])
        return 7

    module = SimpleNamespace(run_elastix=run, run_transformix=run)
    monkeypatch.setitem(sys.modules, "impact_plugin._elastix", module)
    monkeypatch.setattr(impact_plugin, "_elastix", module, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGPIPE)}
    yield calls
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_arguments_and_exit_code_pass_through(
    monkeypatch: pytest.MonkeyPatch, fake_elastix: list[list[str]]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anything", "-f", "größe 1.mha", "-p", "a", "-p", "b"])
    assert command_line.elastix_main() == 7
    assert command_line.transformix_main(["-tp", "t.txt"]) == 7
    assert fake_elastix == [
        ["impact-elastix", "-f", "größe 1.mha", "-p", "a", "-p", "b"],
        ["impact-transformix", "-tp", "t.txt"],
    ]


@pytest.mark.usefixtures("fake_elastix")
def test_our_lines_come_only_with_version_and_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_versions(monkeypatch)
    ours = "impact-plugin 0.1.0, torch 2.13.0+cpu, itk-elastix 0.25.3"
    for arguments, expected in [
        (["--version"], ours + "\n"),
        (["--extended-version"], ours + "\n"),
        (["--help"], 'impact-elastix: the same arguments, and (Metric "Impact") in parameter f'),
        ([], ""),
        (["-f", "--help"], ""),
    ]:
        command_line.elastix_main(arguments)
        out = capsys.readouterr().out
        assert expected in out
        assert bool(expected) == bool(out)


def test_wrong_version_stops_the_program(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fake_elastix: list[list[str]],
) -> None:
    set_versions(monkeypatch, itk_elastix="0.24.1")
    assert command_line.elastix_main(["--version"]) == 1
    assert "impact-elastix: impact-plugin needs" in capsys.readouterr().err
    assert not fake_elastix


def test_missing_module_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_versions(monkeypatch)
    monkeypatch.setitem(sys.modules, "impact_plugin._elastix", None)
    monkeypatch.delattr(impact_plugin, "_elastix", raising=False)
    assert command_line.transformix_main(["--version"]) == 1
    assert "pip install impact-plugin" in capsys.readouterr().err


def test_program_needs_neither_itk_nor_torch() -> None:
    code = """
import sys, time
start = time.process_time()
from impact_plugin.command_line import elastix_main, transformix_main
assert elastix_main(["--version"]) == 0 and transformix_main(["--version"]) == 0
assert not {"torch", "itk", "numpy"} & set(sys.modules)
own = time.process_time() - start
import torch
print(own / (time.process_time() - start - own))
"""
    lines = python(code).splitlines()
    assert lines[0].startswith("elastix version: 5.3.1")
    assert lines[2].startswith("transformix version: 5.3.1")
    # Of the processor time of importing torch.
    assert min(float(python(code).splitlines()[-1]) for _ in range(3)) < 0.5


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["-f", "a", "-m", "b"], 254, 'No CommandLine option "-p" given'),
        (["-p", "a", "-out", "nowhere/at/all"], 254, "does not exist"),
        (["-loglevel", "loud"], 1, 'log level ("loud") is not supported'),
    ],
)
def test_exit_codes_are_those_of_elastix(
    arguments: list[str], exit_code: int, message: str
) -> None:
    command = [sys.executable, "-m", "impact_plugin.command_line", "elastix", *arguments]
    process = programs.captured(*command)
    assert process.returncode == exit_code
    assert message in process.stderr


def test_module_run_without_a_program() -> None:
    command = [sys.executable, "-m", "impact_plugin.command_line", "elastics"]
    process = programs.captured(*command)
    assert process.returncode == 2
    assert "Expected elastix or transformix after the module's name, and got 'elastics'" in (
        process.stderr
    )


# The demo's parsers

LOG = """\
Reading images took 18 ms.
Initialization of all components (before registration) took: 160 ms.
Preparation of the image pyramids took: 233 ms.

Resolution: 0
Elastix initialization of all components (for this resolution) took: 7 ms.
Initialization of Impact metric took: 2000 ms.
Automatic parameter estimation took 1m1.50s
1:ItNr\t2:Metric\t3a:Time\t3b:StepSize\t4:||Gradient||\tTime[ms]
0\t0.50\t0.0\t3.5\t0.1\t63600.0
1\t0.25\t1.0\t3.4\t0.1\t100.0
Time spent in resolution 0 (ITK initialization and iterating): 63.7

Resolution: 1
1:ItNr\t2:Metric\t3a:Time\t3b:StepSize\t4:||Gradient||\tTime[ms]
0\t0.125\t0.0\t3.5\t0.1\t300.0
Time spent on saving the results, applying the final transform etc.: 840 ms.
"""


def test_elastix_log() -> None:
    log = ElastixLog()
    iterations = [line.split("\t")[0] for line in LOG.splitlines(keepends=True) if log.feed(line)]
    assert iterations == ["0", "1", "0"]
    assert [level.values for level in log.levels] == [[0.5, 0.25], [0.125]]
    assert log.times(70.0) == pytest.approx(
        {
            "reading the images": 0.018,
            "image pyramids": 0.233,
            "trying the models": 0.16,
            "features": 2.007,
            "step size estimation": 61.5,
            "iterations, level 1 (2)": 0.2,
            "iterations, level 2 (1)": 0.3,
            "resampling and writing": 0.84,
            "start and the rest": 70 - 65.258,
        }
    )


def test_points(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("point\n2\n1 2 3\n-4.5 5 6e1\n")
    found = evaluation.read_points(path).positions
    np.testing.assert_array_equal(found, [[1, 2, 3], [-4.5, 5, 60]])
    path.write_text("index\n1\n1 2 3\n")
    with pytest.raises(ValueError, match="has voxel indices"):
        evaluation.read_points(path)
    path.write_text("Point 0 ; InputPoint = [ 0 0 0 ] ; OutputPoint = [ 1.5 2 -3 ] ; Defor...\n")
    np.testing.assert_array_equal(read_output_points(path), [[1.5, 2, -3]])
    errors = evaluation.LandmarkErrors.between(np.zeros((3, 3)), np.diag([1.0, 2.0, 6.0]))
    assert (errors.mean, errors.median, errors.max) == (3.0, 2.0, 6.0)
