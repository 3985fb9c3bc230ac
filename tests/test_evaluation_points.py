"""Files of points: whatever they hold, mm in LPS come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from helpers.evaluated import GEOMETRY, GRID
from impact_plugin import FileError
from impact_plugin.evaluation import Points, read_points, write_points

POINTS = np.array([[1.5, -2.0, 30.0], [-4.25, 5.0, 6.5], [0.0, 100.0, -7.0]])
NAMES = ("apex", "F 2", "F-3")
RAS = POINTS * [-1, -1, 1]


def rows(points: np.ndarray, separator: str = " ") -> str:
    return "\n".join(separator.join(map(repr, row)) for row in points.tolist()) + "\n"


def fcsv(points: np.ndarray, head: str) -> str:
    lines = (
        f"vtkMRMLMarkups_{number},{x},{y},{z},0,0,0,1,1,1,0,{name},,"
        for number, ((x, y, z), name) in enumerate(zip(points.tolist(), NAMES, strict=True))
    )
    columns = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    return f"# Markups fiducial file version = 4.11\n{head}{columns}" + "\n".join(lines) + "\n"


def markups(points: np.ndarray, **entries: object) -> str:
    control = [
        {"id": str(number), "label": name, "position": point, "positionStatus": "defined"}
        for number, (point, name) in enumerate(zip(points.tolist(), NAMES, strict=True))
    ]
    return json.dumps({"markups": [{"type": "Fiducial", "controlPoints": control, **entries}]})


def slicer_table(points: np.ndarray, frame: str) -> str:
    lines = (
        f"{name},{','.join(map(str, point))},1,1,1,0,"
        for name, point in zip(NAMES, points.tolist(), strict=True)
    )
    axes = ",".join(frame)
    return f"label,{axes},defined,selected,visible,locked,description\n" + "\n".join(lines)


NAMED = {
    "markups_lps.mrk.json": markups(POINTS, coordinateSystem="LPS", coordinateUnits="mm"),
    "markups_ras.mrk.json": markups(RAS, coordinateSystem="RAS", coordinateUnits=["mm"] * 3),
    "markups_default.json": markups(POINTS),
    "slicer5.fcsv": fcsv(POINTS, "# CoordinateSystem = LPS\n"),
    "slicer5_ras.fcsv": fcsv(RAS, "# CoordinateSystem = RAS\n"),
    "slicer4.fcsv": fcsv(RAS, "# CoordinateSystem = 0\n"),
    "slicer4_lps.fcsv": fcsv(POINTS, "# CoordinateSystem = 1\n"),
    "old.fcsv": fcsv(RAS, ""),
    "slicer_ras.csv": slicer_table(RAS, "ras"),
    "slicer_lps.csv": slicer_table(POINTS, "lps"),
    "names_first.csv": "".join(
        f"{name},{rows(point[None], ',')}" for name, point in zip(NAMES, POINTS, strict=True)
    ),
    "names.tsv": "x (mm)\ty (mm)\tz (mm)\tname\n"
    + "".join(
        f"{x}\t{y}\t{z}\t{name}\n" for (x, y, z), name in zip(POINTS.tolist(), NAMES, strict=True)
    ),
}
NAMELESS = {
    "elastix.txt": f"point\n3\n{rows(POINTS)}",
    "elastix_on_one_line.txt": f"point 3\n{rows(POINTS)}",
    "columns.txt": f"# mm\n\n{rows(POINTS)}",
    "commas.txt": rows(POINTS, ", "),
    "plain.csv": rows(POINTS, ","),
    "semicolons.csv": f"\ufeffX;Y;Z\n{rows(POINTS, ';')}",
}


@pytest.mark.parametrize("name", [*NAMED, *NAMELESS])
def test_every_kind_of_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text({**NAMED, **NAMELESS}[name], encoding="utf-8")
    points = read_points(path)
    np.testing.assert_allclose(points.positions, POINTS)
    assert points.names == (NAMES if name in NAMED else ())


def test_voxel_indices_are_of_an_image(tmp_path: Path) -> None:
    """`index` of elastix: with the image's spacing, origin and direction."""
    indices = np.array([[0, 0, 0], [33, 0, 0], [3, 29, 25]])
    path = tmp_path / "indices.txt"
    path.write_text(f"index\n3\n{rows(indices)}")
    np.testing.assert_allclose(
        read_points(path, GEOMETRY).positions, GRID.at(indices.astype(float))
    )
    with pytest.raises(ValueError, match=r"has voxel indices: give the image"):
        read_points(path)


def test_two_dimensions(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("point\n2\n1 2\n3 4\n")
    (tmp_path / "b.csv").write_text("y,x\n2,1\n4,3\n")
    for name in ("a.txt", "b.csv"):
        np.testing.assert_array_equal(read_points(tmp_path / name).positions, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nii.gz", "", r"no file of points that is known: expected \.txt, \.csv"),
        ("a.txt", "", "holds no points"),
        ("a.txt", "point\n3\n1 2 3\n", "says that it has 3 points, and has 1"),
        ("a.txt", "point\nmany\n1 2 3\n", "expected the number of points after `point`"),
        ("a.txt", "3\n1 2 3\n", "line 1: '3'; expected `point`"),
        ("a.txt", "1 2 3\n1 2\n", "line 2: '1 2'; expected 3 coordinates"),
        ("a.txt", "1 2 3 4\n", "line 1: '1 2 3 4'; expected 2 or 3 coordinates"),
        ("a.txt", "1 2 here\n", "line 1: '1 2 here'"),
        ("a.txt", "1 2 nan\n", r"point 1 is .*nan.*, expected finite mm"),
        ("a.txt", "Point 0 ; OutputPoint = [ 1 2 3 ]\n", "transformix writes of points"),
        ("a.csv", "label,u,v\nA,1,2\n", r"line 1: 'label,u,v'; expected column names x, y, z"),
        ("a.csv", "x,y,z\n1,2\n", "point 1 has no column z"),
        ("a.csv", "x,y,z\n1,2,3\n1,two,3\n", "point 2: '1 two 3'"),
        ("a.csv", "x,y,x,z\n1,2,3,4\n", "has x twice"),
        ("a.csv", "x,y,z\n1,2,3\n1,2,3,4\n", "point 2 has 4 values for 3 columns"),
        ("a.fcsv", "x,y,z\n1,2,3\n", "no file of 3D Slicer's fiducials"),
        ("a.fcsv", fcsv(POINTS, "# CoordinateSystem = 2\n"), "CoordinateSystem is 'IJK'"),
        ("a.json", "{", "no file of 3D Slicer's markups: Expecting"),
        ("a.json", '{"points": []}', "no file of 3D Slicer's markups: no `markups`"),
        ("a.json", "[1]", "no file of 3D Slicer's markups: no `markups`"),
        ("a.json", markups(POINTS, type="Curve"), "markups of the type Curve"),
        ("a.json", markups(POINTS, coordinateSystem="IJK"), "coordinateSystem is 'IJK'"),
        ("a.json", markups(POINTS, coordinateUnits="m"), "coordinateUnits is 'm', expected mm"),
        (
            "a.json",
            markups(POINTS).replace('"defined"', '"undefined"', 1),
            "the point 'apex' is not placed",
        ),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_points(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="is no text file"):
        read_points(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="there is no file of points"):
        read_points(tmp_path / "b.txt")


# frames by name

SAY_NOTHING = {
    "plain.txt": rows(RAS),
    "plain.csv": rows(RAS, ","),
    "named.csv": "\n".join(f"n{k},{line}" for k, line in enumerate(rows(RAS, ",").splitlines())),
    "xyz.csv": "x,y,z\n" + rows(RAS, ","),
}
SAY_THEIRS = {
    "elastix.txt": f"point\n{len(POINTS)}\n{rows(POINTS)}",
    "lps.tsv": "l\tp\ts\n" + rows(POINTS, "\t"),
    "ras.csv": "r,a,s\n" + rows(RAS, ","),
    "f.fcsv": fcsv(RAS, ""),
    "m.mrk.json": markups(POINTS),
}


@pytest.mark.parametrize("name", SAY_NOTHING | SAY_THEIRS)
def test_axes(name: str, tmp_path: Path) -> None:
    """They are for files that do not say their frame, and never for those that do."""
    (tmp_path / name).write_text((SAY_NOTHING | SAY_THEIRS)[name])
    read = read_points(tmp_path / name, axes="RAS")
    np.testing.assert_array_equal(read.positions, POINTS)
    np.testing.assert_array_equal(read.coordinates("RAS"), RAS)
    np.testing.assert_array_equal(read.coordinates(), POINTS)
    as_lps = read_points(tmp_path / name).positions
    np.testing.assert_array_equal(as_lps, RAS if name in SAY_NOTHING else POINTS)


def test_axes_of_two_dimensions(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("1 -2\n3 4\n")
    read = read_points(tmp_path / "p.txt", axes="RAS")
    np.testing.assert_array_equal(read.positions, [[-1, 2], [-3, -4]])


@pytest.mark.parametrize("axes", ["ras", "LAS", "", None, 3])
def test_other_axes(axes: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("1 2 3\n")
    with pytest.raises(ValueError, match=f"axes is {axes!r}, expected 'LPS' or 'RAS'"):
        read_points(tmp_path / "p.txt", axes=axes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected 'LPS' or 'RAS'"):
        read_points(tmp_path / "p.txt").coordinates(axes)  # type: ignore[arg-type]


def test_positions_as_lists_and_indices_of_an_image(tmp_path: Path) -> None:
    np.testing.assert_array_equal(Points([[1, 2, 3]]).coordinates("RAS"), [[-1, -2, 3]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"positions: expected numbers of the shape"):
        Points([[1, 2], [3]])  # type: ignore[arg-type]
    write_points([[1, 2, 3]], tmp_path / "w.csv")
    np.testing.assert_array_equal(read_points(tmp_path / "w.csv").positions, [[1, 2, 3]])
    (tmp_path / "i.txt").write_text("index\n1\n1 2 3\n")
    image = sitk.Image(4, 5, 6, sitk.sitkUInt8)
    image.SetOrigin((10, 20, 30))
    found = read_points(tmp_path / "i.txt", image)
    np.testing.assert_array_equal(found.positions, [[11, 22, 33]])


def test_a_target_that_cannot_be_written_is_named() -> None:
    with pytest.raises(FileError, match=r"'/proc/x\.csv'"):
        write_points([[1, 2, 3]], "/proc/x.csv")


@pytest.mark.parametrize(
    ("path", "error", "match"),
    [
        (3, TypeError, "path is 3, expected a path"),
        ("", ValueError, "path is empty"),
    ],
)
def test_what_is_no_path(path: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        read_points(path)  # type: ignore[arg-type]
