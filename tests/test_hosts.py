"""The metric in each elastix that it is built for: gradients, registrations, the end of a process.

The other tests run with the itk-elastix that is installed. These have others put in its place, in a
folder of packages that is made of links.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import programs
from helpers.evaluators import RELATIVE_ERROR
from helpers.host_versions import INSTALLED, LATEST, folder_of, packages_with
from helpers.itk_process import ItkProcess, opened
from helpers.parameter_maps import Value, as_text, parameter_map
from helpers.programs import translation
from helpers.registrations import MODES, SHIFTS, impact, pair, translation_error

TESTS = Path(__file__).resolve().parent
OTHERS = [version for folder, version in LATEST.items() if folder != folder_of(INSTALLED)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=LATEST.values())
def version(request: pytest.FixtureRequest) -> str:
    """A version of itk-elastix, one of each layout of classes."""
    return str(request.param)


@pytest.fixture(scope="module")
def site(version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages with that version."""
    return packages_with(tmp_path_factory.mktemp("site") / version, version)


@pytest.fixture(scope="module")
def process(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ItkProcess]:
    """A process with the stock itk of that version."""
    with opened(tmp_path_factory.mktemp("itk"), site) as process:
        yield process


def run(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python with those packages, in a process that must end by itself."""
    path = os.pathsep.join([str(site), str(TESTS)])
    return programs.python("-S", *arguments, environment={"PYTHONPATH": path}, timeout=240)


@pytest.fixture(scope="module")
def values() -> dict[str, dict[str, float]]:
    """The values of each version, by mode and transform."""
    return {}


def test_gradients(
    version: str, site: Path, tmp_path: Path, values: dict[str, dict[str, float]]
) -> None:
    """Against finite differences; and values do not depend on the host."""
    process = run(site, TESTS / "programs" / "host_gradients.py", tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr
    report: dict[str, Any] = json.loads(process.stdout)
    built_for = site / report["file"]
    assert (folder_of(version) in str(built_for.resolve())) == (version in OTHERS)
    assert len(report["found"]) == 6
    for what, (_, error) in report["found"].items():
        assert error < RELATIVE_ERROR, what
    values[version] = {what: value for what, (value, _) in report["found"].items()}
    for other in values.values():
        assert other == pytest.approx(values[version], rel=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_registration_through_the_stock_itk(
    process: ItkProcess, layers: dict[int, str], version: str, mode: str
) -> None:
    given = parameter_map(3, **impact(3, mode, layers[3], LayersMask="010"), NeverAskedFor="1")
    found = process.register(*pair(3), given)
    assert translation_error(found) < 0.2
    # Of what was read, ours among it, no name.
    assert ("NeverAskedFor" in unused(found.log)) == names_unused(version)
    assert unused(found.log).isdisjoint(impact(3, mode, layers[3], LayersMask="010"))


def unused(log: str) -> set[str]:
    """Give the parameters that a log calls unused."""
    return set(re.findall(r"Unused parameter: \W*(\w+)", log))


def names_unused(version: str) -> bool:
    """Tell whether that elastix names the parameters that nobody has asked for."""
    return folder_of(version) != "elastix-0.25.2"


def test_unused_parameters_in_every_dialect(
    process: ItkProcess, layers: dict[int, str], version: str
) -> None:
    """Names that are read: of one level, of one image; and one that another outranks."""
    ours: dict[str, Value] = {
        "ImpactModelsPath0": layers[3],
        "ImpactMode": "Static",
        "FixedVoxelSize": "1*1*1",
        "MovingVoxelSize": "1*1*1",
        "VoxelSize": "2*2*2",
        "ImpactLayersMask0": "010",
        "SubsetFeatures": "2",
        "PCA": "0",
        "LayersWeight": "1",
        "Distance": "L1",
        "GPU": "-1",
        "FeaturesMapUpdateInterval": "-1",
        "WriteFeatureMaps": "false",
        "UseMixedPrecision": "false",
        "NumberOfChannels": "1",
        "Dimension": "3",
        "PatchSize": "0*0*0",
    }
    given = parameter_map(
        3, Metric="Impact", MaximumNumberOfIterations=2, NumberOfSpatialSamples=100, **ours
    )
    log = process.register(*pair(3), given).log
    assert "VoxelSize: it is not used" in log  # our own word on it
    assert unused(log) & ours.keys() == ({"VoxelSize"} if names_unused(version) else set())


def test_command_line(site: Path, tmp_path: Path, layers: dict[int, str], version: str) -> None:
    """The program impact-elastix, and transformix with what it wrote."""
    fixed, moving = pair(3)
    given = parameter_map(3, **impact(3, "Static", layers[3], LayersMask="010"))
    (tmp_path / "map.txt").write_text(as_text(given))
    files: list[str | Path] = [
        "-f",
        fixed.write(tmp_path / "f.mha"),
        "-m",
        moving.write(tmp_path / "m.mha"),
    ]
    program = ("-m", "impact_plugin.command_line")
    out = ("-out", tmp_path)
    process = run(site, *program, "elastix", *files, "-p", tmp_path / "map.txt", *out)
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"itk-elastix {version}" in run(site, *program, "elastix", "--version").stdout
    transform = tmp_path / "TransformParameters.0.txt"
    assert np.linalg.norm(translation(transform) - SHIFTS[3]) < 0.2
    process = run(site, *program, "transformix", "-def", "all", "-tp", transform, *out)
    assert process.returncode == 0, process.stdout + process.stderr
    assert (tmp_path / "deformationField.mhd").exists()


@pytest.mark.parametrize("other", OTHERS)
def test_every_order_of_imports(other: str, layers: dict[int, str], tmp_path: Path) -> None:
    """Both modes run and the process ends; with the installed version in tests/test_process.py."""
    site = packages_with(tmp_path / "site", other)
    program = TESTS / "programs" / "in_one_process.py"

    def ended(order: tuple[str, ...]) -> tuple[str, str, int]:
        process = run(site, program, "orders", layers[3], ",".join(order), "main")
        return process.stdout, process.stderr, process.returncode

    orders = list(itertools.permutations(("torch", "itk", "impact_plugin")))
    with ThreadPoolExecutor(2) as pool:
        ends = dict(zip(orders, pool.map(ended, orders), strict=True))
    assert ends == dict.fromkeys(orders, ("done\n", "", 0))
