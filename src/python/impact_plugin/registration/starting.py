"""``impact_plugin.find_start``."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin import _arguments, _devices
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin._io import expanded, replacing, write_text
from impact_plugin._numbers import plain_arguments
from impact_plugin.images import colour
from impact_plugin.images.colour import Channel
from impact_plugin.images.conversion import ImageLike
from impact_plugin.models.archive import ModelFileError
from impact_plugin.models.inspection import inspect
from impact_plugin.parameters import map_files
from impact_plugin.registration.inputs import Inputs
from impact_plugin.search import SEARCH_KINDS, SearchKind, is_sure
from impact_plugin.search.process import find, started
from impact_plugin.transforms import from_elastix, initial, itk_files
from impact_plugin.transforms.chain import Chain

if TYPE_CHECKING:
    import SimpleITK as sitk

_OF_ITK = (".tfm", ".h5", ".hdf5")


@dataclass(frozen=True)
class Start:
    """Where the fixed image was found in the moving one.

    Attributes:
        chain: The transform, from the fixed to the moving image.
        score: How alike the features are there, 1 at most: their cosine over where both images are,
            times the root of how much of the smaller image that is.
        runner_up: The same of the best place that is elsewhere (by more than half of the radius of
            what the images show); None where there is none. Where it is near the score, the place
            may be wrong: see :attr:`is_sure`.
    """

    chain: Chain
    score: float
    runner_up: float | None

    @property
    def is_sure(self) -> bool:
        """Whether no other place is nearly as good."""
        return is_sure(self.score, self.runner_up)

    @property
    def transform(self) -> sitk.Transform:
        """The transform as one of SimpleITK, of points in mm, LPS."""
        return from_elastix.to_sitk(self.chain, int(self.chain.maps[0]["FixedImageDimension"][0]))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the transform: ``.txt`` as elastix has it, for ``-t0``; ``.tfm``, ``.h5`` as ITK.

        The deformation of a deformable start is in a file of its own, ``NAME.deformation.txt``
        beside ``NAME.txt``, which names it.

        Raises:
            ValueError: The name ends in something else.
            OSError: The file cannot be written.
        """
        target = expanded(path)
        check_name(target)
        if target.suffix == ".txt":
            before = "NoInitialTransform"
            files = files_of(target, "deformable" if len(self.chain.maps) > 1 else "rigid")
            for file, parameters in zip(files, self.chain.maps, strict=True):
                linked = {**parameters, "InitialTransformParameterFileName": [before]}
                write_text(file, map_files.dump(linked))
                before = file.name
        else:
            with replacing(target) as unfinished:
                itk_files.write(self.transform, unfinished)
        return target


def files_of(target: Path, kind: SearchKind) -> list[Path]:
    """Give the files of a saved start: the one that stands for all is the last."""
    if kind == "deformable" and target.suffix == ".txt":
        return [target.with_name(f"{target.stem}.deformation.txt"), target]
    return [target]


def check_name(target: Path) -> None:
    """Check what the name of a file for a start ends in.

    Raises:
        ValueError: Something that no format has.
    """
    if target.suffix not in (".txt", *_OF_ITK):  # elastix and ITK know no capitals
        message = (
            f"{target}: expected a name that ends in .txt (a transform parameter file of elastix) "
            f"or, as files of ITK, in {', '.join(_OF_ITK)}"
        )
        raise InputError(message)


@plain_arguments
def find_start(
    fixed: ImageLike,
    moving: ImageLike,
    *,
    transform: SearchKind = "rigid",
    model: str | os.PathLike[str] | None = None,
    layer: int = 0,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    threads: int | None = None,
    device: str | None = None,
    channel: Channel | None = None,
) -> Start:
    """Find where the fixed image is in the moving one, wherever that is.

    All rotations and all translations are tried on MIND features of both images at coarse voxels,
    and the best few are refined at finer ones; nothing but an overlap of a quarter of the smaller
    image is needed. The result is for elastix to begin with: ``register_images(...,
    initial_transform=start.transform)``, which ``initial_transform="search"`` does by itself.

    Args:
        fixed: As of :func:`register_images`.
        moving: Likewise.
        transform: ``"rigid"``; ``"affine"``, which is a rigid one refined in all of its entries; or
            ``"deformable"``, a B-spline before the rigid one, from a discrete search in which both
            directions agree: for large deformations, before a stage that refines it.
        model: TorchScript file of the network whose features are compared; by default MIND. It gets
            the images' own intensities at coarse voxels, as one channel or three equal ones. It is
            run: give one whose author you trust.
        layer: Which of its outputs, from 0.
        fixed_mask: Where in the fixed image to look: not 0, on its grid.
        moving_mask: The same of the moving image.
        threads: How many work; all processors by default. Without influence on the result.
        device: Where the features are computed: ``"cpu"``, the default, or ``"cuda:0"``.
        channel: What stands for a colour image, as of :func:`register_images`.

    Raises:
        FileNotFoundError, TypeError: As by :func:`register_images`.
        ValueError: An image cannot be registered, a mask leaves no structure, there is no such kind
            of transform, no such device, or no such layer, or the model does not take the images.
        ModelFileError: The model is none, or can do more than compute.
        SearchError: The process of the search failed.

    Example:
        >>> import impact_plugin
        >>> start = impact_plugin.find_start("ct.nii.gz", "mr.nii.gz")  # doctest: +SKIP
        >>> start.save("start.txt")  # for elastix -t0    # doctest: +SKIP
    """
    _arguments.check_choice("transform", transform, SEARCH_KINDS)
    _arguments.check_integer("threads", threads, 1)
    _arguments.check_integer("layer", layer, 0)
    colour.check_channel(channel)
    network = None if model is None else _checked_network(model)
    if device is not None:
        _devices.check_available(device)
    as_grey = functools.partial(colour.to_grey, channel=channel)
    with started() as ask:
        inputs = Inputs.of(fixed, moving, fixed_mask, moving_mask, as_grey)
        found = find(
            (inputs.fixed, inputs.moving),
            (inputs.fixed_mask, inputs.moving_mask),
            kind=transform,
            device=device or "cpu",
            threads=threads,
            model=network,
            layer=layer,
            ask=ask,
        )
    return Start(initial.of_found(found, inputs.fixed), found.score, found.runner_up)


def _checked_network(model: str | os.PathLike[str]) -> Path:
    """Check a model file as far as that goes without running it.

    Raises:
        FileNotFoundError, ModelFileError: It is not there; it is none, or can do more than compute.
    """
    file = expanded(model, "model").absolute()
    if not file.is_file():
        message = f"model: there is no file {str(file)!r}"
        raise MissingFileError(message)
    report = inspect(file, run=False)
    if report.outside or report.runs_on_load:
        what = ", ".join([*report.outside, *report.runs_on_load])
        message = f'Model file "{file}" can do more than compute features: it has {what}'
        raise ModelFileError(message)
    return file
