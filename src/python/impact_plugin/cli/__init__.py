"""The command line ``impact-plugin``: a file for each command."""

from __future__ import annotations

import os


def main() -> None:
    """Run ``impact-plugin`` with the arguments of this process."""
    # As in the processes that it starts (elastix/process.py): before torch's libraries are opened.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from impact_plugin.cli.program import program
    from impact_plugin.elastix import signals

    with signals.cleaned_up():
        program(prog_name="impact-plugin")
