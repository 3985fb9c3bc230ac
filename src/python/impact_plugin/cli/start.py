"""``impact-plugin start``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin import _kept
from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath
from impact_plugin.search import SEARCH_KINDS

if TYPE_CHECKING:
    from impact_plugin.images.colour import Channel
    from impact_plugin.search import SearchKind

_FILE = FilePath()


@click.command()
@click.argument("fixed", type=_FILE)
@click.argument("moving", type=_FILE)
@click.option(
    "-o",
    "--out",
    type=_FILE,
    required=True,
    help="File to write: .txt as elastix has it, .tfm or .h5 as ITK has it.",
)
@click.option(
    "--transform",
    type=click.Choice(SEARCH_KINDS),
    default=SEARCH_KINDS[0],
    show_default=True,
    help="What is searched for.",
)
@click.option("--model", type=_FILE, help="TorchScript network to compare by. Default: MIND.")
@click.option(
    "--layer", type=click.IntRange(min=0), default=0, help="Which of its outputs: from 0."
)
@click.option("--fixed-mask", type=_FILE, help="Mask of the fixed image: look where it is not 0.")
@click.option("--moving-mask", type=_FILE, help="Mask of the moving image.")
@click.option("--threads", type=click.IntRange(min=1), help="Default: all processors.")
@click.option("--device", help="Where features are computed: cpu (the default), cuda:0.")
@paths.channel()
def start(
    fixed: Path,
    moving: Path,
    out: Path,
    transform: SearchKind,
    model: Path | None,
    layer: int,
    fixed_mask: Path | None,
    moving_mask: Path | None,
    threads: int | None,
    device: str | None,
    channel: Channel | None,
) -> None:
    """Find where the FIXED image is in the MOVING one, from anywhere, for elastix to begin there.

    All rotations and translations are tried on MIND features. The scores that are printed, of the
    best place and of the best elsewhere, say how sure the result is: 1 is the most, and where both
    are nearly the same, the place may be wrong.

    \b
    Examples:
      impact-plugin start ct.nii.gz mr.nii.gz -o start.txt
      impact-elastix -f ct.nii.gz -m mr.nii.gz -t0 start.txt -p map.txt -out result
      impact-plugin register ct.nii.gz mr.nii.gz -o result --initial-transform search
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin.registration import starting

    starting.check_name(out)
    read = {
        "FIXED": fixed,
        "MOVING": moving,
        "--model": model,
        "--fixed-mask": fixed_mask,
        "--moving-mask": moving_mask,
    }
    files = starting.files_of(out, transform)
    _kept.check(files, [(name, path) for name, path in read.items() if path is not None])
    found = starting.find_start(
        fixed,
        moving,
        transform=transform,
        model=model,
        layer=layer,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        threads=threads,
        device=device,
        channel=channel,
    )
    found.save(out)
    other = "none" if found.runner_up is None else f"{found.runner_up:.3f}"
    click.echo(f"score {found.score:.3f}, best elsewhere {other}: {out}")
    if not found.is_sure:
        click.echo(
            "Another place is nearly as good: look at the result, or mask what the images have in "
            "common (--fixed-mask, --moving-mask).",
            err=True,
        )
