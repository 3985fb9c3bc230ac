"""``impact-plugin evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin import _kept
from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath

if TYPE_CHECKING:
    from impact_plugin.images.axes import Axes

_FILE = FilePath()
_EPILOG = """
\b
Points: .txt (elastix's, or columns x y z), .csv, .fcsv, .mrk.json (3D Slicer).
All in mm in LPS, unless the file or --axes says RAS: see docs/evaluation.md.
"""


@click.command(epilog=_EPILOG)
@click.argument("registration", type=_FILE)
@click.option("--fixed-points", type=_FILE, help="Landmarks in the fixed image.")
@click.option(
    "--moving-points",
    type=_FILE,
    help="The same landmarks in the moving image, in the same order or with the same names.",
)
@click.option("--fixed-labels", type=_FILE, help="Label map on the grid of the fixed image.")
@click.option("--moving-labels", type=_FILE, help="Label map in the frame of the moving image.")
@paths.image(
    "fixed", "Fixed image, if REGISTRATION is a transform that does not know it.", "fixed_image"
)
@paths.image(
    "moving",
    "Moving image; needed only for moving points that are voxel indices, and if elastix ran "
    'with (UseDirectionCosines "false").',
    "moving_image",
)
@click.option("--mask", type=_FILE, help="Measure the Jacobian determinant where this is not 0.")
@click.option(
    "--leave-out-outside", is_flag=True, help="Leave out landmarks that lie outside the images."
)
@paths.axes()
@click.option("--no-jacobian", is_flag=True, help="Leave the Jacobian determinant out.")
@click.option(
    "-o",
    "--out",
    "files",
    type=_FILE,
    multiple=True,
    help="Write the figures to a file: .csv, .json, or .txt for the table. May be repeated.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not print the table.")
def evaluate(
    registration: Path,
    fixed_points: Path | None,
    moving_points: Path | None,
    fixed_labels: Path | None,
    moving_labels: Path | None,
    fixed_image: Path | None,
    moving_image: Path | None,
    mask: Path | None,
    leave_out_outside: bool,
    axes: Axes,
    no_jacobian: bool,
    files: tuple[Path, ...],
    quiet: bool,
) -> None:
    """Measure how good a registration is: landmark errors, labels, folding.

    REGISTRATION is the folder that `impact-plugin register -o` or result.save() wrote, an output
    folder of elastix, a TransformParameters.<n>.txt, or with --fixed a transform file of ITK.
    Everything is measured before the registration, after each of its steps, and after the last.

    \b
    Examples:
      impact-plugin evaluate result
      impact-plugin evaluate result --fixed-points f.mrk.json --moving-points m.mrk.json
      impact-plugin evaluate elastix_out/TransformParameters.1.txt \\
          --fixed-labels ct_organs.nii.gz --moving-labels mr_organs.nii.gz -o figures.csv
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin import evaluation
    from impact_plugin.registration import made_from

    for path in files:
        if path.suffix not in evaluation.SUFFIXES:
            message = f"{path}: expected a name that ends in {', '.join(evaluation.SUFFIXES)}."
            raise click.BadParameter(message, param_hint="--out")
    read = {"REGISTRATION": registration, "--fixed-points": fixed_points}
    read |= {"--moving-points": moving_points, "--fixed-labels": fixed_labels}
    read |= {"--moving-labels": moving_labels, "--fixed": fixed_image}
    read |= {"--moving": moving_image, "--mask": mask}
    try:
        _kept.check(files, [(name, path) for name, path in read.items() if path is not None])
        _kept.check(files, made_from.files_of(registration))
        figures = evaluation.evaluate(
            registration,
            fixed_points=fixed_points,
            moving_points=moving_points,
            fixed_labels=fixed_labels,
            moving_labels=moving_labels,
            fixed_image=fixed_image,
            moving_image=moving_image,
            mask=mask,
            outside="leave out" if leave_out_outside else "error",
            jacobian=not no_jacobian,
            axes=axes,
        )
        for path in files:
            figures.write(path)
    except evaluation.OutsideError as error:
        options = "--axes RAS reads positions in RAS, --leave-out-outside leaves them out"
        message = f"{error.text} {options}"
        raise click.ClickException(message) from error
    if not quiet:
        click.echo(figures.table())
