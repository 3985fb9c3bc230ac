"""``impact-plugin report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath

if TYPE_CHECKING:
    from impact_plugin.images.axes import Axes

_FILE = FilePath()


@click.command()
@click.argument("folder", type=_FILE)
@click.option(
    "-o", "--out", type=_FILE, help="File to write; default: report.html in the folder itself."
)
@paths.image("fixed", "Fixed image, if FOLDER does not say where it is.")
@paths.image("moving", "Moving image, if FOLDER does not say where it is.")
@click.option(
    "--fixed-points",
    type=_FILE,
    help="Landmarks in the fixed image: a file of elastix, CSV or 3D Slicer.",
)
@click.option("--moving-points", type=_FILE, help="The same landmarks in the moving image.")
@click.option("--fixed-labels", type=_FILE, help="Label map on the fixed image's grid.")
@click.option("--moving-labels", type=_FILE, help="Label map of the moving image.")
@paths.axes()
@click.option(
    "--slices",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="Maximum number of slices per plane; the page grows with them.",
)
@click.option(
    "--window",
    type=(float, float),
    metavar="BLACK WHITE",
    help="Intensities shown as black and white; default: the image's 0.5 and 99.5 percentiles.",
)
def report(
    folder: Path,
    out: Path | None,
    fixed: Path | None,
    moving: Path | None,
    fixed_points: Path | None,
    moving_points: Path | None,
    fixed_labels: Path | None,
    moving_labels: Path | None,
    axes: Axes,
    slices: int,
    window: tuple[float, float] | None,
) -> None:
    """Show the registration in FOLDER as one HTML page, which loads nothing from anywhere.

    FOLDER is what `impact-plugin register -o`, `result.save()` or elastix's own `-out` wrote. The
    page has the images before and after, the deformation and where it folds, convergence,
    timings and parameters.

    \b
    Examples:
      impact-plugin report result
      impact-plugin report elastix_out -f fixed.mha -m moving.mha -o report.html
      impact-plugin report result --fixed-points ct.txt --moving-points cbct.txt
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin.registration.reporting import write_report

    path = write_report(
        folder,
        out,
        fixed=fixed,
        moving=moving,
        fixed_points=fixed_points,
        moving_points=moving_points,
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        axes=axes,
        slices=slices,
        window=window,
    )
    click.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
