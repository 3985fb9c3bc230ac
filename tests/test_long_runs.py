"""Many registrations in one process, at once and one after the other, and the memory they take.

IMPACT_LONG_RUN=200 is how many come one after the other, by default 20.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import programs
from helpers.images import Grid, Scene, shift
from helpers.parameter_maps import as_text, parameter_map
from helpers.registrations import impact
from impact_plugin import check

PROGRAM = Path(__file__).resolve().parent / "programs" / "long_run.py"
COUNT = int(os.environ.get("IMPACT_LONG_RUN", "20"))


def run(*arguments: str) -> Any:  # noqa: ANN401  (what the program prints)
    process = programs.python(PROGRAM, *arguments)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_memory_stays_flat(layers: dict[int, str]) -> None:
    sizes = np.array(run("loop", layers[3], str(COUNT))) / 1024  # MiB
    assert len(sizes) == COUNT
    settled = sizes[COUNT // 4 :]
    growth = np.polyfit(np.arange(len(settled)), settled, 1)[0]
    print(
        f"{COUNT} registrations: {sizes[0]:.1f} MiB after the first, {settled[0]:.1f} after "
        f"{COUNT // 4 + 1}, {sizes[-1]:.1f} at the end; {1024 * growth:.1f} KiB each"
    )
    # The images alone are 42 KiB each, the metric's features of one registration over 300.
    assert growth < max(0.04, 8 / COUNT)
    assert sizes[-1] - settled[0] < 8


def test_eight_at_once(layers: dict[int, str]) -> None:
    """Each finds to the bit what one alone finds."""
    found = run("threads", layers[3], "8")
    alone = run("threads", layers[3], "2")
    assert found == [alone[n % 2] for n in range(8)]


@pytest.mark.parametrize(
    ("mode", "model", "more"),
    [
        ("Static", "mind", {}),
        ("Static", "mind", {"PatchSize": "48*48*48"}),
        ("Static", "layers", {"LayersMask": "111", "PCA": "0 2 3"}),
        ("Jacobian", "mind", {}),
    ],
    ids=["Static", "Static, tiles", "Static, layers, PCA", "Jacobian"],
)
def test_peak_is_within_the_prediction(
    mode: str,
    model: str,
    more: dict[str, str],
    mind: dict[int, str],
    layers: dict[int, str],
    tmp_path: Path,
) -> None:
    """Beside the same program on small images; elastix itself takes a few copies of the image."""
    peaks = {}
    predicted = {}
    for name, size in (("small", (20, 18, 16)), ("large", (110, 100, 90))):
        folder = tmp_path / name
        folder.mkdir()
        grid = Grid(size, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        scene = Scene(Grid((34, 30, 26), (1.0, 1.25, 1.5), (0.0, 0.0, 0.0)))
        fixed = scene.seen(grid).write(folder / "fixed.mha")
        moving = scene.seen(grid, shift(-1.0, 0.5, 0.5)).write(folder / "moving.mha")
        parameters = parameter_map(
            3,
            **(impact(3, mode, {"mind": mind, "layers": layers}[model][3], patch=7) | more),
            MaximumNumberOfIterations=2,
            NumberOfSamplesForExactGradient=200,
            NumberOfGradientMeasurements=1,
            WriteResultImage="false",
        )
        if mode == "Jacobian":
            parameters["NumberOfSpatialSamples"] = ["50" if name == "small" else "1000"]
        text = folder / "map.txt"
        text.write_text(as_text(parameters))
        report = check.check_file(text, fixed, moving)
        predicted[name] = report.memory[0].bytes or 0
        peaks[name] = peak(
            [
                sys.executable,
                "-m",
                "impact_plugin.command_line",
                "elastix",
                "-f",
                str(fixed),
                "-m",
                str(moving),
                "-p",
                str(text),
                "-out",
                str(folder),
            ]
        )
    taken = peaks["large"] - peaks["small"]
    images = 4 * 110 * 100 * 90
    print(
        f"{mode} {more}: {taken / 2**20:.0f} MiB taken, {predicted['large'] / 2**20:.0f} predicted"
    )
    assert predicted["large"] > 0
    # elastix: both images, their smoothed ones, and the filters' copies on the way there.
    assert taken < predicted["large"] + 8 * images


def peak(command: list[str]) -> int:
    """Run a program and give its peak of resident memory in bytes."""
    measuring = Path(__file__).resolve().parent / "programs" / "peak_memory.py"
    process = programs.python("-S", measuring, *command)
    assert process.returncode == 0, process.stdout + process.stderr
    return int(process.stdout.splitlines()[-1])
