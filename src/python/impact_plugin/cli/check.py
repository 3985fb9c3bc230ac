"""``impact-plugin check``: finds errors and doubtful values in parameter maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin._errors import InputError
from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath

if TYPE_CHECKING:
    from impact_plugin.check import Report
    from impact_plugin.images.colour import Channel

_EPILOG = """\b
Examples:
  impact-plugin check mind.txt
  impact-plugin check mind.txt -f fixed.mha -m moving.mha --strict
  impact-plugin check affine.txt mind.txt --json > report.json

\b
Exit codes:
  0  no error; with --strict no warning either
  1  something was found
  2  wrong usage: an option, or a file that does not exist
"""

_FILE = FilePath(exists=True, dir_okay=False)


def _existing(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse an image that is not there."""
    from impact_plugin.images.reading import exists

    if path is not None and not exists(path):
        message = f"File '{path}' does not exist."
        raise click.BadParameter(message)
    return path


@click.command(epilog=_EPILOG)
@click.argument("maps", metavar="MAP...", nargs=-1, required=True, type=_FILE)
@paths.image("fixed", "Fixed image, for checks that depend on the images.", callback=_existing)
@paths.image("moving", "Moving image.", callback=_existing)
@click.option(
    "--accuracy",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MM",
    help="Warn if the last level's features are too coarse for this accuracy.",
)
@paths.channel()
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings, too.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a report for scripts (docs/checking.md)."
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    help="Threads to run models with. Default: as many as torch takes.",
)
def check(
    maps: tuple[Path, ...],
    fixed: Path | None,
    moving: Path | None,
    accuracy: float | None,
    channel: Channel | None,
    strict: bool,
    as_json: bool,
    threads: int | None,
) -> None:
    """Check parameter maps of elastix (.txt or .toml) for (Metric "Impact").

    Everything is found at once, each with its line and what to do. The parser is elastix's own, and
    models are opened and run as elastix does before its first iteration. Paths of models are
    relative to the current folder, and looked for there alone, as elastix does.
    """
    if (fixed is None) != (moving is None):
        message = "give both images, -f and -m, or neither."
        raise click.UsageError(message)
    for path in maps:
        if path.suffix not in (".txt", ".toml"):
            message = f"{path}: elastix reads parameter files that end in .txt or .toml."
            raise click.UsageError(message)

    from impact_plugin import check as checking  # loads torch's libraries

    reports = []
    for path in maps:
        try:
            report = checking.check_file(
                path, fixed, moving, accuracy=accuracy, threads=threads or None, channel=channel
            )
            reports.append(report)
        except InputError as error:
            raise click.UsageError(str(error)) from None
        except OSError as error:
            raise click.UsageError(f"{path}: {error.strerror or error}.") from None
    if as_json:
        document = {
            "schema": checking.SCHEMA_VERSION,
            "maps": [report.to_dict() for report in reports],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        for report in reports:
            _show(report)
    found = any(report.errors or (strict and report.warnings) for report in reports)
    click.get_current_context().exit(1 if found else 0)


def _show(report: Report) -> None:
    if report.findings:
        click.echo(str(report))
    for level in report.memory:
        if level.bytes is None:
            continue
        how = "at least" if level.mode == "Static" else "about"
        where = f"on {level.device}"
        if level.device == "cpu":
            where = f"of {report.available_bytes / 2**30:.1f} GiB available"
        click.echo(
            f"{report.source}: level {level.level} ({level.mode}) takes {how} "
            f"{level.bytes / 2**20:.0f} MiB {where}"
        )
    counts = (
        f"{len(items)} {name}{'' if len(items) == 1 else 's'}"
        for name, items in (("error", report.errors), ("warning", report.warnings))
    )
    click.echo(f"{report.source}: {', '.join(counts)}")
