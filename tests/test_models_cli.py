"""The commands `impact-plugin models ...`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from helpers.hub_server import Hub
from impact_plugin.cli.program import program
from impact_plugin.models.catalogue import REPOSITORY

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, 2, 1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))

number = 3
def three():
    return number

def needs(size):
    return Net()

def fails():
    return {}["nowhere"]
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program, ["models", *(str(argument) for argument in arguments)])


def said(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "no traceback"
    return result.output


def test_help_has_examples() -> None:
    assert "impact-plugin models download TS/M730" in said("--help")
    for command in ("inspect", "export", "mind", "list", "download"):
        assert said(command, "--help")


def test_inspect(layers: dict[int, str]) -> None:
    text = said("inspect", layers[3])
    assert "Field of view" in text
    assert "4 x 4 x 4" in text
    assert "aten::tanh" not in text
    assert "aten::tanh" in said("inspect", layers[3], "--operators", "--no-run")
    values = json.loads(said("inspect", layers[3], "--json"))
    assert [layer["channels"] for layer in values["layers"]] == [1, 6, 6]
    values = json.loads(said("inspect", layers[3], "--json", "--no-run"))
    assert values["run"] is False
    assert values["operators"]["aten::tanh"] == 1


def test_inspect_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    assert "does not exist" in refused("inspect", path)
    path.write_text("no model")
    assert "is not a TorchScript file" in refused("inspect", path)
    assert "intensities are 5 and 1" in refused("inspect", path, "--intensities", "5", "1")


def test_mind(tmp_path: Path) -> None:
    path = said("mind", "--dilation", "3", "--dimension", "2", "-o", tmp_path).strip()
    assert path == str(tmp_path / "MIND_R1D3_2D.pt")
    assert Path(path).is_file()
    assert "radius is 0" in refused("mind", "--radius", "0")


def test_list() -> None:
    lines = said("list").splitlines()
    assert lines[0].split()[:4] == ["Name", "Dim", "In", "Layers"]
    assert any(line.startswith("TS/M730 ") for line in lines)
    assert any(line.startswith("MIND/R1D2_2D*") for line in lines)
    assert len(said("list", "vertebrae").splitlines()) == 2
    (entry,) = json.loads(said("list", "vertebrae", "--json"))
    assert entry["file"] == "TS/M292.pt"
    assert entry["verified"] is False
    assert 'has "nothing like it"' in refused("list", "nothing like it")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with Hub(REPOSITORY, {"TS/M730.pt": b"m730", "Anatomix/Anatomix.pt": b"anatomix"}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_download(hub: Hub, tmp_path: Path) -> None:
    assert "not in the cache" in refused("download", "M730", "--offline")
    folder = tmp_path / "models"
    paths = said("download", "M730", "Anatomix", "--folder", folder, "--quiet").split()
    assert paths == [str(folder / "TS" / "M730.pt"), str(folder / "Anatomix" / "Anatomix.pt")]
    assert Path(paths[1]).read_bytes() == b"anatomix"
    assert run("download", "TS/M730", "--offline").stdout.strip().endswith("TS/M730.pt")
    assert "Nearest: TS/M73" in refused("download", "TS/M73")
    text = refused("download", "nonsense")
    assert 'named "nonsense". `impact-plugin models list` lists all' in text


def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    arguments = ("export", "my_networks:Net", "first", "second", "-o", "net.pt")
    path = said(*arguments, "--normalization", "window:0:255").strip()
    assert path == str(tmp_path / "net.pt")
    report = json.loads(said("inspect", path, "--json"))
    assert [layer["stride"] for layer in report["layers"]] == [[1, 1], [2, 2]]

    assert "Nearest: first" in refused("export", "my_networks:Net", "fist")
    assert 'has no "Nett"' in refused("export", "my_networks:Nett", "first")
    assert "expected module:callable" in refused("export", "my_networks", "first")
    assert "gives int" in refused("export", "my_networks:three", "first")
    assert "No module named" in refused("export", "no_networks:Net", "first")
    text = refused("export", "my_networks:needs", "first")
    assert "without arguments" in text
    assert "TypeError: needs() missing 1 required positional argument: 'size'" in text
    assert "KeyError: 'nowhere'" in refused("export", "my_networks:fails", "first")
    Path("broken.py").write_text("1 / 0")
    text = refused("export", "broken:Net", "first")
    assert '"broken" cannot be imported: ZeroDivisionError: division by zero' in text

    import torch

    torch.save({"first.weight": torch.zeros(1)}, "weights.pt")
    text = refused("export", "my_networks:Net", "first", "--weights", "weights.pt")
    assert 'The weights "weights.pt" do not fit' in text
    text = refused("export", "my_networks:Net", "first", "--weights", "/dev/null")
    assert 'The weights "/dev/null" cannot be read: EOFError' in text
    assert "Give a file of a state_dict" in text
    text = refused("export", "my_networks:Net", "first", "--normalization", "window:5:1")
    assert "LOWER is 5 and UPPER is 1. LOWER must be below UPPER" in text


def test_imports_are_light() -> None:
    code = """
import sys
import impact_plugin
heavy = {"torch", "itk", "numpy", "huggingface_hub", "click"}
assert not heavy & set(sys.modules)
import impact_plugin.models
assert not heavy & set(sys.modules)
import impact_plugin.cli.models
assert not (heavy - {"click"}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
