"""The examples of docs/parameter-maps.md and docs/checking.md do what they say."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from impact_plugin import models, parameters
from impact_plugin.check import __doc__ as documentation_of_check
from impact_plugin.check import check_map
from impact_plugin.cli.check import check

DOCS = Path(__file__).parents[1] / "docs"
DOUBTFUL = """\
(Metric "Impact")
(NumberOfResolutions 2)
(FixedImagePyramid "FixedGenericImagePyramid")
(MovingImagePyramid "MovingGenericImagePyramid")
(Mode "Static")
(ModelsPath "MIND_R1D2_3D.pt" "nowhere.pt")
(VoxelSize 3 1.5)
(Distance "L9")
(VoxelSizes 1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    models.mind(path=tmp_path / "MIND_R1D2_3D.pt")
    (tmp_path / "doubtful.txt").write_text(DOUBTFUL)
    return tmp_path


@pytest.mark.parametrize("page", ["parameter-maps.md", "checking.md"])
def test_examples_in_python(folder: Path, page: str) -> None:
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False)
    assert tried > 3
    assert failed == 0


def test_example_of_the_package() -> None:
    failed, tried = doctest.testmod(parameters)
    assert tried > 3
    assert failed == 0


def test_examples_on_the_command_line(folder: Path) -> None:
    text = (DOCS / "checking.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n\$ impact-plugin check ([^\n]*)\n(.*?)```", text, re.DOTALL)
    assert blocks
    for arguments, expected in blocks:
        assert CliRunner().invoke(check, arguments.split()).output == expected


def test_codes_are_documented() -> None:
    """Every code that the checks use, and no other."""
    assert documentation_of_check is not None
    folder = Path(inspect.unwrap(check_map).__code__.co_filename).parent
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    used = set(re.findall(r'(?i)finding\(\s*"?(?:error|warning|severity)"?,\s*"([\w-]+)"', text))
    used |= set(re.findall(r'_of_core\([\w.]+, "([\w-]+)"', text))
    table = set(
        re.findall(
            r"(?m)^\| `([\w-]+)` \| (?:error|warning|either) \|",
            (DOCS / "checking.md").read_text(encoding="utf-8"),
        )
    )
    assert used == table
