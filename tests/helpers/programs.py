"""Running impact-elastix and impact-transformix as installed, and reading what they write."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from helpers.images import Array, Image
from helpers.parameter_maps import ParameterMap, Value, as_text, parameter_map
from impact_plugin.cli.program import program


def program_path(program: str) -> Path:
    """Give the path of elastix or transformix with our prefix."""
    return Path(sysconfig.get_path("scripts")) / f"impact-{program}"


def captured(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401
) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints; by default whatever its exit code.

    Args:
        command: Program and arguments.
        environment: Variables beside those of this process.
        options: Of ``subprocess.run``.
    """
    variables = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})}
    options = {"capture_output": True, "text": True, "check": False, **options}
    return subprocess.run(command, env=variables, **options)


def python(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
    """Run this Python in a process of its own, as :func:`captured`."""
    return captured(sys.executable, *arguments, **options)


def plugin(*arguments: object) -> Result:
    """Run ``impact-plugin`` in this process."""
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def run(
    program: str, *arguments: str | Path, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run an installed program in a folder."""
    return captured(program_path(program), *arguments, cwd=folder, environment=environment)


def read_output_points(path: Path) -> Array:
    """Read the mapped points, shape (N, d), out of the outputpoints.txt that transformix writes."""
    found = re.findall(r"OutputPoint = \[([^\]]*)\]", path.read_text())
    assert found, path
    return np.array([point.split() for point in found], float)


def run_elastix(
    folder: Path,
    fixed: Image,
    moving: Image,
    parameters: ParameterMap,
    threads: int = 0,
    options: Sequence[str | Path] = (),
) -> ParameterMap:
    """Register, by the command line on files in ``folder``, and read the transform.

    Args:
        folder: For all files.
        fixed: Fixed image.
        moving: Moving image.
        parameters: Parameter map.
        threads: Threads of elastix; 0 for its default.
        options: Further ones of the command line.
    """
    (folder / "parameters.txt").write_text(as_text(parameters))
    arguments: list[str | Path] = [
        *("-f", fixed.write(folder / "fixed.mha"), "-m", moving.write(folder / "moving.mha")),
        *("-p", folder / "parameters.txt", "-out", folder),
        *(["-threads", str(threads)] if threads else []),
        *options,
    ]
    process = python("-m", "impact_plugin.command_line", "elastix", *arguments)
    assert process.returncode == 0, process.stdout + process.stderr
    return transform(folder / "TransformParameters.0.txt")


def write_parameters(path: Path, **parameters: Value) -> None:
    """Write a parameter file for 3D images."""
    path.write_text(as_text(parameter_map(3, **parameters)))


def transform(path: Path) -> dict[str, list[str]]:
    """Read a transform's parameter file."""
    return {
        name: value.replace('"', "").split()
        for name, value in re.findall(r"(?m)^\((\w+) (.*)\)$", path.read_text())
    }


def translation(path: Path) -> Array:
    """Read the parameters of a transform's parameter file."""
    return np.array(transform(path)["TransformParameters"], dtype=float)


def as_points(points: Array) -> str:
    """Give the text of a point file."""
    rows = "\n".join(" ".join(map(repr, point)) for point in points.tolist())
    return f"point\n{len(points)}\n{rows}\n"


def iterations(log: str) -> int:
    """Count the iterations in a log."""
    return len(re.findall(r"(?m)^\d+\t-?\d", log))


def voxels(path: Path) -> Array:
    """Read the floats of an .mha file."""
    header, marker, data = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    assert marker
    assert b"MET_FLOAT" in header
    return np.frombuffer(data, "<f4").astype(float)
