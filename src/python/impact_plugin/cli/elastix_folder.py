"""``impact-plugin elastix-folder``."""

from __future__ import annotations

from pathlib import Path

import click

from impact_plugin import command_line
from impact_plugin.cli.paths import FilePath


@click.command("elastix-folder")
@click.argument("folder", type=FilePath())
def elastix_folder(folder: Path) -> None:
    """Make a FOLDER like an installation of elastix, for programs that want one; print its path.

    It has bin/elastix and bin/transformix, which start the elastix of this environment with the
    IMPACT metric, from any folder and whatever LD_LIBRARY_PATH says. Where KonfAI, SlicerElastix,
    pyelastix and Fiji take it, docs/howto/other-programs.md says. Run it again where the
    environment was moved or made anew.

    \b
    Examples:
      impact-plugin elastix-folder ~/elastix-impact
      KONFAI_ELASTIX_DIR=~/elastix-impact impact-reg-konfai ...
    """  # noqa: D301  (\b keeps click from joining lines)
    click.echo(command_line.elastix_folder(folder))
