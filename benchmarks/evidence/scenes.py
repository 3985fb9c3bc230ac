"""What a pair consists of: images found, prepared, moved and spoilt, with their truth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from benchmarks.evidence.fetching import FetchError, fetch
from benchmarks.evidence.motions import Motion, Points, mapped, read_affine
from benchmarks.evidence.pairs import Pair
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from impact_plugin import datasets
from impact_plugin._io import cache_folder
from impact_plugin.evaluation import read_points
from impact_plugin.images.grid import Geometry

ROOT = Path(__file__).resolve().parents[2]
VERSION = 2  # of what is made of the data: more, where the same name would give other images
HEAD = 2.0  # mm, voxels of heads
POINTS = 20000  # voxels whose errors are measured
NOISE = 0.04  # of the 98th percentile
BIAS = 0.4  # the field is at most exp(this)
COARSER = (1.0, 1.0, 2.5)
PART = 0.6  # of the last axis
# FreeSurfer's: white matter, cortex, ventricles, cerebellum, deep grey, hippocampus, brain stem
LABELS = [2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 26, 28]
LABELS += [41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 58, 60]


class MissingDataError(Exception):
    """Files of a pair are nowhere; the message names them, and says where they were looked for."""


@dataclass(frozen=True)
class Scene:
    """Two images to register, and what is known of the truth.

    Args:
        fixed: The fixed image.
        moving: The moving image.
        mask: Where folding counts, on the fixed image's grid.
        points: x in the fixed image, (N, d); none where labels are the truth.
        places: A(x) in the frame of the image that the moving one was made from.
        truth: S, from the moving image to that one.
        labels: Of the fixed image and of that one, or none.
        scale: What the lengths of motions are multiplied by.
        margin: Whether the moving image's surroundings are empty, so that its grid may grow.
        outside: Value around the moving image; None: its least.
    """

    fixed: sitk.Image
    moving: sitk.Image
    mask: sitk.Image
    points: Points
    places: Points
    truth: sitk.Transform
    labels: tuple[sitk.Image, sitk.Image] | None = None
    scale: float = 1.0
    margin: bool = False
    outside: float | None = None


@dataclass(frozen=True)
class Data:
    """Where the data are.

    Args:
        places: Folders that are looked into, in order.
        fetched: Where files that are in none of them are fetched to; None: they are not.
    """

    places: tuple[Path, ...]
    fetched: Path | None = None

    @classmethod
    def of(cls, given: Path | None) -> Data:
        """Look where the user says; else in ../shared/data, the cache, and public repositories."""
        if given is not None:
            return cls((given,))
        cache = cache_folder() / "evidence"
        return cls((ROOT.parent / "shared" / "data", cache), cache)

    def paths(self, *names: str) -> list[Path]:
        """Find files, or fetch them.

        Raises:
            MissingDataError: Some are in none of the folders, and do not come.
        """
        found = {name: self._found(name) for name in names}
        missing = [name for name, path in found.items() if path is None]
        if not missing:
            return [path for name in names if (path := found[name]) is not None]
        message = f"not in {', '.join(map(str, self.places))}: {', '.join(missing)}"
        if self.fetched is None:
            raise MissingDataError(message)
        try:
            return [found[name] or fetch(name, self.fetched) for name in names]
        except FetchError as error:
            message = f"{message}; nor to be fetched: {error}"
            raise MissingDataError(message) from error

    def _found(self, name: str) -> Path | None:
        return next((place / name for place in self.places if (place / name).is_file()), None)


def make(pair: Pair, seed: int, data: Data) -> Scene:
    """Make the images of a pair; the same seed gives the same.

    Raises:
        MissingDataError: Files are missing.
    """
    digest = hashlib.sha256(f"{pair.name} {seed}".encode()).digest()
    random = default_rng(int.from_bytes(digest[:8], "big"))
    aligned = _ALIGNED.get(pair.kind, _heads_of_one)(pair, data)
    return _spoilt(_moved(aligned, Motion.named(pair.motion), random), pair.variant, random)


def _heads_of_one(pair: Pair, data: Data) -> Scene:
    """T1, T2 and FLAIR of one patient, aligned."""
    person, images = pair.fixed[:3], (pair.fixed[3:], pair.moving[3:])
    fixed, moving, mask = map(
        _read, data.paths(*(f"ms/{person}_{word}.nii.gz" for word in (*images, "mask")))
    )
    fixed = _at(fixed, HEAD)
    inside = sitk.Resample(mask, fixed, sitk.Transform(), sitk.sitkNearestNeighbor)
    points = _voxels(inside)
    return Scene(fixed, _at(moving, HEAD), inside, points, points, sitk.Transform(), margin=True)


def _native(pair: Pair, data: Data) -> Scene:
    """Images as scanned; the authors' affine transform is from the fixed one to the moving one."""
    fixed, moving = map(
        _read, data.paths(*(f"ms_native/p01_{word}.nii.gz" for word in (pair.fixed, pair.moving)))
    )
    (file,) = data.paths(f"ms_native/p01_{pair.moving}_intrastudy_to_{pair.fixed}.txt")
    fixed, moving = (
        _at(image, 2 * image.GetSpacing()[0], planes=True) for image in (fixed, moving)
    )
    inside = _foreground(fixed)
    points = _voxels(inside)
    places = mapped(read_affine(file.read_text()), points)
    seen = Geometry.of(moving).contains(places)
    return Scene(fixed, moving, inside, points[seen], places[seen], sitk.Transform())


def _two_people(pair: Pair, data: Data) -> Scene:
    """Brains of two people, with labels."""
    names = (pair.fixed, pair.moving)
    brains = map(_read, data.paths(*(f"heads/{name}_brain.nii.gz" for name in names)))
    labels = map(_read, data.paths(*(f"heads/{name}_aseg.nii.gz" for name in names)))
    (fixed, fixed_labels), (moving, moving_labels) = (
        _cropped(image, of_it) for image, of_it in zip(brains, labels, strict=True)
    )
    fixed, moving = _at(fixed, HEAD), _at(moving, HEAD)
    inside = sitk.Resample(fixed_labels > 0, fixed, sitk.Transform(), sitk.sitkNearestNeighbor)
    none = np.empty((0, 3))
    both = (fixed_labels, moving_labels)
    return Scene(fixed, moving, inside, none, none, sitk.Transform(), both, margin=True)


def _lung(pair: Pair, data: Data) -> Scene:
    """The CT pair of elastix's test data, either way round."""
    del data  # its own folders
    try:
        lung = datasets.lung_pair()
    except datasets.DatasetError as error:
        raise MissingDataError(str(error)) from error
    fixed, moving, mask = map(
        _read,
        (lung.fixed, lung.moving, lung.fixed_mask)
        if pair.fixed == "baseline"
        else (lung.moving, lung.fixed, lung.moving_mask),
    )
    points, places = (
        read_points(file).positions for file in (lung.fixed_points, lung.moving_points)
    )
    if pair.fixed != "baseline":
        points, places = places, points
    seen = Geometry.of(fixed).contains(points) & Geometry.of(moving).contains(places)
    return Scene(fixed, moving, mask > 0, points[seen], places[seen], sitk.Transform())


def _histology(pair: Pair, data: Data) -> Scene:
    """Two stains, in grey; a pixel counts as a mm, and motions are three times as large."""
    names = (pair.fixed, pair.moving)
    fixed, moving = (_grey(path) for path in data.paths(*(f"histology/{n}.jpg" for n in names)))
    points, places = (
        np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2))
        for path in data.paths(*(f"histology/{name}.csv" for name in names))
    )
    everywhere = sitk.Cast(fixed * 0 + 1, sitk.sitkUInt8)
    glass = float(np.median(sitk.GetArrayViewFromImage(moving)[0]))
    return Scene(
        *(fixed, moving, everywhere, points, places, sitk.Transform(2, sitk.sitkIdentity)),
        scale=3.0,
        outside=glass,
    )


def _slices(pair: Pair, data: Data) -> Scene:
    """ITK's slices: a point x of T1 is at x + (13, 17) in the shifted proton density."""
    del pair, data
    try:
        files = datasets.mr_slices()
    except datasets.DatasetError as error:
        raise MissingDataError(str(error)) from error
    fixed, moving = _grey(files.fixed), _grey(files.moving)
    inside = _foreground(fixed)
    points = _voxels(inside)
    return Scene(
        fixed,
        moving,
        inside,
        points,
        points + np.array([13.0, 17.0]),
        sitk.Transform(2, sitk.sitkIdentity),
        margin=True,
    )


_ALIGNED = {
    "native": _native,
    "heads": _two_people,
    "lung": _lung,
    "histology": _histology,
    "slices": _slices,
}


def _moved(scene: Scene, motion: Motion, random: Generator) -> Scene:
    """Make moving'(y) = moving(S(y))."""
    if motion == Motion():
        return scene
    truth = motion.drawn(scene.moving, random, scene.scale)
    grid = scene.moving
    if scene.margin:
        grid = _grown(grid, 10.0 + motion.shift / 2 + motion.coefficients + motion.degrees / 2)
    outside = scene.outside
    if outside is None:
        outside = float(sitk.GetArrayViewFromImage(scene.moving).min())
    moving = sitk.Resample(scene.moving, grid, truth, sitk.sitkBSpline3, outside, sitk.sitkFloat32)
    seen = _shown(scene.places, truth, grid)
    points, places = scene.points[seen], scene.places[seen]
    return replace(scene, moving=moving, truth=truth, points=points, places=places)


def _shown(places: Points, truth: sitk.Transform, grid: sitk.Image) -> NDArray[np.bool_]:
    """Tell which places a moved image shows: those within half a voxel of some S(y) of its grid."""
    if not len(places):
        return np.zeros(0, bool)
    field = sitk.TransformToDisplacementField(
        truth,
        sitk.sitkVectorFloat64,
        grid.GetSize(),
        grid.GetOrigin(),
        grid.GetSpacing(),
        grid.GetDirection(),
    )
    index = np.indices(grid.GetSize()[::-1]).reshape(grid.GetDimension(), -1)[::-1].T
    frame = Geometry.of(grid)
    moved = np.array(frame.origin) + index @ frame.matrix.T
    moved += sitk.GetArrayViewFromImage(field).reshape(moved.shape)
    distances, _ = cKDTree(moved).query(places)
    found: NDArray[np.bool_] = distances <= np.linalg.norm(frame.spacing) / 2
    return found


def _spoilt(scene: Scene, variant: str, random: Generator) -> Scene:
    if variant == "noise":
        fixed, moving = (_noisy(image, random) for image in (scene.fixed, scene.moving))
        return replace(scene, fixed=fixed, moving=moving)
    if variant == "bias":
        return replace(scene, moving=_biased(scene.moving, random))
    if variant == "coarse":
        coarser = np.multiply(scene.moving.GetSpacing(), COARSER)
        return replace(scene, moving=_resampled(scene.moving, coarser.tolist()))
    if variant == "part":
        return _part(scene)
    return scene


def _noisy(image: sitk.Image, random: Generator) -> sitk.Image:
    array = sitk.GetArrayFromImage(image)
    strength = NOISE * (np.percentile(array[array > array.min()], 98) - array.min())
    found = sitk.GetImageFromArray(
        (array + random.normal(0, strength, array.shape)).astype(np.float32)
    )
    found.CopyInformation(image)
    return found


def _biased(image: sitk.Image, random: Generator) -> sitk.Image:
    """Multiply by exp of a polynomial of the second degree, whose largest value is BIAS."""
    array = sitk.GetArrayFromImage(image)
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in array.shape], indexing="ij")
    terms = [*axes, *(one * other for i, one in enumerate(axes) for other in axes[i:])]
    field = sum(
        weight * term for weight, term in zip(random.normal(size=len(terms)), terms, strict=True)
    )
    least = array.min()
    spoilt = (array - least) * np.exp(BIAS * field / np.abs(field).max()) + least
    found = sitk.GetImageFromArray(spoilt.astype(np.float32))
    found.CopyInformation(image)
    return found


def _part(scene: Scene) -> Scene:
    """Keep the middle of the fixed image, along its last axis."""
    size = list(scene.fixed.GetSize())
    first = [0] * len(size)
    first[-1], size[-1] = round(size[-1] * (1 - PART) / 2), round(size[-1] * PART)
    fixed, mask = (sitk.RegionOfInterest(image, size, first) for image in (scene.fixed, scene.mask))
    seen = Geometry.of(fixed).contains(scene.points)
    return replace(
        scene, fixed=fixed, mask=mask, points=scene.points[seen], places=scene.places[seen]
    )


def _read(path: Path) -> sitk.Image:
    return sitk.ReadImage(str(path))


def _grey(path: Path) -> sitk.Image:
    """Read a picture in grey, one mm a pixel."""
    image = _read(path)
    array = sitk.GetArrayFromImage(image).astype(np.float32)
    if array.ndim == 3:
        array = array[..., :3] @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return sitk.GetImageFromArray(array)


def _at(image: sitk.Image, spacing: float, *, planes: bool = False) -> sitk.Image:
    """Resample an image to larger voxels, in its planes alone or along all axes."""
    wanted = [spacing] * 3
    if planes:
        wanted[2] = image.GetSpacing()[2]
    return _resampled(image, wanted)


def _resampled(image: sitk.Image, wanted: Sequence[float]) -> sitk.Image:
    """Smooth an image as far as larger voxels would, and resample it; its first voxel stays."""
    wanted = wanted[: image.GetDimension()]
    ratios = np.divide(wanted, image.GetSpacing())
    image = sitk.Cast(image, sitk.sitkFloat32)
    for axis, ratio in enumerate(ratios):
        if ratio > 1.01:
            image = sitk.RecursiveGaussian(image, 0.4 * wanted[axis], direction=axis)
    size = [
        max(1, int((n - 1) / ratio) + 1) for n, ratio in zip(image.GetSize(), ratios, strict=True)
    ]
    return sitk.Resample(
        image,
        size,
        sitk.Transform(image.GetDimension(), sitk.sitkIdentity),
        sitk.sitkLinear,
        image.GetOrigin(),
        wanted,
        image.GetDirection(),
    )


def _grown(image: sitk.Image, margin: float) -> sitk.Image:
    """Widen an image's grid on every side by some mm; the middle stays where it is."""
    more = [int(np.ceil(margin / spacing)) for spacing in image.GetSpacing()]
    return sitk.ConstantPad(image, more, more, 0.0)


def _cropped(image: sitk.Image, labels: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Cut both down to the labels, with 10 voxels around them."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(labels > 0, sitk.sitkUInt8))
    box = np.reshape(shape.GetBoundingBox(1), (2, 3))
    first = np.maximum(0, box[0] - 10)
    size = np.minimum(image.GetSize(), box[0] + box[1] + 10) - first
    one, other = (sitk.RegionOfInterest(i, size.tolist(), first.tolist()) for i in (image, labels))
    return one, other


def _foreground(image: sitk.Image) -> sitk.Image:
    """What is brighter than air, with its holes filled plane by plane: the largest piece."""
    bright = sitk.OtsuThreshold(image, 0, 1)
    bright = sitk.BinaryMorphologicalClosing(bright, [5, 5, 1][: image.GetDimension()])
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(bright))
    return sitk.Cast(sitk.BinaryFillhole(pieces == 1), sitk.sitkUInt8)


def _voxels(mask: sitk.Image) -> Points:
    """Give at most POINTS voxel centres of a mask, always the same, as points."""
    index = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]
    if len(index) > POINTS:
        index = index[np.sort(default_rng(0).choice(len(index), POINTS, replace=False))]
    grid = Geometry.of(mask)
    found: Points = np.array(grid.origin) + index @ grid.matrix.T
    return found
