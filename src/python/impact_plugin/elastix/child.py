"""The process in which elastix runs: ``python -m impact_plugin.elastix.child elastix ...``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence

from impact_plugin.elastix import native
from impact_plugin.elastix.process import CALLER

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def die_with_caller() -> None:
    """Have the system kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have ended before. Its number may be 1, of a container's first process.
    if str(os.getppid()) != os.environ.get(CALLER, ""):
        sys.exit(1)


def main(may_begin: Callable[[Sequence[str]], bool] = lambda _: True) -> int:
    """Run elastix or transformix as :mod:`.native` does, bound to the caller.

    A caller that is killed, as workers of joblib and dask may be, takes this process along.

    Args:
        may_begin: Called with elastix's arguments; tells whether it may run.

    Returns:
        The exit code; 1 where elastix may not begin.
    """
    die_with_caller()
    program, *arguments = sys.argv[1:]
    if program == "transformix":
        return native.run("transformix", arguments)
    return native.run("elastix", arguments) if may_begin(arguments) else 1


if __name__ == "__main__":
    sys.exit(main())
