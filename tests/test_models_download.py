"""Fetching public models, from a server on this machine that answers as the hub does."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.hub_server import Hub
from impact_plugin import models
from impact_plugin.models.catalogue import OLD_REVISION, REPOSITORY, REVISION

CONTENT = bytes(range(256)) * 1200
FILES = {
    "TS/M730.pt": CONTENT,
    "TS/M730_2_Layers.pt": b"two layers",
    "DinoV2/Small.pt": b"small",
    "notes/extra.pt": b"not in the table",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache, settings and proxies out of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(REPOSITORY, dict(FILES)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def leftovers(folder: Path) -> list[str]:
    """Files of models in a cache, finished or not; locks and notes are none."""
    blobs = [path for path in folder.rglob("blobs/*") if path.is_file() or path.is_symlink()]
    snapshots = [path for path in folder.rglob("snapshots/*/**/*") if not path.is_dir()]
    return [path.name for path in (*blobs, *snapshots)]


def test_file_is_fetched_once_and_at_the_fixed_commit(hub: Hub, tmp_path: Path) -> None:
    path = models.download("TS/M730")
    assert path.is_absolute()
    assert path.parts[-2:] == ("TS", "M730.pt")
    assert path.read_bytes() == CONTENT
    assert {request[1] for request in hub.requests} == {
        f"/{REPOSITORY}/resolve/{REVISION}/{file}" for file in ("TS/M730.pt", "models.json")
    }
    asked = len(hub.requests)
    assert models.download("m730.pt") == path
    assert len(hub.requests) == asked


@pytest.mark.parametrize(
    ("name", "file", "revision"),
    [
        ("M730_2_Layers.pt", "TS/M730_2_Layers.pt", OLD_REVISION),
        ("/Data/Models/TS/M730_2_Layers.pt", "TS/M730_2_Layers.pt", OLD_REVISION),
        ("dinov2", "DinoV2/Small.pt", REVISION),
        ("notes/extra.pt", "notes/extra.pt", REVISION),
    ],
)
def test_names_old_and_new(hub: Hub, name: str, file: str, revision: str) -> None:
    assert models.download(name).read_bytes() == FILES[file]
    assert hub.requests[-1][1] == f"/{REPOSITORY}/resolve/{revision}/{file}"


def test_another_revision(hub: Hub) -> None:
    commit = "f" * 40
    assert models.download("TS/M730", revision=commit).read_bytes() == CONTENT
    assert f"/resolve/{commit}/" in hub.requests[-1][1]
    with pytest.raises(models.DownloadError, match='no revision "nope"'):
        models.download("TS/M730", revision="nope")


def test_copy_in_a_folder_replaces_what_was_there(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "maps" / "TS" / "M730.pt"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    assert models.download("M730", tmp_path / "maps") == target
    assert target.read_bytes() == CONTENT
    assert not target.is_symlink()
    assert list(target.parent.iterdir()) == [target]


def test_broken_connection_is_taken_up_where_it_broke(
    hub: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What arrives is kept in steps of this size, in large files of 10 MB.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.cut_after = [100_000, 50_000]
    with caplog.at_level(logging.CRITICAL, "huggingface_hub"):
        assert models.download("TS/M730").read_bytes() == CONTENT
    first, second, third = hub.ranges
    assert first == ""
    begins = [int(part.removeprefix("bytes=").rstrip("-")) for part in (second, third)]
    assert begins == [100_000, 150_000]


def test_other_bytes_than_promised_are_refused_and_removed(hub: Hub, tmp_path: Path) -> None:
    hub.sent["TS/M730.pt"] = CONTENT[:-1] + b"!"
    with pytest.raises(models.DownloadError, match=r"TS/M730.pt has the checksum .* expected"):
        models.download("TS/M730", tmp_path / "maps")
    assert leftovers(tmp_path / "cache") == []
    assert not (tmp_path / "maps").exists()
    hub.sent.clear()
    assert models.download("TS/M730").read_bytes() == CONTENT


def test_fewer_bytes_than_promised_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.sent["TS/M730.pt"] = CONTENT[:1000]
    with pytest.raises(models.DownloadError, match=r"Fetching .* failed"):
        models.download("TS/M730")
    assert leftovers(tmp_path / "cache") == []


def test_damage_in_the_cache_is_found(hub: Hub, tmp_path: Path) -> None:
    path = models.download("TS/M730")
    path.resolve().write_bytes(CONTENT[:500])
    with pytest.raises(models.DownloadError, match=r"checksum .*500 bytes"):
        models.download("TS/M730", offline=True)
    assert leftovers(tmp_path / "cache") == []
    assert models.download("TS/M730").read_bytes() == CONTENT


def test_small_files_are_checked_by_gits_checksum(hub: Hub, tmp_path: Path) -> None:
    hub.large = False
    assert models.download("DINOv2").read_bytes() == b"small"
    hub.sent["TS/M730_2_Layers.pt"] = b"two lawyer"
    with pytest.raises(models.DownloadError, match="checksum"):
        models.download("M730_2_Layers")


def test_checksum_of_the_table_wins_over_the_hubs(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from impact_plugin.models import downloading

    entry = replace(models.find("TS/M730"), sha256="0" * 64)
    monkeypatch.setattr(downloading, "find", lambda _name: entry)
    with pytest.raises(models.DownloadError, match=f"expected {'0' * 64}"):
        models.download("TS/M730")


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    offline = True if how == "argument" else None
    if how == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(models.DownloadError, match=r"TS/M730.pt.* not in the cache .*offline"):
        models.download("TS/M730", offline=offline)
    assert hub.requests == []
    path = models.download("TS/M730", offline=False)
    asked = len(hub.requests)
    assert models.download("TS/M730", offline=offline) == path
    assert len(hub.requests) == asked


def test_unknown_name_gets_the_nearest(hub: Hub) -> None:
    with pytest.raises(ValueError, match=r'"M370".*Nearest: .*TS/M730'):
        models.download("M370")
    assert hub.requests == []


def test_file_that_the_repository_does_not_have(hub: Hub) -> None:
    with pytest.raises(models.DownloadError, match=r'no file "TS/M999.pt".*models list'):
        models.download("TS/M999.pt")
    with pytest.raises(models.DownloadError, match=r"no repository \"some/other\""):
        models.download("TS/M730", repository="some/other")


def test_unreachable_server_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hub(REPOSITORY, {}) as gone:
        address = gone.address
    monkeypatch.setenv("HF_ENDPOINT", address)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    # What fetches files tries again for half a minute.
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: waits.append(30))
    with pytest.raises(models.DownloadError, match=f"hub at {address} cannot be asked"):
        models.download("TS/M730")
    assert waits == []


@pytest.mark.parametrize("progress", [True, False])
def test_progress_bar(hub: Hub, capfd: pytest.CaptureFixture[str], progress: bool) -> None:
    models.download("TS/M730", progress=progress)
    shown = capfd.readouterr().err
    assert ("M730.pt" in shown and "100%" in shown) == progress


def test_without_the_library_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "impact-plugin\[models\]"'):
        models.download("TS/M730")
