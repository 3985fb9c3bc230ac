"""Draw the pictures of the README and of the documentation, from real data, with our own code.

    python docs/pictures/make_pictures.py [NAME ...]

Names: lung_pair, features, modes, search; by default all. They go to docs/images. The
images are test data of elastix and of ITK, whose sources the build has in its cache.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from PIL import Image

import impact_plugin
from impact_plugin import models
from impact_plugin._mind import MindSSC
from impact_plugin.images.grid import Geometry
from impact_plugin.search import coarse, correlation, rotations
from impact_plugin.transforms import from_elastix
from impact_plugin.transforms.chain import Chain

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs/images"
MAGENTA_GREEN = "fixed image magenta, moving image green, grey where they agree"

Array = NDArray[np.float64]


def elastix_testing() -> Path:
    """Find elastix's test data."""
    script = str(ROOT / "cmake/obtain_sources.py")
    found = subprocess.run(
        [sys.executable, script, "--print-data"], capture_output=True, text=True, check=True
    )
    return Path(found.stdout.strip())


def slice_of_head(name: str) -> sitk.Image:
    """Read a slice of ITK's test data, one channel, pixels of 1 mm."""
    data = elastix_testing().parents[1] / "ITK-5.4.7/Examples/Data"
    return sitk.VectorIndexSelectionCast(sitk.ReadImage(data / name), 0, sitk.sitkFloat32)


def write(figure: Any, name: str) -> None:  # noqa: ANN401  (matplotlib has no types)
    """Write a figure as a PNG file of 256 colours."""
    path = IMAGES / f"{name}.png"
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as image:
        image.convert("RGB").quantize(256).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


def lung_pair() -> None:
    """Show the lung CT pair before, after an affine transform and after IMPACT, with its errors."""
    testing = elastix_testing()
    data, affine = testing / "Data", testing / "Data/transformparameters.3DCT_lung.affine.txt"
    fixed, moving = (
        sitk.ReadImage(data / f"3DCT_lung_{name}.mha", sitk.sitkFloat32)
        for name in ("baseline", "followup")
    )
    result = impact_plugin.register_images(fixed, moving, preset="mind", initial_transform=affine)
    figures = result.evaluate(
        fixed_points=data / "3DCT_lung_baseline_landmarks.txt",
        moving_points=testing / "Baselines/3DCT_lung_groundtruth_point.txt",
        outside="leave out",
        jacobian=False,
    )
    start = from_elastix.to_sitk(Chain.read(affine), 3)
    warped = [
        sitk.Resample(moving, fixed, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, -1000),
        sitk.Resample(moving, fixed, start, sitk.sitkLinear, -1000),
        result.image,
    ]
    titles = ["as scanned", "affine", "IMPACT, 500 + 500 iterations"]
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 6.4), layout="constrained")
    for axis, image, title, step in zip(axes, warped, titles, figures.steps, strict=True):
        below, above = (grey(coronal(each), -1000, 400) for each in (fixed, image))
        axis.imshow(np.stack([below, above, below], axis=-1), aspect=aspect(fixed), origin="lower")
        assert step.landmarks is not None
        axis.set(title=f"{title}\n51 landmarks: {step.landmarks.mean:.1f} mm", xticks=[], yticks=[])
    figure.suptitle(f"Inhale and exhale CT of one lung: {MAGENTA_GREEN}", fontsize=10)
    write(figure, "lung_pair")


def features() -> None:
    """Show intensities and MIND features of both slices, and how they tell where the slices fit."""
    t1 = slice_of_head("BrainT1SliceBorder20.png")
    pd = slice_of_head("BrainProtonDensitySliceBorder20.png")  # it lies as the T1 slice does
    maps = [mind(image) for image in (t1, pd)]
    colours = as_colours(maps)
    figure, axes = plt.subplots(
        2, 3, figsize=(9.6, 5.6), layout="constrained", width_ratios=[1, 1, 1.7]
    )
    for row, image, name, colour in zip(
        axes, (t1, pd), ("T1", "proton density"), colours, strict=True
    ):
        row[0].imshow(array(image), cmap="gray", vmin=0, vmax=255)
        row[0].set(title=f"{name}: intensities", xticks=[], yticks=[])
        row[1].imshow(colour)
        row[1].set(title=f"{name}: features", xticks=[], yticks=[])
    points = np.random.default_rng(1).uniform(0, np.array(t1.GetSize()) - 1, (100_000, 2))
    angles = np.linspace(-12, 12, 49)
    plain = [array(image)[None] for image in (t1, pd)]
    for axis, (one, other), power, title in (
        (axes[0, 2], plain, 2, "mean squared difference of intensities"),
        (axes[1, 2], maps, 1, "mean L1 distance of features"),
    ):
        curve = [
            np.nanmean(np.abs(read(one, points) - read(other, turned(points, angle))) ** power)
            for angle in angles
        ]
        axis.plot(angles, curve)
        axis.plot(angles[np.argmin(curve)], min(curve), "o")
        axis.axvline(0, color="grey", linewidth=0.8, linestyle="--")
        axis.set(title=title, xlabel="rotation of the moving image (degrees); the truth is 0")
    write(figure, "features")


def modes() -> None:
    """Show what Static and Jacobian mode compare, at samples x and T(x) of the tutorial's pair."""
    fixed = slice_of_head("BrainT1SliceBorder20.png")
    moving = slice_of_head("BrainProtonDensitySliceR10X13Y17.png")
    transform = sitk.Euler2DTransform([110.5, 128.5], np.deg2rad(10), [13, 16])
    samples = np.random.default_rng(4).uniform([55, 60], [165, 195], (9, 2))
    mapped = np.array([transform.TransformPoint(point) for point in samples.tolist()])
    corners = 8 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    fixed_map, moving_map = as_colours([mind(fixed), mind(moving)])
    figure, axes = plt.subplots(2, 2, figsize=(6.4, 7.6), layout="constrained")
    for axis, picture, points, title in (
        (axes[0, 0], fixed_map, samples, "Static: fixed features,\nmade once, read at x"),
        (axes[0, 1], moving_map, mapped, "Static: moving features,\nmade once, read at T(x)"),
    ):
        axis.imshow(picture)
        axis.plot(*points.T, "o", color="white", markeredgecolor="black", markersize=5)
        axis.set(title=title, xticks=[], yticks=[])
    for axis, image, title in (
        (axes[1, 0], fixed, "Jacobian: a patch x + o around\neach x, at each iteration"),
        (axes[1, 1], moving, "Jacobian: the same patch\nat T(x + o), differentiated"),
    ):
        axis.imshow(array(image), cmap="gray", vmin=0, vmax=255)
        for sample in samples:
            outline = sample + corners
            if image is moving:
                outline = np.array([transform.TransformPoint(p) for p in outline.tolist()])
            axis.plot(*outline.T, color="orange", linewidth=1.5)
        axis.set(title=title, xticks=[], yticks=[])
    write(figure, "modes")


def search() -> None:
    """Show the score of a search over all rotations, its best and its best elsewhere."""
    fixed = slice_of_head("BrainT1Slice.png")
    moving = slice_of_head("BrainProtonDensitySliceBorder20.png")
    angle = np.radians(130)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moving.SetDirection(turn.ravel().tolist())
    levels, contents = coarse.levels_of((fixed, moving), (None, None), 1)
    one, other = levels[0]
    level = correlation.Level(
        (torch.from_numpy(one.values), torch.from_numpy(one.inside)),
        (torch.from_numpy(other.values), torch.from_numpy(other.inside)),
        (one.origin, other.origin),
        one.spacing,
    )
    network = MindSSC(1, 1, 2)
    found = correlation.Translations(
        correlation.FixedFeatures(level, lambda images: network(images)[0]),
        contents[1].centre,
        contents[1].radius,
    ).best(rotations.spread(2, 72))
    scores = np.array([score for score, _ in found])
    degrees = np.arange(72) * 5
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 3.2), width_ratios=(1, 1, 2.2), layout="constrained"
    )
    for axes, image, title in ((left, fixed, "fixed: T1"), (middle, moving, "moving, as it lies")):
        shown = array(image) if image is fixed else array(sitk.Resample(image, *_around(image)))
        axes.imshow(shown, cmap="gray")
        axes.set_title(title)
        axes.axis("off")
    right.plot(degrees, scores, ".-")
    right.axvline(130, color="0.7", zorder=0)
    right.set(xlabel="rotation tried, degrees", ylabel="best score of all translations")
    right.set_title("the moving image is turned by 130 degrees")
    write(figure, "search")


def _around(image: sitk.Image) -> tuple[list[int], sitk.Transform, int, Any, list[float]]:
    """Give a grid along the axes of the world that holds a turned image."""
    corners = Geometry.of(image).points(2)
    low = corners.min(axis=0)
    size = np.ceil(corners.max(axis=0) - low).astype(int) + 1
    return (
        size.tolist(),
        sitk.Transform(2, sitk.sitkIdentity),
        sitk.sitkLinear,
        low.tolist(),
        [1.0, 1.0],
    )


def array(image: sitk.Image) -> Array:
    """Give an image's values, (y, x) or (z, y, x)."""
    values: Array = sitk.GetArrayFromImage(image).astype(np.float64)
    return values


def coronal(image: sitk.Image) -> Array:
    """Give the plane through the middle, (z, x)."""
    values = array(image)
    return values[:, values.shape[1] // 2, :]


def aspect(image: sitk.Image) -> float:
    """Give height of a voxel over its width in the coronal plane."""
    spacing = image.GetSpacing()
    return float(spacing[2] / spacing[0])


def grey(values: Array, black: float, white: float) -> Array:
    """Map intensities to 0..1."""
    scaled: Array = np.clip((values - black) / (white - black), 0.0, 1.0)
    return scaled


def mind(image: sitk.Image) -> Array:
    """Give MIND features of a slice, (channels, y, x)."""
    model: torch.nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
        str(models.mind(dimension=2))
    )
    output = model(torch.from_numpy(array(image)).float()[None, None])
    first: Array = (output if isinstance(output, torch.Tensor) else output[0])[0].numpy()
    return first


def as_colours(maps: list[Array]) -> list[Array]:
    """Give the three main components of feature maps as colours, on the basis of the first."""
    flat = maps[0].reshape(len(maps[0]), -1)
    mean = flat.mean(axis=1, keepdims=True)
    basis = np.linalg.svd(flat - mean, full_matrices=False)[0][:, :3]
    components = [
        (basis.T @ (each.reshape(len(each), -1) - mean)).reshape(3, *each.shape[1:])
        for each in maps
    ]
    low, high = (
        np.percentile(components[0], percent, axis=(1, 2), keepdims=True) for percent in (1, 99)
    )
    return [np.moveaxis(np.clip((c - low) / (high - low), 0, 1), 0, -1) for c in components]


def turned(points: Array, degrees: float) -> Array:
    """Turn points (N, 2), mm, about the middle of the slices."""
    rotation = sitk.Euler2DTransform([110.0, 128.0], np.deg2rad(degrees))
    matrix = np.reshape(rotation.GetMatrix(), (2, 2))
    moved: Array = (points - rotation.GetCenter()) @ matrix.T + rotation.GetCenter()
    return moved


def read(channels: Array, points: Array) -> Array:
    """Read maps (channels, y, x) at points (N, 2), linearly; NaN outside."""
    size = np.array(channels.shape[:0:-1]) - 1
    places = torch.from_numpy(2 * points / size - 1)[None, None]
    found = torch.nn.functional.grid_sample(
        torch.from_numpy(channels)[None].double(), places, align_corners=True
    )
    values: Array = found[0, :, 0].numpy()
    values[:, ((points < 0) | (points > size)).any(axis=1)] = np.nan
    return values


PICTURES = {each.__name__: each for each in (lung_pair, features, modes, search)}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()
