"""Parameter files as text: what is wrong with them, and changes in place that leave all else."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impact_plugin.parameters import ElastixFile, ParameterError, Parameters, new_file, open_file

TEXT = """\
// A registration.
(Transform "BSplineTransform")   // deformable

(NumberOfResolutions 2)
   (VoxelSize "3*3*3"   "1.5*1.5*1.5")     // mm
(MaximumNumberOfIterations 500 500)        // per level
(Mode "Static")//now
(Weight "1" "2")
"""
TOML = """\
# A registration.
Transform = "BSplineTransform"   # deformable
VoxelSize = ["3*3*3",
             "1.5*1.5*1.5"]      # mm
NumberOfResolutions = 2
"""


def test_parameters_and_lines() -> None:
    file = ElastixFile(TEXT)
    assert list(file.parameters) == re.findall(r"(?m)^ *\((\w+)", TEXT)
    assert file.parameters["VoxelSize"] == ["3*3*3", "1.5*1.5*1.5"]
    assert file.line_of("VoxelSize") == 5
    assert file.line_of("Metric") is None
    assert file.text == TEXT


@pytest.mark.parametrize(
    ("name", "values", "old", "new"),
    [
        ("NumberOfResolutions", ["3"], "(NumberOfResolutions 2)", "(NumberOfResolutions 3)"),
        (
            "VoxelSize",
            ["1*1*1"],
            '   (VoxelSize "3*3*3"   "1.5*1.5*1.5")     // mm',
            '   (VoxelSize "1*1*1")                     // mm',
        ),
        (
            "MaximumNumberOfIterations",
            ["500", "500", "250", "1000", "20000", "30000", "40000"],
            "(MaximumNumberOfIterations 500 500)        // per level",
            "(MaximumNumberOfIterations 500 500 250 1000 20000 30000 40000) // per level",
        ),
        ("Mode", ["Static", "Jacobian"], '(Mode "Static")//now', '(Mode "Static" "Jacobian")//now'),
        ("Weight", ["3", "x"], '(Weight "1" "2")', '(Weight "3" "x")'),
    ],
)
def test_changes_in_place(name: str, values: list[str], old: str, new: str) -> None:
    file = ElastixFile(TEXT)
    file.set(name, values)
    assert file.text == TEXT.replace(old, new)
    assert file.parameters[name] == values
    assert ElastixFile(file.text).parameters == file.parameters


def test_nothing_changed_is_nothing_touched() -> None:
    file = ElastixFile(TEXT)
    file.update(file.parameters)
    assert file.text == TEXT


def test_removed_and_added() -> None:
    file = ElastixFile(TEXT.rstrip("\n"))
    file.remove("NumberOfResolutions")
    file.set("Metric", ["Impact"], after="Transform")
    file.set("Last", ["-1", "true"])
    lines = TEXT.splitlines()
    assert file.text.splitlines() == [
        *lines[:2],
        '(Metric "Impact")',
        lines[2],
        *lines[4:],
        '(Last -1 "true")',
    ]
    assert file.line_of("Metric") == 3
    assert file.line_of("Mode") == 7
    file.set("Mode", ["Jacobian"])
    assert file.text.splitlines()[6] == '(Mode "Jacobian")//now'
    with pytest.raises(KeyError, match="NumberOfResolutions"):
        file.remove("NumberOfResolutions")


def test_line_endings_and_other_encodings_stay(tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    path.write_bytes(b"// gr\xfc\xdfe\r\n(A 1)\r\n")
    file = ElastixFile.read(path)
    file.set("B", ["2"])
    file.write(path)
    assert path.read_bytes() == b"// gr\xfc\xdfe\r\n(A 1)\r\n(B 2)\r\n"


def test_toml_in_place(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(TOML)
    file = open_file(path)
    assert file.parameters == {
        "Transform": ["BSplineTransform"],
        "VoxelSize": ["3*3*3", "1.5*1.5*1.5"],
        "NumberOfResolutions": ["2"],
    }
    assert file.line_of("NumberOfResolutions") == 5
    file.set("NumberOfResolutions", ["3"])
    file.set("LayersMask", ["01"])
    file.write(path)
    expected = TOML.replace("Resolutions = 2", "Resolutions = 3") + 'LayersMask = "01"\n'
    assert path.read_text() == expected
    file.remove("Transform")
    assert "# A registration." in file.text


WRONG = {
    "(A 1\n": [(1, "between one pair of parentheses")],
    "A 1\n": [(1, "expected (Name value ...)")],
    "(A 1))\n": [(1, "a parenthesis too many in (A 1))")],
    "(A 1) (B 2)\n": [(1, "a parenthesis too many")],
    '(A "1)\n': [(1, 'a quote without its partner in (A "1)')],
    '(A "x//y")\n': [(1, "a quote without its partner")],
    "(A 1)\r(B 2)\r": [(1, "there is a carriage return within the line")],
    "(A)\n": [(1, "A has no value after a space in (A)")],
    '(A"1")\n': [(1, "A has no value after a space")],
    "( A 1)\n": [(1, "the name must follow the parenthesis directly")],
    "(A.b 1)\n": [(1, "'A.b' cannot be a parameter's name")],
    "(A 1)\n\n(B 2)\n(A 3)\n": [(4, "A stands in line 1 already")],
    "()\n(A 1)\n)(\n": [(1, "name must follow"), (3, "expected (Name value ...)")],
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_lines(text: str, tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    path.write_bytes(text.encode())
    with pytest.raises(ParameterError, match=re.escape(f"{path}:{WRONG[text][0][0]}: ")) as error:
        open_file(path)
    assert [p.line for p in error.value.problems] == [line for line, _ in WRONG[text]]
    for problem, (_, expected) in zip(error.value.problems, WRONG[text], strict=True):
        assert expected in str(problem)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    path.write_text('(Metric "Impact")\n', encoding="utf-8-sig")
    with pytest.raises(ParameterError, match=r"map.txt:1: .* UTF-8 byte order mark, .*without"):
        open_file(path)


def test_byte_order_mark_in_toml(tmp_path: Path) -> None:
    """Elastix reads it there; the metric is the first word in the file."""
    path = tmp_path / "map.toml"
    path.write_text('Metric = "Impact"  # mine\nA = 5\n', encoding="utf-8-sig")
    file = open_file(path)
    assert file.parameters == {"Metric": ["Impact"], "A": ["5"]}
    file.set("A", 6)
    file.write(path)
    assert path.read_bytes() == b'Metric = "Impact"  # mine\nA = 6\n'


def test_no_text(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_bytes(b"PK\x03\x04\0\0\xff(A 1)\n")
    with pytest.raises(ParameterError, match=f"{re.escape(str(path))}: this is not a text file"):
        Parameters.read(path)
    path = tmp_path / "model.toml"
    path.write_bytes(b"A = '\xff'\n")
    with pytest.raises(ParameterError, match="not a text file in UTF-8"):
        Parameters.read(path)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("A = 1\nB = = 2\n", 2, "this is not TOML"),
        ("A = 1\n[B]\nC = 1\n", 2, "B: expected texts, numbers or booleans"),
        ("A = 1\nB = [[1], 2]\n", 2, "B: expected texts"),
        ("A = 2020-01-01\n", 1, "A: expected texts"),
        ("A = []\n", 1, "A has no value"),
        ("A = 1\nA = 2\n", None, "this is not TOML"),
    ],
)
def test_wrong_toml(text: str, line: int | None, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=re.escape(expected)) as error:
        open_file(path)
    assert str(error.value).startswith(f"{path}:")
    if line is not None:
        assert error.value.problems[0].line == line


@pytest.mark.parametrize("name", ["map.json", "map", "map.TXT"])
def test_other_endings(name: str) -> None:
    with pytest.raises(ValueError, match=r"that end in \.txt or \.toml"):
        new_file(name)


@pytest.mark.parametrize("value", ['a"b', "a//b", "", "a\nb", "a\tb"])
def test_values_that_elastix_files_cannot_hold(value: str, tmp_path: Path) -> None:
    file = ElastixFile()
    with pytest.raises(ValueError, match=r"A: .*cannot be written in a \.txt file.*\.toml"):
        file.set("A", [value])
    toml = new_file(tmp_path / "map.toml")
    toml.set("A", [value])
    toml.write(tmp_path / "map.toml")
    assert open_file(tmp_path / "map.toml").parameters == {"A": [value]}


@pytest.mark.parametrize("name", ["", "A b", "A.b", 'A"', "A(", "A#"])
def test_names_that_elastix_files_cannot_hold(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a parameter's name"):
        ElastixFile().set(name, ["1"])


@pytest.mark.parametrize("ending", [".txt", ".toml"])
def test_values_as_python_writes_them(ending: str) -> None:
    file = new_file(f"map{ending}")
    file.set("Mode", "Jacobian")
    file.set("NumberOfResolutions", 3)
    file.update({**file.parameters, "VoxelSize": [1, 2.5, "3"], "WriteResultImage": True})
    assert file.parameters == {
        "Mode": ["Jacobian"],
        "NumberOfResolutions": ["3"],
        "VoxelSize": ["1", "2.5", "3"],
        "WriteResultImage": ["true"],
    }
    assert type(file)(file.text).parameters == file.parameters
    file.set("NumberOfResolutions", np.int64(2))
    assert file.parameters["NumberOfResolutions"] == ["2"]


@pytest.mark.parametrize("ending", [".txt", ".toml"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "PatchSize: None (NoneType) is not allowed. Allowed: a text, a number,"),
        ({"a": 1}, "PatchSize: {'a': 1} (dict) is not allowed."),
        (b"5", "PatchSize: b'5' (bytes) is not allowed."),
        ([5, [7, 9]], "PatchSize: [7, 9] (list), number 2 of its values, is not allowed."),
    ],
)
def test_values_of_other_kinds(value: Any, said: str, ending: str) -> None:  # noqa: ANN401
    with pytest.raises(TypeError, match=re.escape(said)):
        new_file(f"map{ending}").set("PatchSize", value)
