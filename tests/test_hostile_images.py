"""Image files of which a part is missing, and images that lie nowhere or hold no numbers.

register_images, `impact-plugin check` and impact-elastix look at files; the metric looks at the
images that elastix has, whoever read them.
"""

from __future__ import annotations

import gzip
import locale
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import impact_plugin
from helpers import tiny_models
from helpers.bad_input import good
from helpers.images import Image
from helpers.itk_process import ItkError, ItkProcess
from helpers.pairs import sitk_pair, squares
from helpers.parameter_maps import as_text, parameter_map
from helpers.programs import run
from helpers.registrations import SHIFTS, pair
from impact_plugin.check.images import ImageError, ImageHeader
from impact_plugin.images import conversion, reading, validation
from impact_plugin.images.integrity import DamagedImageError, check_complete

# Files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one image in many formats."""
    folder = tmp_path_factory.mktemp("whole")
    image = sitk_pair()[0]
    for name in ("image.mha", "image.mhd", "image.nii", "image.nii.gz", "pair.hdr", *OTHERS):
        sitk.WriteImage(image, str(folder / name))
    for name in ("packed.mha", "packed.tif"):
        sitk.WriteImage(image, str(folder / name), useCompression=True)
    voxels = sitk.GetArrayFromImage(image).T
    nibabel.save(nibabel.Nifti2Image(voxels, np.eye(4)), folder / "two.nii")
    nibabel.save(nibabel.Nifti2Image(voxels, np.eye(4)), folder / "two.nii.gz")
    return folder


OTHERS = ("image.tif", "image.vtk", "image.gipl", "image.gipl.gz")
FILES = (
    *("image.mha", "packed.mha", "image.mhd", "image.nii", "image.nii.gz"),
    *("pair.hdr", "pair.img", "two.nii", "two.nii.gz"),
    *(*OTHERS, "packed.tif"),
)


@pytest.mark.parametrize("name", FILES)
def test_whole_files(whole: Path, name: str) -> None:
    check_complete(whole / name)


def cut(folder: Path, target: Path, name: str, kept: float) -> Path:
    """Copy an image, its voxels cut off at a fraction of their file."""
    voxels = {"image.mhd": "image.raw", "pair.hdr": "pair.img"}.get(name, name)
    for file in {name, voxels, "pair.hdr" if name == "pair.img" else name}:
        (target / file).write_bytes((folder / file).read_bytes())
    content = (folder / voxels).read_bytes()
    (target / voxels).write_bytes(content[: int(len(content) * kept)])
    return target / name


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize("kept", [0.02, 0.6, 0.99])
@pytest.mark.parametrize("name", FILES)
def test_files_that_are_cut_off(whole: Path, tmp_path: Path, name: str, kept: float) -> None:
    """ITK reads most of them as if they were whole."""
    file = cut(whole, tmp_path, name, kept)
    expected = re.escape(f"the fixed image: {str(file)!r} ") + "(is damaged|cannot be read)"
    with pytest.raises(ValueError, match=expected):
        impact_plugin.register_images(file, sitk_pair()[1], parameter_maps=squares())
    with pytest.raises(ImageError, match=re.escape(str(file))):
        ImageHeader.read(file)


def test_what_itk_makes_of_them(whole: Path, tmp_path: Path) -> None:
    """Why files are looked at at all."""
    read = sitk.ReadImage(str(cut(whole, tmp_path, "image.nii.gz", 0.6)))
    assert (sitk.GetArrayFromImage(read) == 0).mean() > 0.3
    assert sitk.ReadImage(str(cut(whole, tmp_path, "image.tif", 0.6))).GetSize()[2] < 17
    for name in ("image.vtk", "image.gipl"):
        assert sitk.ReadImage(str(cut(whole, tmp_path, name, 0.6))).GetSize() == (34, 30, 26)


CANNOT_BE_WRITTEN = {
    *(("UInt32", "image.gipl"), ("Int64", "image.gipl")),
    *(("Int64", "image.tif"), ("Float64", "image.tif")),
}


@pytest.mark.parametrize("kind", ["UInt8", "Int8", "Int16", "UInt16", "UInt32", "Int64", "Float64"])
def test_types_of_voxels(tmp_path: Path, kind: str) -> None:
    image = sitk.Cast(sitk_pair()[0], getattr(sitk, f"sitk{kind}"))
    for name in ("image.tif", "image.vtk", "image.gipl"):
        if (kind, name) in CANNOT_BE_WRITTEN:
            continue
        file = tmp_path / name
        sitk.WriteImage(image, str(file))
        check_complete(file)
        file.write_bytes(file.read_bytes()[: -150 if name == "image.tif" else -1])
        with pytest.raises(DamagedImageError, match=r"bytes of \d+|lies beyond its end"):
            check_complete(file)


def test_slices(tmp_path: Path) -> None:
    """Of two dimensions: a TIFF of several strips, and the others."""
    image = sitk.GetImageFromArray(np.arange(300 * 200, dtype=np.float32).reshape(300, 200))
    for name in ("image.tif", "image.vtk", "image.gipl"):
        file = tmp_path / name
        sitk.WriteImage(image, str(file))
        check_complete(file)
        file.write_bytes(file.read_bytes()[: -150 if name == "image.tif" else -1])
        with pytest.raises(DamagedImageError, match=r"bytes of \d+|lies beyond its end"):
            check_complete(file)


def tiff(order: str, big: bool, tags: tuple[int, int], *, inline: bool = True) -> bytes:
    """Write a TIFF of two images of eight bytes by hand, only with what is looked at."""
    number, count, kind = ("Q", "Q", 16) if big else ("I", "H", 4)
    size = struct.calcsize(f"={number}")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    head += struct.pack(f"{order}HH", 8, 0) if big else b""
    content = head + bytes(size)
    places = [len(head)]  # where the place of the next directory belongs
    for _ in range(2):
        pixels = len(content)
        content += bytes(8)
        values: list[tuple[int, ...]] = [(pixels, pixels + 4), (4, 4)]
        if inline:
            values = [(pixels,), (8,)]
        entries = b""
        for tag, of in zip(tags, values, strict=True):
            written = struct.pack(f"{order}{len(of)}{number}", *of)
            if len(of) > 1:
                place, content = len(content), content + written
                written = struct.pack(f"{order}{number}", place)
            entries += struct.pack(f"{order}HH{number}", tag, kind, len(of)) + written
        here = struct.pack(f"{order}{number}", len(content))
        content = content[: places[-1]] + here + content[places[-1] + size :]
        content += struct.pack(f"{order}{count}", 2) + entries
        places.append(len(content))
        content += bytes(size)
    return content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize("tags", [(273, 279), (324, 325)], ids=["strips", "tiles"])
@pytest.mark.parametrize("inline", [False, True], ids=["several", "one"])
def test_kinds_of_tiff(
    tmp_path: Path, order: str, big: bool, tags: tuple[int, int], inline: bool
) -> None:
    content = tiff(order, big, tags, inline=inline)
    file = tmp_path / "image.tiff"
    file.write_bytes(content)
    check_complete(file)
    for length in range(len(content) // 4, len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedImageError, match=r"beyond its end|the pixels of its image [12]"):
            check_complete(file)


def test_tiffs_that_never_end(tmp_path: Path) -> None:
    """A directory that is its own successor, and as many entries as there are numbers."""
    content = bytearray(tiff("<", True, (273, 279)))
    (first,) = struct.unpack_from("<Q", content, 8)
    last = bytes(content[:-8]) + struct.pack("<Q", first)
    (tmp_path / "loop.tif").write_bytes(last)
    check_complete(tmp_path / "loop.tif")
    struct.pack_into("<Q", content, first, 2**64 - 1)
    (tmp_path / "many.tif").write_bytes(content)
    with pytest.raises(DamagedImageError, match="its image 1 lies beyond its end"):
        check_complete(tmp_path / "many.tif")
    struct.pack_into("<Q", content, first, 2)
    struct.pack_into("<Q", content, first + 8 + 4, 2**63)
    (tmp_path / "long.tif").write_bytes(content)
    with pytest.raises(DamagedImageError, match="its image 1 lies beyond its end"):
        check_complete(tmp_path / "long.tif")


def test_kinds_of_vtk(tmp_path: Path) -> None:
    start = b"# vtk DataFile Version 3.0\na\n%s\nDATASET STRUCTURED_POINTS\nDIMENSIONS 2 3 4\n"
    file = tmp_path / "image.vtk"
    text = start % b"ASCII" + b"POINT_DATA 24\nSCALARS s short\nLOOKUP_TABLE default\n"
    file.write_bytes(text + b"1 2 3\n" * 8)
    check_complete(file)
    file.write_bytes(text + b"1 2 3\n" * 7)
    with pytest.raises(DamagedImageError, match="it has 21 values of 24"):
        check_complete(file)
    file.write_bytes(text[:60])
    with pytest.raises(DamagedImageError, match="it ends within its header"):
        check_complete(file)
    # Without a table, and of another kind, which the reader sees to.
    file.write_bytes(start % b"BINARY" + b"POINT_DATA 24\nSCALARS s unsigned_short 1\n" + bytes(48))
    check_complete(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedImageError, match=r"it has (\d+) bytes of \d+"):
        check_complete(file)
    file.write_bytes(start % b"BINARY" + b"POINT_DATA 24\nVECTORS v float\n" + bytes(5000))
    check_complete(file)


def test_compressed_voxels_that_changed(whole: Path, tmp_path: Path) -> None:
    for name in ("packed.mha", "image.nii.gz"):
        content = bytearray((whole / name).read_bytes())
        content[len(content) // 2] ^= 255
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be (unpacked|read as an image)"):
            impact_plugin.register_images(tmp_path / name, sitk_pair()[1], parameter_maps=squares())


def test_compressed_files_of_several_parts(whole: Path, tmp_path: Path) -> None:
    """Those of bgzip: the end of such a file tells the length of its last part alone."""
    content = gzip.decompress((whole / "image.nii.gz").read_bytes())
    file = tmp_path / "parts.nii.gz"
    file.write_bytes(gzip.compress(content[:50_000]) + gzip.compress(content[50_000:]))
    check_complete(file)
    file.write_bytes(gzip.compress(content[:50_000]) + gzip.compress(content[50_000:-100]))
    with pytest.raises(DamagedImageError, match=r"it has \d+ bytes of \d+"):
        check_complete(file)


HEADERS = {
    "voxels that are not there": ("image.raw", "nothere.raw", r"'.*nothere\.raw', is not there"),
    "a folder of voxels": ("image.raw", ".", r"is not there"),
    "no slices": ("image.raw", "LIST", r"it names 0 files of slices, and has 26 slices"),
    "no size": (r"DimSize = .*", "DimSize = 34 0 26", r"is empty: its size is \(34, 0, 26\)"),
    "size below zero": (r"DimSize = .*", "DimSize = 34 -30 26", r"cannot be read as an image"),
    "size beyond all": (r"DimSize = .*", "DimSize = 4294967296 4294967296 1", r"bytes of \d{20}"),
    "no spacing": (r"(ElementSpacing = ).*", r"\1 0 1 1", r"Zero-valued spacing"),
    "no number": (r"(ElementSpacing = ).*", r"\1 a b c", r"ElementSpacing = a b c, expected fin"),
    "nowhere": (r"(Offset = ).*", r"\1 nan 0 0", r"its header says Offset = nan 0 0, expected"),
    "infinitely far": (r"(Offset = ).*", r"\1 inf 0 0", r"its header says Offset = inf 0 0, exp"),
    "far": (r"(Offset = ).*", r"\1 1e17 0 0", r"lies too far from the origin of space"),
    "flat": (r"(TransformMatrix = ).*", r"\1 1 0 0 1 0 0 0 0 1", r"determinant is 0"),
    "shear": (r"(TransformMatrix = ).*", r"\1 1 .5 0 0 1 0 0 0 1", r"are not at right angles"),
    "long axes": (r"(TransformMatrix = ).*", r"\1 2 0 0 0 2 0 0 0 2", r"and of length 1"),
    "unknown type": ("MET_FLOAT", "MET_NONSENSE", r"Unknown PixelType"),
    "twelve dimensions": ("NDims = 3", "NDims = 12", r"cannot be read as an image"),
}


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize("case", HEADERS)
def test_headers(whole: Path, tmp_path: Path, case: str) -> None:
    old, new, expected = HEADERS[case]
    (tmp_path / "image.raw").write_bytes((whole / "image.raw").read_bytes())
    text, number = re.subn(old, new, (whole / "image.mhd").read_text())
    assert number == 1
    file = tmp_path / "image.mhd"
    file.write_text(text)
    with pytest.raises(ValueError, match=expected) as error:
        impact_plugin.register_images(file, sitk_pair()[1], parameter_maps=squares())
    assert str(file) in str(error.value) or str(error.value).startswith("the fixed image")


def test_spacing_below_zero_turns_the_axis_round(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "image.raw").write_bytes((whole / "image.raw").read_bytes())
    file = tmp_path / "image.mhd"
    text = (whole / "image.mhd").read_text()
    file.write_text(re.sub(r"ElementSpacing = ", "ElementSpacing = -", text))
    image, usual = sitk.ReadImage(str(file)), sitk_pair()[0]
    assert image.GetSpacing() == usual.GetSpacing()
    assert image.GetDirection()[0] == -usual.GetDirection()[0]
    validation.check_image(image, "the image")


def test_the_command_line_looks_too(whole: Path, tmp_path: Path) -> None:
    """Before elastix itself, which would register with zeros."""
    moving = whole / "image.nii.gz"
    (tmp_path / "p.txt").write_text(as_text(squares()))
    for flag in ("-f", "-m", "-fMask"):
        file = cut(whole, tmp_path, "image.nii.gz", 0.6)
        given = {"-f": moving, "-m": moving, flag: file}
        arguments = [part for pair_ in given.items() for part in pair_]
        ran = run("elastix", *arguments, "-p", "p.txt", "-out", tmp_path, folder=tmp_path)
        assert ran.returncode == 1
        assert f"impact-elastix: {flag} {file}: {str(file)!r} is damaged" in ran.stderr
        assert "elastix is started" not in ran.stdout


def test_headers_of_other_lengths(tmp_path: Path) -> None:
    """Files that are named like NIfTI and are something else are left to the reader."""
    file = tmp_path / "x.nii"
    file.write_bytes(b"hello")
    with pytest.raises(DamagedImageError, match="its header has 5 bytes of 348"):
        check_complete(file)
    file.write_bytes(struct.pack("<i", 77) + bytes(600))
    check_complete(file)


# Images


def voxel(value: float) -> Callable[[Image], Image]:
    def change(image: Image) -> Image:
        voxels = image.voxels.copy()
        voxels[3, 4, 5] = value
        return Image(voxels, image.grid)

    return change


def grid(**changes: object) -> Callable[[Image], Image]:
    return lambda image: Image(image.voxels, replace(image.grid, **changes))  # type: ignore[arg-type]


def slab(image: Image) -> Image:
    return Image(np.zeros((0, 4, 4), np.float32), replace(image.grid, size=(4, 4, 0)))


def constant(image: Image) -> Image:
    return Image(image.voxels * 0 + 7, image.grid)


SHEAR = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
NO_NUMBER = "has 1 voxels that are NaN or infinite, or beyond single precision. Give them a value"

IMAGES: dict[str, tuple[Callable[[Image], Image], str]] = {
    "NaN": (voxel(np.nan), NO_NUMBER),
    "infinite": (voxel(-np.inf), NO_NUMBER),
    "empty": (slab, "is empty: its size is 4 x 4 x 0 voxels."),
    "nowhere": (grid(origin=(np.nan, 0, 0)), "has the origin nan 0 0 mm and the spacing 1 1.25 "),
    "no spacing": (grid(spacing=(np.nan, 1.0, 1.0)), "the spacing nan 1 1 mm. Allowed: finite"),
    "far": (grid(origin=(1e17, 0, 0)), "lies too far from the origin of space for its voxels to"),
    "shear": (grid(direction=SHEAR), "has axes that are no unit vectors at right angles to each"),
    "long axes": (grid(direction=2 * np.eye(3)), "no unit vectors at right angles to each other"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.save(tiny_models.Layers(3), folder / "layers.pt")
    return folder


@pytest.mark.parametrize("side", ["fixed", "moving"])
@pytest.mark.parametrize("case", IMAGES)
def test_images_that_itk_has(itk_process: ItkProcess, folder: Path, case: str, side: str) -> None:
    change, expected = IMAGES[case]
    images = dict(zip(("fixed", "moving"), pair(3), strict=True))
    images[side] = change(images[side])
    parameters = parameter_map(3, **good(folder, UseDirectionCosines="true"))
    with pytest.raises(ItkError, match=rf"cannot run:\nThe {side} image ") as error:
        itk_process.register(images["fixed"], images["moving"], parameters)
    assert expected in error.value.text
    assert len(error.value.text.strip().splitlines()) == 2, "nothing that follows from it"


def test_constant_images_are_warned_of(itk_process: ItkProcess, folder: Path) -> None:
    fixed, moving = pair(3)
    parameters = parameter_map(3, **good(folder, MaximumNumberOfIterations=2))
    log = itk_process.register(constant(fixed), moving, parameters).log
    assert "The fixed image is constant, every voxel is 7: there is nothing in it" in log


@pytest.mark.parametrize("mode", ["Static", "Jacobian"])
def test_far_from_the_origin(itk_process: ItkProcess, folder: Path, mode: str) -> None:
    """Of both images: a million kilometres, where a voxel has some thousand steps of a double."""
    changes = {"Mode": mode, "PatchSize": "5*5*5" if mode == "Jacobian" else "0*0*0"}
    fixed, moving = (
        Image(image.voxels, replace(image.grid, origin=(1e12, *image.grid.origin[1:])))
        for image in pair(3)
    )
    found = itk_process.register(fixed, moving, parameter_map(3, **good(folder, **changes)))
    assert np.linalg.norm(found.parameters - SHIFTS[3]) < 0.2


def test_images_that_do_not_meet(itk_process: ItkProcess, folder: Path) -> None:
    """Elastix's own reason, which it keeps from Python."""
    fixed, moving = pair(3)
    away = grid(origin=(1e6, 0, 0))(fixed)
    with pytest.raises(ItkError, match=r"Too many samples map outside moving image buffer: 0 /"):
        itk_process.register(away, moving, parameter_map(3, **good(folder)))


@pytest.mark.usefixtures("no_elastix")
def test_values_beyond_single_precision() -> None:
    image = sitk.Cast(sitk_pair()[0], sitk.sitkFloat64)
    image[3, 4, 5] = 1e300
    with pytest.raises(ValueError, match=r"values from .* to 1e\+300, and elastix computes in"):
        impact_plugin.register_images(image, sitk_pair()[1], parameter_maps=squares())


@pytest.mark.usefixtures("no_elastix")
@pytest.mark.parametrize(
    ("direction", "expected"),
    [(SHEAR, "are not at right angles"), (2 * np.eye(3), "of length 1")],
)
def test_directions_of_sitk_images(direction: np.ndarray, expected: str) -> None:
    image = sitk.Image(sitk_pair()[0])
    image.SetDirection(direction.ravel().tolist())
    with pytest.raises(ValueError, match=expected):
        impact_plugin.register_images(image, sitk_pair()[1], parameter_maps=squares())


def test_the_file_is_named_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    fixed, moving = pair(3)
    file = voxel(np.nan)(fixed).write(tmp_path / "fixed.mha")
    (tmp_path / "p.txt").write_text(as_text(parameter_map(3, **good(folder))))
    arguments = ("-f", file, "-m", moving.write(tmp_path / "moving.mha"), "-p", "p.txt")
    ran = run("elastix", *arguments, "-out", tmp_path, folder=tmp_path)
    assert ran.returncode == 1
    assert f'The fixed image "{file}" {NO_NUMBER}' in ran.stdout


def test_labels_of_another_dimension(tmp_path: Path) -> None:
    """Refused before the registration, in whose place stands a map that is not there."""
    for name, dimension in (("f.mha", 3), ("m.mha", 3), ("flat.mha", 2)):
        sitk.WriteImage(sitk_pair(dimension)[0], str(tmp_path / name))
    command = ("register", "f.mha", "m.mha", "-o", "o", "-p", "nowhere.txt", "--labels", "flat.mha")
    ran = run("plugin", *command, folder=tmp_path)
    assert ran.returncode == 2
    said = " ".join(ran.stderr.split())
    assert "'flat.mha' has 2 dimensions, and the fixed image 'f.mha' has 3" in said
    assert not (tmp_path / "o").exists()


def test_the_locale_stays(whole: Path) -> None:
    """ITK's reader of VTK files sets it to "C": other files were read as ASCII from then on."""
    before = locale.setlocale(locale.LC_ALL)
    file = whole / "image.vtk"
    conversion.to_sitk(file)
    reading.dimension_of(file)
    ImageHeader.read(file).intensity_range()
    assert locale.setlocale(locale.LC_ALL) == before
