"""Transform files of older programs and of others: what elastix reads, we read, and alike."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers.images import Array
from helpers.pairs import on_grid, shift_error, sitk_pair, squares
from helpers.programs import read_output_points
from impact_plugin import evaluation
from impact_plugin.check import check_map
from impact_plugin.elastix import process
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.transforms import apply, from_elastix, hdf5_numbers, initial, to_elastix
from impact_plugin.transforms.chain import Chain

SIZE, SPACING, ORIGIN = (12, 14, 10), (2.0, 1.5, 3.0), (5.0, -7.0, 11.0)
ANGLE = np.deg2rad(30)
TURNED = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
)
GRID = Geometry(SIZE, SPACING, ORIGIN, tuple(TURNED.ravel().tolist()))
POINTS = GRID.centre + np.random.default_rng(4).uniform(-6, 6, (15, 3))
OF_A_FILE = {
    "InitialTransformParametersFileName": '"NoInitialTransform"',
    "HowToCombineTransforms": '"Compose"',
    "FixedImageDimension": "3",
    "MovingImageDimension": "3",
    "FixedInternalImagePixelType": '"float"',
    "MovingInternalImagePixelType": '"float"',
    "Size": "12 14 10",
    "Index": "0 0 0",
    "Spacing": "2.0 1.5 3.0",
    "Origin": "5.0 -7.0 11.0",
    "Direction": " ".join(map(repr, TURNED.T.ravel().tolist())),
    "UseDirectionCosines": '"true"',
    "ResampleInterpolator": '"FinalBSplineInterpolator"',
    "Resampler": '"DefaultResampler"',
}
TRANSLATION = {
    "Transform": '"TranslationTransform"',
    "NumberOfParameters": "3",
    "TransformParameters": "3 -2 4",
}
EULER = {
    "Transform": '"EulerTransform"',
    "NumberOfParameters": "6",
    "TransformParameters": "0.1 0.2 -0.1 3 -2 4",
    "CenterOfRotationPoint": "10 -4 20",
}
B_SPLINE = {
    "Transform": '"BSplineTransform"',
    "NumberOfParameters": "1029",
    "GridSize": "7 7 7",
    "GridIndex": "-1 -2 0",
    "GridSpacing": "8 9 10",
    "GridOrigin": "-6 -10 -8",
    "TransformParameters": " ".join(
        f"{x:.6f}" for x in np.random.default_rng(3).uniform(-2, 2, 1029)
    ),
}


def written(folder: Path, *parts: dict[str, str], without: tuple[str, ...] = ()) -> Path:
    """Write a transform parameter file as an older program did."""
    path = folder / "TransformParameters.0.txt"
    lines = [f"({name} {text})" for part in parts for name, text in part.items()]
    kept = [line for line in lines if line[1:].split()[0] not in without]
    path.write_text("\n".join(kept) + "\n")
    return path


def with_decimals(part: dict[str, str]) -> dict[str, str]:
    """Give numbers as SimpleElastix wrote them."""
    return {
        name: re.sub(r"(?<![\w.])-?\d+(?![\w.])", lambda found: f"{float(found[0]):.6f}", text)
        for name, text in part.items()
    }


def of_transformix(path: Path, folder: Path) -> Array:
    """Map the points by transformix, which is given the file itself."""
    rows = "\n".join(" ".join(map(repr, row)) for row in POINTS.tolist())
    (folder / "points.txt").write_text(f"point\n{len(POINTS)}\n{rows}\n")
    lines: list[str] = []
    arguments: list[str | Path] = ["-tp", path, "-def", folder / "points.txt", "-out", folder]
    assert process.run("transformix", arguments, lines.append) == 0, lines[-20:]
    return read_output_points(folder / "outputpoints.txt")


OLD = {
    "as of today": ((OF_A_FILE, EULER), ()),
    "six decimals": ((with_decimals(OF_A_FILE), with_decimals(EULER)), ()),
    "no Direction": ((OF_A_FILE, TRANSLATION), ("Direction", "UseDirectionCosines")),
    "no Index, no HowToCombine": ((OF_A_FILE, EULER), ("Index", "HowToCombineTransforms")),
    "spline without direction": ((OF_A_FILE, B_SPLINE), ()),
    "spline with decimals": ((with_decimals(OF_A_FILE), with_decimals(B_SPLINE)), ()),
    "spline of order 2.0": ((OF_A_FILE, B_SPLINE, {"BSplineTransformSplineOrder": "2.000"}), ()),
    "numbers of C": ((OF_A_FILE, TRANSLATION | {"TransformParameters": "3.e+000 -2E0 +4."}), ()),
}


@pytest.mark.parametrize("kind", OLD)
def test_old_files_are_what_transformix_makes_of_them(kind: str, tmp_path: Path) -> None:
    parts, without = OLD[kind]
    path = written(tmp_path, *parts, without=without)
    chain = Chain.read(path)
    from_elastix.to_sitk(chain, 3)  # and not by transformix
    expected = of_transformix(path, tmp_path)
    assert np.abs(expected - POINTS).max() > 0.5
    np.testing.assert_allclose(apply.map_points(chain, POINTS), expected, atol=2e-6)
    found = evaluation.evaluate(path, fixed_points=POINTS, moving_points=expected)
    assert found.after.landmarks is not None
    assert found.after.landmarks.mean < 1e-5


def test_a_field_without_an_order_is_not_interpolated(tmp_path: Path) -> None:
    """As by elastix, whose default of it is 0."""
    vectors = np.random.default_rng(1).uniform(-3, 3, (*SIZE[::-1], 3))
    field = on_grid(vectors.astype(np.float32), GRID, vectors=True)
    sitk.WriteImage(field, str(tmp_path / "f.mha"))
    named = {
        "Transform": '"DeformationFieldTransform"',
        "NumberOfParameters": "0",
        "DeformationFieldFileName": f'"{tmp_path}/f.mha"',
    }
    path = written(tmp_path, OF_A_FILE, named)
    mapped = apply.map_points(Chain.read(path), POINTS)
    np.testing.assert_allclose(mapped, of_transformix(path, tmp_path), atol=2e-6)


def test_centre_of_rotation_in_voxels(tmp_path: Path) -> None:
    """Of before elastix 3.402, which today's elastix refuses: on an oblique grid."""
    index = np.array([3.0, 4.0, 5.0])
    place = GRID.matrix @ index + ORIGIN
    path = written(
        tmp_path,
        OF_A_FILE,
        EULER,
        {"CenterOfRotation": "3 4 5"},
        without=("CenterOfRotationPoint",),
    )
    expected = sitk.Euler3DTransform(place.tolist(), 0.1, 0.2, -0.1, (3, -2, 4))
    found = apply.map_points(Chain.read(path), POINTS)
    np.testing.assert_allclose(
        found, [expected.TransformPoint(point) for point in POINTS.tolist()], atol=1e-9
    )


def test_windows_paths_and_the_older_link(tmp_path: Path) -> None:
    first = written(tmp_path, OF_A_FILE, TRANSLATION).rename(tmp_path / "first.txt")
    for name in (r"C:\Users\me\out\first.txt", "C:/Users/me/first.txt", r"sub\first.txt"):
        link = {"InitialTransformParametersFileName": f'"{name}"'}
        path = written(tmp_path, OF_A_FILE | link, TRANSLATION)
        shift = apply.map_points(Chain.read(path), POINTS) - POINTS
        np.testing.assert_allclose(shift, np.tile([6.0, -4.0, 8.0], (15, 1)), atol=1e-12)
    assert initial.files_of(path) == [path, first]
    # The newer spelling wins, as in elastix.
    newer = {"InitialTransformParameterFileName": '"NoInitialTransform"'}
    path = written(tmp_path, OF_A_FILE | link | newer, TRANSLATION)
    assert len(Chain.read(path).maps) == 1


@pytest.mark.parametrize(
    ("parts", "without", "match"),
    [
        ((OF_A_FILE, EULER), ("CenterOfRotationPoint",), r"0\.txt: the EulerTransform has no cent"),
        (
            (OF_A_FILE, TRANSLATION | {"NumberOfParameters": "6"}),
            (),
            r"0\.txt: \(NumberOfParameters 6\), and TransformParameters has 3\. Is a part",
        ),
        (
            (OF_A_FILE, TRANSLATION | {"TransformParameters": '3 "x" 4'}),
            (),
            r"0\.txt: TransformParameters has 'x', expected a number",
        ),
        (
            (OF_A_FILE, B_SPLINE),
            ("GridSize",),
            r"the BSplineTransform is none of 3 dimensions that elastix reads: it has no GridSize",
        ),
        ((OF_A_FILE, EULER | {"NumberOfParameters": "3", "TransformParameters": "0 0 0"}), (), "3"),
    ],
)
def test_what_elastix_refuses_is_refused(
    parts: tuple[dict[str, str], ...], without: tuple[str, ...], match: str, tmp_path: Path
) -> None:
    path = written(tmp_path, *parts, without=without)
    with pytest.raises(ValueError, match=match):
        evaluation.evaluate(path, fixed_points=POINTS, moving_points=POINTS, jacobian=False)


def itk_file(path: Path, *transforms: tuple[str, str, str]) -> Path:
    text = "#Insight Transform File V1.0\n"
    for number, (name, parameters, fixed) in enumerate(transforms):
        text += f"#Transform {number}\nTransform: {name}\nParameters: {parameters}\n"
        text += f"FixedParameters: {fixed}\n\n"
    path.write_text(text)
    return path


MATRIX = "0.9 0.1 0 -0.1 1.1 0 0 0.05 1 3 -2 4"
AFFINE = sitk.AffineTransform((0.9, 0.1, 0, -0.1, 1.1, 0, 0, 0.05, 1), (3, -2, 4), (5, 6, 7))


def read(path: Path) -> Array:
    chain = initial.read(path, GRID)
    return apply.map_points(chain, POINTS)


def mapped(transform: sitk.Transform) -> Array:
    return np.array([transform.TransformPoint(point) for point in POINTS.tolist()])


@pytest.mark.parametrize("name", ["MatrixOffsetTransformBase", "AffineTransform"])
@pytest.mark.parametrize("precision", ["double", "float"])
@pytest.mark.parametrize("ending", [".tfm", ".txt"])
def test_affine_files_of_c3d_and_ants(
    name: str, precision: str, ending: str, tmp_path: Path
) -> None:
    path = itk_file(tmp_path / f"a{ending}", (f"{name}_{precision}_3_3", MATRIX, "5 6 7"))
    np.testing.assert_allclose(read(path), mapped(AFFINE), atol=1e-5)


def test_files_of_other_endings(tmp_path: Path) -> None:
    """ANTs writes .mat and composites in .h5; a displacement field is an image."""
    displacement = sitk.TransformToDisplacementField(
        AFFINE, sitk.sitkVectorFloat64, SIZE, ORIGIN, SPACING, GRID.direction
    )
    field = sitk.DisplacementFieldTransform(sitk.Image(displacement))
    both = sitk.CompositeTransform([AFFINE, field])
    for name, transform in {"a.mat": AFFINE, "a.xfm": AFFINE, "c.h5": both, "c.tfm": both}.items():
        sitk.WriteTransform(transform, str(tmp_path / name))
        np.testing.assert_allclose(read(tmp_path / name), mapped(transform), atol=1e-5)
    for name in ("f.nii.gz", "f.mha", "f.nrrd"):
        sitk.WriteImage(sitk.Cast(displacement, sitk.sitkVectorFloat32), str(tmp_path / name))
        np.testing.assert_allclose(read(tmp_path / name), mapped(AFFINE), atol=1e-4)


def test_a_matrix_offset_transform_within_a_composition(tmp_path: Path) -> None:
    inner = sitk.ReadTransform(
        str(itk_file(tmp_path / "a.tfm", ("MatrixOffsetTransformBase_double_3_3", MATRIX, "5 6 7")))
    )
    spline = sitk.BSplineTransformInitializer(sitk.Image(SIZE, sitk.sitkUInt8), [3, 3, 3])
    composite = sitk.CompositeTransform([inner, spline])
    grid = to_elastix.from_sitk(composite, GRID)
    np.testing.assert_allclose(apply.map_points(grid, POINTS), mapped(AFFINE), atol=1e-9)


def test_refused_files_are_named(tmp_path: Path) -> None:
    translation = ("TranslationTransform_double_3_3", "3 -2 4", "")
    several = itk_file(tmp_path / "several.tfm", translation, translation)
    greedy = tmp_path / "greedy.mat"
    greedy.write_text("1 0 0 3\n0 1 0 -2\n0 0 1 4\n0 0 0 1\n")
    scalar = tmp_path / "scalar.nii"
    sitk.WriteImage(sitk.Image(SIZE, sitk.sitkUInt8), str(scalar))
    flat = itk_file(tmp_path / "flat.tfm", ("AffineTransform_double_2_2", "1 0 0 1 3 4", "0 0"))
    old = itk_file(tmp_path / "old.tfm", ("BSplineDeformableTransform_double_3_3", "0", "0"))
    bare = itk_file(tmp_path / "affine", translation)
    noise = tmp_path / "noise.mat"
    noise.write_bytes(np.random.default_rng(1).bytes(300))
    infinite = sitk.TranslationTransform(3, (1, np.nan, 2))
    with pytest.raises(ValueError, match="numbers that are not finite"):
        to_elastix.from_sitk(infinite, GRID)
    for path, match in (
        (bare, r"affine' is neither.*: it is a text of ITK: give it a name that ends in \.tfm"),
        (noise, r"noise\.mat' is neither.*: it is no \.mat file as ITK and ANTs write them"),
        (several, r"several\.tfm' holds several transforms, and does not say in which order"),
        (greedy, r"greedy\.mat' is neither.*: it holds a bare matrix.*c3d_affine_tool"),
        (scalar, r"scalar\.nii' is neither.*: it is an image of 3 dimensions with 1 val"),
        (flat, r"the transform is for 2 dimensions, and the images have 3"),
        (old, r"old\.tfm' is neither.*: Could not create an instance of .BSplineDeformable"),
    ):
        with pytest.raises(ValueError, match=re.compile(match, re.DOTALL)):
            initial.read(path, GRID, "the transform")


@pytest.mark.parametrize("ending", [".tfm", ".txt"])
@pytest.mark.parametrize(
    ("transform", "match"),
    [
        (("Euler3DTransform_double_3_3", "nan 0.2 0.3 4 5 6", "1 2 3 0"), "not finite.*nan 0.2"),
        (("Euler3DTransform_double_3_3", "0.1 x 0.3 4 5 6", "1 2 3 0"), "not finite.*0.1 nan"),
        (("Euler3DTransform_double_3_3", "0.2 0.3 4 5 6", "1 2 3 0"), "5 parameters, expected 6"),
        (("AffineTransform_float_3_3", "1 0 0 1 3 4", "0 0 0"), "6 parameters, expected 12"),
        (("TranslationTransform_double_3_3", "1 inf 2", ""), "not finite"),
        (("BSplineTransform_double_3_3", "0 0", "4 4 4"), "3 fixed parameters, expected 18"),
        (
            ("BSplineTransform_double_3_3", "0 0", "4 4 4 0 0 0 1 1 1 1 0 0 0 1 0 0 0 1"),
            "2 parameters, expected 192",
        ),
    ],
)
def test_damaged_numbers_do_not_reach_itk(
    transform: tuple[str, str, str], match: str, ending: str, tmp_path: Path
) -> None:
    """Of too few ITK reads what is behind them, and of some that are not finite it crashes."""
    path = itk_file(tmp_path / f"damaged{ending}", transform)
    kind = transform[0].partition("_")[0]
    with pytest.raises(ValueError, match=rf"the {kind} in '.*damaged.*' has .*{match}"):
        initial.read(path, GRID, "the transform")


def test_damaged_numbers_of_matlab(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    sitk.WriteTransform(AFFINE, str(path))
    first = np.float64(AFFINE.GetParameters()[0]).tobytes()
    path.write_bytes(path.read_bytes().replace(first, np.float64(np.nan).tobytes()))
    with pytest.raises(
        ValueError, match=r"the AffineTransform in '.*a\.mat' has .*not finite.*nan"
    ):
        initial.read(path, GRID, "the transform")


def h5(folder: Path, *changes: tuple[bytes, bytes]) -> Path:
    """Write an Euler transform as ITK does, and change bytes of the file."""
    path = folder / "damaged.h5"
    sitk.WriteTransform(EULER_OF_ITK, str(path))
    content = path.read_bytes()
    for before, after in changes:
        assert content.count(before) == 1
        content = content.replace(before, after)
    path.write_bytes(content)
    return path


EULER_OF_ITK = sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6))
SIX, FOUR = struct.pack("<2Q", 6, 6), struct.pack("<2Q", 4, 4)


def test_numbers_of_hdf5(tmp_path: Path) -> None:
    """Of too few ITK reads and writes what is behind them: the process may end."""
    found = list(hdf5_numbers.read(h5(tmp_path)))
    assert [kind for kind, _, _ in found] == ["Euler3DTransform_double_3_3"]
    np.testing.assert_array_equal(found[0][1], EULER_OF_ITK.GetParameters())
    np.testing.assert_array_equal(found[0][2], EULER_OF_ITK.GetFixedParameters())
    few = h5(tmp_path, (SIX, FOUR))
    with pytest.raises(ValueError, match=r"the Euler3DTransform in '.*d\.h5' has 4 parameters.* 6"):
        initial.read(few, GRID, "the transform")
    nan = h5(tmp_path, (np.float64(0.2).tobytes(), np.float64(np.nan).tobytes()))
    with pytest.raises(ValueError, match=r"damaged\.h5' has parameters .* not finite.*: 0\.1 nan"):
        initial.read(nan, GRID, "the transform")


def test_hdf5_of_many_kinds(tmp_path: Path) -> None:
    """Compositions, splines and fields; and a file of before HDF5 1.8, as other libraries write."""
    spline = sitk.BSplineTransformInitializer(sitk.Image(SIZE, sitk.sitkUInt8), [3, 3, 3])
    vectors = np.random.default_rng(5).uniform(-1, 1, (*SIZE[::-1], 3))
    field = sitk.DisplacementFieldTransform(on_grid(vectors, GRID, vectors=True))
    both = sitk.CompositeTransform([AFFINE, spline, field, EULER_OF_ITK])
    sitk.WriteTransform(both, str(tmp_path / "c.h5"))
    found = list(hdf5_numbers.read(tmp_path / "c.h5"))
    assert [kind.partition("_")[0] for kind, _, _ in found] == [
        *("AffineTransform", "BSplineTransform", "DisplacementFieldTransform", "Euler3DTransform")
    ]
    assert [len(numbers) for _, numbers, _ in found] == [12, 3 * 6**3, vectors.size, 6]
    np.testing.assert_array_equal(found[2][1], vectors.ravel())
    np.testing.assert_allclose(read(tmp_path / "c.h5"), mapped(both), atol=1e-5)
    old = tmp_path / "old.h5"
    old.write_bytes(zlib.decompress(base64.b64decode(OLD_HDF5)))
    with pytest.raises(ValueError, match=r"the Euler3DTransform in '.*old\.h5' has 4 param.* 6"):
        initial.read(old, GRID, "the transform")


def test_damaged_hdf5(tmp_path: Path) -> None:
    """Whatever is in the file, reading its numbers ends, and without an error of its own."""
    generator = np.random.default_rng(6)
    whole = [h5(tmp_path).read_bytes(), zlib.decompress(base64.b64decode(OLD_HDF5))]
    path = tmp_path / "noise.h5"
    for content in [b"", b"\x89HDF\r\n\x1a\n", *(each[:700] for each in whole)]:
        path.write_bytes(content)
        assert list(hdf5_numbers.read(path)) == []
    for number in range(400):
        noisy = np.frombuffer(whole[number % 2], np.uint8).copy()
        places = generator.integers(0, len(noisy), 60)
        noisy[places] = generator.choice([0, 1, 127, 255], 60)
        path.write_bytes(noisy.tobytes())
        for _, parameters, fixed in hdf5_numbers.read(path):
            assert len(parameters) + len(fixed) < len(noisy)


# By h5py, with libver="earliest": an Euler transform of four parameters.
OLD_HDF5 = (
    "eNrtms1OwkAQx3eLaKMx1ht+pke9GEw5eKNGvoxGiRLjDTHUSAJCiiT4BvoG6skjR6/ePOrNxBfxDZBlZ/pFRI0xYpjfZT"
    "q7026z/e+0zHKVSaQmx2fHmUBV2QjTmJc28LLs97H/CCwHewm2pWA77/ZFoH0arh+My+0lkyK6HQDHiY5IG2HEMJJJrmeF"
    "PQR/CeyT4o/bzG0dWHa9VD0DXdmFs/pJ1a6k7Wqj5uo0+sVxOQvLczj6qk/voY4ixfEM511la06fjAt3rPAVRTaroOAQXi"
    "iw3hi7HujnsL+zm+BMwZtneqh/PK7XZtifJ+7A14Z0QX+UF4Pz8lle1OeYR20E6Qjer9DQmu1//qjQmuquzfTG7jb3pCXu"
    "iRPEVlaNlU7yxLQL8mPJRtmyjYSTbvPFauO4bOWNvOEbrzVFz4wgCIIgCIIgCIIg/ppgnRWrk9FAnQ7rp1gfyPxw3M/qXM"
    "0FaanONdy6vAc/C1Zf/t1xZb3bKdazxzG/7r9aZxt2evdR5MRxzn3z2buvwr65r6Lp/syFXA7UfEhdhZy67eNi//g1zMdL"
    "/eNQp6fzpCsBbBs7FnU1rcdhrkwWm2CxNuxjubpSArrSQVf6QOvqp4h6Pu4HuFurb3E4MEFlJvbc3gge4tI+x40urxCvmZ"
    "T5CIIgCIK+p9zvKfNffU85f2zIXdQsr58qNa1itmAXKta5Zdd74gNd+Pvm6Jfu8x1LQKO4"
)
ODD = {
    "ScaleVersor3DTransform": "0.1 0.2 0.3 4 5 6 1.1 1.2 0.9",
    "ScaleSkewVersor3DTransform": "0.1 0.2 0.3 4 5 6 1.1 1.2 0.9 0.1 0 0 0 0.1 0",
    "ComposeScaleSkewVersor3DTransform": "0.1 0.2 0.3 4 5 6 1.1 1.2 0.9 0.1 0 0",
    "FixedCenterOfRotationAffineTransform": "1.1 0 0 0 1 0.2 0 0 1 4 5 6",
}


@pytest.mark.parametrize("kind", ODD)
def test_linear_transforms_that_simpleitk_half_knows(kind: str, tmp_path: Path) -> None:
    """Which have no class there, or no inverse."""
    path = itk_file(tmp_path / "odd.tfm", (f"{kind}_double_3_3", ODD[kind], "1 2 3"))
    found = impact_plugin.apply_transform(path, POINTS)
    np.testing.assert_allclose(read(path), found, atol=1e-9)
    back = impact_plugin.apply_transform(path, found, inverse=True)
    np.testing.assert_allclose(back, POINTS, atol=1e-9)
    if hasattr(sitk, kind):
        transform = getattr(sitk, kind)()
        transform.SetFixedParameters([1.0, 2.0, 3.0])
        transform.SetParameters([float(each) for each in ODD[kind].split()])
        np.testing.assert_allclose(found, mapped(transform), atol=1e-9)
        both = sitk.CompositeTransform([transform, sitk.TranslationTransform(3, (1, 2, 3))])
        for each in (transform, both):
            there = mapped(each)
            back = impact_plugin.apply_transform(each, there, inverse=True)
            np.testing.assert_allclose(back, POINTS, atol=1e-9)


def test_displacements_that_are_not_finite(tmp_path: Path) -> None:
    field = sitk.Image(SIZE, sitk.sitkVectorFloat64, 3)
    field[1, 1, 1] = (np.nan, 0, 0)
    path = tmp_path / "field.mha"
    sitk.WriteImage(field, str(path))
    for given in (path, field, sitk.DisplacementFieldTransform(sitk.Image(field))):
        for inverse in (False, True):
            with pytest.raises(ValueError, match=r"1 of .* displacements are not finite"):
                impact_plugin.apply_transform(given, POINTS, inverse=inverse)
    with pytest.raises(ValueError, match=r"the transform: 1 of .* are not finite"):
        initial.read(path, GRID, "the transform")


def test_whole_numbers_with_decimals() -> None:
    """In parameter maps, too: elastix reads 2.000000 as 2."""
    fixed, moving = sitk_pair()
    plain: ParameterMap = squares(NumberOfResolutions=2, FinalBSplineInterpolationOrder=1)
    parameters = plain | {
        "NumberOfResolutions": ["2.000000"],
        "FixedImageDimension": ["3.000"],
        "MovingImageDimension": ["3."],
        "FinalBSplineInterpolationOrder": ["1.000000"],
        "RandomSeed": ["7.000000"],
        "MaximumNumberOfIterations": ["60.000000"],
    }
    results = [
        impact_plugin.register_images(fixed, moving, parameter_maps=each, threads=1, progress=True)
        for each in (parameters, plain)
    ]
    points = results[0].fixed.points(4)
    one, other = results
    np.testing.assert_array_equal(one.map_points(points), other.map_points(points))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(one.image), sitk.GetArrayFromImage(other.image)
    )
    assert shift_error(results[0]) < 0.5
    assert {
        (finding.code, finding.parameter)
        for finding in check_map(parameters).findings
        if finding.parameter.startswith(("Number", "Fixed"))
    } == {
        (finding.code, finding.parameter)
        for finding in check_map(plain).findings
        if finding.parameter.startswith(("Number", "Fixed"))
    }
    with pytest.raises(ValueError, match=r"FixedImageDimension 3\.5\)"):
        impact_plugin.register_images(
            fixed, moving, parameter_maps={**plain, "FixedImageDimension": ["3.5"]}
        )
