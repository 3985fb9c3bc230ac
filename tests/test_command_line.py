"""The programs impact-elastix and impact-transformix without a registration.

Expected are the words and exit codes of elastix's own programs (its Core/Main/elastix.cxx and
transformix.cxx).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers import processor_time
from helpers.parameter_maps import as_text, parameter_map
from helpers.programs import program_path, run
from impact_plugin import command_line


@pytest.mark.parametrize("program", ["elastix", "transformix"])
def test_version(program: str, tmp_path: Path) -> None:
    process = run(program, "--version", folder=tmp_path)
    lines = process.stdout.splitlines()
    assert (process.returncode, process.stderr) == (0, "")
    assert lines[0] == f"{program} version: 5.3.1"
    assert re.fullmatch(r"impact-plugin \S+, torch 2\.13\.\S+, itk-elastix 0\.25\.[23]", lines[1])
    assert len(lines) == 2


@pytest.mark.parametrize("program", ["elastix", "transformix"])
def test_version_comes_at_once(program: str) -> None:
    """Of the processor time of importing torch, itk or both it takes a small part, some tenth."""
    taken = processor_time.of_command(program_path(program), "--version")
    assert taken < 0.5 * processor_time.of_importing_torch()


@pytest.mark.parametrize("program", ["elastix", "transformix"])
def test_neither_itk_nor_torch_is_imported(program: str, tmp_path: Path) -> None:
    process = run(
        program, "--version", folder=tmp_path, environment={"PYTHONPROFILEIMPORTTIME": "1"}
    )
    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert "impact_plugin._elastix" in imported
    assert not {"itk", "torch", "numpy"} & imported


@pytest.mark.parametrize("program", ["elastix", "transformix"])
@pytest.mark.parametrize("word", ["--help", "-help", "-h"])
def test_help(program: str, word: str, tmp_path: Path) -> None:
    process = run(program, word, folder=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith(f"{program} version: 5.3.1\n")
    flags = {
        "elastix": ("-f", "-m", "-out", "-p", "-fMask", "-mMask", "-fp", "-mp", "-t0"),
        "transformix": ("-out", "-tp", "-in", "-def", "-jac", "-jacmat"),
    }[program]
    for flag in (*flags, "-loglevel", "-priority", "-threads"):
        assert re.search(rf"(?m)^  {flag} ", process.stdout)
    assert f"This is {program} as impact-{program}" in process.stdout


@pytest.mark.parametrize("program", ["elastix", "transformix"])
@pytest.mark.parametrize("arguments", [[], ["nonsense"]])
def test_hint(program: str, arguments: list[str], tmp_path: Path) -> None:
    process = run(program, *arguments, folder=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f'Use "{program} --help" for information about {program}-usage.\n'


NO_FOLDER = 'the output directory "nowhere/" does not exist.\nYou are responsible for creating it.'


@pytest.mark.parametrize(
    ("program", "arguments", "code", "message"),
    [
        # -1 and -2 of elastix's main, joined bit by bit, are 255 and 254 to the shell.
        ("elastix", ["-f", "a", "-m", "b", "-p", "c"], 254, 'No CommandLine option "-out" given!'),
        ("elastix", ["-f", "a", "-out", "."], 255, 'No CommandLine option "-p" given!'),
        ("elastix", ["-p", "a", "-out", "nowhere"], 254, NO_FOLDER),
        ("elastix", ["-f", "a", "-out", "nowhere"], 255, NO_FOLDER),
        ("elastix", ["-p", "a", "-loglevel", "loud"], 1, 'log level ("loud") is not supported'),
        ("transformix", ["-in", "a", "-out", "."], 255, 'No CommandLine option "-tp" given!'),
        ("transformix", ["-tp", "a", "-out", "."], 255, "At least one of the CommandLine options"),
        ("transformix", ["-tp", "a", "-in", "b"], 254, 'No CommandLine option "-out" given!'),
        ("transformix", ["-tp", "a", "-in", "b", "-out", "nowhere"], 254, NO_FOLDER),
    ],
)
def test_missing_arguments(
    program: str, arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    process = run(program, *arguments, folder=tmp_path)
    assert process.returncode == code
    assert message in process.stderr


def test_missing_files(tmp_path: Path) -> None:
    arguments = ["-f", "a.mha", "-m", "b.mha", "-out", ".", "-p"]
    process = run("elastix", *arguments, "missing.txt", folder=tmp_path)
    assert process.returncode != 0
    assert "missing.txt" in process.stdout
    (tmp_path / "p.txt").write_text(as_text(parameter_map(3, Metric="AdvancedMeanSquares")))
    process = run("elastix", *arguments, "p.txt", folder=tmp_path)
    assert process.returncode == 1
    assert "ERROR: could not read fixed image." in (tmp_path / "elastix.log").read_text()


@pytest.mark.parametrize(
    ("name", "line", "refused"),
    [
        ("map.txt", "(NumberOfResolutions 1000000000)", "1000000000"),
        ("map.txt", '  ( NumberOfResolutions "101")', "101"),
        ("map.toml", "NumberOfResolutions = 99999999999999999999999", "99999999999999999999999"),
        ("map.txt", "(NumberOfResolutions 100)", None),
        ("map.txt", "// (NumberOfResolutions 1000000000)", None),
    ],
)
def test_more_levels_than_there_can_be(
    tmp_path: Path, name: str, line: str, refused: str | None
) -> None:
    """Elastix ended in std::bad_alloc, before it asked the metric."""
    (tmp_path / name).write_text(f"{line}\n")
    arguments = ("-f", "nothing.mha", "-m", "nothing.mha", "-p", name, "-out", ".")
    process = run("elastix", *arguments, folder=tmp_path)
    assert process.returncode != 0
    message = (
        f'impact-elastix: {name}: NumberOfResolutions: "{refused}" is not allowed. '
        "Allowed: whole numbers from 1 to 100.\n"
    )
    assert (process.stderr == message) == (refused is not None)


def test_the_check_has_the_same_limit() -> None:
    from impact_plugin.parameters.parsing import count_of

    name = "NumberOfResolutions"
    assert count_of({name: [str(command_line.MOST_LEVELS)]}, name, 3) == command_line.MOST_LEVELS
    with pytest.raises(ValueError, match=f"from 1 to {command_line.MOST_LEVELS}"):
        count_of({name: [str(command_line.MOST_LEVELS + 1)]}, name, 3)
