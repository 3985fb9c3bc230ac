"""Data of `make evidence` from the public repositories, here from a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks.evidence import fetching
from benchmarks.evidence.fetching import SOURCES, FetchError, fetch
from benchmarks.evidence.pairs import Pair
from benchmarks.evidence.scenes import Data, MissingDataError, make


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served in place of the public repositories."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("IMPACT_EVIDENCE_URL", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def put(served: Path, path: str) -> Path:
    """Where a file of a repository lies."""
    (served / path).parent.mkdir(parents=True, exist_ok=True)
    return served / path


def head(served: Path, path: str, seed: int) -> np.ndarray:
    """Write a volume of MNI space as the repository has them: RAS, whole, with fractions."""
    voxels = np.random.default_rng(seed).uniform(-20, 900, (182, 218, 182)).astype(np.float32)
    voxels[voxels < 400] = 0
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = 90, -126, -72
    nibabel.save(nibabel.Nifti1Image(voxels, affine), put(served, path))
    return voxels


def known(monkeypatch: pytest.MonkeyPatch, name: str, sha256: str) -> None:
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], sha256=sha256))


def test_every_file_is_pinned() -> None:
    assert len(SOURCES) == 16
    for source in SOURCES.values():
        assert len(source.sha256) == 64
        for path in source.paths:
            commit = path.split("/")[2]
            assert len(commit) == 40
            assert int(commit, 16)


def test_data_at_hand_have_the_checksums_of_the_table() -> None:
    """It is what makes the table true; a machine without them has nothing to compare."""
    folder = Data.of(None).places[0]
    for name in (name for name in SOURCES if (folder / name).is_file()):
        assert fetching.checksum(folder / name) == SOURCES[name].sha256, name


def test_a_head_is_cropped_and_a_mask_made(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = SOURCES["ms/p07_mask.nii.gz"]
    voxels = [head(served, path, seed) for seed, path in enumerate(mask.paths)]
    cache = tmp_path / "cache"
    with pytest.raises(FetchError, match=r"p07_FLAIR\.nii\.gz, made of .*not what the tables were"):
        fetch("ms/p07_FLAIR.nii.gz", cache)
    assert not list(cache.rglob("*.nii.gz"))

    monkeypatch.setattr(fetching, "checksum", lambda path: SOURCES[f"ms/{path.name}"].sha256)
    flair = sitk.ReadImage(str(fetch("ms/p07_FLAIR.nii.gz", cache)))
    made = sitk.ReadImage(str(fetch("ms/p07_mask.nii.gz", cache)))
    assert flair.GetSize() == made.GetSize() == (152, 192, 160)
    assert flair.GetOrigin() == made.GetOrigin() == (-75.0, -74.0, -72.0)
    for index in ((0, 0, 0), (151, 191, 159), (3, 100, 57)):
        x, y, z = flair.TransformIndexToPhysicalPoint(index)
        # RAS (-x, -y, z), and that volume's index: (90 - X, Y + 126, Z + 72)
        at = round(90 + x), round(-y + 126), round(z + 72)
        assert flair[index] == np.rint(np.float64(voxels[2][at]) * 10)
        assert made[index] == any(each[at] != 0 for each in voxels)


def test_a_volume_of_freesurfer_keeps_its_place(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    affine = np.array([[-1, 0, 0, 12], [0, 0, 1.5, -9], [0, -1, 0, 30], [0, 0, 0, 1.0]])
    voxels = np.random.default_rng(3).integers(0, 255, (4, 5, 6)).astype(np.uint8)
    path = put(served, SOURCES["heads/ecog_aseg.nii.gz"].paths[0])
    nibabel.save(nibabel.MGHImage(voxels, affine), path)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "same.nii.gz")
    same = sitk.ReadImage(str(tmp_path / "same.nii.gz"))
    known(monkeypatch, "heads/ecog_aseg.nii.gz", fetching.checksum(tmp_path / "same.nii.gz"))
    found = sitk.ReadImage(str(fetch("heads/ecog_aseg.nii.gz", tmp_path)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(same))
    np.testing.assert_allclose(found.GetOrigin(), same.GetOrigin())
    np.testing.assert_allclose(found.GetSpacing(), same.GetSpacing())
    np.testing.assert_allclose(found.GetDirection(), same.GetDirection(), atol=1e-12)


def test_pictures_and_landmarks_are_taken_as_they_are(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(4)
    for name in ("HE", "proSPC"):
        picture = put(served, SOURCES[f"histology/{name}.jpg"].paths[0])
        voxels = random.integers(0, 255, (40, 50, 3)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(voxels, isVector=True), str(picture))
        landmarks = put(served, SOURCES[f"histology/{name}.csv"].paths[0])
        landmarks.write_text(",X,Y\n1,10,12\n2,30,21\n")
        for ending, path in (("jpg", picture), ("csv", landmarks)):
            known(monkeypatch, f"histology/{name}.{ending}", fetching.checksum(path))
    scene = make(Pair.named("histology/HE-proSPC-none"), 1, Data((), tmp_path))
    np.testing.assert_array_equal(scene.points, [[10, 12], [30, 21]])
    assert (tmp_path / "histology" / "HE.csv").is_file()


def test_what_does_not_come_is_named(served: Path, tmp_path: Path) -> None:
    del served  # empty
    data = Data((tmp_path,), tmp_path)
    found = r"HE\.jpg, histology/HE\.csv; nor to be fetched: http.*404.*DATA=FOLDER"
    with pytest.raises(MissingDataError, match=found):
        data.paths("histology/HE.jpg", "histology/HE.csv")
    with pytest.raises(MissingDataError, match="in no public repository that is known here"):
        data.paths("ms_native/p01_T1W.nii.gz")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
