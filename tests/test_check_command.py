"""``impact-plugin check``: what it prints, for people and scripts, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result

from helpers import tiny_models
from impact_plugin.check import SCHEMA_VERSION
from impact_plugin.cli.check import check

GOOD = """\
(Metric "Impact")
(NumberOfResolutions 1)
(Mode "Static")
(VoxelSize 1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with maps of every kind, a model and an image."""
    monkeypatch.chdir(tmp_path)
    tiny_models.save(tiny_models.Identity(), tmp_path / "model.pt")
    good = GOOD + '(ModelsPath "model.pt")\n'
    (tmp_path / "good.txt").write_text(good)
    (tmp_path / "doubtful.txt").write_text(good + "(ImpactPatchSizes 1)\n")
    (tmp_path / "wrong.txt").write_text(GOOD + '(ModelsPath "nowhere.pt")\n')
    (tmp_path / "good.toml").write_text(
        'Metric = "Impact"\nNumberOfResolutions = 1\nMode = "Static"\nVoxelSize = 1\n'
        'ModelsPath = "model.pt"\n'
    )
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((9, 8, 7), np.int16)), "image.mha")
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(check, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (
            "TS/M730.pt",
            "Run `impact-plugin models download TS/M730 --folder .`, which puts it there.",
        ),
        (
            "nets/TS/M291.pt",
            "Run `impact-plugin models download TS/M291 --folder nets/`, which puts it there.",
        ),
        (
            "M730_1_Layers.pt",
            "Run `impact-plugin models download TS/M730_1_Layers`, and give the path that it",
        ),
        (
            "MIND_R2D1_3D.pt",
            "Run `impact-plugin models mind --radius 2 --dilation 1 --dimension 3 "
            "-o MIND_R2D1_3D.pt`, which writes it.",
        ),
        ("nowhere.pt", "Give the path of a TorchScript file (torch.jit.save), absolute or"),
    ],
)
def test_missing_models(
    folder: Path, path: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "cache"))
    (folder / "missing.txt").write_text(GOOD + f'(ModelsPath "{path}")\n')
    assert f'file "{path}" does not exist or cannot be read. {remedy}' in run("missing.txt").output


def test_empty_file(folder: Path) -> None:
    (folder / "empty.txt").write_text("// nothing\n")
    text = run("empty.txt").output
    assert "empty.txt: error: the file has no parameters." in text
    assert "empty.txt: 1 error, 0 warnings" in text


def test_missing_model_that_lies_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(folder / "cache"))
    cached = folder / "cache" / "models" / "TS" / "M730.pt"
    cached.parent.mkdir(parents=True)
    tiny_models.save(tiny_models.Identity(), cached)
    (folder / "missing.txt").write_text(GOOD + '(ModelsPath "TS/M730.pt")\n')
    result = run("missing.txt")
    assert f'Give the path "{cached}", where it lies. elastix looks in the current' in result.output
    (folder / "missing.txt").write_text(GOOD + f'(ModelsPath "{cached}")\n')
    assert run("missing.txt").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["good.txt"], 0),
        (["good.toml"], 0),
        (["good.txt", "-f", "image.mha", "-m", "image.mha"], 0),
        (["doubtful.txt"], 0),
        (["doubtful.txt", "--strict"], 1),
        (["wrong.txt"], 1),
        (["good.txt", "wrong.txt", "--json"], 1),
        ([], 2),
        (["nowhere.txt"], 2),
        (["image.mha"], 2),
        (["good.txt", "-f", "image.mha"], 2),
        (["good.txt", "--accuracy", "0"], 2),
        (["good.txt", "--frobnicate"], 2),
    ],
)
def test_exit_codes(folder: Path, arguments: list[str], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    if code == 2:
        assert result.stdout == ""
        assert "Error: " in result.stderr


def test_text(folder: Path) -> None:
    lines = run("wrong.txt", "doubtful.txt", "good.txt", "-f", "image.mha", "-m", "image.mha")
    expected = [
        'wrong.txt:5: error: ModelsPath (resolution level 0): file "nowhere.pt" does not exist',
        "wrong.txt: 1 error, 0 warnings",
        "doubtful.txt:6: warning: ImpactPatchSizes: there is no such parameter. The nearest is",
        "doubtful.txt: level 0 (Static) takes at least 0 MiB of",
        "doubtful.txt: 0 errors, 1 warning",
        "good.txt: level 0 (Static) takes at least 0 MiB of",
        "good.txt: 0 errors, 0 warnings",
    ]
    for line, start in zip(lines.stdout.splitlines(), expected, strict=True):
        assert line.startswith(start)


def test_json(folder: Path) -> None:
    """The schema that docs/checking.md promises."""
    report = json.loads(run("wrong.txt", "doubtful.txt", "--json").stdout)
    assert report.keys() == {"schema", "maps"}
    assert report["schema"] == SCHEMA_VERSION == 1
    wrong, doubtful = report["maps"]
    keys = {"file", "errors", "warnings", "findings", "memory", "available_bytes"}
    assert wrong.keys() == doubtful.keys() == keys
    assert (wrong["file"], wrong["errors"], wrong["warnings"]) == ("wrong.txt", 1, 0)
    (finding,) = wrong["findings"]
    assert finding.pop("message").startswith('file "nowhere.pt" does not exist')
    assert finding.pop("remedy").startswith("Give the path of a TorchScript file")
    assert finding == {
        "severity": "error",
        "code": "model",
        "parameter": "ModelsPath",
        "line": 5,
        "levels": [0],
        "kind": "missing-file",
        "path": "nowhere.pt",
    }
    assert doubtful["memory"] == [
        {"level": 0, "mode": "Static", "device": "cpu", "gpu": -1, "bytes": None}
    ]
    assert doubtful["available_bytes"] > 0


def test_help() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for text in ("Examples:", "Exit codes:", "--json", "--strict", "-f, --fixed"):
        assert text in result.stdout
