"""Model files that are damaged, and programs in them that behave as none should.

Whatever they do: an error that names the file, and a process that lives on.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import impact_plugin
from helpers import hostile_models, programs, skips, tiny_models
from helpers.bad_input import good
from helpers.damaged_models import DAMAGED, TOO_FEW, rezipped
from helpers.images import Image
from helpers.itk_process import ItkError, ItkProcess, Registration
from helpers.pairs import sitk_pair
from helpers.parameter_maps import parameter_map
from helpers.programs import write_parameters
from helpers.registrations import pair
from impact_plugin import _core, _networks, check, models

MODES = ("Static", "Jacobian")


@pytest.fixture(scope="module")
def images() -> tuple[Image, Image]:
    return pair(3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the good model that registrations after a refused one take."""
    folder = tmp_path_factory.mktemp("hostile")
    tiny_models.save(tiny_models.Layers(3), folder / "layers.pt")
    return folder


def register(
    itk_process: ItkProcess,
    images: tuple[Image, Image],
    folder: Path,
    model: Path,
    mode: str,
    **parameters: str | float,
) -> Registration:
    """Register with a model of one layer, by the stock itk."""
    changes: dict[str, str | float] = {
        "ModelsPath": str(model),
        "LayersMask": "1",
        "Mode": mode,
        "PatchSize": "5*5*5" if mode == "Jacobian" else "0*0*0",
        "MaximumNumberOfIterations": 6,
        **parameters,
    }
    return itk_process.register(*images, parameter_map(3, **good(folder, **changes)))


# What models give and do

REFUSED: dict[type[hostile_models.Model], str] = {
    hostile_models.NoLayers: '{file}" gives 0 layers. Give one 0 or 1 for each layer.',
    hostile_models.NoChannels: '{file}": layer 0 has shape 1 x 0 x',
    hostile_models.NoVoxels: '{file}": layer 0 has shape 1 x 6 x 0 x',
    hostile_models.NotANumber: '{file}" gives features that are infinite or not a number.',
    hostile_models.Infinite: '{file}" gives features that are infinite or not a number.',
    hostile_models.Flattened: '{file}": layer 0 has shape 1 x 6 x',
    hostile_models.WrongBatch: '{file}": layer 0 has shape 2 x 6 x',
    hostile_models.Nothing: '{file}": forward() returned None. Allowed: a tensor',
    hostile_models.Number: '{file}": forward() returned Double. Allowed: a tensor',
    hostile_models.Dictionary: '{file}": forward() returned GenericDict. Allowed: a tensor',
    hostile_models.ListOfTexts: '{file}": forward() returned GenericList. Allowed: a tensor',
    hostile_models.Nested: '{file}": forward() returned GenericList. Allowed: a tensor',
    hostile_models.Complex: '{file}": forward() returned complex numbers. Allowed: real ones.',
    hostile_models.Sparse: '{file}": forward() returned a tensor that is sparse. Allowed: dense',
    hostile_models.Meta: '{file}": forward() returned a tensor that is empty (meta). Allowed:',
    hostile_models.Throws: "I do not like you. Check Dimension, NumberOfChannels and PatchSize",
    hostile_models.ThrowsMuch: "AssertionError: much ado. Check Dimension",
    hostile_models.DividesByZero: "division by 0. Check",
    hostile_models.RemainderOfZero: "division by 0. Check",
    hostile_models.Beyond: "list index out of range. Check",
    hostile_models.Greedy: "the memory of the CPU does not suffice for an input of 1 x 1 x",
    hostile_models.Trains: '{file}" gives other features when it is called a second time with the',
    hostile_models.Noise: '{file}" gives other features when it is called a second time with the',
    hostile_models.Counts: '{file}" gives other features when it is called a second time with the',
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: str(kind.__name__))
def test_refused(
    itk_process: ItkProcess,
    images: tuple[Image, Image],
    folder: Path,
    kind: type[hostile_models.Model],
    mode: str,
) -> None:
    file = tiny_models.save(kind(), folder)
    process = itk_process.pid
    with pytest.raises(ItkError, match=r'^RuntimeError: \s*Metric "Impact" cannot run:\n') as error:
        register(itk_process, images, folder, file, mode)
    assert REFUSED[kind].replace("{file}", str(file)) in error.value.text
    assert str(file) in error.value.text
    assert len(error.value.text) < 1000
    assert "1:ItNr" not in error.value.log
    assert process in (None, itk_process.pid)


@pytest.fixture(scope="module")
def usual(
    itk_process: ItkProcess, images: tuple[Image, Image], folder: Path
) -> dict[str, Registration]:
    """What a model gives that has the same features and does nothing else, by mode."""
    file = tiny_models.save(hostile_models.Plain(), folder)
    return {mode: register(itk_process, images, folder, file, mode) for mode in MODES}


AS_USUAL = {
    hostile_models.InPlace: 0.0,
    hostile_models.Prints: 0.0,
    hostile_models.Floods: 0.0,
    hostile_models.Permuted: 1e-6,
    hostile_models.Double: 1e-6,
    hostile_models.Forks: 1e-6,
    hostile_models.Drops: 1e-3,  # saved in training mode; batch norm divides by sqrt(1 + 1e-5)
    hostile_models.Half: 1e-2,
    hostile_models.Brain: 5e-2,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", AS_USUAL, ids=lambda kind: str(kind.__name__))
def test_the_result_is_that_of_a_model_with_manners(
    itk_process: ItkProcess,
    images: tuple[Image, Image],
    folder: Path,
    usual: dict[str, Registration],
    kind: type[hostile_models.Model],
    mode: str,
) -> None:
    """Changing its input, printing, other types and layouts of tensors."""
    training = kind is hostile_models.Drops
    file = tiny_models.save(kind(), folder / f"{kind.__name__}.pt", training=training)
    found = register(itk_process, images, folder, file, mode)
    assert np.abs(found.parameters - usual[mode].parameters).max() <= AS_USUAL[kind]


@pytest.mark.parametrize("how", hostile_models.HOW)
def test_a_model_that_changes_after_some_calls(
    itk_process: ItkProcess, images: tuple[Image, Image], folder: Path, how: str
) -> None:
    """Wherever that is noticed, at the beginning or in an iteration, the message names the file."""
    process = itk_process.pid
    said = []
    for calls in (2, 4, 12):
        file = tiny_models.save(hostile_models.Later(calls, how), folder / "later.pt")
        for mode, interval in (("Static", -1), ("Static", 2), ("Jacobian", -1)):
            try:
                register(
                    itk_process, images, folder, file, mode, FeaturesMapUpdateInterval=interval
                )
            except ItkError as error:
                said.append(error.text.strip())
    assert said
    begins = re.compile(
        r'Metric "Impact" cannot (run|go on \(resolution level 0, iteration \d+\)):\n'
    )
    assert [text for text in said if not begins.match(text) or "later.pt" not in text] == []
    assert process in (None, itk_process.pid)


def test_a_derivative_that_is_no_number(
    itk_process: ItkProcess, images: tuple[Image, Image], folder: Path
) -> None:
    """Where the features are numbers: found in the first iteration, and told to Python."""
    file = tiny_models.save(hostile_models.Root(), folder)
    with pytest.raises(ItkError, match=r'Metric "Impact" cannot go on \(resolution') as error:
        register(itk_process, images, folder, file, "Jacobian")
    assert f'"{file}" has a derivative that is infinite or not a number' in error.value.text


@pytest.mark.parametrize(
    "optimizer",
    ["AdaptiveStochasticGradientDescent", "RegularStepGradientDescent", "ConjugateGradient"],
)
def test_errors_of_iterations_reach_python(
    itk_process: ItkProcess, images: tuple[Image, Image], folder: Path, optimizer: str
) -> None:
    """Whatever elastix's optimizers do with exceptions."""
    file = tiny_models.save(hostile_models.Later(9, "throws"), folder / "later.pt")
    with pytest.raises(ItkError, match=r'Metric "Impact" cannot go on \(resolution') as error:
        register(
            itk_process,
            images,
            folder,
            file,
            "Static",
            FeaturesMapUpdateInterval=1,
            Optimizer=optimizer,
            MaximumNumberOfIterations=30,
        )
    assert f'"{file}" refused an input' in error.value.text


@pytest.fixture
def short_time_limit(itk_process: ItkProcess) -> Iterator[None]:
    """Half a second for models, in the process with itk."""
    code = "import os; os.environ['IMPACT_MODEL_TIME_LIMIT'] = limit; result = None"
    itk_process.execute(code, limit="0.5")
    yield
    itk_process.execute("import os; del os.environ['IMPACT_MODEL_TIME_LIMIT']; result = None")


@pytest.mark.usefixtures("short_time_limit")
@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_never_comes_back(
    itk_process: ItkProcess, images: tuple[Image, Image], folder: Path, mode: str
) -> None:
    file = tiny_models.save(hostile_models.Endless(), folder)
    with pytest.raises(ItkError, match="IMPACT_MODEL_TIME_LIMIT") as error:
        register(itk_process, images, folder, file, mode, NumberOfResolutions=3)
    assert f'"{file}" was stopped: it had not come back after 0.5 s' in error.value.text
    register(itk_process, images, folder, tiny_models.save(hostile_models.Plain(), folder), mode)


def test_wrong_time_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    monkeypatch.setenv("IMPACT_MODEL_TIME_LIMIT", "soon")
    parameters = {"ModelsPath": [str(folder / "layers.pt")], "LayersMask": ["010"]}
    report = check.check_map({**parameters, "Metric": ["Impact"], "VoxelSize": ["1*1*1"]})
    assert 'IMPACT_MODEL_TIME_LIMIT is "soon". Allowed: the seconds' in str(report)


# Ways in


def test_prints_are_not_taken_for_elastix_s(folder: Path) -> None:
    """Among them lines that look like elastix's; register_images reads what it says."""
    found = []
    for kind in (hostile_models.Plain, hostile_models.Prints, hostile_models.Floods):
        file = tiny_models.save(kind(), folder)
        changes: dict[str, str | float] = {"ModelsPath": str(file), "LayersMask": "1"}
        parameters = parameter_map(3, **good(folder, **changes, MaximumNumberOfIterations=3))
        result = impact_plugin.register_images(*sitk_pair(), parameter_maps=parameters)
        assert result.history.level.tolist() == [0, 0, 0]
        found.append((result.history.metric.tolist(), result.elastix_parameters))
    assert found[0] == found[1] == found[2]


def test_inspection_outlives_what_it_inspects(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(models.ModelStoppedError, match=r"was stopped: it was not done after 4 s"):
        models.inspect(tiny_models.save(hostile_models.Endless(), folder), time_limit=4)
    with pytest.raises(models.ModelStoppedError, match=r"was ended by the signal SIGFPE"):
        models.inspect(tiny_models.save(hostile_models.LeastByMinusOne(), folder))
    # Standard output is the report's alone.
    file = tiny_models.save(hostile_models.Prints(), folder)
    command = [sys.executable, "-m", "impact_plugin.cli", "models", "inspect", "--json", str(file)]
    run = programs.captured(*command, check=True)
    assert json.loads(run.stdout)["layers"][0]["channels"] == 6
    assert "a joke" in run.stderr
    with pytest.raises(ValueError, match="time_limit is 0, expected seconds above 0"):
        models.inspect(file, time_limit=0)


# Files


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files(folder: Path, tmp_path: Path, case: str) -> None:
    change, expected = DAMAGED[case]
    file = rezipped(folder / "layers.pt", tmp_path / "damaged.pt", change)
    with pytest.raises(_core.Error, match=re.escape(expected)) as error:
        _networks.Network(str(file))
    assert str(file) in str(error.value)
    assert len(str(error.value)) < 900
    assert "can open:  Give" not in str(error.value), "there is no reason"


def test_weights_that_have_changed(
    itk_process: ItkProcess, images: tuple[Image, Image], folder: Path, tmp_path: Path
) -> None:
    """One bit of them: torch itself reads them as they are."""
    content = bytearray((folder / "layers.pt").read_bytes())
    with zipfile.ZipFile(folder / "layers.pt") as archive:
        entry = next(info for info in archive.infolist() if info.filename.endswith("/data/0"))
    content[entry.header_offset + 200] ^= 1
    file = tmp_path / "changed.pt"
    file.write_bytes(content)
    torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    with pytest.raises(ItkError, match=r"because it is damaged: .*/data/0 in it has changed"):
        register(itk_process, images, folder, file, "Jacobian")
    with pytest.raises(models.ModelFileError, match=r"damaged: .*/data/0 in it has changed"):
        models.inspect(file, run=False)


@pytest.fixture(scope="module")
def too_few(folder: Path) -> dict[str, Path]:
    """Files that say more of their weights than is there, with checksums that fit."""
    layers = torch.jit.load(str(folder / "layers.pt"))  # type: ignore[no-untyped-call]
    torch.jit.save(torch.jit.freeze(layers), str(folder / "constants.pt"))
    return {
        case: rezipped(folder / source, folder / f"too few, {number}.pt", change)
        for number, (case, (source, change, _)) in enumerate(TOO_FEW.items())
    }


@pytest.mark.parametrize("case", TOO_FEW)
def test_weights_that_are_too_few(too_few: dict[str, Path], case: str) -> None:
    """Torch would read on in the memory behind them."""
    file, (_, _, expected) = too_few[case], TOO_FEW[case]
    with pytest.raises(_core.Error, match=expected) as error:
        _networks.Network(str(file))
    assert f'file "{file}" is not a TorchScript model that can be used' in str(error.value)
    with pytest.raises(models.ModelFileError, match=re.escape(str(file))):
        models.inspect(file, run=False)


@pytest.mark.parametrize("case", ["a record that was cut", "a longer storage"])
def test_weights_that_are_too_few_for_all_ways_in(
    itk_process: ItkProcess,
    images: tuple[Image, Image],
    too_few: dict[str, Path],
    tmp_path: Path,
    case: str,
) -> None:
    """The process of the caller, the command line, and the check before it."""
    file, (_, _, expected) = too_few[case], TOO_FEW[case]
    with pytest.raises(ItkError, match=expected) as error:
        register(itk_process, images, tmp_path, file, "Static")
    assert str(file) in error.value.text
    assert itk_process.execute("result = 1 + 1") == 2

    names = ["fixed.mha", "moving.mha", "map.txt"]
    fixed, moving, parameters = (tmp_path / name for name in names)
    for image, path in zip(images, (fixed, moving), strict=True):
        image.write(path)
    write_parameters(parameters, **good(tmp_path, ModelsPath=str(file), LayersMask="1"))
    run = programs.run(
        "elastix", "-f", fixed, "-m", moving, "-p", parameters, "-out", tmp_path, folder=tmp_path
    )
    assert run.returncode == 1
    assert str(file) in run.stdout + run.stderr
    assert re.search(expected, run.stdout + run.stderr)

    command = [sys.executable, "-m", "impact_plugin.cli", "check", str(parameters)]
    command += ["--fixed", str(fixed), "--moving", str(moving)]
    run = programs.captured(*command)
    assert run.returncode == 1
    assert re.search(expected, run.stdout + run.stderr)


STRANGE: dict[str, tuple[bytes, str]] = {
    "a million of nested tuples": (b")" + b"\x85" * 1_000_000, "objects inside of more than 1000"),
    "a place that needs 64 GB": (b")r\xff\xff\xff\xff", "the place 4294967295 in its memory"),
    "a name without an end": (b"ctorch", "constants.pkl in it is cut off"),
    "a text without an end": (b"X\xff\xff\xff\x7fa", "constants.pkl in it is cut off"),
    "an end before its beginning": (b")(\x81t", "an end without a beginning"),
    "a number for a tuple": (b"K\x01Q", "weights that are described by other things than is usual"),
    "an instruction of another protocol": (b"\x95", "the instruction 149"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_pickles_on_which_torch_would_stumble(folder: Path, tmp_path: Path, case: str) -> None:
    """Which end the process, or take all memory, where they come to torch."""
    program, expected = STRANGE[case]

    def strange(name: str, content: bytes) -> bytes:
        return b"\x80\x02" + program + b"." if name.endswith("constants.pkl") else content

    file = rezipped(folder / "layers.pt", tmp_path / "strange.pt", strange)
    with pytest.raises(_core.Error, match=expected) as error:
        _networks.Network(str(file))
    assert str(file) in str(error.value)


def test_weights_of_all_kinds(tmp_path: Path) -> None:
    """Types, layouts and containers, none of which is taken for damage."""
    file = tiny_models.save(hostile_models.AllKinds(), tmp_path / "kinds.pt")
    assert _networks.Network(str(file)).layer_shapes([5, 5, 5], 1, 1, (0, 1)) == [[1, 1, 5, 5, 5]]
    assert models.inspect(file).weights["float32"] >= 12


def test_any_change_is_survived(folder: Path, tmp_path: Path) -> None:
    """Bytes changed at random, in the file and inside of its parts.

    It is refused, or opens; what opens is run in a process of its own, which ends well.
    """
    source = folder / "layers.pt"
    draw = random.Random(7)

    def scratched(content: bytes) -> bytes:
        scratches = bytearray(content)
        for _ in range(draw.choice((1, 3, 20))):
            scratches[draw.randrange(len(scratches))] = draw.randrange(256)
        return bytes(scratches)

    def of_parts(ending: str) -> Callable[[str, bytes], bytes]:
        return lambda name, content: scratched(content) if name.endswith(ending) else content

    said, opened = [], []
    number_of_files = int(os.environ.get("IMPACT_DAMAGED_FILES", "60"))
    for number in range(number_of_files):
        file = tmp_path / f"{number}.pt"
        if number % 3 == 0:
            file.write_bytes(scratched(source.read_bytes()))
        else:
            rezipped(source, file, of_parts("data.pkl" if number % 3 == 1 else ".py"))
        try:
            _networks.Network(str(file))
            opened.append(file.name)
        except _core.Error as error:
            said.append((file, str(error)))
        try:
            models.inspect(file, run=False)
        except models.ModelFileError as error:
            said.append((file, str(error)))
    assert len(said) > number_of_files / 2
    assert [text for file, text in said if str(file) not in text] == []

    program = Path(__file__).parent / "programs" / "run_models.py"
    run = programs.python(program, *opened, cwd=tmp_path, timeout=60 + len(opened))
    ran = run.stdout.splitlines()
    assert (run.returncode, len(ran)) == (0, len(opened)), (ran[-1:], run.stderr[-2000:])
    assert ran.count("gave 3 layers") > 0


def test_a_text_that_would_fill_the_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impact_plugin.models.archive._LONGEST_TEXT", 1000)
    with pytest.raises(models.ModelFileError, match=r"has \d+ bytes, of which at most 1000"):
        models.inspect(folder / "layers.pt")


def test_pipes_and_devices(tmp_path: Path) -> None:
    """Reading them might never end."""
    pipe = tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(_core.Error, match=f'"{path}" is a pipe or a device, and no file'):
            _networks.Network(str(path))
        with pytest.raises(models.ModelFileError, match=f'"{path}" is a pipe or a device'):
            models.inspect(path)


@pytest.mark.skipif(os.geteuid() == 0, reason=skips.AS_ROOT)
def test_files_that_may_not_be_read(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "secret.pt"
    file.write_bytes((folder / "layers.pt").read_bytes())
    file.chmod(0)
    with pytest.raises(_core.Error, match="does not exist or cannot be read"):
        _networks.Network(str(file))
    with pytest.raises(OSError, match=r"Permission denied.*secret\.pt"):
        models.inspect(file)
