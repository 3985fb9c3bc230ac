"""``impact-plugin rerun``."""

from __future__ import annotations

from pathlib import Path

import click

from impact_plugin.cli import model_files, paths
from impact_plugin.cli.paths import FilePath
from impact_plugin.cli.register import _show_log
from impact_plugin.registration import rerun as rerunning
from impact_plugin.registration.records.making import IMAGES

_FILE = FilePath()
_DIFFERENT = 3


@click.command()
@click.argument("record", type=_FILE)
@click.option("-o", "--out", type=_FILE, help="Folder for the new result. Default: not saved.")
@paths.image("fixed", "Replacement for the recorded fixed image.")
@paths.image("moving", "Replacement for the recorded moving image.")
@click.option("--fixed-mask", type=_FILE, help="Replacement for the recorded fixed mask.")
@click.option("--moving-mask", type=_FILE, help="Replacement for the recorded moving mask.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME=FILE",
    help="Replacement for a model named in the record.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Default: as recorded.")
@click.option("-q", "--quiet", is_flag=True, help="No bars.")
@click.option("-v", "--verbose", is_flag=True, help="elastix's log on standard error.")
def rerun(
    record: Path,
    out: Path | None,
    fixed: Path | None,
    moving: Path | None,
    fixed_mask: Path | None,
    moving_mask: Path | None,
    models: tuple[str, ...],
    threads: int | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run a registration again out of its RECORD: a record.json, or the folder in which it is.

    Images, models and other files must be those of the record; that they are is checked before
    anything runs. Other versions or another machine are named and do not stop it. Nothing is
    written where the record says: feature maps (WriteFeatureMaps) go into the folder of -o, and
    nowhere without it.

    Exit codes: 0, the same transform and image to the bit; 3, not the same; 1, it could not be run.

    \b
    Examples:
      impact-plugin rerun result/record.json
      impact-plugin rerun result -o again --fixed /data/moved/fixed.nii.gz
    """  # noqa: D301  (\b keeps click from joining lines)
    _show_log(verbose)
    again = rerunning.run(
        record,
        dict(zip(IMAGES, (fixed, moving, fixed_mask, moving_mask), strict=True)),
        model_files.by_name(models),
        out,
        threads,
        progress=False if quiet else None,
        warn=lambda remark: click.echo(f"Not as it was: {remark}", err=True),
    )
    for difference in again.differences:
        click.echo(f"Not the same: {difference}.")
    if again.same:
        click.echo("The same transform and the same image, to the bit.")
    if out is not None:
        click.echo(f"Results: {out}")
    if not again.same:
        raise SystemExit(_DIFFERENT)
