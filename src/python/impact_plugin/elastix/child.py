"""The process in which elastix runs: ``python -m impact_plugin.elastix.child elastix ...``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from impact_plugin import command_line
from impact_plugin.elastix.process import CALLER

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def die_with_caller() -> None:
    """Have this process killed when the one that started it ends, in whatever way."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have ended before that. Its number may be 1: the first process of a container.
    if str(os.getppid()) != os.environ.get(CALLER, ""):
        sys.exit(1)


def main() -> int:
    """Run elastix or transformix as :mod:`impact_plugin.command_line` does, bound to the caller.

    A caller that is killed outright, as workers of joblib and dask are, takes its child along.
    """
    die_with_caller()
    program, *arguments = sys.argv[1:]
    if program == "elastix":
        from impact_plugin.check import before_run  # of a higher floor

        if not before_run.say(arguments):
            return 1
    return command_line.run("elastix" if program == "elastix" else "transformix", arguments)


if __name__ == "__main__":
    sys.exit(main())
