"""Images to try things with: found where they are, else fetched and checked."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from impact_plugin import datasets, evaluation
from impact_plugin.cli.program import program
from impact_plugin.images.grid import Geometry

VARIABLES = ("IMPACT_ELASTIX_SOURCE_DIR", "IMPACT_ITK_SOURCE_DIR", "IMPACT_CACHE_DIR")


@pytest.fixture(autouse=True)
def _nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No sources are named or in the cache, and no server of ours is asked."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "_SERVER", "http://127.0.0.1:9")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        pass


@pytest.fixture
def server(
    elastix_testing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A server of the lung pair; gives the folder that it serves."""
    source = datasets._LUNG
    served = tmp_path / "served"
    folder = served / source.repository / source.commit / source.folder
    for file, _ in source.files.values():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(elastix_testing / file, folder / file)
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(datasets, "_SERVER", f"http://127.0.0.1:{running.server_port}")
        yield folder
        running.shutdown()
        thread.join()


def check(pair: datasets.LungPair) -> None:
    fixed, moving = (sitk.ReadImage(str(path)) for path in (pair.fixed, pair.moving))
    for image, mask in ((fixed, pair.fixed_mask), (moving, pair.moving_mask)):
        assert Geometry.of(sitk.ReadImage(str(mask))) == Geometry.of(image)
    points = evaluation.read_points(pair.fixed_points).positions
    assert len(points) == len(evaluation.read_points(pair.moving_points)) == 100
    assert Geometry.of(fixed).contains(points).sum() == 51
    assert all(getattr(pair, field.name).is_file() for field in dataclasses.fields(pair))


def test_a_folder_that_is_given(elastix_testing: Path) -> None:
    """The sources, or the folder in them."""
    pair = datasets.lung_pair(elastix_testing)
    assert pair == datasets.lung_pair(str(elastix_testing.parent))
    check(pair)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.fixed = Path()  # type: ignore[misc]


def test_a_variable_and_the_cache(
    elastix_testing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPACT_ELASTIX_SOURCE_DIR", str(elastix_testing.parent))
    assert datasets.lung_pair() == datasets.lung_pair(elastix_testing)
    monkeypatch.setenv("IMPACT_ELASTIX_SOURCE_DIR", str(tmp_path))
    with pytest.raises(datasets.DatasetError, match="IMPACT_ELASTIX_SOURCE_DIR is '/"):
        datasets.lung_pair()
    monkeypatch.delenv("IMPACT_ELASTIX_SOURCE_DIR")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "elastix-5.3.1").symlink_to(elastix_testing.parent)
    monkeypatch.setenv("IMPACT_CACHE_DIR", str(tmp_path / "own"))
    check(datasets.lung_pair(download=False))


def test_fetched_once(server: Path, tmp_path: Path) -> None:
    pair = datasets.lung_pair()
    assert pair.fixed.is_relative_to(tmp_path / "cache" / "impact-plugin" / "datasets")
    check(pair)
    shutil.rmtree(server)
    assert datasets.lung_pair() == pair


def test_what_arrives_is_checked(server: Path, tmp_path: Path) -> None:
    """Nothing is left under the name of a file that is another one; others stay."""
    file = server / "Data" / "3DCT_lung_followup.mha"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(datasets.DatasetError, match=r"followup\.mha gave another file .*SHA-256"):
        datasets.lung_pair()
    kept = [path.name for path in (tmp_path / "cache").rglob("*.mha")]
    assert kept == ["3DCT_lung_baseline.mha"]
    file.unlink()
    with pytest.raises(datasets.DatasetError, match=r"cannot be fetched: File not found\. "):
        datasets.lung_pair()
    file.write_bytes(whole)
    check(datasets.lung_pair())


def test_without_a_connection() -> None:
    with pytest.raises(datasets.DatasetError, match=r"(?s)cannot be fetched: .*refused.*5\.4\.7"):
        datasets.mr_slices()
    with pytest.raises(datasets.DatasetError, match=r"is not here.*IMPACT_ITK_SOURCE_DIR"):
        datasets.mr_slices(download=False)
    run = CliRunner().invoke(program, ["demo"])
    assert run.exit_code == 1
    assert "cannot be fetched" in run.output
    assert "--data" in run.output


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "BrainT1SliceBorder20.png").touch()
    with pytest.raises(datasets.DatasetError, match=r"these files are missing:\n  /\S+17y\.png$"):
        datasets.mr_slices(tmp_path)
    with pytest.raises(datasets.DatasetError) as error:
        datasets.lung_pair(tmp_path / "nowhere")
    assert len(error.value.missing) == 8


def test_slices(elastix_testing: Path) -> None:
    sources = elastix_testing.parents[1] / "ITK-5.4.7"
    slices = datasets.mr_slices(sources)
    images = [sitk.ReadImage(str(path)) for path in (slices.fixed, slices.moving)]
    assert [image.GetDimension() for image in images] == [2, 2]
    assert slices == datasets.mr_slices(sources / "Examples" / "Data")
