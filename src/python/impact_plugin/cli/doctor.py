"""``impact-plugin doctor``."""

from __future__ import annotations

import json
import sys

import click

from impact_plugin.cli import diagnosis


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option("--quick", is_flag=True, help="Register nothing, and do not start torch.")
def doctor(as_json: bool, quick: bool) -> None:
    """Say what is installed, whether it fits, and what to do if not.

    Ends with exit code 0 where everything is as it should be, else 1. Paste the output into bug
    reports.

    \b
    Examples:
      impact-plugin doctor
      impact-plugin doctor --json > report.json
    """  # noqa: D301  (\b keeps click from joining lines)
    report = diagnosis.examine(quick=quick)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        width = max(map(len, report.facts))
        for name, value in report.facts.items():
            click.echo(f"{name:{width}}  {value}")
        click.echo()
        for problem in report.problems:
            click.echo(f"Problem: {problem}")
        if not report.problems:
            click.echo("Everything is as it should be.")
    sys.exit(1 if report.problems else 0)
