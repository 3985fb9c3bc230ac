"""Findings come apart from the metric: kind, what is wrong, what to do, and the model file."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from helpers.bad_input import ADVICE, CASES, good, write_files
from helpers.parameter_maps import ParameterMap, Value, parameter_map
from impact_plugin import OutsideError, _core, _networks
from impact_plugin.check import check_file, check_map
from impact_plugin.cohort import CohortError, CohortProblem, PairsError
from impact_plugin.parameters import ParameterError, Parameters
from impact_plugin.parameters.elastix_text import ElastixFile
from impact_plugin.parameters.toml_text import TomlFile

DOCUMENTED = set(
    re.findall(
        r"(?m)^\| `([\w-]+)` \| [^|]+ \|$",
        (Path(__file__).parents[1] / "docs" / "checking.md").read_text().split("`kind`")[1],
    )
)
MAP: ParameterMap = {"ModelsPath": ["a.pt b.pt"], "VoxelSize": ["2*2*2"]}
ALLOWED_CHANNELS = (
    "Allowed: a whole number from 1 up, the channels of the model's input (1 grey, 3 colour)."
)
PATHS = (
    'Give the path of a TorchScript file, e.g. (ImpactModelsPath0 "model.pt") or (ModelsPath '
    '"model.pt"); impact_plugin.models.mind() writes one.'
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize(
    ("changes", "kind", "remedy"),
    [
        ({"NumberOfChannels": ["0"]}, "value", ALLOWED_CHANNELS),
        (
            {"PatchSize": ["0"]},
            "value",
            "In Jacobian mode give the patch around each sample in voxels, e.g. 5 5 5.",
        ),
        (
            {"PatchSize": ["0*5*5"], "Mode": ["Static"]},
            "value",
            "Give all as 0 (the whole image), or none.",
        ),
        ({"Dimension": ["2 3 2"]}, "count", "Give one for all, or one for each."),
        ({"ImpactMode0": ["Static", "Jacobian"]}, "count", "Give one."),
        ({"VoxelSize": ["1*1*1*1"]}, "count", "One for all, or one per model, will do too."),
        (
            {"Distance": ["L1 L2 L1"]},
            "count",
            "Give one for all, one for each model, or one for each selected layer.",
        ),
        (
            {"MovingModelsPath": ["c.pt"]},
            "count",
            "Each fixed model is compared with the moving model of the same place: give as many.",
        ),
        (
            {"MovingDimension": ["2"]},
            "mismatch",
            "Give both the same.",
        ),
        (
            {"MovingLayersMask": ["11"]},
            "mismatch",
            "Layers are compared in order: select as many.",
        ),
        ({"ModelsPath": [""]}, "missing-parameter", PATHS),
        (
            {"VoxelSize": []},
            "missing-parameter",
            "Give the voxel size in mm at which the model sees the images, e.g. (ImpactVoxelSize0 "
            '3 3 3) or (VoxelSize "3*3*3").',
        ),
        ({"VoxelSizes": ["1"]}, "unknown-parameter", "The nearest is VoxelSize."),
        ({"ImpactVoxelSize": ["1*1*1"]}, "unused", "Keep one of them."),
        ({"ImpactMode3": ["Static"]}, "unused", ""),
        ({"UseMixedPrecision": ["true"]}, "unused", ""),
        (
            {"Mode": ["Jacobian", "Jacobian"]},
            "unused",
            'The values of one level go into one entry, e.g. "1 2".',
        ),
        (
            {"Interpolator": ["RayCastInterpolator"]},
            "component",
            'Use "BSplineInterpolator".',
        ),
    ],
)
def test_parser(changes: ParameterMap, kind: str, remedy: str) -> None:
    _, findings = _core.parse_settings({**MAP, **changes}, 1, 3)
    (finding,) = {(f.kind, f.remedy): f for f in findings}.values()
    assert (finding.kind, finding.remedy, finding.path) == (kind, remedy, "")
    assert finding.message == f"{finding.front}{finding.text} {remedy}".rstrip()
    assert finding.text.endswith(".")


def test_two_dimensional_images() -> None:
    _, findings = _core.parse_settings({**MAP, "VoxelSize": ["2*2"], "Dimension": ["3"]}, 1, 2)
    assert {(f.kind, f.remedy) for f in findings} == {("mismatch", "Use a model of dimension 2.")}


CASES_OF_MODELS = {
    "missing file": ("missing-file", ADVICE),
    "empty file": ("model", ADVICE),
    "half a file": ("model", ADVICE),
    "mask too short": ("model", "Give one 0 or 1 for each layer."),
    "too many components": ("value", "Allowed: 0 to 6."),
    "layers that cannot be compared": (
        "mismatch",
        "Choose FixedLayersMask and MovingLayersMask, or the models, so that they agree.",
    ),
    "too many channels": (
        "model",
        "Check Dimension, NumberOfChannels and PatchSize against what the model was made for.",
    ),
}


@pytest.mark.parametrize("name", CASES_OF_MODELS)
def test_models(files: Path, name: str) -> None:
    kind, remedy = CASES_OF_MODELS[name]
    finding, *others = check_map(parameter_map(3, **good(files, **_changes(files, name)))).errors
    assert not others
    assert (finding.code, finding.kind) == ("model", kind)
    assert finding.remedy.startswith(remedy)
    assert finding.path.startswith(str(files))
    assert f'"{finding.path}"' in finding.message


@pytest.mark.parametrize("name", CASES)
def test_kinds_are_documented(files: Path, name: str) -> None:
    report = check_map(parameter_map(3, **good(files, **_changes(files, name))))
    for finding in report.findings:
        assert bool(finding.kind) == (finding.code in ("parameter", "model"))
        assert finding.kind in {"", *DOCUMENTED}


def _changes(files: Path, name: str) -> dict[str, Value]:
    return {
        key: value.replace("{files}", str(files)) if isinstance(value, str) else value
        for key, value in CASES[name][0].items()
    }


def test_message_of_a_model_names_the_file_alone(files: Path) -> None:
    """The log has the file alone, a check the parameter as well, of the side that is wrong."""
    changed = good(files, MovingModelsPath=str(files / "colour.pt"), LayersMask="100")
    levels, _ = _core.parse_settings(parameter_map(3, **changed), 1, 3)
    (finding,) = _networks.check_level(levels[0], True).findings
    assert finding.parameter == "MovingModelsPath"
    assert finding.path == str(files / "colour.pt")
    assert finding.front == ""
    assert finding.message.startswith(f'Model file "{files}/colour.pt" refused an input of ')
    assert finding.message == f"{finding.text} {finding.remedy}"


def test_machine() -> None:
    levels, _ = _core.parse_settings({**MAP, "GPU": ["99"]}, 1, 3)
    found = _networks.check_level(levels[0], True).findings
    assert [f.kind for f in found] == ["machine", "missing-file", "missing-file"]
    assert found[0].front == "GPU (resolution level 0): "
    assert found[0].text.startswith("99 is not allowed, because torch finds ")
    assert found[0].remedy.startswith("Allowed: -1 for the CPU")
    assert [f.path for f in found] == ["", "a.pt", "b.pt"]


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        (
            "(A 1\n",
            "expected (Name value ...) or a comment after //, got (A 1.",
            "Each parameter stands on a line of its own, between one pair of parentheses.",
        ),
        ("(A (1))\n", "A: there is a parenthesis too many in (A (1)).", "Quote it if it is meant."),
        ('(A "1)\n', 'there is a quote without its partner in (A "1).', ""),
        ("(A)\n", "A has no value after a space in (A).", "Give one, or remove the line."),
        (
            "(A.b 1)\n",
            "'A.b' cannot be a parameter's name.",
            "Allowed: letters, digits and _. It stands in (A.b 1).",
        ),
        (
            "(A 1)\r(B 1)\n",
            "there is a carriage return within the line.",
            "Lines must end in \\n or \\r\\n.",
        ),
    ],
)
def test_syntax(tmp_path: Path, text: str, said: str, remedy: str) -> None:
    with pytest.raises(ParameterError) as caught:
        ElastixFile(text)
    (problem,) = caught.value.problems
    assert (problem.text, problem.remedy, problem.line) == (said, remedy, 1)
    assert str(problem) == f"{said} {remedy}".rstrip()
    assert str(caught.value) == f"1: {problem}"
    path = tmp_path / "map.txt"
    path.write_bytes(text.encode())
    (finding,) = check_file(path).findings
    assert (finding.message, finding.remedy, finding.line) == (said, remedy, 1)


def test_syntax_of_toml() -> None:
    with pytest.raises(ParameterError) as caught:
        TomlFile("A = 1\nB = []\n")
    (problem,) = caught.value.problems
    assert (problem.text, problem.remedy) == ("B has no value.", "Give one, or remove the line.")
    assert (problem.parameter, problem.line) == ("B", 2)


@pytest.mark.parametrize(
    ("changes", "said", "remedy"),
    [
        ({"Metric": ["x"]}, 'Metric: "x".', 'Expected (Metric "Impact").'),
        (
            {"NumberOfResolutions": ["0"]},
            'NumberOfResolutions: "0" is not allowed.',
            "Allowed: whole numbers from 1 to 100.",
        ),
        (
            {"FixedImageDimension": ["4"]},
            "FixedImageDimension: 4 is not allowed.",
            "Allowed: 2 or 3.",
        ),
        (
            {"Mode": ["x"]},
            'Mode (resolution levels 0, 1 and 2): "x" is not allowed.',
            'Allowed: "Static" or "Jacobian".',
        ),
    ],
)
def test_maps_as_parameters(changes: ParameterMap, said: str, remedy: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Parameters.from_parameter_map({"Metric": ["Impact"], **MAP, **changes})
    (problem,) = caught.value.problems
    assert (problem.text, problem.remedy) == (said, remedy)
    assert problem.parameter == next(iter(changes))
    assert str(caught.value) == f"{said} {remedy}"


def test_landmarks_outside() -> None:
    error = OutsideError("1 of 3 fixed_points lie outside.", "fixed", 1)
    assert str(error) == (
        '1 of 3 fixed_points lie outside. axes="RAS" reads positions in RAS, '
        'outside="leave out" leaves them out'
    )
    of_cohort = CohortError([CohortProblem("outside", "pair 'a': 1 of 3 lie outside.")], [error])
    assert str(of_cohort) == (
        "1 thing is wrong, nothing was started:\n  - pair 'a': 1 of 3 lie outside.\n"
        'Some landmarks lie outside their images: outside="leave out" leaves them out'
    )
    assert CohortError.of("pair", "a").hint("-x") == ""
    for each in (error, of_cohort):
        again = pickle.loads(pickle.dumps(each))
        assert str(again) == str(each)
        assert again.text == each.text
    again = pickle.loads(pickle.dumps(of_cohort))
    (outside,) = again.outside
    assert (outside.side, outside.number) == ("fixed", 1)
    assert [each.kind for each in again.problems] == ["outside"]
    of_pairs = pickle.loads(pickle.dumps(PairsError([CohortProblem("table", "no column")])))
    assert (str(of_pairs), of_pairs.pairs) == ("no column", [])
    assert [each.kind for each in of_pairs.problems] == ["table"]
