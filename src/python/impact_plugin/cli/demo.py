"""``impact-plugin demo``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from impact_plugin.cli.paths import FilePath
from impact_plugin.registration import presets

_FOLDER = FilePath()


@click.command()
@click.option(
    "--data",
    type=_FOLDER,
    help="The sources of elastix 5.3.1, or their folder Testing. Default: those that "
    "IMPACT_ELASTIX_SOURCE_DIR names, or in the cache; else the images are fetched.",
)
@click.option(
    *("-o", "--out"),
    type=_FOLDER,
    default=Path("out/demo"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--maps", type=_FOLDER, help="Folder of the parameter maps; default: the package's.")
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    help="Iterations per level. Default: the maps'.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads. Default: all processors.")
@click.option(
    "--bound", type=float, default=1.60, show_default=True, help="Largest mean error in mm."
)
def demo(
    data: Path | None,
    out: Path,
    maps: Path | None,
    iterations: int | None,
    threads: int | None,
    bound: float,
) -> None:
    """Register a real lung CT pair and show the landmark errors.

    The images are of elastix's test data: one lung, breathed in and breathed out. 51 of the 100
    landmarks lie inside the fixed image. For each mode of IMPACT the program prints the errors of
    these before and after, says where the time went, and writes the results, a table (results.json)
    and a picture under the output folder. It ends with exit code 1 where a mean is too large.

    \b
    Examples:
      impact-plugin demo --data elastix-5.3.1/Testing
      impact-plugin demo --iterations 50 --bound 3
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin.demo import program

    sys.exit(
        program.run(
            data,
            out,
            maps or presets.map_folder(),
            iterations,
            threads,
            bound,
        )
    )
