"""``impact-plugin features``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin.cli import paths
from impact_plugin.cli.paths import FilePath

if TYPE_CHECKING:
    from impact_plugin.images.colour import Channel
    from impact_plugin.parameters import FeatureNormalization

_FILE = FilePath()


@click.command()
@click.argument("image", type=_FILE)
@click.option("--model", type=_FILE, required=True, help="TorchScript file.")
@paths.image("moving", "Moving image, shown beside IMAGE.")
@click.option("-o", "--out", type=_FILE, required=True, help="Output folder; made if needed.")
@click.option("--layers", metavar="N,N,...", help="Numbers of layers, from 0. Default: all.")
@click.option(
    "--voxel-size", metavar="MM[,MM...]", help="Voxel size for the network. Default: the image's."
)
@click.option("--dimension", type=click.IntRange(2, 3), help="Dimension of the network's input.")
@click.option("--channels", type=click.IntRange(1), help="Channels of the network's input.")
@click.option(
    "--feature-normalization",
    type=click.Choice(["none", "l2", "standardized"]),
    default="none",
    show_default=True,
    help="How each feature vector is scaled over its layer's channels.",
)
@click.option(
    "-t",
    "--initial-transform",
    help="Where the moving image lies: `center`, `mass`, or a transform file.",
)
@paths.channel()
@click.option(
    "--distance",
    "distances",
    multiple=True,
    help="Distance to scan; repeatable. Default: all.",
)
@click.option("--range", "scan_range", type=float, metavar="MM", help="Largest shift of the scans.")
@click.option("--steps", default=41, show_default=True, help="Shifts along each axis; odd.")
@click.option("--samples", default=2000, show_default=True, help="Number of points to compare.")
@click.option("--slices", default=24, show_default=True, help="Maximum number of slices per plane.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["mha", "nii.gz"]),
    default="mha",
    show_default=True,
    help="Format of the feature maps.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="Where the network runs: cpu, cuda:0."
)
@click.option("--trust", is_flag=True, help="Run a model that can do more than compute.")
def features(
    image: Path,
    model: Path,
    moving: Path | None,
    out: Path,
    layers: str | None,
    voxel_size: str | None,
    dimension: int | None,
    channels: int | None,
    feature_normalization: FeatureNormalization,
    initial_transform: str | None,
    channel: Channel | None,
    distances: tuple[str, ...],
    scan_range: float | None,
    steps: int,
    samples: int,
    slices: int,
    file_format: str,
    device: str,
    trust: bool,
) -> None:
    """Show what a network sees of IMAGE, and how sharply its layers tell places apart.

    The folder gets features.html, the feature maps as images in place (vectors, and in colours),
    and sharpness.csv: what helps to choose LayersMask and Distance.

    \b
    Examples:
      impact-plugin features ct.mha --model M730.pt --voxel-size 3 -o seen
      impact-plugin features ct.mha --model M730.pt -m mr.mha -t affine.tfm --layers 0,2 -o seen
    """  # noqa: D301  (\b keeps click from joining lines)
    from impact_plugin.report import features as viewing

    view = viewing.view_features(
        image,
        model,
        out,
        moving=moving,
        layers=None if layers is None else [int(n) for n in _numbers(layers, "--layers", int)],
        voxel_size=None if voxel_size is None else _numbers(voxel_size, "--voxel-size", float),
        dimension=dimension,
        channels=channels,
        feature_normalization=feature_normalization,
        initial_transform=initial_transform,
        channel=channel,
        distances=distances or viewing.DISTANCES,
        scan_range=scan_range,
        scan_steps=steps,
        samples=samples,
        slices=slices,
        file_format=file_format,
        trust=trust,
        device=device,
    )
    click.echo(f"{view.page} ({view.page.stat().st_size / 1e6:.1f} MB)")


def _numbers(text: str, option: str, kind: type[int] | type[float]) -> list[int] | list[float]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        message = f"{text!r}: expected numbers with commas between them, such as 0,2"
        raise click.BadParameter(message, param_hint=option) from None
