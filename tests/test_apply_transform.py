"""Transforms of every program applied to images, labels and points, with transformix as oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

import impact_plugin
from helpers.images import Array
from helpers.pairs import sitk_pair, squares, voxels
from impact_plugin import apply_transform, evaluation
from impact_plugin.cli.program import program
from impact_plugin.elastix import process
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import to_elastix
from impact_plugin.transforms.chain import Chain

ANGLE = np.deg2rad(25)


def turned(dimension: int, angle: float) -> tuple[float, ...]:
    matrix = np.eye(dimension)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    if dimension == 3:
        tilt = np.eye(3)
        tilt[1:, 1:] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
        matrix = matrix @ tilt
    return tuple(matrix.ravel().tolist())


def image_on(grid: Geometry) -> sitk.Image:
    """A smooth image of any grid."""
    array = np.random.default_rng(2).uniform(0, 1000, grid.size[::-1]).astype(np.float32)
    image = sitk.DiscreteGaussian(sitk.GetImageFromArray(array), 1.0)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def grids(dimension: int) -> tuple[Geometry, Geometry]:
    """The fixed and the moving image: no two of their axes, sizes or spacings are the same."""
    fixed = ([30, 24, 17], [1.0, 1.5, 2.2], [5.0, -30.0, 12.0], 0.3)
    moving = ([33, 41, 21], [1.3, 0.9, 1.8], [0.0, -32.0, 8.0], 0.45)
    return tuple(  # type: ignore[return-value]
        Geometry(
            tuple(size[:dimension]),
            tuple(spacing[:dimension]),
            tuple(origin[:dimension]),
            turned(dimension, angle),
        )
        for size, spacing, origin, angle in (fixed, moving)
    )


def deformation(grid: Geometry) -> sitk.Transform:
    """An affine transform, and then a B-spline."""
    d = grid.dimension
    affine = sitk.AffineTransform(d)
    affine.SetMatrix((np.eye(d) + 0.05 * np.arange(d * d).reshape(d, d) / d).ravel().tolist())
    affine.SetCenter(grid.centre.tolist())
    affine.SetTranslation([2.0, -1.0, 1.5][:d])
    spline = sitk.BSplineTransformInitializer(image_on(grid), [4] * d)
    random = np.random.default_rng(3)
    spline.SetParameters((0.6 * random.normal(size=len(spline.GetParameters()))).tolist())
    whole = sitk.CompositeTransform(d)
    for part in (spline, affine):  # what is added last is applied first
        whole.AddTransform(part)
    return whole


def places(grid: Geometry, number: int = 20) -> Array:
    """Points within a grid."""
    indices = np.random.default_rng(5).uniform(0.2, 0.8, (number, grid.dimension))
    points: Array = (indices * (np.array(grid.size) - 1)) @ grid.matrix.T + grid.origin
    return points


def mapped(transform: sitk.Transform, points: Array) -> Array:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def of_elastix(folder: Path, transform: sitk.Transform, grid: Geometry, **extra: str) -> Path:
    chain = to_elastix.from_sitk(transform, grid)
    chain.maps[-1] |= {name: value.split() for name, value in extra.items()}
    path = chain.write(folder, "TransformParameters")
    assert path is not None
    assert len(chain.maps) > 1, "a chain with an initial transform"
    return path


def as_toml(folder: Path, transform: sitk.Transform, grid: Geometry) -> Path:
    """As elastix writes it with (OutputTransformParameterFileFormat "TOML")."""
    chain = Chain.read(of_elastix(folder, transform, grid))
    entries = {**chain.maps[-1], "InitialTransformParameterFileName": ["TransformParameters.0.txt"]}
    path = folder / "TransformParameters.1.toml"
    path.write_text(
        "".join(f"{name} = {[*map(_plain, values)]}\n" for name, values in entries.items())
    )
    return path


def _plain(text: str) -> float | int | str:
    try:
        return float(text) if set(text) & set(".e") else int(text)
    except ValueError:
        return text


def of_itk(name: str) -> Callable[[Path, sitk.Transform, Geometry], Path]:
    def write(folder: Path, transform: sitk.Transform, _: Geometry) -> Path:
        sitk.WriteTransform(transform, str(folder / name))
        return folder / name

    return write


def field_of(transform: sitk.Transform, grid: Geometry) -> sitk.Image:
    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )


def as_field(folder: Path, transform: sitk.Transform, grid: Geometry) -> Path:
    sitk.WriteImage(field_of(transform, grid), str(folder / "field.nii.gz"))
    return folder / "field.nii.gz"


FORMS: dict[str, Any] = {
    "elastix": of_elastix,
    "toml": as_toml,
    "h5": of_itk("t.h5"),
    "tfm": of_itk("t.tfm"),
    "txt": of_itk("t.txt"),
    "field": as_field,
    "sitk": lambda _, transform, __: transform,
    "image": lambda _, transform, grid: field_of(transform, grid),
    "maps": lambda _, transform, grid: to_elastix.from_sitk(transform, grid).maps,
}
KNOW_THEIR_GRID = ("elastix", "toml", "field", "image", "maps")


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: str, dimension: int, tmp_path: Path) -> None:
    fixed, moving = grids(dimension)
    transform = deformation(fixed)
    image, points = image_on(moving), places(fixed)
    given = FORMS[form](tmp_path, transform, fixed)
    tolerance = 1e-5 if "fi" not in form and form != "image" else 0.05
    expected = mapped(transform, points)
    found = apply_transform(given, points)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    back = apply_transform(given, found, inverse=True)
    np.testing.assert_allclose(back, points, atol=1e-3)
    right = sitk.Resample(image, image_on(fixed), transform, sitk.sitkLinear, 0.0)
    options: dict[str, Any] = {"interpolation": "linear"}
    if form not in KNOW_THEIR_GRID:
        with pytest.raises(ValueError, match=r"does not say on which grid .* as reference"):
            apply_transform(given, image)
        options["reference"] = image_on(fixed)
    warped = apply_transform(given, image, **options)
    assert Geometry.of(warped).difference(fixed) == ""
    np.testing.assert_allclose(voxels(warped), voxels(right), atol=0.5)
    assert voxels(warped).std() > 50


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", ["spline", "added"])
def test_as_transformix(kind: str, dimension: int, tmp_path: Path) -> None:
    """Images and points, also of what SimpleITK has no transform for."""
    fixed, moving = grids(dimension)
    extra = {"ResampleInterpolator": "FinalLinearInterpolator", "DefaultPixelValue": "-7"}
    if kind == "added":
        extra["HowToCombineTransforms"] = "Add"
    path = of_elastix(tmp_path, deformation(fixed), fixed, **extra)
    points = places(fixed)
    rows = "\n".join(" ".join(map(repr, row)) for row in points.tolist())
    (tmp_path / "points.txt").write_text(f"point\n{len(points)}\n{rows}\n")
    sitk.WriteImage(image_on(moving), str(tmp_path / "moving.mha"))
    arguments: list[str | Path] = ["-tp", path, "-in", tmp_path / "moving.mha", "-out", tmp_path]
    lines: list[str] = []
    assert process.run("transformix", arguments, lines.append) == 0, lines[-20:]
    oracle = sitk.ReadImage(str(tmp_path / "result.mha"))
    warped = apply_transform(path, tmp_path / "moving.mha")
    assert Geometry.of(warped).difference(Geometry.of(oracle)) == ""
    np.testing.assert_allclose(voxels(warped), voxels(oracle), atol=0.05)
    assert -7 in voxels(warped)
    of_file = apply_transform(path, tmp_path / "points.txt")
    np.testing.assert_allclose(of_file.positions, apply_transform(path, points), atol=1e-6)
    if kind == "added":
        with pytest.raises(ValueError, match="is added to its initial transform"):
            apply_transform(path, points, inverse=True)


@pytest.mark.parametrize("dimension", [2, 3])
def test_images_the_other_way(dimension: int) -> None:
    """An image of the fixed frame, on the moving image's grid: at y what is at T^-1(y)."""
    fixed, moving = grids(dimension)
    transform = deformation(fixed)
    image = image_on(fixed)
    with pytest.raises(ValueError, match="give the moving image as reference"):
        apply_transform(field_of(transform, fixed), image, inverse=True)
    found = apply_transform(transform, image, inverse=True, reference=image_on(moving))
    assert Geometry.of(found) == moving
    # Voxel by voxel, by SimpleITK's own interpolation at the places that were solved for.
    targets = mapped(transform, places(fixed, 80))
    voxel = [found.TransformPhysicalPointToIndex(place) for place in targets.tolist()]
    centres = np.array([found.TransformIndexToPhysicalPoint(index) for index in voxel])
    sources = apply_transform(transform, centres, inverse=True)
    np.testing.assert_allclose(mapped(transform, sources), centres, atol=1e-4)
    values = [image.EvaluateAtPhysicalPoint(place, sitk.sitkLinear) for place in sources.tolist()]
    np.testing.assert_allclose([found[index] for index in voxel], values, atol=1.0)
    assert np.std(values) > 30


def test_labels() -> None:
    """Exactly their values, nothing in between, and 0 outside."""
    fixed, moving = grids(3)
    labels = sitk.Cast(image_on(moving) > 480, sitk.sitkUInt16) * 60000
    transform = field_of(deformation(fixed), fixed)
    warped = apply_transform(transform, labels, labels=True)
    assert set(np.unique(voxels(warped)).tolist()) == {0, 60000}
    right = sitk.Resample(
        labels, image_on(fixed), deformation(fixed), sitk.sitkNearestNeighbor, 0.0
    )
    assert (voxels(warped) != voxels(right)).mean() < 0.01
    assert len(np.unique(voxels(apply_transform(transform, labels)))) > 2
    with pytest.raises(ValueError, match="labels cannot be interpolated"):
        apply_transform(transform, labels, labels=True, interpolation="linear")
    with pytest.raises(ValueError, match="default_pixel_value is -1, and the image's pixels"):
        apply_transform(transform, labels, default_pixel_value=-1)


@pytest.mark.parametrize("interpolation", ["linear", "nearest", "bspline"])
def test_interpolations(interpolation: Any) -> None:  # noqa: ANN401
    fixed, moving = grids(3)
    image, transform = image_on(moving), deformation(fixed)
    how = {
        "linear": sitk.sitkLinear,
        "nearest": sitk.sitkNearestNeighbor,
        "bspline": sitk.sitkBSpline3,
    }
    right = sitk.Resample(image, image_on(fixed), transform, how[interpolation], 11.0)
    warped = apply_transform(
        transform,
        image,
        reference=image_on(fixed),
        interpolation=interpolation,
        default_pixel_value=11,
        threads=1,
    )
    np.testing.assert_allclose(voxels(warped), voxels(right), atol=1e-3)
    assert 11 in voxels(warped)


def test_folders(tmp_path: Path) -> None:
    """What a registration wrote, and the result itself, are alike; the file needs no result."""
    fixed, moving = sitk_pair()
    result = impact_plugin.register_images(
        fixed, moving, parameter_maps=squares(), iterations=5, progress=False
    )
    result.save(tmp_path / "saved")
    last = sorted((tmp_path / "saved").glob("TransformParameters.*.txt"))[-1]
    expected = result.warp(moving, interpolation=1)
    for given in (result, tmp_path / "saved", str(last), result.transform):
        options = {"reference": fixed} if isinstance(given, sitk.Transform) else {}
        warped = apply_transform(given, moving, default_pixel_value=0, **options)
        np.testing.assert_allclose(voxels(warped), voxels(expected), atol=1e-3)
        points = places(result.fixed)
        np.testing.assert_allclose(
            apply_transform(given, points), result.map_points(points), atol=1e-6
        )
    for given in (result, tmp_path / "saved", last):  # interpolated as the registration did
        np.testing.assert_array_equal(
            voxels(apply_transform(given, moving)), voxels(result.warp(moving))
        )
    again = impact_plugin.register_images(
        fixed,
        moving,
        parameter_maps=squares(),
        iterations=2,
        progress=False,
        initial_transform=tmp_path / "saved",
    )
    assert again.initial == 1
    assert again.chain.maps[0] == result.chain.maps[0]
    assert again.record is not None
    assert again.record.initial_transform is not None
    assert again.record.initial_transform.path == str(last)
    with pytest.raises(FileNotFoundError, match=r"initial_transform: .* holds no registration"):
        impact_plugin.register_images(fixed, moving, initial_transform=tmp_path)
    array = impact_plugin.ImageArray(
        sitk.GetArrayFromImage(moving), moving.GetSpacing(), moving.GetOrigin()
    )
    assert isinstance(apply_transform(result, array), impact_plugin.ImageArray)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    """A registration by a B-spline of two images whose grids differ."""
    fixed, moving = sitk_pair()
    smaller = sitk.RegionOfInterest(moving, [n - 2 - k for k, n in enumerate(moving.GetSize())])
    folder = tmp_path_factory.mktemp("registered")
    for name, image in (("fixed", fixed), ("moving", smaller)):
        sitk.WriteImage(image, str(folder / f"{name}.mha"))
    parameters = squares(Transform="BSplineTransform", FinalGridSpacingInPhysicalUnits=12.0)
    return impact_plugin.register_images(
        folder / "fixed.mha",
        folder / "moving.mha",
        parameter_maps=parameters,
        iterations=8,
        progress=False,
        output_directory=folder / "out",
    )


@pytest.mark.filterwarnings("ignore::impact_plugin.InverseWarning")
@pytest.mark.parametrize("name", ["i.h5", "i.tfm", "i.txt", "i.mha", "i.nii.gz", "i.nrrd"])
def test_a_saved_inverse_is_read_back(name: str, registered: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """As the inverse itself; images of the fixed frame come onto the moving image's grid."""
    fixed, moving = (sitk.ReadImage(str(path)) for path in registered.inputs)
    assert registered.save_inverse(tmp_path / name) == tmp_path / name
    points = registered.map_points(places(Geometry.of(fixed)))
    back = mapped(registered.inverse(), points)
    np.testing.assert_allclose(apply_transform(tmp_path / name, points), back, atol=0.02)
    own_way = registered.warp(fixed, inverse=True, interpolation=1, default_pixel_value=0)
    assert Geometry.of(own_way) == Geometry.of(moving) != Geometry.of(fixed)
    options = {"reference": moving} if name in ("i.h5", "i.tfm", "i.txt") else {}
    read = apply_transform(tmp_path / name, fixed, **options)
    assert Geometry.of(read).difference(Geometry.of(moving)) == ""
    scale = voxels(fixed).std()
    assert np.abs(voxels(read) - voxels(own_way)).mean() < 0.01 * scale
    assert voxels(read).std() > 0.3 * scale


@pytest.mark.filterwarnings("ignore::impact_plugin.InverseWarning")
def test_points_and_images_there_and_back(registered: Any) -> None:  # noqa: ANN401
    fixed, moving = (sitk.ReadImage(str(path)) for path in registered.inputs)
    points = places(registered.fixed)
    there = registered.map_points(points)
    assert np.abs(there - points).max() > 0.5
    np.testing.assert_allclose(registered.map_points(there, inverse=True), points, atol=1e-4)
    signs = np.array([-1, -1, 1])
    in_ras = registered.map_points(points * signs, axes="RAS")
    np.testing.assert_allclose(in_ras, there * signs, atol=1e-12)
    in_ras = registered.map_points(there * signs, "RAS", inverse=True)
    np.testing.assert_allclose(in_ras, points * signs, atol=1e-4)
    labels = sitk.Cast(fixed > float(np.median(voxels(fixed))), sitk.sitkUInt8) * 7
    back = registered.warp(labels, labels=True, inverse=True)
    assert Geometry.of(back) == Geometry.of(moving)
    assert set(np.unique(voxels(back)).tolist()) == {0, 7}
    on_other = registered.warp(moving, reference=moving)
    assert Geometry.of(on_other) == Geometry.of(moving)


def test_what_an_inverse_needs(registered: Any, tmp_path: Path) -> None:  # noqa: ANN401
    forgotten = replace(registered, inputs=None)
    fixed = registered.inputs[0]
    with pytest.raises(ValueError, match="the moving image, on whose grid"):
        forgotten.warp(fixed, inverse=True)
    with pytest.raises(ValueError, match="the moving image, on whose grid"):
        forgotten.save_inverse(tmp_path / "i.mha")
    with pytest.raises(ValueError, match=r"ends in \.h5, \.tfm, \.txt"):
        registered.save_inverse(tmp_path / "i.png")
    with pytest.raises(ValueError, match="would be overwritten"):
        registered.save_inverse(registered.inputs[1])
    with pytest.raises(ValueError, match="'SPL', expected 'LPS' or 'RAS'"):
        registered.map_points([[1, 2, 3]], "SPL")
    with pytest.raises(ValueError, match="1 of 1 points are not finite"):
        registered.map_points([[1, 2, np.inf]], inverse=True)
    with pytest.raises(ValueError, match="reference has 2 dimensions"):
        registered.warp(fixed, inverse=True, reference=sitk_pair(2)[0])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"threads": 0}, ValueError, "threads is 0, expected a whole number of at least 1"),
        ({"threads": -1}, ValueError, "threads is -1, expected"),
        ({"threads": 1.5}, ValueError, r"threads is 1\.5, expected"),
        ({"threads": "2"}, ValueError, "threads is '2', expected"),
        ({"default_pixel_value": "a"}, TypeError, "default_pixel_value is 'a', expected a number"),
        ({"default_pixel_value": np.nan}, ValueError, "default_pixel_value is nan, expected"),
        ({"labels": "yes"}, TypeError, "labels is 'yes', expected True or False"),
        ({"inverse": "yes"}, TypeError, "inverse is 'yes', expected True or False"),
        ({"image": sitk.Image()}, ValueError, "image is empty"),
    ],
)
def test_what_warp_refuses(
    registered: impact_plugin.RegistrationResult,
    arguments: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    with pytest.raises(error, match=match):
        registered.warp(**{"image": registered.image, **arguments})


def test_what_else_results_refuse(registered: impact_plugin.RegistrationResult) -> None:
    for points in ("abc", [[1], [2, 3]]):
        with pytest.raises(ValueError, match=r"points: expected numbers of the shape \(N, 3\)"):
            registered.map_points(points)
    with pytest.raises(TypeError, match="tolerance is 'a', expected a number"):
        registered.inverse("a")  # type: ignore[arg-type]
    for name, call in (
        ("folder", registered.save),
        ("folder", registered.load),
        ("path", registered.save_inverse),
        ("registration", impact_plugin.write_report),
    ):
        with pytest.raises(TypeError, match=f"{name} is 3, expected .*a path"):
            call(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"does not end in \.html"):
        registered.report("page.pdf")
    with pytest.raises(ValueError, match="window is 3, expected two intensities"):
        registered.report(window=3)


def test_files_of_points(tmp_path: Path) -> None:
    """Names are kept; files say their frame, or else `axes` does."""
    shift = sitk.TranslationTransform(3, [1.0, 2.0, 3.0])
    (tmp_path / "a.csv").write_text("label,r,a,s\nnose,-10,-20,30\near,1,2,3\n")
    found = apply_transform(shift, tmp_path / "a.csv", axes="RAS")
    assert found.names == ("nose", "ear")
    np.testing.assert_array_equal(found.positions, [[11, 22, 33], [0, 0, 6]])
    np.testing.assert_array_equal(found.coordinates("RAS"), [[-11, -22, 33], [0, 0, 6]])
    again = apply_transform(shift, found, inverse=True)
    np.testing.assert_array_equal(again.coordinates("RAS"), [[-10, -20, 30], [1, 2, 3]])
    for axes, name in (("LPS", "b.csv"), ("RAS", "c.csv"), ("LPS", "d.txt")):
        evaluation.write_points(found, tmp_path / name, axes)  # type: ignore[arg-type]
        read = evaluation.read_points(tmp_path / name)
        np.testing.assert_array_equal(read.positions, found.positions)
        assert read.names == (found.names if name.endswith(".csv") else ())
    with pytest.raises(ValueError, match=r"axes is 'RAS', and \.txt is for elastix"):
        evaluation.write_points(found, tmp_path / "e.txt", "RAS")
    with pytest.raises(ValueError, match=r"name ends in \.csv or \.txt"):
        evaluation.write_points(found, tmp_path / "e.json")


def test_where_it_folds_there_is_a_warning() -> None:
    fixed, _ = grids(2)
    vectors = np.zeros((*fixed.size[::-1], 2))
    vectors[..., 0] = 12 * np.sin(np.arange(fixed.size[0]) / 2)
    folding = sitk.GetImageFromArray(vectors, isVector=True)
    folding.SetSpacing(fixed.spacing)
    folding.SetOrigin(fixed.origin)
    folding.SetDirection(fixed.direction)
    with pytest.warns(impact_plugin.InverseWarning, match="the transform folds") as caught:
        apply_transform(folding, image_on(fixed), inverse=True, reference=image_on(fixed))
    assert caught[0].filename == __file__
    far = (fixed.centre + np.array([500.0, 0.0]))[None]
    np.testing.assert_array_equal(apply_transform(folding, far, inverse=True), far)


REFUSED: dict[str, tuple[Any, ...]] = {
    "no file": ("none.h5", [[1, 2, 3]], {}, FileNotFoundError, "transform: there is no file"),
    "a number": (3, [[1, 2, 3]], {}, TypeError, "transform is a builtins.int, expected a path"),
    "2D points": (None, [[1, 2]], {}, ValueError, r"expected \(N, 3\), mm"),
    "an array": (None, np.zeros((3, 4, 5)), {}, ValueError, "impact_plugin.ImageArray"),
    "not finite": (None, [[1, 2, np.nan]], {}, ValueError, "not finite"),
    "axes": (None, [[1, 2, 3]], {"axes": "LAS"}, ValueError, "expected 'LPS' or 'RAS'"),
    "labels of points": (None, [[1, 2, 3]], {"labels": True}, ValueError, "data are points"),
    "interpolation": (
        None,
        sitk_pair()[0],
        {"interpolation": "cubic"},
        ValueError,
        "'cubic', expected one of 'nearest', 'linear', 'bspline'",
    ),
    "axes of an image": (None, sitk_pair()[0], {"axes": "RAS"}, ValueError, "for points alone"),
    "dimensions": (None, sitk_pair(2)[0], {}, ValueError, "data has 2 dimensions"),
    "reference": (
        None,
        sitk_pair()[0],
        {"reference": sitk_pair(2)[0]},
        ValueError,
        "reference has 2 dimensions",
    ),
    "no image": (None, "none.mha", {}, FileNotFoundError, "data: there is no file"),
    "default": (
        None,
        sitk_pair()[0],
        {"default_pixel_value": np.inf},
        ValueError,
        "default_pixel_value is inf, expected a finite number",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given, data, options, error, message = REFUSED[case]
    transform = sitk.TranslationTransform(3, [1.0, 2.0, 3.0]) if given is None else given
    with pytest.raises(error, match=message):
        apply_transform(transform, data, **options)


def test_without_an_inverse(tmp_path: Path) -> None:
    flat = sitk.AffineTransform(3)
    flat.SetMatrix([1, 0, 0, 0, 1, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="has no inverse: its AffineTransform"):
        apply_transform(flat, [[1, 2, 3]], inverse=True)
    (tmp_path / "broken.h5").write_text("nothing")
    with pytest.raises(ValueError, match="neither a transform parameter file of elastix nor"):
        apply_transform(tmp_path / "broken.h5", [[1, 2, 3]])
    with pytest.raises(FileNotFoundError, match="holds no registration"):
        apply_transform(tmp_path, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("Spacing", "0 1 1", r"spacing \[0\.0, 1\.0, 1\.0\], expected numbers above 0"),
        ("Spacing", "inf 1 1", "expected finite numbers"),
        ("Origin", "nan 0 0", "expected finite numbers"),
        ("Direction", "1 1 0 0 1 0 0 0 1", "not at right angles"),
        ("Size", "999999 999999 999999", r"999999 x .* GiB, and this machine has .*as reference"),
    ],
)
def test_grids_on_which_nothing_lies(name: str, values: str, match: str, tmp_path: Path) -> None:
    """Points need no grid, nor does an image with a reference."""
    fixed, moving = grids(3)
    transform, image = deformation(fixed), image_on(moving)
    path = of_elastix(tmp_path, transform, fixed, **{name: values})
    points = places(fixed)
    np.testing.assert_allclose(apply_transform(path, points), mapped(transform, points), atol=1e-5)
    warped = apply_transform(path, image, reference=image_on(fixed))
    assert Geometry.of(warped) == fixed
    with pytest.raises(ValueError, match=match):
        apply_transform(path, image)
    with pytest.raises(ValueError, match=match):
        evaluation.evaluate(path, fixed_points=points, moving_points=points, outside="leave out")


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(program, ["apply", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.split())


def test_command(tmp_path: Path) -> None:
    fixed, moving = grids(3)
    transform = of_elastix(tmp_path, deformation(fixed), fixed)
    image = tmp_path / "moving.nii.gz"
    sitk.WriteImage(image_on(moving), str(image))
    code, output = run(
        transform, image, "-o", tmp_path / "warped.nrrd", "--interpolation", "bspline"
    )
    assert code == 0, output
    warped = sitk.ReadImage(str(tmp_path / "warped.nrrd"))
    right = apply_transform(transform, image, interpolation="bspline")
    np.testing.assert_allclose(voxels(warped), voxels(right), atol=1e-4)
    (tmp_path / "p.csv").write_text("label,x,y,z\na,-1,2,3\n")
    code, output = run(transform, tmp_path / "p.csv", "-o", tmp_path / "q.csv", "--axes", "RAS")
    assert code == 0, output
    assert (tmp_path / "q.csv").read_text().startswith("label,r,a,s\na,")
    found = evaluation.read_points(tmp_path / "q.csv").positions
    np.testing.assert_allclose(found, mapped(deformation(fixed), np.array([[1, -2, 3]])), atol=1e-5)


COMMANDS: dict[str, tuple[list[str], str]] = {
    "itself": (["t.tfm", "i.mha", "-o", "i.mha"], "would be overwritten"),
    "its transform": (["t.tfm", "p.txt", "-o", "t.tfm"], "would be overwritten"),
    "no reference": (["t.tfm", "i.mha", "-o", "o.mha"], "as reference"),
    "inverse": (["t.tfm", "i.mha", "--inverse", "-o", "o.mha"], "the inverse puts an image"),
    "format": (["t.tfm", "i.mha", "-o", "o.mhd"], "expected a name that ends in .mha"),
    "points": (["t.tfm", "p.txt", "-o", "o.mha"], "ends in .csv or .txt"),
    "axes": (["t.tfm", "p.txt", "-o", "o.csv", "--axes", "lps"], "not one of 'LPS', 'RAS'"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_command_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sitk.WriteTransform(sitk.TranslationTransform(3, [1.0, 2.0, 3.0]), "t.tfm")
    sitk.WriteImage(sitk_pair()[0], "i.mha")
    Path("p.txt").write_text("1 2 3\n")
    arguments, message = COMMANDS[case]
    code, output = run(*arguments)
    assert code != 0
    assert message in output
    assert not Path("o.mha").exists()
