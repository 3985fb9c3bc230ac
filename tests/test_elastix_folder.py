"""The folder that other programs take for an installation of elastix."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from helpers import host_versions, programs, tiny_models
from helpers.images import Array
from helpers.pairs import write_pair
from helpers.parameter_maps import as_text, parameter_map
from helpers.programs import captured, program_path
from helpers.registrations import SHIFTS
from impact_plugin import command_line
from impact_plugin.elastix import installation
from impact_plugin.parameters import map_files

PROGRAMS = ("elastix", "transformix")
KONFAI = (("impact-reg-konfai", "1.8.7"), ("konfai", "1.8.7"), ("ruamel.yaml", "0.19.1"))
"""What KonfAI's engine imports, beside what is installed for other tests."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose name a shell would take apart."""
    return command_line.elastix_folder(
        tmp_path_factory.mktemp("of") / "an 'elastix' $HOME; of ours"
    )


@pytest.fixture(scope="module")
def konfai() -> str:
    """Where Python finds KonfAI and what it imports."""
    return os.pathsep.join(str(host_versions.other_package(*each)) for each in KONFAI)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Libraries of another program, named as torch's and C++'s, and modules of its Python."""
    lib = tmp_path / "theirs"
    lib.mkdir()
    for name in ("libtorch.so", "libtorch_cpu.so", "libc10.so", "libstdc++.so.6"):
        (lib / name).write_text("of another program")
    for name in ("re.py", "impact_plugin.py", "numpy.py"):
        (lib / name).write_text("raise SystemExit('a module of another program')")
    return lib


def registration(folder: Path, model: str) -> tuple[str | Path, ...]:
    """Write two images and a map with the metric; gives the options of elastix."""
    fixed, moving = write_pair(folder)
    parameters = parameter_map(
        3,
        Metric="Impact",
        ImpactMode="Static",
        ImpactModelsPath0=model,
        ImpactDimension0=3,
        ImpactVoxelSize0=(2.0, 2.0, 2.0),
        MaximumNumberOfIterations=3,
    )
    (folder / "map.txt").write_text(as_text(parameters))
    (folder / "out").mkdir()
    return "-f", fixed, "-m", moving, "-p", folder / "map.txt", "-out", folder / "out"


def test_what_it_has(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["bin", installation.MARK, "lib"]
    assert sorted(path.name for path in (folder / "bin").iterdir()) == list(PROGRAMS)
    assert list((folder / "lib").iterdir()) == []
    assert sys.prefix in (folder / installation.MARK).read_text()


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("word", ["--version", "--help", "-h"])
def test_asked_as_other_programs_ask(folder: Path, name: str, word: str, tmp_path: Path) -> None:
    """The same words as the programs themselves, with every symbol bound at the start (KonfAI)."""
    found = captured(folder / "bin" / name, word, cwd=tmp_path, environment={"LD_BIND_NOW": "1"})
    expected = captured(program_path(name), word, cwd=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, expected.stdout, "")
    assert found.stdout.startswith(f"{name} version: 5.3.1\n")


def test_exit_codes_and_arguments_are_those_of_the_programs(folder: Path, tmp_path: Path) -> None:
    arguments = ["-f", "a b.mha", "-m", "*", "-p", "$HOME 'c'.txt", "-out", "nowhere at all"]
    found = captured(folder / "bin" / "elastix", *arguments, cwd=tmp_path)
    expected = captured(program_path("elastix"), *arguments, cwd=tmp_path)
    assert found.returncode == expected.returncode != 0
    assert (found.stdout, found.stderr) == (expected.stdout, expected.stderr)


def test_libraries_and_modules_of_the_calling_program(
    folder: Path, theirs: Path, tmp_path: Path, mind: dict[int, str]
) -> None:
    """KonfAI and 3D Slicer set LD_LIBRARY_PATH, Slicer PYTHONHOME as well: ours heeds neither."""
    options = registration(tmp_path, mind[3])
    set_by_them = {"LD_LIBRARY_PATH": str(theirs)}
    control = captured(program_path("elastix"), *options, cwd=tmp_path, environment=set_by_them)
    assert control.returncode != 0  # or this test shows nothing
    set_by_them |= {"PYTHONHOME": str(theirs), "PYTHONPATH": str(theirs)}
    done = captured(folder / "bin" / "elastix", *options, cwd=theirs, environment=set_by_them)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Resolution: 0" in done.stdout
    assert programs.iterations(done.stdout) == 3
    done = captured(
        *(folder / "bin" / "transformix", "-in", options[3], "-out", tmp_path / "out"),
        *("-tp", tmp_path / "out" / "TransformParameters.0.txt"),
        cwd=theirs,
        environment=set_by_them,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "result.mhd").is_file()


def test_by_a_link_and_by_the_search_path(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "elastix"
    link.symlink_to(folder / "bin" / "elastix")
    assert captured(link, "--version", cwd=tmp_path).returncode == 0
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    run = captured("sh", "-c", "elastix --version", cwd=tmp_path, environment={"PATH": path})
    assert run.stdout.startswith("elastix version: 5.3.1\n")


def test_the_environment_of_its_making_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: Path
) -> None:
    """A Python that itself needs a LD_LIBRARY_PATH has it."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "/a b/$c")
    made = command_line.elastix_folder(tmp_path / "made")
    (made / "bin" / "elastix").write_text(
        (made / "bin" / "elastix").read_text().replace('exec "$python" -c', "exec env #")
    )
    run = captured(
        made / "bin" / "elastix",
        cwd=tmp_path,
        environment={"LD_LIBRARY_PATH": str(theirs), "PYTHONPATH": str(theirs)},
    )
    variables = run.stdout.splitlines()
    assert "LD_LIBRARY_PATH=/a b/$c" in variables
    assert not [line for line in variables if line.startswith("PYTHONPATH=")]


def test_again_is_the_same(tmp_path: Path) -> None:
    """What somebody put beside it stays; a program that was changed is ours again."""
    made = command_line.elastix_folder(tmp_path / "new" / "folder")
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    (made / "bin" / "elastix").write_text("not ours")
    (made / "notes.txt").write_text("mine")
    shutil.rmtree(made / "lib")
    run = programs.plugin("elastix-folder", made)
    assert (run.exit_code, run.output) == (0, f"{made}\n")
    assert {path: path.read_bytes() for path in before} == before
    assert (made / "lib").is_dir()
    assert (made / "notes.txt").read_text() == "mine"


def test_an_empty_folder_and_a_relative_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    run = programs.plugin("elastix-folder", "empty")
    assert run.output == f"{tmp_path / 'empty'}\n"
    assert captured(tmp_path / "empty/bin/elastix", "--version", cwd="/").returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "files",
            "expected a new or an empty folder, or one that elastix-folder has made before: it has "
            "a, b, c, ..., and no impact-plugin.txt",
        ),
        ("file", "expected a folder to write into: it is a file"),
        ("file/below", "expected a folder to write into: Not a directory"),
        ("/proc/nothing", "expected a folder to write into: "),
        ("", "it is empty, expected a path"),
    ],
)
def test_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for each in "dcba":
        (tmp_path / "files" / each).touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    run = programs.plugin("elastix-folder", tmp_path / name if name else "")
    assert run.exit_code != 0
    assert message in run.output
    assert sorted(tmp_path.rglob("*")) == before


def test_an_environment_that_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs say so, and what to do; one that never starts is noticed at once."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(OSError, match=r"bin/elastix was written, and does not start: .*"):
        command_line.elastix_folder(tmp_path / "made")  # no environment: no impact_plugin in it
    python.unlink()
    run = captured(tmp_path / "made" / "bin" / "elastix", "--version")
    assert run.returncode == 1
    assert f"was installed for {python}, which is not there any more. Run" in run.stderr


ENGINE: dict[str, dict[str, dict[str, Any]]] = {
    "Static": {"0": {"ref": "mind3", "voxel_size": [2.0, 2.0, 2.0]}},
    # Three numbers for a 2D model in Static mode, two in Jacobian mode; weights, and the rest.
    "Static, 3D and 2D": {
        "0": {"ref": "mind3", "voxel_size": [2.0, 2.0, 2.0], "pca": 3},
        "1": {
            "ref": "layers2",
            "layers_mask": "010",
            "layers_weight": 0.1,
            "distance": "Cosine",
            "subset_features": 4,
        },
    },
    # Before it, the engine tries each network with a number of layers.
    "Jacobian, 3D and 2D": {
        "0": {"ref": "network3", "voxel_size": [2.0, 2.0, 2.0], "distance": "L1"},
        "1": {
            "ref": "network2",
            "voxel_size": [1.5, 1.5],
            "layers_mask": "01",
            "layers_weight": 0.5,
        },
    },
}


class Engine:
    """KonfAI's engine, its images and its models."""

    def __init__(
        self,
        packages: str,
        elastix: Path,
        libraries: Path,
        work: Path,
        mind: dict[int, str],
        layers: dict[int, str],
    ) -> None:
        self.work = work
        self.images = write_pair(work)
        template = parameter_map(
            3,
            Metric="Impact",
            ImpactModelsPath0="none",  # the engine writes the block anew
            MaximumNumberOfIterations=40,
        )
        (work / "map.txt").write_text(as_text(template))
        self.paths = {"mind3": mind[3], "layers2": layers[2], "layers3": layers[3]}
        for dimension, name_of in ((2, "network2"), (3, "network3")):
            network = tiny_models.Network(dimension, [4, 6], [1, 2])
            self.paths[name_of] = str(tiny_models.save(network, work / f"{name_of}.pt"))
        views = {
            **{"mind3": [7], "layers2": [1, 3, 4], "layers3": [1, 3, 4]},
            **{"network2": [3, 3], "network3": [3, 3]},
        }
        registry = {
            path: {"dimension": int(key[-1]), "numberofchannels": 1, "fov": views[key]}
            for key, path in self.paths.items()
        }
        (work / "models.json").write_text(json.dumps(registry))
        self.environment = {
            "PYTHONPATH": packages,
            "KONFAI_ELASTIX_DIR": str(elastix),
            "KONFAI_ELASTIX_EXTRA_LIB": str(libraries),
            "KONFAI_IMPACT_MODELS_REGISTRY": str(work / "models.json"),
        }

    def register(
        self, models: dict[str, dict[str, Any]], **options: str | bool
    ) -> tuple[Array, dict[str, list[str]], str]:
        """Give the displacements (3, z, y, x), the map that elastix was given, what was printed."""
        fixed, moving = self.images
        given = {
            "fixed": str(fixed),
            "moving": str(moving),
            "maps": [str(self.work / "map.txt")],
            "models": {
                key: {**model, "ref": self.paths[model["ref"]]} for key, model in models.items()
            },
            "options": options,
            "out": str(self.work / "field.npy"),
        }
        done = captured(
            *(sys.executable, Path(__file__).parent / "programs" / "konfai_engine.py"),
            cwd=self.work,
            input=json.dumps(given),
            environment=self.environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (written,) = json.loads((self.work / "field.json").read_text())
        (self.work / "written.txt").write_text(written)
        field: Array = np.load(self.work / "field.npy")
        assert field.shape == (3, *reversed(sitk.ReadImage(str(fixed)).GetSize()))
        return field, map_files.read(self.work / "written.txt"), done.stderr


@pytest.fixture
def engine(
    konfai: str,
    folder: Path,
    theirs: Path,
    mind: dict[int, str],
    layers: dict[int, str],
    tmp_path: Path,
) -> Engine:
    return Engine(konfai, folder, theirs, tmp_path, mind, layers)


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_of_konfai(name: str, engine: Engine) -> None:
    """It accepts the folder, runs the map that it makes, and reads the transform."""
    field, _, said = engine.register(ENGINE[name], mode=name.partition(",")[0])
    # It reads these lines of elastix's for its progress.
    assert "Registration : res 0 | metric " in said
    assert "40/40" in said
    found = field.reshape(3, -1)
    assert np.ptp(found, axis=1).max() < 1e-6  # a translation
    assert np.linalg.norm(found[:, 0] - SHIFTS[3]) < 0.2


TWO_LAYERS: dict[str, dict[str, Any]] = {
    "0": {"ref": "layers3", "layers_mask": "110", "layers_weight": [1.0, 0.5]}
}
"""An intensity and features that are of another size, so that dividing changes what weighs most."""


def test_normalized_losses_of_konfai(engine: Engine) -> None:
    """Its option, on by default, is read: another registration, and the same with it left out."""
    divided, written, _ = engine.register(TWO_LAYERS, normalize=True)
    assert written["ImpactNormalizeLosses"] == ["true"]
    by_default, written, _ = engine.register(TWO_LAYERS)
    assert written["ImpactNormalizeLosses"] == ["true"]
    np.testing.assert_array_equal(by_default, divided)
    raw, written, _ = engine.register(TWO_LAYERS, normalize=False)
    assert written["ImpactNormalizeLosses"] == ["false"]
    assert np.abs(raw - divided).max() > 1e-4


def test_normalized_features_of_konfai(engine: Engine) -> None:
    """Scaled features of a model are in the map that it makes, and change the registration."""
    fields = {}
    for kind in ("none", "l2", "standardized"):
        models = {"0": {"ref": "mind3", "distance": "L1", "feature_normalization": kind}}
        fields[kind], written, _ = engine.register(models)
        assert written["ImpactFeatureNormalization0"] == [kind]
    for kind in ("l2", "standardized"):
        assert np.abs(fields[kind] - fields["none"]).max() > 1e-4
