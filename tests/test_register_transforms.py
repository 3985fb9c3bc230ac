"""Transforms of results: SimpleITK's are exactly elastix's, there and back, and inverted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from helpers import programs
from helpers.images import Array, Grid
from helpers.pairs import on_grid
from helpers.parameter_maps import ParameterMap, Value, to_map
from helpers.registrations import GRIDS
from impact_plugin.images.grid import Geometry
from impact_plugin.transforms import from_elastix, initial, inverse, to_elastix, transformix
from impact_plugin.transforms.chain import Chain

RANDOM = np.random.default_rng(3)


def geometry(grid: Grid) -> Geometry:
    return Geometry(grid.size, grid.spacing, grid.origin, tuple(grid.direction.ravel().tolist()))


def of_kind(name: str, dimension: int, **parameters: Value) -> ParameterMap:
    """Make a transform of elastix with parameters drawn at random."""
    grid = GRIDS[dimension]
    centre = grid.at((np.array([grid.size]) - 1) / 2)[0]
    base = to_elastix.translation([0] * dimension, geometry(grid)).maps[0]
    values: dict[str, Value]
    if name == "TranslationTransform":
        values = {"TransformParameters": RANDOM.uniform(-4, 4, dimension)}
    elif name == "EulerTransform":
        angles = RANDOM.uniform(-0.3, 0.3, 1 if dimension == 2 else 3)
        values = {"TransformParameters": [*angles, *RANDOM.uniform(-4, 4, dimension)]}
    elif name == "SimilarityTransform":
        shift = RANDOM.uniform(-4, 4, dimension)
        values = {
            "TransformParameters": [1.1, 0.2, *shift]
            if dimension == 2
            else [*RANDOM.uniform(-0.2, 0.2, 3), *shift, 0.9]
        }
    elif name == "AffineTransform":
        matrix = np.eye(dimension) + RANDOM.uniform(-0.1, 0.1, (dimension, dimension))
        values = {"TransformParameters": [*matrix.ravel(), *RANDOM.uniform(-4, 4, dimension)]}
    else:
        size, spacing = [11] * dimension, [5.0, 6.0, 7.0][:dimension]
        origin = grid.at(np.array([[-6.0] * dimension]))[0]
        values = {
            "GridSize": size,
            "GridIndex": [0] * dimension,
            "GridSpacing": spacing,
            "GridOrigin": origin,
            "GridDirection": grid.direction.T.ravel(),
            "UseCyclicTransform": "false",
            "TransformParameters": RANDOM.uniform(-1, 1, dimension * 11**dimension),
        }
    if name in ("EulerTransform", "SimilarityTransform", "AffineTransform"):
        values["CenterOfRotationPoint"] = centre
    values["NumberOfParameters"] = len(list(values["TransformParameters"]))  # type: ignore[arg-type]
    return {**base, "Transform": [name], **to_map({**values, **parameters})}


def mapped(transform: sitk.Transform, points: Array) -> Array:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


KINDS = [
    ("TranslationTransform", 2, {}),
    ("TranslationTransform", 3, {}),
    ("EulerTransform", 2, {}),
    ("EulerTransform", 3, {}),
    ("EulerTransform", 3, {"ComputeZYX": "true"}),
    ("SimilarityTransform", 2, {}),
    ("SimilarityTransform", 3, {}),
    ("AffineTransform", 2, {}),
    ("AffineTransform", 3, {}),
    ("BSplineTransform", 2, {"BSplineTransformSplineOrder": 3}),
    ("BSplineTransform", 3, {"BSplineTransformSplineOrder": 1}),
    ("BSplineTransform", 3, {"BSplineTransformSplineOrder": 2}),
    ("RecursiveBSplineTransform", 3, {"BSplineTransformSplineOrder": 3}),
]


@pytest.mark.parametrize(("name", "dimension", "parameters"), KINDS)
def test_points_are_where_transformix_puts_them(
    name: str, dimension: int, parameters: dict[str, Value]
) -> None:
    """On an oblique grid with three different sizes. transformix writes six decimals."""
    points = GRIDS[dimension].random_points(20, margin=0.05)
    chain = Chain([of_kind(name, dimension, **parameters)])
    expected = transformix.map_points(chain, points)
    assert np.abs(expected - points).max() > 0.3
    found = mapped(from_elastix.to_sitk(chain, dimension), points)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def composition() -> Chain:
    kinds = ("EulerTransform", "BSplineTransform", "AffineTransform")
    return Chain([of_kind(kind, 3) for kind in kinds])


def test_composition_field_and_image_are_those_of_transformix(tmp_path: Path) -> None:
    grid = geometry(GRIDS[3])
    chain = composition()
    transform = from_elastix.to_sitk(chain, 3)
    expected = sitk.GetArrayFromImage(transformix.displacement_field(chain, grid))
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
    )
    # transformix writes single precision; coordinates are some 100 mm.
    np.testing.assert_allclose(sitk.GetArrayFromImage(field), expected, atol=2e-5)

    image = on_grid(RANDOM.uniform(0, 1000, grid.size[::-1]).astype(np.float32), grid)
    sitk.WriteImage(image, str(tmp_path / "image.mha"))
    chain.maps[-1] |= to_map({"DefaultPixelValue": -7, "FinalBSplineInterpolationOrder": 3})
    last = chain.write(tmp_path, "T")
    assert last is not None
    done = programs.run(
        *("transformix", "-in", "image.mha", "-tp", last, "-out", tmp_path), folder=tmp_path
    )
    assert done.returncode == 0, done.stdout
    warped = sitk.ReadImage(str(tmp_path / "result.mha"))
    ours = sitk.Resample(image, image, transform, sitk.sitkBSpline3, -7.0)
    difference = np.abs(sitk.GetArrayFromImage(warped) - sitk.GetArrayFromImage(ours))
    # At the very edge rounding decides whether a point is inside.
    assert np.mean(difference > 0.05) < 1e-3


def test_there_and_back(tmp_path: Path) -> None:
    """A SimpleITK transform is the same after it has been elastix's, through files."""
    chain = composition()
    transform = from_elastix.to_sitk(chain, 3)
    again = to_elastix.from_sitk(transform, geometry(GRIDS[3]))
    path = again.write(tmp_path, "T")
    assert path == tmp_path / "T.2.txt"
    read = from_elastix.to_sitk(Chain.read(path), 3)
    points = GRIDS[3].random_points(20)
    np.testing.assert_allclose(mapped(read, points), mapped(transform, points), atol=1e-9)


def test_displacement_field(tmp_path: Path) -> None:
    """It goes through elastix, and stays with the chain when files are gone."""
    grid = geometry(GRIDS[3])
    field = sitk.TransformToDisplacementField(
        from_elastix.to_sitk(Chain([of_kind("BSplineTransform", 3)]), 3),
        *(sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction),
    )
    transform = sitk.DisplacementFieldTransform(sitk.Image(field))
    chain = to_elastix.from_sitk(transform, grid)
    points = GRIDS[3].random_points(20, margin=0.1)
    expected = mapped(transform, points)
    np.testing.assert_allclose(transformix.map_points(chain, points), expected, atol=1e-4)
    path = chain.write(tmp_path, "T")
    assert path is not None
    read = Chain.read(path)
    path.unlink()
    np.testing.assert_allclose(mapped(from_elastix.to_sitk(read, 3), points), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"HowToCombineTransforms": "Add"}, r"AffineTransform is added to its initial transform"),
        ({"UseDirectionCosines": "false"}, r'UseDirectionCosines "false"'),
        (
            {"Transform": "SplineKernelTransform"},
            r"no transform like elastix's SplineKernel.*Euler",
        ),
    ],
)
def test_what_simpleitk_does_not_have(parameters: dict[str, Value], match: str) -> None:
    chain = Chain([of_kind("EulerTransform", 3), of_kind("AffineTransform", 3, **parameters)])
    with pytest.raises(from_elastix.UnsupportedTransformError, match=match):
        from_elastix.to_sitk(chain, 3)


def test_inverse() -> None:
    """Of a linear transform exact, of a deformation to within hundredths of a mm."""
    points = GRIDS[3].random_points(50, margin=0.2)
    for chain, tolerance in (
        (Chain([of_kind(kind, 3) for kind in ("EulerTransform", "AffineTransform")]), 1e-9),
        (composition(), 0.1),
    ):
        transform = from_elastix.to_sitk(chain, 3)
        back = mapped(inverse.inverse(transform, 0.001, 0.7), mapped(transform, points))
        assert np.linalg.norm(back - points, axis=1).max() < tolerance


def image_at(*origin: float, bright: tuple[int, int, int] | None = None) -> sitk.Image:
    image = sitk.Image(10, 12, 14, sitk.sitkFloat32)
    image.SetOrigin(origin)
    image.SetSpacing((1, 2, 0.5))
    if bright:
        image[bright] = 1.0
    return image


def test_automatic_starts() -> None:
    fixed = image_at(5, 5, 5, bright=(1, 2, 3))
    moving = image_at(15, -5, 6, bright=(4, 2, 5))
    for word, shift in (("center", (10, -10, 1)), ("mass", (13, -10, 2))):
        chain = initial.make_chain(word, fixed, moving)
        found = mapped(from_elastix.to_sitk(chain, 3), np.zeros((1, 3)))
        np.testing.assert_allclose(found, [shift], atol=1e-6)


def test_initial_transforms_of_every_kind(tmp_path: Path) -> None:
    fixed, moving = image_at(0, 0, 0), image_at(1, 1, 1)
    transform = sitk.Euler3DTransform((1, 2, 3), 0.1, -0.2, 0.3, (4, 5, 6))
    points = np.array([[1.0, 2.0, 3.0], [5.0, 0.0, -2.0]])
    expected = mapped(transform, points)
    chain = initial.make_chain(transform, fixed, moving)
    for name in ("t.tfm", "t.h5", "t.txt"):
        sitk.WriteTransform(transform, str(tmp_path / name))
    elastix_file = chain.write(tmp_path, "elastix")
    composite = sitk.CompositeTransform([transform])
    for given in (
        *(tmp_path / name for name in ("t.tfm", "t.h5", "t.txt")),
        *(str(elastix_file), chain.maps, composite),
    ):
        found = from_elastix.to_sitk(initial.make_chain(given, fixed, moving), 3)
        np.testing.assert_allclose(mapped(found, points), expected, atol=1e-9)


def test_wrong_initial_transforms(tmp_path: Path) -> None:
    fixed, moving = image_at(0, 0, 0), image_at(1, 1, 1)
    (tmp_path / "text.txt").write_text("hello\n")
    (tmp_path / "map.txt").write_text('(Metric "Impact")\n')
    unknown = {**of_kind("EulerTransform", 3), "Transform": ["NoSuch"]}
    for given, error, match in (
        ("centre", FileNotFoundError, r"no file 'centre'.*'center', 'mass'"),
        (tmp_path / "text.txt", ValueError, r"neither a transform parameter file of elastix nor"),
        (tmp_path / "map.txt", ValueError, r"map\.txt is no transform parameter file"),
        (sitk.Euler2DTransform(), ValueError, r"for 2 dimensions, and the images have 3"),
        ([unknown], ValueError, r'\(Transform "NoSuch"\), which elastix does not have'),
        (
            np.eye(4),
            TypeError,
            r"initial_transform is a numpy\.ndarray, expected one of 'none', ",
        ),
    ):
        with pytest.raises(error, match=match):
            initial.make_chain(given, fixed, moving)


def test_a_chain_that_builds_on_itself(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.txt").write_text(
            f'(Transform "TranslationTransform")\n(InitialTransformParameterFileName "{other}.txt")'
        )
    with pytest.raises(ValueError, match=r"the transform .*a\.txt builds on itself"):
        Chain.read(tmp_path / "a.txt")
