"""Images and masks of a registration: converted, checked, and as files for elastix."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec import structs

from impact_plugin._io import expanded
from impact_plugin.check import ImageHeader
from impact_plugin.folders.record import Images
from impact_plugin.images import colour, conversion, validation
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.files import WITH_PLACE, write_image
from impact_plugin.images.grid import Geometry

if TYPE_CHECKING:
    import SimpleITK as sitk

AsGrey: TypeAlias = Callable[["sitk.Image", str], "sitk.Image"]
"""Makes a grey image of one of several channels, of which messages have the name."""


@dataclass(frozen=True)
class Inputs:
    """Images and masks, checked.

    Args:
        fixed: Fixed image.
        moving: Moving image.
        fixed_mask: 1 where samples may lie; None: everywhere.
        moving_mask: 1 where they may be mapped to; None: everywhere.
        files: Those that are files which elastix can read as they are, by elastix's flag.
        coloured: Whether one had several channels, of which it is made.
    """

    fixed: sitk.Image
    moving: sitk.Image
    fixed_mask: sitk.Image | None
    moving_mask: sitk.Image | None
    files: dict[str, Path]
    coloured: bool = False

    @classmethod
    def of(
        cls,
        fixed: ImageLike,
        moving: ImageLike,
        fixed_mask: ImageLike | None,
        moving_mask: ImageLike | None,
        as_grey: AsGrey | None = None,
    ) -> Inputs:
        """Convert and check.

        Args:
            fixed: Fixed image.
            moving: Moving image.
            fixed_mask: Where to look in it, if anywhere.
            moving_mask: The same for the moving image.
            as_grey: What makes grey images of those of several channels; None: they are refused.

        Raises:
            OSError, ValueError, TypeError: See :func:`impact_plugin.register_images`.
        """
        images, coloured = {}, set[str]()
        for name, image in (("fixed", fixed), ("moving", moving)):
            images[name] = conversion.to_sitk(image, f"the {name} image")
            if not colour.is_grey(images[name]) and as_grey is not None:
                images[name] = as_grey(images[name], f"the {name} image")
                coloured.add(name)
            validation.check_image(images[name], f"the {name} image")
        grids = {name: Geometry.of(image) for name, image in images.items()}
        validation.check_pair(grids["fixed"], grids["moving"])
        masks = {}
        for name, mask in (("fixed", fixed_mask), ("moving", moving_mask)):
            if mask is not None:
                masks[name] = validation.check_mask(
                    conversion.to_sitk(mask, f"{name}_mask"),
                    grids[name],
                    f"{name}_mask",
                    f"the {name} image",
                )
        files = {
            flag: expanded(image).absolute()
            for flag, name, image in (("-f", "fixed", fixed), ("-m", "moving", moving))
            if isinstance(image, str | os.PathLike)
            and name not in coloured
            and Path(image).name.lower().endswith(WITH_PLACE)
            and Path(image).expanduser().is_file()
        }
        return cls(
            images["fixed"],
            images["moving"],
            masks.get("fixed"),
            masks.get("moving"),
            files,
            bool(coloured),
        )

    def headers(self) -> tuple[ImageHeader, ImageHeader]:
        """Describe both images, with their files' paths where these are theirs."""
        fixed, moving = (
            ImageHeader.of(image, str(self.files.get(flag, "")))
            for flag, image in (("-f", self.fixed), ("-m", self.moving))
        )
        return fixed, moving

    def arguments(self, folder: Path) -> list[str | Path]:
        """Write into a folder what is no file yet, and give elastix's arguments for all.

        Raises:
            OSError: A file cannot be written.
        """
        import SimpleITK as sitk

        arguments: list[str | Path] = []
        for flag, image in (
            ("-f", self.fixed),
            ("-m", self.moving),
            ("-fMask", self.fixed_mask),
            ("-mMask", self.moving_mask),
        ):
            if image is None:
                continue
            path = self.files.get(flag)
            if path is None:
                path = folder / f"{flag[1:]}.mha"
                # elastix computes in single precision; not every reader knows 64-bit integers.
                if image.GetPixelID() in (sitk.sitkFloat64, sitk.sitkInt64, sitk.sitkUInt64):
                    image = sitk.Cast(image, sitk.sitkFloat32)
                write_image(image, path)
            arguments += [flag, path]
        return arguments

    def keep(self, folder: Path, images: Images) -> Images:
        """Write the images that are no files into the folder ``inputs`` of a folder.

        Args:
            folder: That of the results.
            images: What the registration's record says of them.

        Returns:
            The same, and where each was written.

        Raises:
            OSError: One cannot be written.
        """
        kept = {}
        for name, described in images.items():
            if described is None or described.path is not None:
                continue
            path = folder / "inputs" / f"{name}.mha"
            path.parent.mkdir(exist_ok=True)
            write_image(getattr(self, name), path, compressed=True)
            kept[name] = structs.replace(described, stored=f"inputs/{name}.mha")
        return structs.replace(images, **kept)
