"""``impact-plugin cohort``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin._io import expanded
from impact_plugin.cli import model_files as given_models
from impact_plugin.cli.paths import FilePath

if TYPE_CHECKING:
    from impact_plugin.cohort import Pair

_FILE = FilePath()


@click.command()
@click.argument("pairs", type=_FILE, required=False)
@click.option("-o", "--out", type=_FILE, required=True, help="Output folder; run again to resume.")
@click.option(
    *("--preset", "--variant"),
    "presets",
    multiple=True,
    metavar="NAME[+NAME...]",
    help="A preset, or several joined by + that run one after the other. Repeated, each is a "
    "variant, and each pair is registered with each; --variant is another name for this option. "
    "Default: affine_mi+mind_mi.",
)
@click.option("-p", "--parameters", "maps", type=_FILE, multiple=True, help="Parameter file(s).")
@click.option("--atlas", type=_FILE, help="Instead of PAIRS: register --images with this image.")
@click.option("--images", help="Pattern of the files to register with the atlas.")
@click.option("--bids", type=_FILE, help="Instead of PAIRS: a folder with BIDS names.")
@click.option("--fixed", help="Pattern of the fixed images in --bids: `sub-*/anat/*_T1w.nii.gz`.")
@click.option("--moving", help="Pattern of the moving images in --bids.")
@click.option("--models", type=_FILE, help="Folder of model files, in place of --model.")
@click.option(
    "--model",
    "model_files",
    multiple=True,
    metavar="NAME=FILE",
    help="File of a model named in a map.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Maximum number of pairs registered at once on this machine.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads per registration.")
@click.option(
    "--device",
    help="Where networks run: cpu, cuda, cuda:1. Default: one worker on each GPU of this machine, "
    "if there are any.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Address of a dask scheduler: tcp://host:8786."
)
@click.option("--cluster", type=_FILE, help="TOML file that describes the jobs of a queue.")
@click.option(
    "--feature-cache", type=click.Path(), help="Folder for feature maps shared between pairs."
)
@click.option(
    "--leave-out-outside", is_flag=True, help="Leave out landmarks that lie outside the images."
)
@click.option("--retries", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
def cohort(
    pairs: Path | None,
    out: Path,
    presets: tuple[str, ...],
    maps: tuple[Path, ...],
    atlas: Path | None,
    images: str | None,
    bids: Path | None,
    fixed: str | None,
    moving: str | None,
    models: Path | None,
    model_files: tuple[str, ...],
    workers: int | None,
    threads: int | None,
    device: str | None,
    scheduler: str | None,
    cluster: Path | None,
    feature_cache: str | None,
    leave_out_outside: bool,
    retries: int,
    quiet: bool,
) -> None:
    """Register many pairs, on this machine or on a cluster.

    PAIRS is a table, CSV or TSV, with the columns `fixed` and `moving`, and others as
    docs/cohorts.md lists them. Exit status: 0 all done, 1 nothing was started, 2 wrong usage,
    3 pairs failed, 130 stopped before the end, 143 by SIGTERM.

    \b
    Examples:
      impact-plugin cohort pairs.csv -o out
      impact-plugin cohort pairs.csv -o out --variant mind --variant rigid_mind+mind
      impact-plugin cohort --atlas atlas.nii.gz --images 'scans/s???.nii.gz' -o out
      impact-plugin cohort pairs.csv -o out --scheduler tcp://host:8786
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin.cohort import CohortError, register_cohort

    source = _source(pairs, atlas, images, bids, fixed, moving)
    chosen = [tuple(each.split("+")) for each in presets]
    try:
        result = register_cohort(
            source,
            out,
            variants=chosen,
            parameter_files=maps,
            models=given_models.placed(models, model_files),
            workers=workers,
            threads=threads,
            device=device,
            scheduler=scheduler,
            cluster_file=cluster,
            feature_cache=feature_cache,
            outside="leave out" if leave_out_outside else "error",
            retries=retries,
            progress=not quiet,
        )
    except CohortError as error:
        hint = error.hint("--leave-out-outside")
        raise click.ClickException(f"{error.text}{hint}") from error
    except KeyboardInterrupt as stop:
        click.echo(f"{str(stop) or 'stopped'}; nothing was started", err=True)
        sys.exit(143 if "SIGTERM" in str(stop) else 130)
    done = int((result.table["status"] == "done").sum())
    if result.unwritten:
        click.echo(f"{result.unwritten}; the same command writes it", err=True)
    if not quiet:
        click.echo(f"{done} of {len(result.table)} done; table: {result.folder / 'cohort.csv'}")
        if result.report:
            click.echo(f"report: {result.report}")
        if result.interrupted:
            click.echo(f"{result.interrupted}; the same command goes on", err=True)
    if result.interrupted:
        sys.exit(143 if "SIGTERM" in result.interrupted else 130)
    if result.failed or result.unwritten:
        sys.exit(3)


def _source(
    pairs: Path | None,
    atlas: Path | None,
    images: str | None,
    bids: Path | None,
    fixed: str | None,
    moving: str | None,
) -> Path | Iterable[Pair]:
    """Choose where the pairs come from.

    They are read only when the cohort asks for them, so that it reports their errors with all
    others.
    """
    if sum(each is not None for each in (pairs, atlas, bids)) != 1:
        message = "Give one of PAIRS, --atlas or --bids."
        raise click.UsageError(message)
    of_atlas = {"--images": images}
    of_bids = {"--fixed": fixed, "--moving": moving}
    others = {**({} if atlas else of_atlas), **({} if bids else of_bids)}
    if astray := [name for name, value in others.items() if value is not None]:
        source = "PAIRS" if pairs else "--atlas" if atlas else "--bids"
        message = (
            f"{' and '.join(astray)} cannot be given with {source}: --images goes with --atlas, "
            "--fixed and --moving go with --bids."
        )
        raise click.UsageError(message)
    if pairs is not None:
        return pairs
    if atlas is not None:
        if images is None:
            message = "--atlas needs --images, a pattern of files."
            raise click.UsageError(message)
        return _with_atlas(atlas, images)
    if bids is None or fixed is None or moving is None:
        message = "--bids needs --fixed and --moving, patterns of files in it."
        raise click.UsageError(message)
    return _of_bids(bids, fixed, moving)


def _with_atlas(atlas: Path, images: str) -> Iterator[Pair]:
    from impact_plugin.cohort import CohortProblem, PairsError, all_to_atlas
    from impact_plugin.cohort.sources import matching

    try:
        whole = expanded(images).absolute()
        relative = str(whole.relative_to(whole.anchor)) if images else ""
        found = matching(Path(whole.anchor), relative)
    except (ValueError, OSError) as error:
        message = f"images is {images!r}, expected a pattern of files: {error}"
        raise PairsError([CohortProblem("pattern", message)]) from error
    if not found:
        message = f"there is no image: no file matches {images!r} (images)"
        raise PairsError([CohortProblem("pattern", message)])
    yield from all_to_atlas(atlas, found)


def _of_bids(folder: Path, fixed: str, moving: str) -> Iterator[Pair]:
    from impact_plugin.cohort import match_patterns

    yield from match_patterns(folder, fixed, moving)
