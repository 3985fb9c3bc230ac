"""Results are not written over what they are made from: it is refused before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import programs
from helpers.pairs import sitk_pair, squares
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters import map_files
from impact_plugin.transforms import to_elastix


class Folder:
    """Images, a map and an output folder which has what earlier runs left."""

    def __init__(self, path: Path) -> None:
        self.path, self.out = path, path / "out"
        self.out.mkdir()
        self.fixed, self.moving = path / "f.mha", path / "m.mha"
        self.images = sitk_pair()
        for image, file in zip(self.images, (self.fixed, self.moving), strict=True):
            sitk.WriteImage(image, str(file))
        self.map = path / "p.txt"
        parameters = squares(
            MaximumNumberOfIterations=2, WriteResultImage="true", ResultImageFormat="mha"
        )
        self.map.write_text(map_files.dump(parameters))

    def transform(self, *places: str) -> Path:
        """Write a chain of translations under these names, each builds on the one before."""
        grid = Geometry.of(self.images[0])
        before = "NoInitialTransform"
        for place in places:
            parameters = to_elastix.translation([1, 2, 3], grid).maps[0]
            parameters["InitialTransformParameterFileName"] = [before]
            path = self.path / place
            path.write_text(map_files.dump(parameters))
            before = str(path)
        return path

    def image(self, place: str) -> Path:
        path = self.path / place
        sitk.WriteImage(self.images[1], str(path))
        return path

    def contents(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def elastix(folder: Folder, **arguments: Path) -> subprocess.CompletedProcess[str]:
    flags = {"f": folder.fixed, "m": folder.moving, "p": folder.map, "out": folder.out} | arguments
    command = [part for flag, path in flags.items() for part in (f"-{flag}", str(path))]
    return programs.run("elastix", *command, folder=folder.path)


def plugin(folder: Folder, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return programs.run("plugin", *arguments, folder=folder.path)


CASES = {
    "-t0": lambda f: {"t0": f.transform("out/TransformParameters.0.txt")},
    "-t0 that builds on it": lambda f: {
        "t0": f.transform("out/TransformParameters.0.txt", "last.txt")
    },
    "-m": lambda f: {"m": f.image("out/result.0.mha")},
    "-m with its voxels apart": lambda f: {"m": f.image("out/result.0.mhd")},
    "-fMask": lambda f: {"fMask": f.image("out/result.0.nii")},
}


@pytest.mark.parametrize("case", CASES)
def test_elastix_keeps_its_inputs(case: str, folder: Folder) -> None:
    arguments = CASES[case](folder)
    before = folder.contents()
    done = elastix(folder, **arguments)
    assert done.returncode == 1
    assert f"impact-elastix: {case.split()[0]}" in done.stderr
    assert "would be overwritten by what is written to" in done.stderr
    assert folder.contents() == before


def test_links_and_relative_paths_are_seen_through(folder: Folder) -> None:
    real = folder.transform("out/TransformParameters.0.txt")
    soft, hard = folder.path / "soft.txt", folder.path / "hard.txt"
    soft.symlink_to(real)
    hard.hardlink_to(real)
    relative = Path("out/../out/TransformParameters.0.txt")
    before = folder.contents()
    for name in (soft, hard, relative):
        assert elastix(folder, t0=name).returncode == 1
    # elastix would write through a link in its output folder, too.
    (folder.out / "result.0.mha").symlink_to(folder.moving)
    assert elastix(folder).returncode == 1
    (folder.out / "result.0.mha").unlink()
    assert folder.contents() == before


def test_elastix_may_build_on_other_files_of_the_folder(folder: Folder) -> None:
    """Of which it writes none: one map writes number 0."""
    start = folder.transform("out/TransformParameters.7.txt")
    moving = folder.image("out/result.7.mha")
    done = elastix(folder, t0=start, m=moving)
    assert done.returncode == 0, done.stdout[-2000:]
    assert elastix(folder, record=folder.map).returncode == 1  # the record, over a parameter file
    assert "Metric" in folder.map.read_text()


def test_transformix_keeps_its_inputs(folder: Folder) -> None:
    transform = folder.transform("t.txt")
    image = folder.image("out/result.mha")
    points = folder.out / "outputpoints.txt"
    points.write_text("point\n1\n1 2 3\n")
    before = folder.contents()
    for flag, path in (("-in", image), ("-def", points)):
        done = programs.run(
            *("transformix", flag, path, "-tp", transform, "-out", folder.out), folder=folder.path
        )
        assert done.returncode == 1
        assert f"{flag} is '{path}', and would be overwritten" in done.stderr
    assert folder.contents() == before


@pytest.mark.parametrize("name", ["fixed", "moving", "moving_mask", "initial_transform", "map"])
def test_register_keeps_its_inputs(name: str, folder: Folder) -> None:
    given: dict[str, Any] = {
        "fixed": folder.fixed,
        "moving": folder.moving,
        "parameter_maps": folder.map,
    }
    if name == "map":
        given["parameter_maps"] = folder.map.rename(folder.out / "Parameters.0.txt")
    elif name == "initial_transform":
        given[name] = folder.transform("out/TransformParameters.0.txt")
    else:
        given[name] = folder.image("out/result.mha")
    before = folder.contents()
    with pytest.raises(ValueError, match=r"would be overwritten by .*: write the results else"):
        impact_plugin.register_images(**given, output_directory=folder.out)
    options = {"fixed_mask": "--fixed-mask", "moving_mask": "--moving-mask"}
    more = [
        str(part)
        for key, option in {**options, "initial_transform": "-t", "parameter_maps": "-p"}.items()
        if key in given
        for part in (option, given[key])
    ]
    done = plugin(folder, "register", given["fixed"], given["moving"], "-o", folder.out, *more)
    assert done.returncode == 1
    assert "would be overwritten" in done.stderr
    assert folder.contents() == before


def test_labels_are_kept(folder: Folder) -> None:
    """`--labels b.mha` writes b_warped.mha."""
    labels = sitk.Cast(folder.images[1] > 0, sitk.sitkUInt8)
    for place in ("b.mha", "out/b_warped.mha"):
        sitk.WriteImage(labels, str(folder.path / place))
    arguments: list[str | Path] = ["register", folder.fixed, folder.moving, "-o", folder.out]
    arguments += ["-p", folder.map, "--labels", folder.path / "b.mha"]
    before = folder.contents()
    done = plugin(folder, *arguments, "--moving-mask", folder.out / "b_warped.mha")
    assert done.returncode == 1
    assert "--moving-mask is" in done.stderr
    assert folder.contents() == before
    done = plugin(folder, *arguments, "--quiet")  # an earlier result is no input
    assert done.returncode == 0, done.stderr


def test_saving_keeps_the_images(folder: Folder) -> None:
    moving = folder.image("out/result.mha")
    result = impact_plugin.register_images(
        folder.fixed, moving, parameter_maps=folder.map, threads=1, record=False
    )
    before = folder.contents()
    with pytest.raises(ValueError, match=r"moving is '.*out/result\.mha', and would be overwr"):
        result.save(folder.out)
    assert folder.contents() == before
    loaded = impact_plugin.RegistrationResult.load(result.save(folder.path / "other"))
    points = loaded.fixed.points(3)
    np.testing.assert_array_equal(loaded.map_points(points), result.map_points(points))
    result.save(folder.path / "other")  # a result may be written again


def test_figures_are_not_written_over_landmarks(folder: Folder) -> None:
    points = folder.path / "points.csv"
    points.write_text("x,y,z\n1,2,3\n")
    link = folder.path / "link.csv"
    link.symlink_to(points)
    transform = folder.transform("t.txt")
    both: list[str | Path] = ["--fixed-points", points, "--moving-points", points]
    done = plugin(folder, "evaluate", transform, *both, "-o", link)
    assert done.returncode == 1
    assert f"--fixed-points is '{points}', and would be overwritten" in done.stderr
    assert points.read_text() == "x,y,z\n1,2,3\n"


def test_a_model_is_not_written_over_its_weights(tmp_path: Path) -> None:
    network = tmp_path / "my_networks.py"
    network.write_text(
        "import torch\n\n\ndef small():\n    return torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3))\n"
    )
    weights = tmp_path / "w.pt"
    made = "import torch, my_networks; torch.save(my_networks.small().state_dict(), 'w.pt')"
    subprocess.run([sys.executable, "-c", made], cwd=tmp_path, check=True)
    before = weights.read_bytes()
    done = programs.run(
        *("plugin", "models", "export", "my_networks:small", "0", "--weights", "w.pt"),
        *("-o", "./w.pt"),
        folder=tmp_path,
    )
    assert done.returncode == 1
    assert "--weights is 'w.pt', and would be overwritten" in done.stderr
    assert weights.read_bytes() == before
