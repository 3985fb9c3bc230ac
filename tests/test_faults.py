"""What is left when things go wrong: full disks, kills in the middle of writing, too little memory.

Ctrl-C, SIGTERM and a child that is killed: tests/test_register_running.py; Ctrl-C on the command
line: tests/test_command_line_runs.py.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

import impact_plugin
from helpers import programs, skips, tiny_models
from helpers.pairs import shift_error, sitk_pair, squares, write_pair
from helpers.parameter_maps import ParameterMap, as_text, parameter_map
from helpers.registrations import impact
from impact_plugin import models
from impact_plugin.parameters.elastix_text import ElastixFile
from impact_plugin.parameters.toml_text import TomlFile


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The images, as files that elastix itself can read."""
    return write_pair(tmp_path_factory.mktemp("images"), "fixed.mha", "moving.mha")


@pytest.fixture(scope="module")
def results(files: tuple[Path, Path]) -> list[impact_plugin.RegistrationResult]:
    """Two different results, the second with more to write."""
    maps = squares(), squares(Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits=6)
    return [
        impact_plugin.register_images(*files, parameter_maps=each, iterations=3) for each in maps
    ]


# Full disks


class Disk:
    """A folder on a disk that can be filled.

    Args:
        folder: The folder.
        full: Fills the disk as long as it lasts.
    """

    def __init__(self, folder: Path, full: Callable[[], AbstractContextManager[None]]) -> None:
        self.folder = folder
        self.full = full


@contextlib.contextmanager
def short_files(most: int = 100) -> Iterator[None]:
    """Let no file of this process and its children become longer, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["limit", "disk"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A limit on the length of files; and a real disk, where one may be made."""
    if request.param == "limit":
        yield Disk(tmp_path, short_files)
        return
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() != 0:
        pytest.skip(skips.NOT_AS_ROOT)
    run = programs.captured(*mount)
    if run.returncode:
        pytest.skip(f"no disk can be mounted, though this is root: {run.stderr.strip()}")

    @contextlib.contextmanager
    def filled() -> Iterator[None]:
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
        filler.unlink()

    try:
        yield Disk(folder, filled)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Give what is in the files of a folder."""
    found = (path for path in folder.iterdir() if path.is_file() and path.name != "filler")
    return {path.name: path.read_bytes() for path in found}


def test_a_result_on_a_full_disk(
    disk: Disk, results: list[impact_plugin.RegistrationResult]
) -> None:
    """The one that was there stays as it was, and the next attempt works."""
    folder = disk.folder / "result"
    results[0].save(folder)
    before = contents(folder)
    with disk.full(), pytest.raises(OSError, match=rf"(too large|No space left).*{folder}"):
        results[1].save(folder)
    assert contents(folder) == before
    results[1].save(folder)
    assert repr(impact_plugin.RegistrationResult.load(folder).chain) == repr(results[1].chain)
    assert not any(path.name.startswith(".") for path in folder.iterdir())


def write_mind(path: Path, changed: bool) -> None:
    models.mind(dilation=2 if changed else 1, path=path)


def write_map(path: Path, changed: bool) -> None:
    ElastixFile(f"(A {'1 ' * (5000 if changed else 5)})\n").write(path)


def write_toml(path: Path, changed: bool) -> None:
    TomlFile(f"A = [{'1, ' * (5000 if changed else 5)}]\n").write(path)


def write_export(path: Path, changed: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 9 if changed else 2, 3, padding=1))
    models.export(network, ["0"], path)


WRITERS = [write_mind, write_map, write_toml, write_export]


@pytest.mark.parametrize("write", WRITERS)
def test_other_files_on_a_full_disk(disk: Disk, write: Callable[[Path, bool], None]) -> None:
    """torch.jit.save() itself ends the process there."""
    path = disk.folder / "file"
    write(path, False)
    before = contents(disk.folder)
    with disk.full(), pytest.raises(OSError, match=rf"(too large|No space left).*{path}"):
        write(path, True)
    assert contents(disk.folder) == before
    write(path, True)
    assert contents(disk.folder).keys() == before.keys()
    assert contents(disk.folder) != before


def test_transforms_that_elastix_could_not_finish(files: tuple[Path, Path], tmp_path: Path) -> None:
    """It ends as if nothing were wrong, and leaves half a file."""
    parameters = squares(Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits=6)
    with (
        short_files(8000),
        pytest.raises(
            impact_plugin.RegistrationError,
            match=r"ended as if all were well, but its transform cannot be read: .*disk full\?",
        ),
    ):
        impact_plugin.register_images(
            *files, parameter_maps=parameters, iterations=3, output_directory=tmp_path
        )
    assert not (tmp_path / "TransformParameters.0.txt").exists()
    impact_plugin.register_images(
        *files, parameter_maps=parameters, iterations=3, output_directory=tmp_path
    )
    assert (tmp_path / "TransformParameters.0.txt").exists()


def with_impact(model: str | Path, **parameters: str | float) -> ParameterMap:
    return parameter_map(3, **{**impact(3, "Static", str(model)), **parameters})


def test_feature_maps_on_a_full_disk(
    files: tuple[Path, Path], mind: dict[int, str], tmp_path: Path
) -> None:
    parameters = with_impact(mind[3], WriteFeatureMaps=str(tmp_path / "maps"))
    with (
        short_files(50_000),
        pytest.raises(
            impact_plugin.RegistrationError, match=r"Feature map .*cannot be written: "
        ) as error,
    ):
        impact_plugin.register_images(*files, parameter_maps=parameters, iterations=2)
    assert f'"{tmp_path}/maps/Fixed_0_' in str(error.value)
    assert "Is the disk full?" in str(error.value)
    assert list((tmp_path / "maps").iterdir()) == []
    assert error.value.log is not None
    error.value.log.unlink()


def test_images_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are no files yet are written for elastix."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with short_files(), pytest.raises(OSError, match=r"mha cannot be written: .*disk full\?"):
        impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), iterations=2)
    assert list(tmp_path.iterdir()) == []
    impact_plugin.register_images(*sitk_pair(), parameter_maps=squares(), iterations=2)


# Folders that are none


def test_folders_that_are_files(
    files: tuple[Path, Path],
    mind: dict[int, str],
    results: list[impact_plugin.RegistrationResult],
    tmp_path: Path,
) -> None:
    """Root may write into any folder, but not into a file."""
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "deeper"):
        with pytest.raises(OSError, match=rf"(File exists|Not a directory).*{file}"):
            results[0].save(folder)
        with pytest.raises(ValueError, match=rf"output_directory is '{folder}', expected a folder"):
            impact_plugin.register_images(*files, parameter_maps=squares(), output_directory=folder)
        parameters = with_impact(mind[3], WriteFeatureMaps=str(folder))
        with pytest.raises(
            impact_plugin.RegistrationError,
            match=rf'WriteFeatureMaps .*: folder "{folder}" cannot be written to: .*Give a folder',
        ) as error:
            impact_plugin.register_images(*files, parameter_maps=parameters)
        assert error.value.log is not None
        error.value.log.unlink()
    with pytest.raises(OSError, match=rf"(File exists|Not a directory).*{file}"):
        models.mind(path=file / "mind.pt")
    assert file.read_text() == "mine"


# Killed in the middle of writing


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import SimpleITK as sitk
import impact_plugin
import test_faults
from helpers.pairs import squares

what, target, *files = sys.argv[2:]

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def half(write):
    def write_half(self, content):
        write(self, content[: len(content) // 2])
        kill()
    return write_half

if what in ("save", "move"):
    maps = squares(Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits=6)
    result = impact_plugin.register_images(*files, parameter_maps=maps, iterations=3)
    if what == "save":
        written = sitk.WriteTransform
        sitk.WriteTransform = lambda *arguments: (written(*arguments), kill())
    else:
        move, moved = Path.replace, []
        def replace(self, path):
            if Path(path).parent == Path(target):
                moved.append(path)
            return move(self, path) if len(moved) < 3 else kill()
        Path.replace = replace
    result.save(target)
elif what == "write_mind":
    import torch
    saved = torch.jit.save
    torch.jit.save = lambda module, file, **_: (file.write(b"PK half"), file.flush(), kill())
    test_faults.write_mind(Path(target), True)
else:
    Path.write_bytes = half(Path.write_bytes)
    getattr(test_faults, what)(Path(target), True)
"""


def run_killed(*arguments: str | Path) -> None:
    """Run the program above, which ends by SIGKILL."""
    ran = programs.python("-c", KILLED, Path(__file__).parent, *arguments)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


@pytest.mark.parametrize("write", WRITERS[:3])
def test_killed_while_writing(write: Callable[[Path, bool], None], tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, False)
    before = path.read_bytes()
    run_killed(write.__name__, path)
    assert path.read_bytes() == before
    path.unlink()
    run_killed(write.__name__, path)
    assert not path.exists()


def test_killed_while_saving_a_result(
    files: tuple[Path, Path], results: list[impact_plugin.RegistrationResult], tmp_path: Path
) -> None:
    """While the files are written the old result stays; while they are moved there is none."""
    folder = tmp_path / "result"
    results[0].save(folder)
    before = contents(folder)
    run_killed("save", folder, *files)
    assert contents(folder) == before
    run_killed("move", folder, *files)
    assert contents(folder) != before
    with pytest.raises(FileNotFoundError, match=r"holds no result of a registration"):
        impact_plugin.RegistrationResult.load(folder)
    results[1].save(folder)
    assert len(impact_plugin.RegistrationResult.load(folder).history) == 3


def test_interrupted_while_saving_a_result(
    results: list[impact_plugin.RegistrationResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By Ctrl-C: without traces."""
    folder = tmp_path / "result"
    results[0].save(folder)
    before = contents(folder)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sitk, "WriteTransform", interrupt)
        with pytest.raises(KeyboardInterrupt):
            results[1].save(folder)
    assert contents(folder) == before


# Memory


class Hungry(torch.nn.Module):
    """Wants eight gigabytes, beyond what it is for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones([1 << 31])[:1]


def test_a_network_that_wants_more_memory_than_there_is(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """Of a process that may have six gigabytes of address space."""
    model = tiny_models.save(Hungry(), tmp_path / "hungry.pt")
    (tmp_path / "p.txt").write_text(as_text(with_impact(model)))
    command = [sys.executable, "-m", "impact_plugin.cli", "register", *map(str, files)]
    ran = programs.captured(
        *(*command, "-p", "p.txt", "-o", "out", "--threads", "1"),
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )
    assert ran.returncode == 1
    assert "the memory of the CPU does not suffice for an input of" in ran.stderr
    assert str(model) in ran.stderr
    assert "Traceback" not in ran.stderr


# Callbacks


def test_what_was_finished_before_a_callback_failed(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    def callback(iteration: impact_plugin.Iteration) -> None:
        if iteration.stage == 1 and iteration.number == 2:
            message = "of the callback"
            raise LookupError(message)

    maps = [squares(), squares(Transform="BSplineTransform")]
    with pytest.raises(LookupError, match="of the callback"):
        impact_plugin.register_images(
            *files, parameter_maps=maps, callback=callback, output_directory=tmp_path
        )
    # The first stage's transform is there and whole: what remains can start from it.
    done = tmp_path / "TransformParameters.0.txt"
    result = impact_plugin.register_images(
        *files, parameter_maps=squares(), iterations=2, initial_transform=done
    )
    assert shift_error(result) < 0.2
