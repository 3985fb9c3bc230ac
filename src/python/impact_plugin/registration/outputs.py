"""elastix's parameters that say what it writes: checked before it runs, and done after it.

With ``ITKTransformOutputFileNameExtension`` elastix keeps a transform's numbers in a file of ITK
alone, by whose path of then the transform parameter file names it; of transforms that ITK does not
have nothing reads that file. With ``WriteFinalTransformParameters`` there may be no transform at
all. So elastix is not told of these, and what they ask for is written here from its transform
parameter files, which stay whole.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from impact_plugin._errors import InputError
from impact_plugin.images.files import write_image
from impact_plugin.parameters import map_files
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.registration.follower import LOGGER
from impact_plugin.transforms import file_transforms, from_elastix, itk_files
from impact_plugin.transforms.chain import Chain

_EXTENSION = "ITKTransformOutputFileNameExtension"
_COMPOSITE = "WriteITKCompositeTransform"
_FORMAT = "OutputTransformParameterFileFormat"
_TEXTS = ("", "txt", "TOML")
_OURS = (_EXTENSION, _COMPOSITE, _FORMAT, "WriteFinalTransformParameters")
_TRANSFORMS = re.compile(r"TransformParameters\.(\d+)(\.R\d+(\.It\d+)?)?\.txt")
# Of images, which elastix writes as it goes: it says that it cannot, and goes on without them.
_IMAGES = re.compile(r"WriteResultImageAfterEach\w+|WritePyramidImagesAfterEachResolution")
_PIXELS = {
    "char": "sitkInt8",
    "unsigned char": "sitkUInt8",
    "short": "sitkInt16",
    "ushort": "sitkUInt16",
    "unsigned short": "sitkUInt16",
    "int": "sitkInt32",
    "unsigned int": "sitkUInt32",
    "long": "sitkInt64",
    "unsigned long": "sitkUInt64",
    "float": "sitkFloat32",
    "double": "sitkFloat64",
}


def check(parameters: ParameterMap, where: str, dimension: int) -> None:
    """Check that what a map asks to be written can be.

    Args:
        parameters: The map.
        where: What messages call it.
        dimension: Dimension of the images.

    Raises:
        ValueError: It cannot.
    """
    text = _first(parameters, _FORMAT)
    if text not in _TEXTS:
        message = f'{where} has ({_FORMAT} "{text}"). Allowed: "txt" and "TOML"'
        raise InputError(message)
    if _first(parameters, _EXTENSION):
        _check_itk(parameters, where, dimension)
    if any(_IMAGES.fullmatch(name) and "true" in values for name, values in parameters.items()):
        _check_images(parameters, where, dimension)


def for_elastix(parameters: ParameterMap) -> ParameterMap:
    """Give a map without what is written here, for elastix."""
    return {name: values for name, values in parameters.items() if name not in _OURS}


def write(folder: Path, maps: Sequence[ParameterMap], dimension: int) -> None:
    """Write what the maps ask for, beside elastix's own files of the transforms.

    Args:
        folder: elastix's output folder.
        maps: Complete parameter maps of the stages, in order.
        dimension: Dimension of the images.

    Raises:
        OSError: A file cannot be written.
    """
    if not any({_EXTENSION, _FORMAT} & parameters.keys() for parameters in maps):
        return
    for path in sorted(folder.glob("TransformParameters.*.txt")):
        found = _TRANSFORMS.fullmatch(path.name)
        if not found or int(found[1]) >= len(maps):
            continue
        try:
            chain = Chain.read(path)
        except (OSError, ValueError):
            if found[2] is None:
                raise
            continue  # of an iteration at which elastix was ended
        parameters = maps[int(found[1])]
        if _first(parameters, _EXTENSION):
            _write_itk(chain, path, parameters, dimension)
        if _first(parameters, _FORMAT) == "TOML":
            from impact_plugin.parameters.toml_text import TomlFile  # a library, seldom needed

            file = TomlFile(source=str(path))
            file.update(map_files.read(path))
            file.write(path.with_suffix(".toml"))


def _write_itk(chain: Chain, path: Path, parameters: ParameterMap, dimension: int) -> None:
    ending = _first(parameters, _EXTENSION)
    files = {path.with_suffix(f".{ending}"): Chain(chain.maps[-1:], chain.fields)}
    if _first(parameters, _COMPOSITE) == "true":
        files[path.with_name(f"{path.stem}-Composite.{ending}")] = chain
    for file, each in files.items():
        try:
            transform = from_elastix.to_sitk(each, dimension)
        except from_elastix.UnsupportedTransformError as error:
            LOGGER.warning("%s is not written: %s", file, error)
            continue
        single = each is not chain
        itk_files.write(transform.GetNthTransform(0).Downcast() if single else transform, file)


def _check_itk(parameters: ParameterMap, where: str, dimension: int) -> None:
    ending = _first(parameters, _EXTENSION)
    composite = _first(parameters, _COMPOSITE) == "true"
    # ITK's MATLAB files have no compositions.
    matlab = composite and ending.endswith("mat")
    if matlab or not file_transforms.is_format(ending):
        formats = [each for each in file_transforms.FORMATS if not composite or each != "mat"]
        together = f' with ({_COMPOSITE} "true")' if matlab else ""
        message = (
            f'{where} has ({_EXTENSION} "{ending}"){together}. Allowed: '
            f"{', '.join(map(repr, formats))}, without a dot"
        )
        raise InputError(message)
    name = _first(parameters, "Transform")
    cyclic = _first(parameters, "UseCyclicTransform") == "true"
    if name and (cyclic or name not in from_elastix.KINDS):
        kind = f"cyclic {name}" if cyclic else name
        message = (
            f'{where} has ({_EXTENSION} "{ending}"), and ITK has no transform like elastix\'s '
            f"{kind}. Leave the parameter out; those that ITK has: {', '.join(from_elastix.KINDS)}"
        )
        raise InputError(message)
    added = _first(parameters, "HowToCombineTransforms") == "Add"
    if composite and added:
        message = (
            f'{where} has ({_COMPOSITE} "true") and (HowToCombineTransforms "Add"), and ITK\'s '
            'compositions do not add. Give (HowToCombineTransforms "Compose"), or leave the first '
            "out"
        )
        raise InputError(message)


def _check_images(parameters: ParameterMap, where: str, dimension: int) -> None:
    """Write a small image as elastix will write large ones."""
    import SimpleITK as sitk

    ending = _first(parameters, "ResultImageFormat") or "mhd"
    pixel = _first(parameters, "ResultImagePixelType") or "short"
    if pixel.replace("_", " ") not in _PIXELS:
        known = ", ".join(map(repr, _PIXELS))
        message = f'{where} has (ResultImagePixelType "{pixel}"). Allowed: {known}'
        raise InputError(message)
    image = sitk.Image([4] * dimension, getattr(sitk, _PIXELS[pixel.replace("_", " ")]))
    compressed = _first(parameters, "CompressResultImage") == "true"
    with tempfile.TemporaryDirectory(prefix="impact-plugin-") as folder:
        try:
            write_image(image, Path(folder) / f"image.{ending}", compressed=compressed)
        except OSError as error:
            message = (
                f'{where} has (ResultImageFormat "{ending}"), in which an image of {dimension} '
                f"dimensions of the type {pixel} cannot be written. "
                'Give "mha", "mhd", "nii.gz" or "nrrd"'
            )
            raise InputError(message) from error


def _first(parameters: ParameterMap, name: str) -> str:
    return next(iter(parameters.get(name, [])), "")
