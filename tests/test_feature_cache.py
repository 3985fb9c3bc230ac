"""IMPACT_FEATURE_CACHE: feature maps made once for many registrations."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import impact_testing
from helpers import programs
from helpers.evaluators import SmoothModels, images, parameters


def evaluate(model: str, mode: str = "Static", tile: str = "0", pca: str = "0") -> float:
    """The value at the identity, a little displaced, so that it is not small."""
    settings = parameters([model], [3], 3, mode, "L2", "11")
    if mode == "Static":
        settings["PatchSize"] = [tile]
    settings["PCA"] = [pca]
    fixed, moving = images(3)
    evaluator = impact_testing.MetricEvaluator(
        fixed, moving, settings, "BSpline", control_point_spacing=17.0, sample_spacing=2, threads=2
    )
    return evaluator.value([x + 0.5 for x in evaluator.identity_parameters])


def word_sum(content: bytes | bytearray) -> int:
    words = np.frombuffer(content, np.uint32).astype(np.uint64)
    places = np.arange(len(words), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
    return int((words * places).sum())


def with_sums(content: bytearray) -> bytes:
    """A file with the sums that its content has: of both layers' rows, then of their headers."""
    whole = bytearray(content)
    for header in (40, 40 + 184):
        rows, channels, offset = np.frombuffer(whole, np.int64, 3, header)
        part = whole[offset : offset + 4 * min(int(rows) * int(channels), len(whole) // 4)]
        part = part[: len(part) // 4 * 4]
        whole[header + 24 : header + 32] = word_sum(part).to_bytes(8, "little")
    whole[32:40] = word_sum(whole[40 : 40 + 2 * 184]).to_bytes(8, "little")
    return bytes(whole)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is yet to be made."""
    folder = tmp_path / "made" / "features"
    monkeypatch.setenv("IMPACT_FEATURE_CACHE", str(folder))
    return folder


def test_found_again_to_the_bit(
    cache: Path, smooth_models: SmoothModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = smooth_models(3)
    first = evaluate(model)
    files = sorted(cache.iterdir())
    assert len(files) == 2  # of the fixed and of the moving image, both layers in each
    assert all(path.suffix == ".features" for path in files)
    assert evaluate(model) == first
    assert sorted(cache.iterdir()) == files
    monkeypatch.delenv("IMPACT_FEATURE_CACHE")
    assert evaluate(model) == first


def test_files_are_what_is_used(cache: Path, smooth_models: SmoothModels) -> None:
    first = evaluate(smooth_models(3))
    for path in cache.iterdir():
        content = bytearray(path.read_bytes())
        rows = np.frombuffer(content, np.float32, offset=4096)
        rows *= 2.0
        path.write_bytes(with_sums(content))
    assert evaluate(smooth_models(3)) == pytest.approx(4.0 * first, rel=1e-5)


@pytest.mark.parametrize("what", ["a bit", "no numbers", "one row for another"])
def test_changed_rows_are_noticed(cache: Path, smooth_models: SmoothModels, what: str) -> None:
    first = evaluate(smooth_models(3))
    for path in cache.iterdir():
        content = bytearray(path.read_bytes())
        if what == "a bit":
            content[-1] ^= 1
        elif what == "no numbers":
            np.frombuffer(content, np.float32, offset=4096)[:400] = np.nan
        else:
            rows = np.frombuffer(content, np.float32, offset=4096)
            rows[[100, 101]] = rows[[101, 100]] + np.float32(1.0)
        path.write_bytes(content)
    assert evaluate(smooth_models(3)) == first


def test_what_a_killed_process_left_is_deleted(cache: Path, smooth_models: SmoothModels) -> None:
    """Not what another one still writes, nor what is new."""
    cache.mkdir(parents=True)
    names = ["dead", "new", "locked"]
    paths = [cache / f"0123.features.unfinished-{name}" for name in names]
    for path in paths:
        path.write_bytes(b"half")
        if not path.name.endswith("new"):
            os.utime(path, (1e9, 1e9))
    with paths[2].open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        evaluate(smooth_models(3))
    assert [path.exists() for path in paths] == [False, True, True]


def test_others_may_read_the_files(cache: Path, smooth_models: SmoothModels) -> None:
    """As the process's umask has it: a folder may be shared."""
    before = os.umask(0o022)
    try:
        evaluate(smooth_models(3))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o644}


def test_reduced_after_it_was_found(cache: Path, smooth_models: SmoothModels) -> None:
    """Components are fitted to what the cache has, which knows nothing of them."""
    first = evaluate(smooth_models(3), pca="2")
    assert evaluate(smooth_models(3), pca="2") == first
    assert evaluate(smooth_models(3)) != first
    assert len(list(cache.iterdir())) == 2


def test_what_makes_other_maps(cache: Path, smooth_models: SmoothModels, tmp_path: Path) -> None:
    evaluate(smooth_models(3))
    evaluate(smooth_models(3), tile="16")
    assert len(list(cache.iterdir())) == 4
    # Another network under the same name.
    same_name = tmp_path / Path(smooth_models(3)).name
    same_name.write_bytes(Path(smooth_models(3, padding=0)).read_bytes())
    evaluate(str(same_name))
    assert len(list(cache.iterdir())) == 6
    # The same network under another name.
    other_name = tmp_path / "copy.pt"
    other_name.write_bytes(same_name.read_bytes())
    evaluate(str(other_name))
    assert len(list(cache.iterdir())) == 6
    evaluate(smooth_models(3), mode="Jacobian")
    assert len(list(cache.iterdir())) == 6


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "foreign", "longer", "channels", "size", "grid"]
)
def test_damaged_files_are_made_anew(cache: Path, smooth_models: SmoothModels, damage: str) -> None:
    first = evaluate(smooth_models(3))
    whole = {path: path.read_bytes() for path in cache.iterdir()}
    for path, content in whole.items():
        channels = bytearray(content)
        channels[40 + 8 : 40 + 16] = (1 << 40).to_bytes(8, "little")
        size = bytearray(content)
        size[40 + 40 : 40 + 48] = (100000).to_bytes(8, "little")
        grid = bytearray(content)
        grid[40 + 64 : 40 + 72] = np.float64(0.0).tobytes()  # spacing
        damaged = {
            "empty": b"",
            "cut": content[: len(content) // 2],
            "foreign": b"x" * len(content),
            "longer": content + b"x",
            "channels": with_sums(channels),  # wrong even where the sums are right
            "size": with_sums(size),
            "grid": bytes(grid),
        }
        path.write_bytes(damaged[damage])
    assert evaluate(smooth_models(3)) == first
    assert {path: path.read_bytes() for path in cache.iterdir()} == whole


def test_folder_that_cannot_be(
    tmp_path: Path, smooth_models: SmoothModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("IMPACT_FEATURE_CACHE", str(file))
    with pytest.raises(RuntimeError, match=r"IMPACT_FEATURE_CACHE is \".*file\", which is no fol"):
        evaluate(smooth_models(3))


def test_full_disk(cache: Path, smooth_models: SmoothModels) -> None:
    """Nothing is kept, and nothing else happens."""
    first = evaluate(smooth_models(3))
    for path in cache.iterdir():
        path.unlink()
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000));"
        "from test_feature_cache import evaluate; print(repr(evaluate(sys.argv[1])))"
    )
    tests = Path(__file__).parent
    ran = programs.python(
        "-c", program, smooth_models(3), environment={"PYTHONPATH": str(tests)}, check=True
    )
    assert float(ran.stdout) == first
    assert list(cache.iterdir()) == []
