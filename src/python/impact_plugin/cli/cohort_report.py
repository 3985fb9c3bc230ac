"""``impact-plugin cohort-report``."""

from __future__ import annotations

from pathlib import Path

import click

from impact_plugin.cli.paths import FilePath

_FILE = FilePath()


@click.command()
@click.argument("folder", type=_FILE)
@click.option(
    "-o", "--out", type=_FILE, help="File to write; default: report.html in the folder itself."
)
@click.option(
    "--worst",
    type=click.IntRange(0, 1000),
    default=8,
    show_default=True,
    help="Number of worst pairs to show; the page grows with them.",
)
def cohort_report(folder: Path, out: Path | None, worst: int) -> None:
    """Show the cohort in FOLDER as one HTML page, which loads nothing from anywhere.

    FOLDER is what `impact-plugin cohort -o` wrote, which makes the page itself at the end of each
    run. It has distributions of landmark errors, Dice, folding, metric, time and memory, the worst
    pairs with pictures, comparisons of presets, and failures by cause.

    \b
    Examples:
      impact-plugin cohort-report out
      impact-plugin cohort-report out -o study.html --worst 30
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin.cohort.report import write_cohort_report

    path = write_cohort_report(folder, out, worst=worst)
    click.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
