"""The process in which elastix runs: ``python -m impact_plugin.engine.child elastix ...``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from impact_plugin import command_line

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def main() -> int:
    """Run elastix or transformix as :mod:`impact_plugin.command_line` does, bound to the caller.

    A caller that is killed outright, as workers of joblib and dask are, takes its child along.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it died before that
        return 1
    program, *arguments = sys.argv[1:]
    run = {"elastix": command_line.elastix_main, "transformix": command_line.transformix_main}
    return run[program](arguments)


if __name__ == "__main__":
    sys.exit(main())
