"""Runs elastix's and transformix's own main functions in this process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Literal

from impact_plugin import _versions

RECORD = "-record"
"""Flag that ``impact-elastix`` has in addition to elastix's."""

_HELP = frozenset({"-h", "-help", "--help"})
_VERSION = frozenset({"--version", "--extended-version"})


def run(program: Literal["elastix", "transformix"], arguments: Sequence[str]) -> int:
    """Run a program, whose images were checked for damage before; gives its exit code."""
    try:
        _versions.check()  # first: a module built for another version may crash instead of raising
        from impact_plugin import _elastix
    except _versions.VersionMismatchError as error:
        print(f"impact-{program}: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(
            f"impact-{program}: the compiled module impact_plugin._elastix cannot be loaded: "
            f"{error}\nInstalled: {_versions.describe()}. Install the package again, with "
            "`pip install impact-plugin`, or with `pip install .` in its source folder.",
            file=sys.stderr,
        )
        return 1

    # Python turns Ctrl-C into an exception that only Python code sees, and ignores a closed pipe.
    # While elastix runs there is no Python code, so both must end the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    sys.stdout.flush()  # elastix writes to the same stream past Python's buffer
    run = _elastix.run_elastix if program == "elastix" else _elastix.run_transformix
    exit_code: int = run([os.fsencode(a) for a in (f"impact-{program}", *arguments)])

    # elastix heeds these words only if they are the only argument.
    word = arguments[0] if len(arguments) == 1 else ""
    if word in _VERSION:
        print(_versions.describe())
    elif word in _HELP:
        print(
            f"\nThis is {program} as impact-{program}: the same arguments, "
            f'and (Metric "Impact") in parameter files ({_versions.describe()}).'
        )
        if program == "elastix":
            print(
                f"{RECORD} FILE writes a JSON record of the registration, which "
                "`impact-plugin rerun FILE` runs again."
            )
    sys.stdout.flush()
    return exit_code
