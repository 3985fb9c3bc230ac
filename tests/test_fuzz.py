"""Parameter files changed at random, for the parser in C++ and the reader in Python.

`make fuzz` goes on longer, where clang is with a fuzzer that follows the branches taken.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import programs
from helpers.changed_texts import changed_texts
from impact_plugin import _core
from impact_plugin.parameters import ParameterError
from impact_plugin.parameters.elastix_text import ElastixFile

ROOT = Path(__file__).resolve().parent.parent
SEEDS = sorted(
    [*(ROOT / "ParameterMaps").glob("*.txt"), *(ROOT / "tests/fuzz/seeds").glob("*.txt")]
)


def test_parser_under_sanitizers(tmp_path: Path) -> None:
    """Memory errors and undefined behaviour end the program with an error."""
    compiler = os.environ.get("CXX", "c++")
    runtime = subprocess.check_output([compiler, "-print-file-name=libasan.so"], text=True).strip()
    if shutil.which(compiler) is None or not Path(runtime).is_absolute():
        pytest.skip(f"{compiler} has no AddressSanitizer")
    run = programs.captured(
        ROOT / "tests/fuzz/fuzz.sh",
        "1",
        tmp_path,
        environment={"FUZZ_DRIVER": "own", "UBSAN_OPTIONS": "print_stacktrace=1"},
    )
    assert run.returncode == 0, run.stderr[:4000]
    assert re.search(rf"(?m)^{500 + len(SEEDS)} inputs$", run.stdout)


def test_model_of_more_dimensions_than_the_image() -> None:
    """Three voxel sizes for an image of two axes, once written beyond the end of a list."""
    parameters = {
        "ImpactModelsPath0": ["a.pt"],
        "ImpactDimension0": ["3"],
        "ImpactPatchSize0": ["5", "5", "5"],
        "ImpactVoxelSize0": ["3", "3", "3"],
    }
    _, findings = _core.parse_settings(parameters, 1, 2)
    texts = [finding.message for finding in findings if finding.is_error]
    assert any("cannot be used on images of dimension 2" in text for text in texts)
    assert any("VoxelSize0" in text for text in texts)


def test_long_names_take_no_time() -> None:
    """Of a name that may be a whole file, the nearest right one is found by its beginning."""
    name = "ImpactModelPath" + "x" * 1_000_000
    _, findings = _core.parse_settings({name: ["a.pt"]}, 1, 3)
    assert any(finding.parameter == name for finding in findings)


def test_reader_on_changed_files() -> None:
    """It refuses with the line, or reads; what it has read, it writes and reads again."""
    seeds = [path.read_text() for path in SEEDS]
    refused = read = 0
    unplaced: list[object] = []
    for text in itertools.islice(changed_texts(seeds, 1), 1500):
        try:
            file = ElastixFile(text, "map.txt")
        except ParameterError as error:
            refused += 1
            unplaced += [problem for problem in error.problems if not problem.line]
            continue
        read += 1
        assert file.text == text
        values = file.parameters
        file.update(values)
        assert file.text == text
        _, findings = _core.parse_settings(values, 3, 3)
        assert all(finding.message for finding in findings)
    assert unplaced == []
    assert refused > 200
    assert read > 200
