"""What checking wants to know of an image: its geometry and its intensities."""

from __future__ import annotations

import dataclasses
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin._errors import InputError
from impact_plugin.images import nifti_frames
from impact_plugin.images.dicom import is_dicom
from impact_plugin.images.errors import notice, reason_of
from impact_plugin.images.files import read_header, read_image
from impact_plugin.images.integrity import check_complete
from impact_plugin.images.reading import read

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin import _core
    from impact_plugin.images.colour import Channel
    from impact_plugin.images.grid import Geometry


class ImageError(InputError):
    """An image that cannot be registered; the message names the file and says why."""


@dataclass(frozen=True)
class ImageHeader:
    """An image file, of which the voxels are read only when their range is asked for.

    Attributes:
        path: Path of the file.
        size: Voxels along x, y (, z).
        spacing: mm along these axes.
        origin: Physical place of the first voxel's centre, LPS, mm.
        direction: Direction cosines, rows; column i is axis i.
        pixel_type: As SimpleITK names it: "16-bit signed integer".
        known_range: The least and the greatest voxel, where they are known; else they are read.
        known_mean: The mean of its voxels, likewise.
        channel: What stands for the colours of an image that has them; None of grey ones.
    """

    path: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]
    pixel_type: str
    known_range: tuple[float, float] | None = None
    known_mean: float | None = None
    channel: Channel | None = None

    @classmethod
    def of(cls, image: sitk.Image, path: str = "") -> ImageHeader:
        """Describe an image that is there.

        Args:
            image: The image.
            path: Path of its file, if it has one.
        """
        import SimpleITK as sitk

        voxels = sitk.GetArrayViewFromImage(image)
        known_range = (float(voxels.min()), float(voxels.max()))
        return dataclasses.replace(
            cls._described(path, image), known_range=known_range, known_mean=float(voxels.mean())
        )

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        channel: Channel | None = None,
        *,
        colours: bool = True,
    ) -> ImageHeader:
        """Read an image's header, in any format that SimpleITK reads, or all of a DICOM series.

        Args:
            path: The file, or the folder of a series.
            channel: What stands for a colour image, as in :func:`impact_plugin.register_images`.
            colours: Whether it may have colours.

        Raises:
            ImageError: It cannot be read, is neither 2D nor 3D, or has several values per voxel
                that are no colours, or no such channel.

        Warns:
            ColourWarning: It has colours, and ``channel`` was not given.
        """
        header, said = header_of(path, channel, colours=colours)
        if said:
            from impact_plugin.images.colour import ColourWarning

            notice(said, ColourWarning)
        return header

    @classmethod
    def _described(cls, path: str, image: sitk.Image | sitk.ImageFileReader) -> ImageHeader:
        import SimpleITK as sitk

        dimension, direction = image.GetDimension(), image.GetDirection()
        return cls(
            path,
            tuple(image.GetSize()),
            tuple(image.GetSpacing()),
            tuple(image.GetOrigin()),
            tuple(
                tuple(direction[row * dimension : (row + 1) * dimension])
                for row in range(dimension)
            ),
            str(sitk.GetPixelIDValueAsString(image.GetPixelID())),
        )

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return len(self.size)

    @property
    def grid(self) -> Geometry:
        """Where its voxels lie."""
        from impact_plugin.images.grid import Geometry  # wants numpy

        direction = tuple(cosine for row in self.direction for cosine in row)
        return Geometry(self.size, self.spacing, self.origin, direction)

    @property
    def is_upright(self) -> bool:
        """Whether its axes are x, y and z, to within rounding."""
        return all(
            abs(value - (row == column)) < 1e-6
            for row, values in enumerate(self.direction)
            for column, value in enumerate(values)
        )

    @property
    def quoted(self) -> str:
        """The path as messages have it, with a space behind it; empty where there is none."""
        return f'"{self.path}" ' if self.path else ""

    def intensity_range(self) -> tuple[float, float]:
        """Give the least and the greatest voxel, reading them where they are not known.

        Raises:
            ImageError: They cannot be read.
        """
        return self.known_range or self._read_intensities()[:2]

    def mean_intensity(self) -> float:
        """Give the mean of the voxels, likewise."""
        if self.known_mean is not None:
            return self.known_mean
        return self._read_intensities()[2]

    def _read_intensities(self) -> tuple[float, float, float]:
        try:
            stamp = Path(self.path).stat().st_mtime_ns
        except OSError:
            stamp = 0
        return _intensities(self.path, stamp, self.channel)


def header_of(
    path: str | os.PathLike[str], channel: Channel | None = None, *, colours: bool = True
) -> tuple[ImageHeader, str]:
    """Do what :meth:`ImageHeader.read` does; gives the header, and what is to be warned of."""
    from impact_plugin.images.colour import chosen  # wants numpy, as does what follows
    from impact_plugin.images.validation import check_place

    path, said = os.fspath(path), ""
    image, components = _header(path)
    dimension = image.GetDimension()
    if dimension not in (2, 3) or (components != 1 and not colours):
        message = (
            f"{path!r} has {dimension} dimensions and {components} values per "
            "voxel. Allowed: 2 or 3 dimensions, one value per voxel."
        )
        raise ImageError(message)
    header = ImageHeader._described(path, image)
    try:
        check_place(image, repr(path))
        if components != 1:
            kind = header.pixel_type
            taken, said = chosen(components, kind, repr(path), channel)
            kind = "32-bit float" if taken == "luminance" else kind.removeprefix("vector of ")
            header = dataclasses.replace(header, pixel_type=kind, channel=taken)
    except ValueError as error:
        raise ImageError(str(error)) from None
    return header, said


def _header(path: str) -> tuple[sitk.Image | sitk.ImageFileReader, int]:
    """Give what has an image's geometry, and its values per voxel."""
    try:
        if is_dicom(Path(path)):  # of which there is no header but those of its slices
            image = read(path, repr(path))
            return image, image.GetNumberOfComponentsPerPixel()
        reader = read_header(path)
        check_complete(Path(path))
        nifti_frames.warn(nifti_frames.Frames.read(Path(path)), repr(path))
    except RuntimeError as error:
        message = f"{path!r} is no image that can be read: {reason_of(error)}"
        raise ImageError(message) from None
    except ValueError as error:  # damaged, or no volume
        raise ImageError(str(error)) from None
    return reader, reader.GetNumberOfComponents()


@functools.lru_cache(maxsize=8)
def _intensities(path: str, stamp: int, channel: Channel | None) -> tuple[float, float, float]:
    """Give the least, the greatest and the mean one."""
    del stamp  # part of the cache's key: another file has another
    import SimpleITK as sitk

    from impact_plugin.images.colour import to_grey

    try:
        image = read(path, "image") if is_dicom(Path(path)) else read_image(path)
        image = to_grey(image, "image", channel)
        voxels = sitk.GetArrayViewFromImage(image)
        return float(voxels.min()), float(voxels.max()), float(voxels.mean())
    except (RuntimeError, ValueError) as error:
        raise ImageError(f"{path!r} cannot be read: {reason_of(error)}") from None


def core_grid(image: ImageHeader) -> _core.Grid:
    """Give an image's geometry as the core has it."""
    from impact_plugin import _core  # loads torch's libraries

    return _core.Grid(image.size, image.spacing, image.origin, image.direction)
