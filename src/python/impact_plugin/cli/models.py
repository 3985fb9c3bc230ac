"""``impact-plugin models``: inspect, export, list and download feature extractors."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from impact_plugin import _kept
from impact_plugin import models as library
from impact_plugin._errors import InputError
from impact_plugin.cli.paths import FilePath
from impact_plugin.models import downloading

if TYPE_CHECKING:
    from torch import nn


@click.group()
def models() -> None:
    """Feature extractors: inspect, export, list and download them.

    \b
    Examples:
      impact-plugin models list
      impact-plugin models download TS/M730 --folder models
      impact-plugin models inspect models/TS/M730.pt
      impact-plugin models mind --radius 1 --dilation 2
    """  # noqa: D301  (click reads the backspace)


@models.command()
@click.argument("file", type=FilePath())
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--operators", is_flag=True, help="Also list the operators in the model's code.")
@click.option("--no-run", is_flag=True, help="Read the file, and run nothing in it.")
@click.option(
    "--trust", is_flag=True, help="Run it even if it can do more than compute, such as write files."
)
@click.option("--dimension", type=click.IntRange(2, 3), help="Try only images of this dimension.")
@click.option("--channels", type=click.IntRange(1), help="Try only this number of channels.")
@click.option("--size", type=click.IntRange(1), help="Voxels along each axis of the first input.")
@click.option(
    "--intensities",
    type=(float, float),
    help="Least and greatest intensity of the inputs. Default: -100 to 100, or 0 to 1 where the "
    "network clamps its intensities and sees more of these.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds after which a model that does not come back is stopped.",
)
def inspect(
    file: Path,
    as_json: bool,
    operators: bool,
    no_run: bool,
    trust: bool,
    dimension: int | None,
    channels: int | None,
    size: int | None,
    intensities: tuple[float, float] | None,
    time_limit: float,
) -> None:
    """Tell what a TorchScript FILE is, and what it gives.

    Its code is read first, without running it; then it is run on small irregular images, in a
    process of its own. Strides and fields of view are measured by gradient; axes are in the order
    x, y, z.

    \b
    Examples:
      impact-plugin models inspect M730.pt
      impact-plugin models inspect unknown.pt --no-run --operators
    """  # noqa: D301  (click reads the backspace)
    report = library.inspect(
        file,
        run=not no_run,
        trust=trust,
        dimension=dimension,
        channels=channels,
        size=size,
        intensities=intensities,
        time_limit=time_limit,
    )
    click.echo(
        json.dumps(report.to_dict(), indent=2) if as_json else report.describe(operators=operators)
    )


@models.command()
@click.argument("network")
@click.argument("layers", nargs=-1, required=True)
@click.option(
    *("-o", "--out", "--output"), "output", type=FilePath(), help="File or folder to write."
)
@click.option(
    "--normalization",
    multiple=True,
    metavar="STEP",
    help="none, window:LOWER:UPPER, zscore:MEAN:STD, minmax or zscore; several are done in a row.",
)
@click.option(
    "--repeat-grey", type=click.IntRange(1), default=1, help="Channels to repeat grey to."
)
@click.option("--dimension", type=click.IntRange(2, 3), help="Dimension of the images.")
@click.option("--channels", type=click.IntRange(1), help="Channels of the model's input.")
@click.option("--size", type=click.IntRange(1), help="Voxels along each axis to trace at.")
@click.option("--fixed-size", is_flag=True, help="The network takes only that size.")
@click.option("--weights", type=click.Path(exists=True), help="state_dict to load into it first.")
def export(
    network: str,
    layers: tuple[str, ...],
    output: Path | None,
    normalization: tuple[str, ...],
    repeat_grey: int,
    dimension: int | None,
    channels: int | None,
    size: int | None,
    fixed_size: bool,
    weights: str | None,
) -> None:
    """Write a model file whose LAYERS are outputs of submodules of a NETWORK.

    NETWORK is `module:callable`: a function or class without arguments that gives the torch module,
    in a Python module that can be imported from here. LAYERS are names as named_modules() has them.

    \b
    Example:
      impact-plugin models export my_networks:unet encoder.0 encoder.1 \\
        --weights unet.pt --normalization window:-1000:1000 -o unet_layers.pt
    """  # noqa: D301  (click reads the backspace)
    module = _made(network)
    if weights is not None:
        if output is not None:
            own = output / f"{type(module).__name__}.pt"
            _kept.check([output, own], [("--weights", weights)])
        _load(module, weights, network)
    path = library.export(
        module,
        layers,
        output,
        normalization=normalization or "none",
        repeat_grey=repeat_grey,
        dimension=dimension,
        channels=channels,
        size=size,
        fixed_size=fixed_size,
    )
    click.echo(path)


@models.command()
@click.option("--radius", default=1, show_default=True, help="Patch radius, in voxels.")
@click.option(
    "--dilation", default=2, show_default=True, help="Distance between patches, in voxels."
)
@click.option("--dimension", default=3, show_default=True, help="2 or 3.")
@click.option(
    *("-o", "--out", "--output"), "output", type=FilePath(), help="File or folder to write."
)
def mind(radius: int, dilation: int, dimension: int, output: Path | None) -> None:
    """Write MIND, which needs no download, and print where it is."""
    click.echo(library.mind(radius, dilation, dimension, path=output))


@models.command("list")
@click.argument("pattern", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--online", is_flag=True, help="By the hub's models.json.")
@click.option("--revision", help="With --online, as for download.")
@click.option("--offline", is_flag=True, help="With --online: models.json from the cache alone.")
def list_(pattern: str, as_json: bool, online: bool, revision: str | None, offline: bool) -> None:
    """List the public models, or those with PATTERN in their line.

    A star marks what was measured on a file; the rest is what is written of the models. With
    --online dimension, input channels, field of view and multiple (an input's sizes must be
    multiples of it) are what the hub says; where the table of this package says something else is
    below.

    \b
    Examples:
      impact-plugin models list TS
      impact-plugin models list --online --json
    """  # noqa: D301  (click reads the backspace)
    if not online and (revision is not None or offline):
        message = "--revision and --offline say which models.json to take: give --online, too"
        raise InputError(message)
    entries = library.catalogue()
    if online:
        entries = library.online_catalogue(revision=revision, offline=offline or None)
    rows = [_row(entry, online=online) for entry in entries]
    chosen = [i for i, row in enumerate(rows) if pattern.lower() in " ".join(row).lower()]
    if as_json:
        click.echo(json.dumps([entries[i].to_dict() for i in chosen], indent=2))
        return
    if not chosen:
        raise click.ClickException(f'No public model has "{pattern}" in its line.')
    multiple = ("Multiple",) if online else ()
    head = ("Name", "Dim", "In", "Layers", "Field of view", *multiple, "mm", "What it is")
    shown = [head, *(rows[i] for i in chosen)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(head))]
    for row in shown:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())
    if differing := [entries[i] for i in chosen if entries[i].differences]:
        click.echo("\nWhere the hub's models.json and the table of this package differ:")
        for each in differing:
            click.echo(f"  {each.name}: {'; '.join(each.differences)}")


@models.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--folder",
    type=FilePath(),
    help="Put a copy there, as FOLDER/TS/M730.pt; by default files stay in the cache.",
)
@click.option("--revision", help="Commit, tag or branch of the repository; by default a fixed one.")
@click.option("--offline", is_flag=True, default=None, help="Take files only from the cache.")
@click.option("--quiet", is_flag=True, help="The paths alone, and no progress bar.")
def download(
    names: tuple[str, ...],
    folder: Path | None,
    revision: str | None,
    offline: bool | None,
    quiet: bool,
) -> None:
    """Fetch public models by NAMES, and print where they are.

    Today's names, old ones and others: TS/M730, M730_2_Layers.pt, DINOv2, SAM2.1, Anatomix. What
    the hub's models.json says of each goes to standard error, and where the table of this package
    says something else.
    """
    for name in names:
        path = library.download(
            name,
            folder,
            revision=revision,
            offline=offline,
            progress=False if quiet else None,
        )
        click.echo(path)
        if not quiet and (known := downloading.known(name, revision=revision)):
            click.echo(_said(known), err=True)


def _said(model: library.PublicModel) -> str:
    """Give what a map has to say of a model, and where the hub and the table differ."""
    channels = "1 channel" if model.input_channels == 1 else f"{model.input_channels} channels"
    sizes = f", sizes in multiples of {model.multiple}" if model.multiple else ""
    line = f"{model.name}: {model.dimension}D, {channels}, field of view {_views(model)}{sizes}"
    differing = [f"  {each} (the table of this package)" for each in model.differences]
    return "\n".join([line, *differing])


def _views(model: library.PublicModel) -> str:
    views = ("-" if view is None else str(view) for view in model.field_of_view)
    return " ".join(views) or "-"


def _row(model: library.PublicModel, *, online: bool) -> tuple[str, ...]:
    multiple = "-" if model.multiple is None else str(model.multiple)
    return (
        model.name + ("*" if model.verified else ""),
        f"{model.dimension}D",
        str(model.input_channels),
        " ".join(map(str, model.layers)) or "-",
        _views(model),
        *([multiple] if online else []),
        "-" if model.voxel_size is None else f"{model.voxel_size:g}",
        f"{model.family}: {model.about}" if model.family else model.about,
    )


def _made(network: str) -> nn.Module:
    """Call ``module:callable``, which makes the torch module."""
    module_name, _, attribute = network.partition(":")
    if not attribute:
        message = f'NETWORK is "{network}", expected module:callable, such as my_networks:unet'
        raise InputError(message)
    sys.path.insert(0, str(Path.cwd()))
    try:
        made_in = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's code raises
        message = f'Python module "{module_name}" cannot be imported: {_reason(error)}'
        raise InputError(message) from error
    finally:
        sys.path.pop(0)
    if not hasattr(made_in, attribute):
        message = f'Python module "{module_name}" has no "{attribute}"'
        raise InputError(message)

    from torch import nn

    maker: Callable[[], nn.Module] = getattr(made_in, attribute)
    try:
        made = maker()
    except Exception as error:  # whatever the user's code raises
        message = (
            f"{network} cannot be called without arguments, as it must be, or it failed: "
            f"{_reason(error)}"
        )
        raise InputError(message) from error
    if not isinstance(made, nn.Module):
        message = f"{network} gives {type(made).__name__}, and not a torch.nn.Module"
        raise InputError(message)
    return made


def _load(module: nn.Module, weights: str, network: str) -> None:
    """Load a state_dict into a torch module."""
    import torch

    try:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # the library's, of many kinds
        message = (
            f'The weights "{weights}" cannot be read: {_reason(error)} Give a file of a state_dict '
            "(torch.save(network.state_dict(), ...))."
        )
        raise InputError(message) from error
    try:
        module.load_state_dict(stored)
    except Exception as error:
        message = f'The weights "{weights}" do not fit {network}: {_reason(error)}'
        raise InputError(message) from error


def _reason(error: Exception) -> str:
    """Give the kind and the message of an exception."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else f"{type(error).__name__}."
