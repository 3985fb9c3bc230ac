"""Registrations and transforms by impact-elastix and impact-transformix: flags and files."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers import tiny_models
from helpers.images import Grid, Image, Scene, mean_distance, shift
from helpers.parameter_maps import Value
from helpers.programs import (
    as_points,
    iterations,
    program_path,
    read_output_points,
    run,
    transform,
    translation,
    voxels,
    write_parameters,
)

GRID = Grid((34, 30, 26), (1.0, 1.25, 1.5), (-20.0, 35.0, 110.0))
SHIFT = np.array([2.6, -1.9, 2.3])  # mm, from fixed to moving


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pair of images, parameter files and a model, named relative to it."""
    folder = tmp_path_factory.mktemp("files")
    tiny_models.save(tiny_models.Layers(3), folder / "layers.pt")
    scene = Scene(GRID)
    scene.seen(GRID).write(folder / "fixed.mha")
    scene.seen(GRID, shift(*-SHIFT)).write(folder / "moving.mha")
    common: dict[str, Value] = {
        "WriteResultImage": "true",
        "WriteIterationInfo": "true",
        "ResultImageFormat": "mha",
        "MaximumNumberOfIterations": 20,
        "Metric": "Impact",
        "Mode": "Static",
        "ModelsPath": "layers.pt",
        "VoxelSize": "1*1*1",
        "LayersMask": "100",
    }
    write_parameters(folder / "translation.txt", **common)
    write_parameters(
        folder / "bspline.txt",
        **common,
        Transform="BSplineTransform",
        FinalGridSpacingInPhysicalUnits=12,
        HowToCombineTransforms="Compose",
    )
    (folder / "out").mkdir()
    arguments = ["-f", "fixed.mha", "-m", "moving.mha", "-out", "out"]
    stages = ["-p", "translation.txt", "-p", "bspline.txt"]
    process = run("elastix", *arguments, *stages, folder=folder)
    assert process.returncode == 0, process.stdout
    assert process.stderr == ""
    (folder / "stdout.txt").write_text(process.stdout)
    return folder


def test_files_of_two_stages(files: Path) -> None:
    out = files / "out"
    assert {path.name for path in out.iterdir()} == {
        "elastix.log",
        *(f"IterationInfo.{stage}.R0.txt" for stage in (0, 1)),
        *(f"TransformParameters.{stage}.txt" for stage in (0, 1)),
        *(f"result.{stage}.mha" for stage in (0, 1)),
    }
    for stage in (0, 1):
        rows = (out / f"IterationInfo.{stage}.R0.txt").read_text().splitlines()
        assert rows[0].startswith("1:ItNr\t2:Metric\t")
        assert len(rows) == 21
    log, printed = (out / "elastix.log").read_text(), (files / "stdout.txt").read_text()
    for text in (log, printed):
        assert iterations(text) == 40
        assert text.count("Initialization of Impact metric took") == 2
    # The log alone has the parameter files.
    assert '(ModelsPath "layers.pt")' in log
    assert '(ModelsPath "layers.pt")' not in printed


def test_stages_continue_one_another(files: Path) -> None:
    out = files / "out"
    assert np.linalg.norm(translation(out / "TransformParameters.0.txt") - SHIFT) < 0.3
    second = transform(out / "TransformParameters.1.txt")
    assert second["Transform"] == ["BSplineTransform"]
    initial = second["InitialTransformParameterFileName"]
    assert [Path(name).name for name in initial] == ["TransformParameters.0.txt"]
    points = GRID.random_points(50, margin=0.2)
    (files / "points.txt").write_text(as_points(points))
    arguments: list[str | Path] = [
        "-def",
        "points.txt",
        "-tp",
        out / "TransformParameters.1.txt",
        "-out",
        ".",
    ]
    assert run("transformix", *arguments, folder=files).returncode == 0
    found = read_output_points(files / "outputpoints.txt")
    assert mean_distance(found, points + SHIFT) < 0.5


def test_result_image(files: Path) -> None:
    """The moving image, warped, is the fixed image."""
    expected = Scene(GRID).seen(GRID).voxels
    content = (files / "out/result.1.mha").read_bytes()
    header, marker, data = content.partition(b"ElementDataFile = LOCAL\n")
    assert marker
    assert b"DimSize = 34 30 26" in header
    assert b"ElementType = MET_SHORT" in header
    found = np.frombuffer(data, "<i2").reshape(expected.shape)
    inner = (slice(5, -5),) * 3
    assert np.abs(found - expected)[inner].mean() < 0.03 * np.ptp(expected)


def start(files: Path, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Register by translation.txt, with further arguments, from the folder of the files."""
    return run(
        "elastix",
        *("-f", "fixed.mha", "-m", "moving.mha", "-p", "translation.txt", "-out", folder),
        *arguments,
        folder=files,
    )


def test_initial_transform(files: Path, tmp_path: Path) -> None:
    known = files / "out/TransformParameters.0.txt"
    assert start(files, tmp_path, "-t0", known).returncode == 0
    found = transform(tmp_path / "TransformParameters.0.txt")
    assert found["InitialTransformParameterFileName"] == [str(known)]
    both = translation(known) + translation(tmp_path / "TransformParameters.0.txt")
    assert np.linalg.norm(both - SHIFT) < 0.15
    assert np.linalg.norm(both - translation(known)) < 0.3


def test_masks(files: Path, tmp_path: Path) -> None:
    """With half of the moving image spoilt, masks make the difference."""
    half = (np.arange(GRID.size[0]) < 15).astype(np.float32)
    mask = Image(np.broadcast_to(half, GRID.size[::-1]), GRID).write(
        tmp_path / "mask.mha", "MET_UCHAR"
    )
    left = np.arange(GRID.size[0]) < 20
    scene = Scene(GRID)
    voxels = np.where(
        left, scene.seen(GRID, shift(*-SHIFT)).voxels, scene.seen(GRID, shift(*SHIFT)).voxels
    )
    moving = Image(voxels, GRID).write(tmp_path / "moving.mha")
    text = (files / "translation.txt").read_text() + "(RequiredRatioOfValidSamples 0.05)\n"
    (tmp_path / "p.txt").write_text(text.replace("layers.pt", str(files / "layers.pt")))
    errors = {}
    cases: list[list[str | Path]] = [
        [],
        ["-fMask", mask],
        ["-mMask", mask],
        ["-fMask", mask, "-mMask", mask],
    ]
    for flags in cases:
        process = run(
            "elastix",
            *("-f", files / "fixed.mha", "-m", moving, "-p", "p.txt", "-out", ".", *flags),
            folder=tmp_path,
        )
        assert process.returncode == 0, process.stdout
        found = translation(tmp_path / "TransformParameters.0.txt")
        errors[" ".join(map(str, flags[::2]))] = np.linalg.norm(found - SHIFT)
    assert errors.pop("") > 1.0
    assert max(errors.values()) < 0.3, errors


def test_two_metrics_with_corresponding_points(files: Path, tmp_path: Path) -> None:
    """IMPACT beside elastix's metric of landmarks, which win here by their weight."""
    fixed = GRID.random_points(6, margin=0.2)
    wrong = np.array([-3.0, 1.0, 2.0])
    for name, points in (("fixed", fixed), ("moving", fixed + wrong)):
        (tmp_path / f"{name}.txt").write_text(as_points(points))
    text = (files / "translation.txt").read_text()
    text = text.replace(
        '(Registration "MultiResolutionRegistration")',
        '(Registration "MultiMetricMultiResolutionRegistration")',
    ).replace(
        '(Metric "Impact")',
        '(Metric "Impact" "CorrespondingPointsEuclideanDistanceMetric")\n(Metric0Weight 0.0001)',
    )
    text = text.replace('(Mode "Static")', '(Metric0Mode "Static")')
    (files / "both.txt").write_text(text)
    points = ["-fp", tmp_path / "fixed.txt", "-mp", tmp_path / "moving.txt"]
    process = start(files, tmp_path, "-p", "both.txt", *points)
    assert process.returncode == 0, process.stdout
    assert process.stdout.count("Initialization of Impact metric took") == 2
    assert np.linalg.norm(translation(tmp_path / "TransformParameters.0.txt") - SHIFT) < 0.3
    both = sum(translation(tmp_path / f"TransformParameters.{stage}.txt") for stage in (0, 1))
    assert np.linalg.norm(both - wrong) < 0.3


def test_threads_and_priority_change_nothing(files: Path, tmp_path: Path) -> None:
    results = []
    for arguments in ([], ["-threads", "1"], ["-threads", "3"], ["-priority", "high"]):
        assert start(files, tmp_path, *arguments).returncode == 0
        results.append(transform(tmp_path / "TransformParameters.0.txt")["TransformParameters"])
    assert results == [results[0]] * 4


@pytest.mark.parametrize(
    ("level", "info", "warnings"),
    [
        ("info", True, True),
        ("warning", False, True),
        ("error", False, False),
        ("off", False, False),
    ],
)
def test_log_levels(files: Path, tmp_path: Path, level: str, info: bool, warnings: bool) -> None:
    write_parameters(tmp_path / "p.txt", Metric="Impact", Mode="Statix", ModelsPath="nowhere.pt")
    process = start(files, tmp_path, "-loglevel", level)
    assert process.returncode == 0
    log = log_of(tmp_path)
    assert ("elastix is started at" in log) == info
    assert ('Metric "Impact", resolution level 0:\n  Mode Static' in log) == info
    assert iterations(log) == (20 if info else 0)
    assert ("WARNING: The parameter" in log) == warnings
    # What stops a registration is an error.
    process = start(files, tmp_path, "-loglevel", level, "-p", tmp_path / "p.txt")
    assert process.returncode == 1
    log = log_of(tmp_path)
    assert ('file "nowhere.pt" does not exist' in log) == (level != "off")


def log_of(folder: Path) -> str:
    """Read the log; elastix makes none where nothing is to be logged."""
    path = folder / "elastix.log"
    return path.read_text() if path.exists() else ""


def test_interrupt(files: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the program at once, in the middle of a registration."""
    text = (files / "translation.txt").read_text()
    text = text.replace("MaximumNumberOfIterations 20", "MaximumNumberOfIterations 1000000")
    (files / "long.txt").write_text(text)
    with subprocess.Popen(
        [
            *(program_path("elastix"), "-f", "fixed.mha", "-m", "moving.mha"),
            *("-p", "long.txt", "-out", tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=files,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("10\t"):
                process.send_signal(signal.SIGINT)
                break
        assert process.wait(10) == -signal.SIGINT


def test_text_beyond_ascii(files: Path, tmp_path: Path) -> None:
    """Names of folders and files, in a locale that knows only ASCII and in another."""
    for number, locale in enumerate(("C", "C.UTF-8")):
        folder = tmp_path / f"größe {number}"
        folder.mkdir()
        (folder / "fixé.mha").write_bytes((files / "fixed.mha").read_bytes())
        process = run(
            "elastix",
            *("-f", folder / "fixé.mha", "-m", "moving.mha"),
            *("-p", "translation.txt", "-out", folder),
            folder=files,
            environment={"LC_ALL": locale},
        )
        assert process.returncode == 0, process.stdout
        assert (folder / "TransformParameters.0.txt").exists()


# Transforms applied


def test_transformix(files: Path, tmp_path: Path) -> None:
    points = GRID.random_points(5, margin=0.2)
    (tmp_path / "points.txt").write_text(as_points(points))
    tp: list[str | Path] = ["-tp", files / "out/TransformParameters.0.txt", "-out", tmp_path]
    process = run(
        "transformix",
        *("-in", files / "moving.mha", "-def", "points.txt", "-jac", "all", "-jacmat", "all"),
        *tp,
        folder=tmp_path,
    )
    assert process.returncode == 0, process.stdout
    assert process.stderr == ""
    written = {path.name for path in tmp_path.iterdir()} - {"points.txt"}
    assert written == {
        *("transformix.log", "outputpoints.txt", "result.mha"),
        *("spatialJacobian.mha", "fullSpatialJacobian.mha"),
    }
    vector = translation(files / "out/TransformParameters.0.txt")
    np.testing.assert_allclose(
        read_output_points(tmp_path / "outputpoints.txt"), points + vector, atol=2e-6
    )
    assert (tmp_path / "result.mha").read_bytes() == (files / "out/result.0.mha").read_bytes()
    determinants = voxels(tmp_path / "spatialJacobian.mha")
    np.testing.assert_allclose(determinants, 1.0, atol=1e-6)


def test_transformix_of_all_points(files: Path, tmp_path: Path) -> None:
    process = run(
        "transformix",
        *("-def", "all", "-tp", files / "out/TransformParameters.0.txt"),
        *("-out", tmp_path, "-threads", "2"),
        folder=tmp_path,
    )
    assert process.returncode == 0, process.stdout
    field = voxels(tmp_path / "deformationField.mha").reshape(-1, 3)
    assert len(field) == np.prod(GRID.size)
    vector = translation(files / "out/TransformParameters.0.txt")
    np.testing.assert_allclose(field, np.broadcast_to(vector, field.shape), atol=1e-5)
