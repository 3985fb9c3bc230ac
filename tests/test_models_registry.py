"""The hub's models.json, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from helpers import tiny_models
from helpers.hub_server import Hub
from impact_plugin import models
from impact_plugin.cli.program import program
from impact_plugin.models import registry
from impact_plugin.models.catalogue import OLD_REVISION, REPOSITORY, REVISION

ENCODER = [5, 11, 23, 47, 95, 191]
SAID: dict[str, Any] = {
    "TS/M730.pt": {
        "dimension": 3,
        "numberofchannels": 1,
        "fov": [*ENCODER, None, None],
        "multiple": 32,
    },
    "TS/M733.pt": {"dimension": 3, "numberofchannels": 1, "fov": [5, 11, 23, 46, 100, 100, 3]},
    "DinoV2/Small.pt": {"dimension": 3, "numberofchannels": 1, "fov": None},
    "New/Network.pt": {"dimension": 2, "numberofchannels": 3, "fov": [9, 9], "note": "ours alone"},
    "TS/M999.pt": {"dimension": 3, "numberofchannels": 1, "fov": [5]},
}


class Network(nn.Module):
    """Grouped, ordinary and transposed convolutions, of 4 channels at the input."""

    def __init__(self, dimension: int, groups: int = 2) -> None:
        super().__init__()
        conv, back = {2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}[
            dimension
        ]
        self.first = conv(4, 6, 3, padding=1, groups=groups)
        self.last = back(6, 5, 2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.last(self.first(x))]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Models for 2D and 3D images, one without weights, and a text, by what they are."""
    folder = tmp_path_factory.mktemp("networks")
    networks = {"2D": Network(2), "3D": Network(3), "no weights": tiny_models.Identity()}
    found = {
        name: Path(tiny_models.save(network, folder / f"{name}.pt")).read_bytes()
        for name, network in networks.items()
    }
    return {**found, "text": b"no model at all"}


@pytest.fixture
def hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: dict[str, bytes]
) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    files = {"models.json": json.dumps(SAID).encode(), "TS/M730.pt": content["no weights"]}
    with Hub(REPOSITORY, files, large=False) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program, ["models", *map(str, arguments)])


def online(**options: Any) -> dict[str, models.PublicModel]:  # noqa: ANN401
    return {model.name: model for model in models.online_catalogue(**options)}


def test_the_hub_says_what_models_are(hub: Hub) -> None:
    found, table = online(), {model.name: model for model in models.catalogue()}
    assert {request[1] for request in hub.requests} == {
        f"/{REPOSITORY}/resolve/{REVISION}/models.json"
    }
    assert REVISION == "47ffad660e67cebbac8d74aecf0fa181c5dac042"
    m730 = found["TS/M730"]
    assert (m730.multiple, m730.differences) == (32, ())
    assert m730.field_of_view == (*ENCODER, None, None)
    assert m730.layers == table["TS/M730"].layers
    assert found["TS/M733"].field_of_view == (5, 11, 23, 46, 100, 100, 3)
    dino = found["DinoV2/Small"]
    assert (dino.dimension, dino.input_channels, dino.field_of_view) == (3, 1, (None,))
    new = found["New/Network"]
    assert (new.dimension, new.input_channels, new.field_of_view) == (2, 3, (9, 9))
    assert (new.file, new.layers, new.multiple, new.differences) == ("New/Network.pt", (), None, ())
    assert list(found)[: len(SAID)] == [name.removesuffix(".pt") for name in SAID]
    assert set(table) <= set(found)


def test_where_the_two_differ(hub: Hub) -> None:
    found = online()
    assert found["TS/M733"].differences == (
        "7 layers, not 6",
        "layer 3 sees 46, not 47",
    )
    assert found["DinoV2/Small"].differences == (
        "3D, not 2D",
        "1 input channels, not 3",
        "layer 0 sees whole images, not 14",
    )
    assert found["TS/M291"].differences == ("not in models.json",)
    assert all(model.differences == () for model in models.catalogue())


def test_list(hub: Hub) -> None:
    """By the table no server is asked."""
    offline = run("list")
    assert hub.requests == []
    assert "Multiple" not in offline.output
    text = run("list", "--online").output
    head = " ".join(text.splitlines()[0].split())
    assert head == "Name Dim In Layers Field of view Multiple mm What it is"
    (line,) = [line for line in text.splitlines() if line.startswith("TS/M730 ")]
    assert " 5 11 23 47 95 191 - -  32        1.5  " in line
    _, differing = text.split("Where the hub's models.json and the table of this package differ:\n")
    assert "  TS/M733: 7 layers, not 6; layer 3 sees 46, not 47\n" in differing
    assert "  TS/M291: not in models.json\n" in differing
    assert "TS/M730:" not in differing
    (entry,) = json.loads(run("list", "M730", "--online", "--json").output)
    assert (entry["multiple"], entry["differences"]) == (32, [])
    _, line = run("list", "--online", "New/").output.splitlines()
    assert line.split()[:7] == ["New/Network", "2D", "3", "-", "9", "9", "-"]


def test_the_cache_serves_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("list", "--online", "--offline")
    assert refused.exit_code == 1
    assert "no models.json, or it is not in the cache" in refused.output
    assert "`impact-plugin models list`" in refused.output
    assert hub.requests == []
    online()
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert online()["TS/M730"].multiple == 32
    assert run("list", "--online").exit_code == 0
    assert len(hub.requests) == asked


def test_options_that_mean_nothing_alone() -> None:
    for option in (["--offline"], ["--revision", "main"]):
        refused = run("list", *option)
        assert refused.exit_code == 1
        assert "give --online, too" in refused.output


def test_another_revision_has_its_own(hub: Hub) -> None:
    commit = "e" * 40
    assert online(revision=commit)["TS/M730"].revision == commit
    assert f"/resolve/{commit}/models.json" in hub.requests[-1][1]
    del hub.files["models.json"]
    with pytest.raises(models.DownloadError, match=f"revision {'d' * 40} has no models.json"):
        online(revision="d" * 40)


def test_download_says_it(hub: Hub, tmp_path: Path) -> None:
    done = run("download", "M730", "--folder", tmp_path / "models")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'models' / 'TS' / 'M730.pt'}\n"
    line = "TS/M730: 3D, 1 channel, field of view 5 11 23 47 95 191 - -, sizes in multiples of 32\n"
    assert done.stderr.endswith(line)
    again = run("download", "M730", "--offline")
    assert again.stderr == line
    assert run("download", "M730", "--quiet").stderr == ""


def test_download_says_where_it_differs(hub: Hub, content: dict[str, bytes]) -> None:
    hub.files["DinoV2/Small.pt"] = content["3D"]
    done = run("download", "DINOv2")
    assert done.exit_code == 0, done.output
    assert "DinoV2/Small: 3D, 1 channel, field of view -\n" in done.stderr
    assert "  3D, not 2D (the table of this package)\n" in done.stderr


def test_files_without_an_entry_are_as_before(hub: Hub, content: dict[str, bytes]) -> None:
    hub.files["TS/M730_2_Layers.pt"] = hub.files["other/unknown.pt"] = content["text"]
    assert models.download("M730_2_Layers").read_bytes() == content["text"]
    assert OLD_REVISION in hub.requests[-1][1]
    done = run("download", "other/unknown.pt")
    assert (done.exit_code, done.stderr.count("unknown:")) == (0, 0)


DAMAGED: list[tuple[bytes, str]] = [
    (b"", r"it is no JSON: Expecting value"),
    (json.dumps(SAID).encode()[:50], r"it is no JSON: "),
    (b"\xff\xfe", r"it is no JSON: "),
    (b"[" * 100_000, r"it is no JSON: "),
    (b"[]", r"all of it is .*, expected an object"),
    (b'{"a.pt": 3}', r"\"?a\.pt\"?.* is 3, expected an object"),
    (b'{"a.pt": {"numberofchannels": 1, "fov": [1]}}', r"dimension is missing, expected "),
    (b'{"a.pt": {"dimension": 4, "numberofchannels": 1, "fov": [1]}}', r"dimension is 4, expected"),
    (b'{"a.pt": {"dimension": 3, "numberofchannels": 0, "fov": [1]}}', r"numberofchannels is 0, "),
    (
        b'{"a.pt": {"dimension": 3, "numberofchannels": 1, "fov": [-1]}}',
        r"fov\[0\] is -1, expected",
    ),
    (
        b'{"a.pt": {"dimension": 3, "numberofchannels": 1, "fov": 5}}',
        r"fov is 5, expected an array",
    ),
    (
        b'{"a.pt": {"dimension": 3, "numberofchannels": 1, "fov": null, "multiple": 0.5}}',
        r"multiple is 0\.5, expected an integer",
    ),
    (
        b'{"../a.pt": {"dimension": 3, "numberofchannels": 1, "fov": null}}',
        r"'\.\./a\.pt' is no path",
    ),
    (b'{"/a.pt": {"dimension": 3, "numberofchannels": 1, "fov": null}}', r"'/a\.pt' is no path"),
    (b'{"a.pt": {}, "a.pt": {}}', r"'a\.pt' stands in it twice"),
]


@pytest.mark.parametrize(("text", "message"), DAMAGED)
def test_damaged(hub: Hub, text: bytes, message: str) -> None:
    """Named for the list, and before a model is fetched."""
    hub.files["models.json"] = text
    for asked in (models.online_catalogue, lambda: models.download("TS/M730")):
        with pytest.raises(models.DownloadError, match=rf"{REVISION}: models\.json.*{message}"):
            asked()
    assert not [path for method, path, _ in hub.requests if method == "GET" and "M730" in path]
    assert run("list").exit_code == 0  # the table


def test_another_one_than_promised(hub: Hub) -> None:
    """Its checksum, as for models."""
    hub.sent["models.json"] = hub.files["models.json"].replace(b"32", b"64")
    with pytest.raises(models.DownloadError, match=r"models\.json has the checksum .* expected"):
        models.online_catalogue()
    hub.sent.clear()
    assert online()["TS/M730"].multiple == 32


def test_a_file_that_the_hub_does_not_have(hub: Hub) -> None:
    message = rf"{REVISION} has no file \"TS/M999\.pt\", although its models\.json describes it"
    with pytest.raises(models.DownloadError, match=message):
        models.download("TS/M999.pt")


def entry(dimension: int, channels: int) -> dict[str, Any]:
    return {"dimension": dimension, "numberofchannels": channels, "fov": None}


@pytest.mark.parametrize(
    ("what", "said", "message"),
    [
        ("3D", entry(2, 1), "to be for 2D images, and all convolutions in it are 3D"),
        ("2D", entry(3, 4), "to be for 3D images, and all convolutions in it are 2D"),
        ("3D", entry(3, 3), "to take 3 channels, and its convolutions take 2, 5"),
        ("text", entry(3, 1), "is not a TorchScript file"),
    ],
)
def test_a_file_that_is_something_else(
    hub: Hub,
    content: dict[str, bytes],
    tmp_path: Path,
    what: str,
    said: dict[str, Any],
    message: str,
) -> None:
    """Each time that it is asked for, from the cache, too."""
    hub.files["A/B.pt"] = content[what]
    hub.files["models.json"] = json.dumps({"A/B.pt": said}).encode()
    fetch: Callable[[], Path] = lambda: models.download("A/B.pt", tmp_path / "models")  # noqa: E731
    for _ in range(2):
        with pytest.raises(
            models.DownloadError, match=rf"A/B\.pt is not what models\.json says of it: .*{message}"
        ):
            fetch()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [("3D", entry(3, 4)), ("3D", entry(3, 1)), ("2D", entry(2, 2)), ("no weights", entry(2, 7))],
)
def test_what_the_weights_cannot_contradict(
    hub: Hub, content: dict[str, bytes], what: str, said: dict[str, Any]
) -> None:
    """Groups take a part of the channels each, and a file may repeat one channel."""
    hub.files["A/B.pt"] = content[what]
    hub.files["models.json"] = json.dumps({"A/B.pt": said}).encode()
    assert models.download("A/B.pt").read_bytes() == content[what]


def test_the_file_alone(tmp_path: Path) -> None:
    """KonfAI's KONFAI_IMPACT_MODELS_REGISTRY is one, too, without the paths."""
    path = tmp_path / "models.json"
    path.write_text(json.dumps(SAID))
    found = registry.read(path)
    assert found["TS/M730.pt"].fov == [*ENCODER, None, None]
    assert found["New/Network.pt"].multiple is None
