"""The command line ``impact-plugin``: a file for each command."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO


def main() -> None:
    """Run ``impact-plugin`` with the arguments of this process."""
    from impact_plugin.cli.program import program
    from impact_plugin.elastix import signals

    usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Show the package's own warnings as plain sentences, without a place in its sources."""
        if category.__module__.partition(".")[0] == "impact_plugin":
            print(f"Warning: {message}", file=file or sys.stderr)
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    with signals.cleaned_up():
        program(prog_name="impact-plugin")
