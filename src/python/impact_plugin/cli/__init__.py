"""The command line ``impact-plugin``: a file for each command."""

from __future__ import annotations


def main() -> None:
    """Run ``impact-plugin`` with the arguments of this process."""
    from impact_plugin.cli.program import program
    from impact_plugin.elastix import signals

    with signals.cleaned_up():
        program(prog_name="impact-plugin")
