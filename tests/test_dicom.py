"""Folders and files of DICOM: which series is meant, and whether it is one volume."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.dicom_files import ENHANCED_CT, ROOT, STRUCTURES, numbers, pixels, slices, write
from helpers.pairs import shift_error, sitk_pair, squares
from helpers.parameter_maps import as_text
from helpers.programs import run
from impact_plugin.check import ImageError, ImageHeader
from impact_plugin.images import conversion, reading

A, B = f"{ROOT}.5", f"{ROOT}.20"
EVEN = [(10.0, 20.0, 3.0 * k) for k in range(6)]
VOLUME = {"size": (5, 6, 6), "spacing": (1.5, 2, 3), "origin": (10, 20, 0)}


def check(image: sitk.Image, expected: dict[str, Any] | None = None) -> None:
    expected = expected or VOLUME
    assert image.GetSize() == expected["size"]
    np.testing.assert_allclose(image.GetSpacing(), expected["spacing"], atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), expected["origin"], atol=1e-6)


def corners(image: sitk.Image) -> list[int]:
    return [image[0, 0, k] for k in range(image.GetSize()[2])]


def two_series(folder: Path) -> None:
    slices(folder, EVEN, series=B, front="s")
    slices(folder, EVEN[:3], series=A, front="aaa", more={0x0008103E: "scout"})


def test_the_series_is_chosen(tmp_path: Path) -> None:
    two_series(tmp_path)
    with pytest.raises(ValueError, match="2 DICOM series") as refused:
        conversion.to_sitk(tmp_path, "the moving image")
    said = str(refused.value)
    assert said.startswith("the moving image: the folder ")
    assert f"{A}: CT 'scout', 3 files of 5 x 6 pixels" in said
    assert f"{B}: CT 'series of s', 6 files of 5 x 6 pixels" in said
    assert said.endswith(repr(str(tmp_path / B)))
    image = conversion.to_sitk(tmp_path / B)
    check(image)
    assert corners(image) == [0, 1, 2, 3, 4, 5]
    assert conversion.to_sitk(str(tmp_path / A)).GetSize() == (5, 6, 3)
    assert reading.exists(tmp_path / B)
    assert reading.dimension_of(tmp_path / B) == 3
    assert reading.stem(tmp_path / B) == B
    assert [file.name for file in reading.files_of(tmp_path / A)] == [
        "aaa000.dcm",
        "aaa001.dcm",
        "aaa002.dcm",
    ]


def test_a_series_that_is_not_there(tmp_path: Path) -> None:
    two_series(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"no DICOM series 1\.2\.3 .*\n  {re.escape(A)}"):
        conversion.to_sitk(tmp_path / "1.2.3")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no DICOM series"):
        conversion.to_sitk(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        conversion.to_sitk(tmp_path / "none" / "1.2.3")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        conversion.to_sitk(tmp_path / "nowhere" / "1.2.3")


def test_a_folder_named_as_a_series_is_that_folder(tmp_path: Path) -> None:
    two_series(tmp_path)
    slices(tmp_path / A, EVEN, series=B)
    assert conversion.to_sitk(tmp_path / A).GetSize() == (5, 6, 6)


def test_what_else_lies_there(tmp_path: Path) -> None:
    """Order, names and other files do not matter; a cut file does, which ITK leaves out."""
    files = slices(tmp_path, EVEN[::-1])
    for k, file in enumerate(files):
        file.rename(tmp_path / f"IM{(k * 5) % 6}")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 50)
    write(tmp_path / "rt.dcm", {0x0020000E: f"{ROOT}.77", 0x00080018: f"{ROOT}.78"}, STRUCTURES)
    image = conversion.to_sitk(tmp_path)
    check(image)
    assert corners(image) == [5, 4, 3, 2, 1, 0]
    cut = tmp_path / "IM3"
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"IM3' is a DICOM image that cannot be read"):
        conversion.to_sitk(tmp_path)
    cut.unlink()
    (tmp_path / "s.dcm").write_bytes(b"")
    with pytest.raises(ValueError, match=r"s\.dcm' is a DICOM image that cannot be read"):
        conversion.to_sitk(tmp_path)


def test_oblique_and_rounded(tmp_path: Path) -> None:
    """Positions to 0.01 mm, and orientations to five digits, are as good as any."""
    turn = np.array(sitk.Euler3DTransform((0, 0, 0), 0.2, -0.3, 0.4).GetMatrix()).reshape(3, 3)
    places = [np.array([-50, 30, 7]) + 1.3337 * k * turn[:, 2] for k in range(40)]
    slices(
        tmp_path,
        [np.round(place, 2).tolist() for place in places],
        orientation=np.round(turn[:, :2].T.ravel(), 5),
    )
    image = conversion.to_sitk(tmp_path)
    for k in (0, 20, 39):
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint((4, 5, k)),
            places[k] + turn[:, 0] * 4 * 1.5 + turn[:, 1] * 5 * 2,
            atol=0.02,
        )
        assert image[0, 0, k] == k


def test_slopes_of_their_own(tmp_path: Path) -> None:
    """ITK's type of pixel is that of the first slice, into which it cuts those of the others."""
    slopes = ["1", "0.25", "0.5", "1", "1", "1"]
    slices(tmp_path, EVEN, each={0x00281053: slopes}, more={0x00281052: "0"})
    image = conversion.to_sitk(tmp_path)
    assert corners(image) == [0, 0.25, 1, 3, 4, 5]


def at(heights: Sequence[float]) -> list[tuple[float, float, float]]:
    return [(10.0, 20.0, height) for height in heights]


REFUSED: dict[str, tuple[list[tuple[float, float, float]], dict[str, Any], str]] = {
    "one missing": (
        at([0, 3, 6, 12, 15]),
        {},
        r"lacks 1 slice: its slices lie 3 mm apart, and there is none at \[10, 20, 9\].*"
        r"between 's002\.dcm' and 's003\.dcm'",
    ),
    "several missing": (
        at([0, 3, 12, 15, 21, 24, 27]),
        {},
        r"lacks 3 slices.*\[10, 20, 6\], \[10, 20, 9\], \[10, 20, 18\]",
    ),
    "the last but one": (at([0, 3, 6, 9, 15]), {}, r"lacks 1 slice:.*\[10, 20, 12\]"),
    "half of the distance": (at([0, 3, 6, 7.5, 9]), {}, r"lacks 2 slices.* 1\.5 mm apart"),
    "two distances": (at([0, 3, 6, 10, 14]), {}, "uneven distances, from 3 to 4 mm"),
    "half a mm off": (at([0, 3, 6.5, 9, 12]), {}, "uneven distances"),
    "three": (at([0, 1, 3]), {}, r"lacks 1 slice:.*\[10, 20, 2\]"),
    "tilt": (
        [(10, 20 + 0.5 * k, 3.0 * k) for k in range(5)],
        {},
        r"gantry tilt of 9\.46 degrees, which sets each 0\.5 mm off the one before, 2 mm in all",
    ),
    "sideways": (
        [(10 + (k == 2), 20.0, 3.0 * k) for k in range(5)],
        {},
        "set off sideways against each other",
    ),
    "all at one place": (at([3, 3, 3]), {}, "3 slices at 1 positions"),
    "times": (
        at([0, 3, 6, 0, 3, 6]),
        {"each": {0x00200100: list("111222")}},
        r"2 time points:\n  1: 3 files, 's000\.dcm' the first\n  2: 3 files, 's003\.dcm'",
    ),
    "acquisitions": (
        at([0, 3, 6, 0, 3, 6]),
        {"each": {0x00200012: list("111222")}},
        r"6 slices at 3 positions: at \[10, 20, 0\] lie 's000\.dcm' and 's003\.dcm', which differ "
        r"in AcquisitionNumber \(1 and 2\)",
    ),
    "echoes": (
        at([0, 0, 3, 3, 6, 6]),
        {"each": {0x00180081: ["10", "90"] * 3}},
        r"differ in EchoTime \(10 and 90\)",
    ),
    "one slice twice": (
        at([0, 3, 3, 6, 9]),
        {"each": {0x00080018: [f"{ROOT}.9.{n}" for n in (1, 2, 2, 3, 4)]}},
        "'s001.dcm' and 's002.dcm', which are the same slice twice",
    ),
    "acquisitions between each other": (
        at([0, 3, 6, 1.5, 4.5, 7.5]),
        {"each": {0x00200012: list("111222")}},
        r"lie between each other's: AcquisitionNumber and number of slices 1 \(3\), 2 \(3\)",
    ),
    "a localizer among them": (
        EVEN,
        {"each": {0x00200037: ["1\\0\\0\\0\\1\\0"] * 5 + ["0\\1\\0\\0\\0\\-1"]}},
        r"2 orientations:\n.*5 files.*\n  \[0\.0, 1\.0, 0\.0, 0\.0, 0\.0, -1\.0\]: 1 files",
    ),
    "pixel spacings": (EVEN, {"each": {0x00280030: ["2\\1.5"] * 5 + ["2\\1.6"]}}, "2 pixel spac"),
    "frames of reference": (EVEN, {"each": {0x00200052: list("111112")}}, "2 frames of reference"),
    "no positions": (EVEN, {"more": {0x00200032: None}}, "6 of its 6 files have no ImagePosition"),
    "one without a position": (
        EVEN,
        {"each": {0x00200032: [*(numbers(place) for place in EVEN[:5]), None]}},
        r"1 of its 6 files have no ImagePositionPatient \(0020,0032\), such as 's005\.dcm'",
    ),
    "no pixel spacing": (EVEN, {"more": {0x00280030: None}}, r"have no PixelSpacing \(0028,0030\)"),
    "no numbers": (EVEN, {"more": {0x00200032: "nan\\0\\0"}}, "6 of its 6 files have no ImagePos"),
    "no directions": (
        EVEN,
        {"more": {0x00200037: "0\\0\\0\\0\\1\\0"}},
        "expected two directions at right angles",
    ),
    "no orientation": (EVEN, {"more": {0x00200037: None}}, "have no ImageOrientationPatient"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_no_volume(tmp_path: Path, case: str) -> None:
    places, options, match = REFUSED[case]
    slices(tmp_path, places, **options)
    with pytest.raises(ValueError, match=match):
        conversion.to_sitk(tmp_path)
    with pytest.raises(ImageError, match=match):
        ImageHeader.read(tmp_path)


def test_slices_of_two_sizes(tmp_path: Path) -> None:
    slices(tmp_path, EVEN[:5])
    slices(tmp_path, EVEN[5:], voxels=np.zeros((1, 7, 5), np.int16), front="t")
    with pytest.raises(ValueError, match=r"2 sizes:\n  \[5, 6\]: 5 files.*\n  \[5, 7\]: 1 files"):
        conversion.to_sitk(tmp_path)


def test_acquisitions_one_after_the_other_are_one_volume(tmp_path: Path) -> None:
    slices(tmp_path / "two", EVEN, each={0x00200012: list("111222")})
    slices(tmp_path / "many", EVEN, each={0x00200012: list("123456")})
    for name in ("two", "many"):
        check(conversion.to_sitk(tmp_path / name))


def enhanced(
    path: Path, places: Sequence[Sequence[float]], how: str = "explicit", **frame: Sequence[Any]
) -> None:
    """Write one file of all frames; frame k has k in its corner."""
    voxels = np.arange(len(places), dtype=np.int16)[:, None, None] + np.zeros((6, 5), np.int16)
    times = frame.get("times")
    slopes = frame.get("slopes", ["1"] * len(places))
    groups = []
    for k, place in enumerate(places):
        group: dict[int, Any] = {0x00209113: [{0x00200032: numbers(place)}]}
        group[0x00289145] = [{0x00281052: "0", 0x00281053: slopes[k]}]
        if times:
            group[0x00209111] = [{0x00209128: times[k]}]
        groups.append(group)
    shared: dict[int, Any] = {
        0x00209116: [{0x00200037: numbers((1, 0, 0, 0, 1, 0))}],
        0x00289110: [{0x00280030: numbers((2, 1.5))}],
    }
    tags: dict[int, Any] = {0x00080018: f"{ROOT}.9.1", 0x00080060: "CT", 0x0020000E: f"{ROOT}.9"}
    tags |= {0x00280008: str(len(places)), 0x52009229: [shared], 0x52009230: groups}
    write(path, tags | pixels(voxels), ENHANCED_CT, how)


@pytest.mark.parametrize("how", ["explicit", "implicit", "undefined"])
def test_frames_in_one_file(tmp_path: Path, how: str) -> None:
    enhanced(tmp_path / "even.dcm", EVEN, how)
    enhanced(tmp_path / "mixed.dcm", [EVEN[k] for k in (0, 2, 1, 5, 4, 3)], how)
    for name, order in (("even", [0, 1, 2, 3, 4, 5]), ("mixed", [0, 2, 1, 5, 4, 3])):
        image = conversion.to_sitk(tmp_path / f"{name}.dcm")
        check(image)
        assert corners(image) == order
        assert ImageHeader.read(tmp_path / f"{name}.dcm").spacing == (1.5, 2, 3)
    (tmp_path / "folder").mkdir()
    shutil.copy(tmp_path / "even.dcm", tmp_path / "folder")
    check(conversion.to_sitk(tmp_path / "folder"))
    check(conversion.to_sitk(tmp_path / "folder" / f"{ROOT}.9"))


@pytest.mark.parametrize(
    ("places", "frame", "match"),
    [
        (at([0, 3, 6, 12, 15]), {}, r"lacks 1 slice.*\[10, 20, 9\].*'a\.dcm frame 3'"),
        (at([0, 3, 6, 0, 3, 6]), {"times": [1, 1, 1, 2, 2, 2]}, "2 time points"),
        ([(10, 20 + k, 3.0 * k) for k in range(4)], {}, r"gantry tilt of 18\.4 degrees"),
        (EVEN, {"slopes": list("111112")}, "2 values of RescaleSlope"),
    ],
    ids=["gap", "times", "tilt", "slopes"],
)
def test_frames_that_are_no_volume(
    tmp_path: Path,
    places: Sequence[Sequence[float]],
    frame: dict[str, Any],
    match: str,
) -> None:
    enhanced(tmp_path / "a.dcm", places, **frame)
    with pytest.raises(ValueError, match=match):
        conversion.to_sitk(tmp_path / "a.dcm")
    ran = run("elastix", "-f", "a.dcm", "-m", "a.dcm", "-p", "p", "-out", ".", folder=tmp_path)
    assert ran.returncode == 1
    assert re.search(match, ran.stderr)


def test_frames_of_which_nothing_is_known(tmp_path: Path) -> None:
    """An ultrasound film: times, which ITK reads as slices 1 mm apart."""
    film = {0x00080018: f"{ROOT}.9.1", 0x0020000E: f"{ROOT}.9", 0x00280008: "4"}
    write(tmp_path / "us.dcm", film | pixels(np.zeros((4, 6, 5))), "1.2.840.10008.5.1.4.1.1.3.1")
    with pytest.raises(ValueError, match="has 4 frames and does not say where they lie"):
        conversion.to_sitk(tmp_path / "us.dcm")


def test_what_simpleitk_writes_as_one_file(tmp_path: Path) -> None:
    image = sitk.Image(5, 6, 7, sitk.sitkUInt16)
    image.SetSpacing((1.5, 2, 3))
    image.SetOrigin((-4, 5, 60))
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.2, 0.3, 0.4).GetMatrix())
    sitk.WriteImage(image, str(tmp_path / "volume.dcm"))
    again = conversion.to_sitk(tmp_path / "volume.dcm")
    np.testing.assert_allclose(again.GetSpacing(), image.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(again.GetOrigin(), image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(again.GetDirection(), image.GetDirection(), atol=1e-6)


def test_one_slice(tmp_path: Path) -> None:
    file = slices(tmp_path, EVEN[:1])[0]
    for path in (tmp_path, file):
        assert conversion.to_sitk(path).GetSize() == (5, 6, 1)
        with pytest.raises(ValueError, match="a file of a DICOM series: the volume is the folder"):
            impact_plugin.register_images(path, path)


def pair_in_one_folder(folder: Path) -> None:
    """Write the known pair as the series A, fixed, and B, moving."""
    for image, uid, front in zip(sitk_pair(), (A, B), ("f", "m"), strict=True):
        direction = np.reshape(image.GetDirection(), (3, 3))
        voxels = sitk.GetArrayFromImage(image)
        slices(
            folder,
            [image.TransformIndexToPhysicalPoint((0, 0, k)) for k in range(len(voxels))],
            series=uid,
            orientation=direction[:, :2].T.ravel(),
            spacing=(image.GetSpacing()[1], image.GetSpacing()[0]),
            voxels=np.round(1000 * (voxels - voxels.min()) / np.ptp(voxels)).astype(np.int16),
            front=front,
        )


def test_every_command_takes_a_series(tmp_path: Path) -> None:
    pair_in_one_folder(tmp_path / "scan")
    (tmp_path / "p.txt").write_text(as_text(squares()))
    fixed, moving = f"scan/{A}", f"scan/{B}"
    options = ("-o", "out", "-p", "p.txt", "--labels", moving)
    ran = run("plugin", "register", fixed, moving, *options, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert shift_error(impact_plugin.RegistrationResult.load(tmp_path / "out")) < 0.1
    assert (tmp_path / "out" / f"{B}_warped.mha").is_file()
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["images"]["moving"]["path"] == str(tmp_path / moving)
    ran = run("plugin", "rerun", "out", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr  # the same to the bit
    sides = ("--fixed-labels", fixed, "--moving-labels", moving, "--moving-image", moving)
    ran = run("plugin", "evaluate", "out", *sides, "--no-jacobian", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ran = run("plugin", "report", "out", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ran = run("plugin", "check", "p.txt", "-f", fixed, "-m", moving, folder=tmp_path)
    assert "not exist" not in ran.stderr
    assert ran.returncode in (0, 1)
    ran = run("plugin", "check", "p.txt", "-f", "scan/1.2.3x", "-m", moving, folder=tmp_path)
    assert ran.returncode == 2
    assert "does not exist" in ran.stderr
    ran = run("elastix", "-f", fixed, "-m", moving, "-p", "p.txt", "-out", ".", folder=tmp_path)
    assert ran.returncode == 1
    assert "is a folder, and elastix reads files" in ran.stderr


def test_cohorts_take_series(tmp_path: Path) -> None:
    from impact_plugin.cohort import register_cohort

    pair_in_one_folder(tmp_path / "scan")
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("fixed", "moving"), (f"scan/{A}", f"scan/{B}")])
    parameters = tmp_path / "squares.txt"
    parameters.write_text(as_text(squares()))
    files = (tmp_path / "pairs.csv", tmp_path / "out")
    result = register_cohort(*files, parameter_files=[parameters], variants=(), workers=1)
    assert list(result.table["status"]) == ["done"]
    assert list(result.table["pair"]) == [f"{A}__{B}"]
