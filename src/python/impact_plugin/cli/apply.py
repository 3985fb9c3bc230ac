"""``impact-plugin apply``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin import _io, _kept
from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath

if TYPE_CHECKING:
    from impact_plugin.images.axes import Axes
    from impact_plugin.transforms.resampling import Interpolation

_FILE = FilePath()
_EPILOG = """
\b
Points: .txt (elastix's, or columns x y z), .csv, .fcsv, .mrk.json (3D Slicer); they are written to
.csv or .txt. An INPUT with another ending is an image.
"""


@click.command(epilog=_EPILOG)
@click.argument("transform", type=_FILE)
@click.argument("data", type=_FILE, metavar="INPUT")
@click.option("-o", "--out", type=_FILE, required=True, help="File to write.")
@click.option(
    "--reference",
    type=_FILE,
    help="Image whose grid the result gets. Default: the fixed image's grid, if the transform "
    "knows it. With --inverse, give the moving image.",
)
@click.option("--labels", is_flag=True, help="INPUT is a label map; values are not interpolated.")
@click.option(
    "--interpolation",
    type=click.Choice(["linear", "nearest", "bspline"]),
    help="Default: the registration's; nearest for labels, linear for transforms of ITK.",
)
@click.option(
    "--default-pixel-value",
    type=float,
    help="Value outside the image. Default: the registration's; 0 for labels.",
)
@paths.axes("Frame of points whose file does not name one, and of the points written.")
@click.option(
    "--inverse",
    is_flag=True,
    help="Apply the inverse: moving points to fixed, fixed images to the moving grid.",
)
@paths.image(
    "moving",
    'Moving image; needed only if elastix ran with (UseDirectionCosines "false").',
    "moving_image",
)
@click.option("--threads", type=click.IntRange(min=1), help="Default: all processors.")
def apply(
    transform: Path,
    data: Path,
    out: Path,
    reference: Path | None,
    labels: bool,
    interpolation: Interpolation | None,
    default_pixel_value: float | None,
    axes: Axes,
    inverse: bool,
    moving_image: Path | None,
    threads: int | None,
) -> None:
    """Apply a transform to an image, a label map or points.

    TRANSFORM is a folder that `impact-plugin register` or elastix wrote, a
    TransformParameters.<n>.txt with all that it builds on, a transform file of ITK (.tfm, .txt,
    .h5, .mat), or a displacement field (.mha, .nii.gz, ...). It maps points of the fixed image to
    the moving image, and so brings images of the moving image onto the fixed image's grid. Points
    that were marked in the moving image need --inverse.

    \b
    Examples:
      impact-plugin apply result mr.nii.gz -o mr_on_ct.nii.gz
      impact-plugin apply result mr_organs.nii.gz --labels -o organs_on_ct.nii.gz
      impact-plugin apply elastix_out/TransformParameters.1.txt points.csv -o mapped.csv
      impact-plugin apply affine.tfm ct.mha --inverse --reference mr.nii.gz -o ct_on_mr.mha
    """  # noqa: D301  (\b keeps click from joining lines)
    import impact_plugin
    from impact_plugin.evaluation import Points, write_points, writing_points
    from impact_plugin.images.files import ONE_FILE, write_image
    from impact_plugin.registration import applying, made_from

    read = {"INPUT": data, "--reference": reference, "--moving": moving_image}
    _kept.check([out], [(name, path) for name, path in read.items() if path is not None])
    _kept.check([out], made_from.files_of(transform))
    points = applying.are_points(data)
    if points:
        writing_points.check_name(_io.expanded(out), axes)
    elif not out.name.lower().endswith(ONE_FILE):
        message = f"{out}: expected a name that ends in {', '.join(ONE_FILE)}."
        raise click.BadParameter(message, param_hint="--out")
    found = impact_plugin.apply_transform(
        transform,
        data,
        reference=reference,
        labels=labels,
        interpolation=interpolation,
        default_pixel_value=default_pixel_value,
        axes=axes,
        inverse=inverse,
        moving_image=moving_image,
        threads=threads,
    )
    if isinstance(found, Points):
        write_points(found, out, axes)
    else:
        with _io.replacing(_io.expanded(out)) as unfinished:
            write_image(found, unfinished, compressed=True)
