"""``impact-plugin register``."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

import impact_plugin
from impact_plugin import _io, _kept
from impact_plugin._arguments import Iterations, checked_iterations
from impact_plugin.cli import model_files as given_models
from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath
from impact_plugin.models.resolve import MissingModelError
from impact_plugin.registration.fitting import LOGGER

if TYPE_CHECKING:
    import SimpleITK as sitk

    from impact_plugin.images.colour import Channel

_FILE = FilePath()


def _iterations(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> Iterations | None:
    """Read one whole number, or several with commas between them."""
    if text is None:
        return None
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        message = f"{text!r}: expected a whole number, or one for each level: 200,200,500"
        raise click.BadParameter(message)
    numbers = [int(each) for each in text.split(",")]
    try:
        return checked_iterations(numbers if len(numbers) > 1 else numbers[0])
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of presets in the shell."""
    return [name for name in impact_plugin.preset_names() if name.startswith(incomplete)]


@click.command()
@click.argument("fixed", type=_FILE)
@click.argument("moving", type=_FILE)
@click.option(
    "-o", "--out", type=_FILE, required=True, help="Folder for the results; made if needed."
)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    shell_complete=_names,
    metavar="NAME[+NAME...]",
    help="A preset (see --list-presets), or several joined by + that run one after the other. "
    "Default: affine_mi, then mind_mi.",
)
@click.option(
    "-p",
    "--parameters",
    "maps",
    type=_FILE,
    multiple=True,
    help="elastix parameter file in place of a preset; several run one after the other.",
)
@click.option("--fixed-mask", type=_FILE, help="Mask of the fixed image: look where it is not 0.")
@click.option("--moving-mask", type=_FILE, help="Mask of the moving image.")
@click.option(
    "-t",
    "--initial-transform",
    help="Where to start: `search` (from anywhere, rigid), `search-affine`, `search-deformable`, "
    "`none`, `center`, `mass`, a transform file of elastix or ITK, or a folder with a "
    "registration. Default: `search` with the default presets, else `none`.",
)
@click.option(
    "--model",
    "model_files",
    multiple=True,
    metavar="NAME=FILE",
    help="File of a model named in the map.",
)
@click.option("--models", type=_FILE, help="Folder of model files, in place of --model.")
@click.option(
    "--labels",
    type=_FILE,
    multiple=True,
    help="Label image to warp, too: to `<name>_warped.mha`.",
)
@click.option(
    "--iterations",
    callback=_iterations,
    metavar="N[,N...]",
    help="Iterations per level: one number for all, or one for each level, coarse to fine, of all "
    "stages: 200,200,500.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Default: all processors.")
@click.option("--device", help="Where networks run: cpu, cuda:0. Default: as the maps say.")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, same result.")
@paths.channel()
@click.option(
    "--default-pixel-value",
    type=float,
    help="Value outside the moving image. Default: with a preset the moving image's least value, "
    "else as the map says.",
)
@click.option("--record/--no-record", default=True, help="Whether to write `record.json`.")
@click.option("-q", "--quiet", is_flag=True, help="No bars and no summary.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="elastix's log on standard error, and where the time went.",
)
@click.option(
    "--list-presets",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _list_presets(context) if asked else None,
    help="Show the presets and what they are for.",
)
def register(
    fixed: Path,
    moving: Path,
    out: Path,
    presets: tuple[str, ...],
    maps: tuple[Path, ...],
    fixed_mask: Path | None,
    moving_mask: Path | None,
    initial_transform: str | None,
    model_files: tuple[str, ...],
    models: Path | None,
    labels: tuple[Path, ...],
    iterations: Iterations | None,
    threads: int | None,
    device: str | None,
    seed: int | None,
    channel: Channel | None,
    default_pixel_value: float | None,
    record: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Align a MOVING image with a FIXED image.

    Results: `result.mha`, the moving image on the grid of the fixed one; `transform.h5`, for
    SimpleITK, itk and 3D Slicer; `TransformParameters.<n>.txt`, for transformix; `history.csv`;
    `elastix.log`; `record.json`, for `impact-plugin rerun`.

    An image is a file, a folder with one DICOM series, or FOLDER/UID: the series of that
    SeriesInstanceUID, in a folder of several.

    \b
    Examples:
      impact-plugin register fixed.nii.gz moving.nii.gz -o result
      impact-plugin register ct.mha mr.mha -o result --preset rigid_mind --preset mind
      impact-plugin register ct.mha cbct.mha -o result --preset ct_cbct \\
          -t affine.tfm --model M730_1_Layers.pt=models/M730_1_Layers.pt --device cuda:0
      impact-plugin register a.nii b.nii -o result -p my.txt --labels b_organs.nii
    """  # noqa: D301  (\b keeps click from joining lines)
    age, begun = _age(), time.monotonic()
    _show_log(verbose)
    if not quiet:
        LOGGER.setLevel(logging.INFO)
    placed = given_models.placed(models, model_files)
    try:
        from impact_plugin.registration import made_from

        images = _read_labels(labels, fixed)
        files = made_from.files_read(
            {"fixed": fixed, "moving": moving, "--fixed-mask": fixed_mask}
            | {"--moving-mask": moving_mask}
            | {f"--labels {path}": path for path in labels},
            *(initial_transform, maps, placed),
        )
        targets = [out / f"{name}_warped.mha" for name in images]
        _kept.check([*targets, *_kept.matching(out, _kept.OF_RESULTS)], files)
        result = impact_plugin.register_images(
            fixed,
            moving,
            preset=[name for each in presets for name in each.split("+")] or None,
            parameter_maps=list(maps) or None,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            initial_transform=initial_transform,
            models=placed,
            iterations=iterations,
            threads=threads,
            device=device,
            seed=seed,
            default_pixel_value=default_pixel_value,
            channel=channel,
            output_directory=out,
            progress=False if quiet else None,
            record=record,
        )
        for name, image in images.items():
            _warp_labels(result, image, out / f"{name}_warped.mha")
    except MissingModelError as error:
        message = error.text(f"--model {error.model}=PATH")
        raise click.ClickException(message) from error
    if verbose:
        since = time.monotonic() - begun
        click.echo(_times(result.timings, age, age + since), err=True)
    if not quiet:
        click.echo(f"{result!r}\nResults: {out}")


def _times(timings: dict[str, float], start: float, all_of_it: float) -> str:
    """Give where the time went.

    Args:
        timings: Of the registration.
        start: Seconds from the start of the process to its beginning.
        all_of_it: Seconds from the start of the process to now.
    """
    shown = {"start of the program": start, **timings}
    shown["labels and the rest"] = max(0.0, all_of_it - sum(shown.values()))
    shown["all"] = all_of_it
    return "\n".join(f"{seconds:8.2f} s  {phase}" for phase, seconds in shown.items())


def _age() -> float:
    """Give the seconds since this process was started: proc(5), 22nd field of `stat`; 0 without."""
    try:
        text = Path("/proc/self/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    begun = int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begun


def _show_log(verbose: bool) -> None:
    """Show elastix's warnings, or its whole log; errors have their cause in the message."""
    handler = logging.StreamHandler()
    if not verbose:
        handler.addFilter(lambda record: record.levelno < logging.ERROR)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])


def _read_labels(paths: tuple[Path, ...], fixed: Path) -> dict[str, sitk.Image]:
    """Read the label images; the keys are their file names without the ending.

    This comes before the registration, so that a mistyped name or an unfit image is not found hours
    later.
    """
    from impact_plugin.images import conversion, reading, validation

    images: dict[str, sitk.Image] = {}
    dimension = reading.dimension_of(fixed) if paths else None
    for path in paths:
        name = reading.stem(path)
        if name in images:
            message = (
                f"two files would be written to {name}_warped.mha, the second being {str(path)!r}: "
                "give the files different names"
            )
            raise click.BadParameter(message, param_hint="--labels")
        images[name] = conversion.to_sitk(path, f"--labels {path}")
        validation.check_grey(images[name], f"--labels {path}")
        validation.check_place(images[name], f"--labels {path}")
        if dimension not in (None, images[name].GetDimension()):
            message = (
                f"{str(path)!r} has {images[name].GetDimension()} dimensions, and the fixed image "
                f"{str(fixed)!r} has {dimension}: expected labels that lie as the moving image does"
            )
            raise click.BadParameter(message, param_hint="--labels")
    return images


def _warp_labels(result: impact_plugin.RegistrationResult, image: sitk.Image, path: Path) -> None:
    from impact_plugin.images.files import write_image

    with _io.replacing(path) as unfinished:
        write_image(result.warp(image, labels=True), unfinished, compressed=True)


def _list_presets(context: click.Context) -> None:
    formatter = click.HelpFormatter(width=100)
    formatter.write_dl(list(impact_plugin.preset_names().items()))
    click.echo(formatter.getvalue().rstrip())
    context.exit()
