"""What a network sees in images: features in colours, and how well they distinguish places."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from impact_plugin import _arguments, _devices, _html
from impact_plugin._deprecated import renamed_arguments
from impact_plugin._errors import InputError
from impact_plugin._io import expanded
from impact_plugin._numbers import plain_arguments, spread
from impact_plugin._optional import require_for_pages
from impact_plugin.folders.result_folder import transform_in
from impact_plugin.images import colour, conversion, validation
from impact_plugin.images.colour import Channel
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.models.inspection import inspect
from impact_plugin.models.report import ModelReport
from impact_plugin.parameters import Distance, FeatureNormalization
from impact_plugin.report.features import content, extraction, files, scans
from impact_plugin.report.features.colours import Basis
from impact_plugin.report.features.extraction import FeatureMap
from impact_plugin.report.features.scans import Sharpness
from impact_plugin.transforms import from_elastix, initial
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.initial import InitialTransform

if TYPE_CHECKING:
    import SimpleITK as sitk

DISTANCES: tuple[str, ...] = get_args(Distance)


@dataclass(frozen=True)
class FeatureView:
    """The result of :func:`view_features`.

    Attributes:
        folder: Folder of the files.
        page: The HTML page.
        fixed: Features of the (fixed) image, one map for each layer.
        moving: Features of the moving image; empty without one.
        sharpness: How well each layer and distance distinguishes places.
    """

    folder: Path
    page: Path
    fixed: tuple[FeatureMap, ...] = field(repr=False)
    moving: tuple[FeatureMap, ...] = field(repr=False)
    sharpness: tuple[Sharpness, ...] = field(repr=False)

    def _repr_html_(self) -> str:
        layers = [
            (each.layer, each.channels, " x ".join(map(str, each.geometry.size)))
            for each in self.fixed
        ]
        found = [
            (each.layer, each.distance, *map(_html.number, (each.offset, each.width, each.capture)))
            for each in self.sharpness
        ]
        return _html.block(
            "What the network sees",
            lambda: _html.table(("layer", "channels", "voxels"), layers),
            lambda: _html.table(
                ("layer", "distance", "minimum off by, mm", "width, mm", "capture range, mm"), found
            ),
            lambda: _html.paragraph(f"Page: {self.page}"),
        )


@renamed_arguments(out="output_directory", gpu=("device", _devices.name_of))
@plain_arguments
def view_features(
    image: ImageLike,
    model: str | os.PathLike[str],
    output_directory: str | os.PathLike[str],
    *,
    moving: ImageLike | None = None,
    layers: Sequence[int] | None = None,
    voxel_size: float | Sequence[float] | None = None,
    dimension: int | None = None,
    channels: int | None = None,
    feature_normalization: FeatureNormalization = "none",
    initial_transform: InitialTransform = None,
    channel: Channel | None = None,
    distances: Sequence[str] = DISTANCES,
    scan_range: float | None = None,
    scan_steps: int = 41,
    samples: int = 2000,
    seed: int = 0,
    slices: int = 24,
    file_format: str = "mha",
    trust: bool = False,
    device: str = "cpu",
) -> FeatureView:
    """Show what a network sees in an image or a pair, and how useful that is for registration.

    The features are made by the metric's own code, of the whole image as in Static mode. The folder
    gets:

    - ``features.html``: a page that needs nothing but itself, with the features in colours beside
      the image, single channels, and the scans;
    - ``fixed_layer<n>_rgb`` (and ``moving_...``): the first three principal components of the fixed
      image's features, for both images, as red, green and blue; with the geometry of the feature
      map, for any viewer;
    - ``fixed_layer<n>`` (and ``moving_...``): the features themselves, a vector at each voxel;
    - ``sharpness.csv`` and ``.json``: for each layer and distance how the metric changes when the
      moving image is shifted: where it is least, how wide the well is, from how far off the metric
      leads back. Without a moving image the image is shifted against itself.

    Args:
        image: The image, the fixed one of a pair: 2D or 3D, of any kind that
            :func:`impact_plugin.register_images` takes.
        model: TorchScript file.
        output_directory: Where the files go; made if needed.
        moving: The moving image.
        layers: Numbers of the layers, from 0; by default all.
        voxel_size: mm that the network sees the images at, one number or x, y (, z); by default the
            image's own voxels.
        dimension: Dimension of the network's input; by default the images', or 2 if it must be.
        channels: Channels of the network's input; by default what it takes.
        feature_normalization: How each feature vector is scaled over its layer's channels: "none",
            "l2" or "standardized", as the parameter FeatureNormalization.
        initial_transform: Where the moving image lies, as in ``register_images``: what counts as
            the identity in the scans.
        channel: What stands for images with colours, as in ``register_images``.
        distances: Which distances of the metric to scan.
        scan_range: Shifts from minus to plus so many mm; by default 10 voxels of ``voxel_size``, at
            most an eighth of the image's smallest extent.
        scan_steps: Shifts along each axis, an odd number.
        samples: Points to compare at.
        seed: For the points.
        slices: Slices per plane on the page, at most.
        file_format: "mha" or "nii.gz".
        trust: Whether to run a model that can do more than compute: see
            :func:`impact_plugin.models.inspect`.
        device: Where the network runs: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        ImportError: matplotlib or jinja2 is missing.
        FileNotFoundError: An image or the model is not there.
        ModelFileError: The model is none, takes none of the inputs tried, or is not to be trusted.
        ValueError: An argument is out of range; images of different dimension; a layer that the
            model does not have; too few points in both images.
        OSError: The folder cannot be written into.

    Warns:
        ColourWarning: An image has colours, and ``channel`` was not given.
    """
    require_for_pages()
    device = _devices.from_argument(device)
    _devices.check_available(device)
    gpu = _devices.number_of(device)
    file = expanded(model, "model")
    folder = expanded(output_directory, "output_directory").absolute()
    _arguments.check_choice(
        "feature_normalization", feature_normalization, get_args(FeatureNormalization)
    )
    distances = [distances] if isinstance(distances, str) else distances
    steps = _checked(distances, scan_range, scan_steps, samples, seed, slices, file_format)
    colour.check_channel(channel)
    images = []
    for name, given in (("the image", image), ("the moving image", moving)):
        if given is not None:
            images.append(colour.to_grey(conversion.to_sitk(given, name), name, channel))
            validation.check_image(images[-1], name)
    first, second = images[0], images[-1]
    validation.check_pair(Geometry.of(first), Geometry.of(second))
    report = inspect(
        file,
        trust=trust,
        dimension=_dimension(dimension, first),
        channels=channels,
    )
    chosen = _layers(layers, report)
    described = extraction.model_of(
        str(file.absolute()),
        chosen,
        # Networks that are told how many layers to give need not go on to those that are not asked.
        chosen[-1] + 1 if "nb_layers" in report.arguments else len(report.layers),
        report.measured[0] if report.measured else 3,
        report.measured[1] if report.measured else 1,
        _voxels(voxel_size, first),
        feature_normalization,
    )
    _arguments.make_folder("output_directory", folder)
    initial_transform = transform_in(initial_transform)
    chain = Chain() if moving is None else initial.make_chain(initial_transform, first, second)
    transform = from_elastix.to_sitk(chain, first.GetDimension())

    ours = extraction.extract(first, described, gpu)
    theirs = extraction.extract(second, described, gpu) if moving is not None else []
    reach = scan_range or _default_range(Geometry.of(first), described.voxel_sizes)
    found = scans.scan(
        ours,
        theirs or ours,
        (Geometry.of(first), Geometry.of(second)),
        lambda points: np.array([transform.TransformPoint(p) for p in points.tolist()]),
        distances,
        np.linspace(-reach, reach, steps),
        samples,
        seed,
    )
    bases = [Basis.of(each) for each in ours]
    for name, maps in (("fixed", ours), ("moving", theirs)):
        _write_maps(name, maps, bases, folder, file_format)
    files.write_sharpness(found, folder)
    page = content.write(
        folder / "features.html",
        content.Sides(first, second if theirs else None, ours, theirs, bases, transform),
        found,
        report,
        described,
        slices,
    )
    return FeatureView(folder, page, tuple(ours), tuple(theirs), tuple(found))


def _checked(
    distances: Sequence[str],
    scan_range: float | None,
    scan_steps: int,
    samples: int,
    seed: int,
    slices: int,
    file_format: str,
) -> int:
    unknown = [name for name in distances if name not in DISTANCES]
    if unknown or not distances:
        message = f"distances: {unknown or 'none'}. Allowed: {', '.join(DISTANCES)}"
        raise InputError(message)
    if scan_range is not None and not _arguments.is_positive(scan_range):
        message = f"scan_range is {scan_range!r}, expected mm above 0"
        raise InputError(message)
    _arguments.check_integer("scan_steps", scan_steps, 5, 1001)
    if scan_steps % 2 == 0:
        message = f"scan_steps is {scan_steps}, expected an odd number: no shift is one of them"
        raise InputError(message)
    _arguments.check_integer("samples", samples, 50)
    _arguments.check_integer("seed", seed, 0, _arguments.LARGEST_SEED)
    _arguments.check_integer("slices", slices, 1, 1000)
    _arguments.check_choice("file_format", file_format, ("mha", "nii.gz"))
    return scan_steps


def _dimension(given: int | None, image: sitk.Image) -> int | None:
    """Check the network's dimension: 2D images need 2D networks, 3D images take either."""
    if image.GetDimension() == 2:
        if given == 3:
            message = "dimension is 3, and the image has 2: it takes networks of 2 dimensions"
            raise InputError(message)
        return 2
    return given


def _layers(given: Sequence[int] | None, report: ModelReport) -> list[int]:
    count = len(report.layers)
    if given is None:
        return list(range(count))
    chosen = sorted(set(given))
    wrong = [layer for layer in chosen if layer not in range(count)]
    if wrong or not chosen:
        message = (
            f"layers: {wrong or 'none'}, and the model has {count}: allowed are 0 to {count - 1}"
        )
        raise InputError(message)
    return chosen


def _voxels(given: float | Sequence[float] | None, image: sitk.Image) -> tuple[float, ...]:
    dimension = image.GetDimension()
    if given is None:
        return tuple(float(each) for each in image.GetSpacing())
    numbers = list(spread(given, dimension))
    if len(numbers) == 1:
        numbers *= dimension
    if len(numbers) != dimension or not all(map(_arguments.is_positive, numbers)):
        message = f"voxel_size is {given!r}, expected {dimension} numbers of mm above 0, or one"
        raise InputError(message)
    return tuple(float(number) for number in numbers)


def _default_range(geometry: Geometry, voxels: Sequence[float]) -> float:
    extent = min(n * step for n, step in zip(geometry.size, geometry.spacing, strict=True))
    return min(10 * max(voxels), extent / 8)


def _write_maps(
    name: str, maps: Sequence[FeatureMap], bases: Sequence[Basis], folder: Path, ending: str
) -> None:
    for each, basis in zip(maps, bases, strict=False):
        stem = f"{name}_layer{each.layer}"
        coloured: NDArray[np.uint8] = basis.colour(each.features)
        files.write_image(coloured, each.geometry, folder / f"{stem}_rgb.{ending}")
        files.write_image(each.features, each.geometry, folder / f"{stem}.{ending}")
