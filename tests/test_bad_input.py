"""What bad input gets: a message before the first iteration, and a process that lives on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import programs
from helpers.bad_input import CASES, good, write_files
from helpers.images import Grid, Image
from helpers.itk_process import ItkError, ItkProcess
from helpers.parameter_maps import Value, as_text, parameter_map
from helpers.registrations import SHIFTS, pair
from impact_plugin import _devices


@pytest.fixture(scope="module")
def images() -> tuple[Image, Image]:
    return pair(3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("name", CASES)
def test_message(
    itk_process: ItkProcess, images: tuple[Image, Image], files: Path, name: str
) -> None:
    changes, texts = CASES[name]
    check_refusal(itk_process, images, files, changes, texts)


def check_refusal(
    itk_process: ItkProcess,
    images: tuple[Image, Image],
    files: Path,
    changes: dict[str, Value],
    texts: list[str],
) -> str:
    """Register, see that it is refused in these words, and that the next registration runs."""

    def fill(value: Value) -> Value:
        if isinstance(value, list):
            return [fill(entry) for entry in value]  # type: ignore[misc]  # no lists in lists
        return value.replace("{files}", str(files)) if isinstance(value, str) else value

    parameters = good(files, **{key: fill(value) for key, value in changes.items()})
    with pytest.raises(ItkError, match=r'^RuntimeError: \s*Metric "Impact" cannot run:\n') as error:
        itk_process.register(*images, parameter_map(3, **parameters))
    process = itk_process.pid
    for text in texts:
        assert str(fill(text)) in error.value.text
    # The log says the same, and nothing was iterated.
    assert error.value.text.strip() in error.value.log
    assert "1:ItNr" not in error.value.log
    for noise in ("frame #", "Traceback", ".cpp:", "terminate called"):
        assert noise not in error.value.text

    result = itk_process.register(*images, parameter_map(3, **good(files)))
    assert np.linalg.norm(result.parameters - SHIFTS[3]) < 0.2
    assert itk_process.pid == process
    return error.value.text


def test_gpu_where_there_is_none(
    itk_process: ItkProcess, images: tuple[Image, Image], files: Path
) -> None:
    count = _devices.number_of_gpus()
    allowed = "-1 for the CPU" if count == 0 else f"-1 for the CPU, 0 to {count - 1}"
    found = "no GPU" if count == 0 else f"{count} GPU(s)"
    check_refusal(
        itk_process,
        images,
        files,
        {"GPU": count},
        [
            f"GPU (resolution level 0): {count} is not allowed, because torch finds {found}. "
            f"Allowed: {allowed}"
        ],
    )


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        (
            {
                "NumberOfResolutions": 2,
                "Mode": ["Static", "Both"],
                "ModelsPath": "{files}/nowhere.pt {files}/text.pt",
                "NumberOfChannels": ["0 1", "1 1"],
                "PatchSize": "0*0*0*0*0*0",
                "VoxelSize": "1*1*1*1*1*1",
                "LayersMask": "010 010",
                "Distance": ["L2", "L4"],
            },
            [
                'NumberOfChannels (resolution level 0): "0"',
                'Mode (resolution level 1): "Both"',
                'Distance (resolution level 1): "L4"',
                'file "{files}/nowhere.pt" does not exist',
                'file "{files}/text.pt" is not a TorchScript model',
            ],
        ),
        (
            {
                "NumberOfResolutions": 2,
                "ModelsPath": ["{files}/layers.pt {files}/flat.pt", "{files}/steps.pt"],
                "PatchSize": ["5*5*5*5*5*5", "5*26*5"],
                "VoxelSize": ["1*1*1*1*1*1", "1.5*1.5*1.5"],
                "LayersMask": ["01 010", "1"],
            },
            [
                'it has 2 entries, but model file "{files}/layers.pt" gives 3 layers',
                'Model file "{files}/flat.pt" refused an input of 1 x 1 x 5 x 5 x 5',
                "26 voxels of 1.5 mm (VoxelSize) span 39 mm along axis y, but the fixed",
                "26 voxels of 1.5 mm (VoxelSize) span 39 mm along axis y, but the movin",
            ],
        ),
    ],
)
def test_all_findings_at_once(
    itk_process: ItkProcess,
    images: tuple[Image, Image],
    files: Path,
    changes: dict[str, Value],
    texts: list[str],
) -> None:
    """Of parameters and files; of how models, parameters and images go together. Each once."""
    said = check_refusal(itk_process, images, files, changes, texts)
    for text in texts:
        assert said.count(text.replace("{files}", str(files))) == 1
    assert len(said.strip().splitlines()) == 1 + len(texts)


def test_names_as_the_user_wrote_them_in_all_messages(
    itk_process: ItkProcess, images: tuple[Image, Image], files: Path
) -> None:
    changes: dict[str, Value] = {"ImpactPatchSize0": [5, 26, 5], "ImpactGPU": 99}
    texts = ["ImpactPatchSize0 (resolution level 0): 26 voxels of 1.5 mm"]
    check_refusal(itk_process, images, files, {"ImpactPatchSize0": [5, 26, 5]}, texts)
    texts = ["ImpactGPU (resolution level 0): 99 is not allowed"]
    check_refusal(itk_process, images, files, changes, texts)


def test_features_that_are_no_numbers_in_jacobian_mode(
    itk_process: ItkProcess, images: tuple[Image, Image], files: Path
) -> None:
    changes: dict[str, Value] = {"ModelsPath": "{files}/logarithm.pt", "LayersMask": "1"}
    check_refusal(itk_process, images, files, changes, ["{files}/logarithm.pt"])


def test_tiles_that_are_too_small_at_a_later_level(
    itk_process: ItkProcess, images: tuple[Image, Image], files: Path
) -> None:
    changes: dict[str, Value] = {
        "Mode": "Static",
        "NumberOfResolutions": 2,
        "PatchSize": ["0*0*0", "2*2*2"],
    }
    expected = "PatchSize (resolution level 1): tiles of 2 voxels along axis x are too small"
    check_refusal(itk_process, images, files, changes, [expected])


def test_model_that_refuses_the_whole_image(
    itk_process: ItkProcess, images: tuple[Image, Image], files: Path
) -> None:
    """It is tried on a part first: the level's own images are what it meets next."""
    check_refusal(
        itk_process,
        images,
        files,
        {
            "Mode": "Static",
            "ModelsPath": "{files}/small.pt",
            "LayersMask": "1",
            "VoxelSize": "0.5*0.5*0.5",
            "PatchSize": "0*0*0",
        },
        [
            'Model file "{files}/small.pt" refused an input of 1 x 1 x 78 x 75 x 68',
            "expected at most 64 voxels along each axis",
        ],
    )


# The command line


def run_elastix(
    fixed: Path, moving: Path, parameters: str, folder: Path
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the program, and give the process and its log."""
    (folder / "parameters.txt").write_text(parameters)
    command: list[str | Path] = [
        *(sys.executable, "-m", "impact_plugin.command_line", "elastix", "-out", folder),
        *("-f", fixed, "-m", moving, "-p", folder / "parameters.txt"),
    ]
    process = programs.captured(*command)
    return process, (folder / "elastix.log").read_text()


@pytest.mark.parametrize("name", ["missing file", "text", "mask too short", "unknown mode"])
def test_command_line(images: tuple[Image, Image], files: Path, tmp_path: Path, name: str) -> None:
    changes, texts = CASES[name]
    text = as_text(parameter_map(3, **good(files, **changes))).replace("{files}", str(files))
    fixed, moving = (
        image.write(tmp_path / f"{side}.mha")
        for image, side in zip(images, ("fixed", "moving"), strict=True)
    )
    process, log = run_elastix(fixed, moving, text, tmp_path)
    assert process.returncode == 1
    for output in (log, process.stdout):
        assert 'Metric "Impact" cannot run:' in output
        for expected in texts:
            assert expected.replace("{files}", str(files)) in output
    assert "1:ItNr" not in log
    assert process.stderr == ""
    assert not list(tmp_path.glob("TransformParameters*"))


def test_images_of_four_dimensions(files: Path, tmp_path: Path) -> None:
    grid = Grid((6, 6, 6, 4), (1.0,) * 4, (0.0,) * 4, np.eye(4))
    image = Image(np.zeros((4, 6, 6, 6), np.float32), grid).write(tmp_path / "image.mha")
    process, log = run_elastix(image, image, as_text(parameter_map(4, **good(files))), tmp_path)
    assert process.returncode == 1
    expected = "parameter FixedImageDimension is 4. Allowed: images of 2 or 3 dimensions."
    assert f'Metric "Impact" cannot run: {expected}' in log
