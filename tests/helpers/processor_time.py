"""Processor time, which does not depend on what else the machine does, as wall-clock time does."""

from __future__ import annotations

import functools
import resource
import subprocess
import sys
from pathlib import Path


def of_command(*command: str | Path) -> float:
    """Give the processor time of a program that ends well, seconds: the least of three runs."""
    return min(_once(command) for _ in range(3))


@functools.cache
def of_importing_torch() -> float:
    """Give that of a Python that imports torch: what a light program must stay far below."""
    return of_command(sys.executable, "-c", "import torch")


def _once(command: tuple[str | Path, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
