"""The program ``impact-plugin``, which imports each command when it is used."""

from __future__ import annotations

import errno
import importlib
import warnings
from typing import TextIO

import click

import impact_plugin
from impact_plugin._errors import ImpactError
from impact_plugin._io import PathNameError, utf8_name

_COMMANDS = {
    "register": "Align a moving image with a fixed image.",
    "start": "Find where a fixed image is in a moving one, from anywhere: a start for elastix.",
    "cohort": "Register many pairs, on this machine or on a cluster.",
    "cohort-report": "Show a cohort as one HTML page.",
    "apply": "Apply a transform to an image, a label map or points.",
    "evaluate": "Measure landmark errors, overlap of labels and folding of a registration.",
    "rerun": "Run a registration again out of its record, and compare to the bit.",
    "report": "Show a registration as one HTML page.",
    "features": "Show what a network sees of images, and which layer tells places apart.",
    "check": "Check a parameter file, and images with it, before anything long runs.",
    "models": "Feature extractors: inspect, export, list and download them.",
    "elastix-folder": "Make a folder like an installation of elastix, for programs that want one.",
    "demo": "Register a real lung CT pair and show the landmark errors.",
    "doctor": "Say what is installed, whether it fits, and what to do if not.",
}


class LazyGroup(click.Group):
    """A group that finds the command ``<name>`` in the module ``impact_plugin.cli.<name>``.

    A ``-`` in the name of a command is ``_`` in that of the module.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line, in which any argument may name a file.

        Raises:
            UsageError: One is not UTF-8.
        """
        for argument in args:
            try:
                utf8_name(argument)
            except PathNameError as error:
                raise click.UsageError(str(error), ctx) from None
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command.

        Raises:
            ClickException: Its module is not part of this installation.
        """
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = f"impact_plugin.cli.{name}"
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            message = f"the command {cmd_name!r} is not part of this installation: no {module}"
            raise click.ClickException(message) from error
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command, and show the package's own warnings as plain sentences.

        Raises:
            ClickException: What the user gave, or the machine, does not do.
        """
        with warnings.catch_warnings():
            show = warnings.showwarning

            def say(
                message: Warning | str,
                category: type[Warning],
                filename: str,
                lineno: int,
                file: TextIO | None = None,
                line: str | None = None,
            ) -> None:
                if category.__module__.partition(".")[0] == "impact_plugin":
                    click.echo(f"Warning: {message}", err=True)
                else:
                    show(message, category, filename, lineno, file, line)

            warnings.showwarning = say
            try:
                return super().invoke(ctx)
            except (ImpactError, ValueError, TypeError, OSError, ImportError) as error:
                if isinstance(error, OSError) and error.errno == errno.EPIPE:
                    raise  # nobody reads any more, which click knows
                raise click.ClickException(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Shell completion: see `Shell completion` in docs/registration.md. elastix's own "
    "programs with the IMPACT metric: impact-elastix and impact-transformix.",
)
@click.version_option(impact_plugin.__version__, prog_name="impact-plugin")
def program() -> None:
    """Registration of medical images by the features of pretrained networks, with elastix.

    \b
    Examples:
      impact-plugin doctor
      impact-plugin register fixed.nii.gz moving.nii.gz -o result
      impact-plugin register ct.mha cbct.mha -o result --preset rigid_mind --preset mind
    """  # noqa: D301  (\b keeps click from joining lines)
