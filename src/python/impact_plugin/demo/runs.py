"""Runs elastix and transformix as a user would, and shows their progress."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from impact_plugin._errors import ImpactError
from impact_plugin.elastix.log import ElastixLog


class RunError(ImpactError, RuntimeError):
    """elastix or transformix failed; the message has the end of its output."""


def numbers(parameter_map: str, name: str) -> list[float]:
    """Read the numbers of a parameter in the text of a parameter file; empty without it."""
    found = re.search(rf"(?m)^\({name} ([^)]*)\)", parameter_map)
    return [float(number) for number in found.group(1).split()] if found else []


def set_parameter(parameter_map: str, name: str, *values: float) -> str:
    """Change the numbers of a parameter in the text of a parameter file.

    Raises:
        ValueError: The file does not have that parameter.
    """
    changed, count = re.subn(
        rf"(?m)^\({name} [^)]*\)", f"({name} {' '.join(map(str, values))})", parameter_map
    )
    if count != 1:
        message = f"expected one parameter {name} in the parameter file, and found {count}"
        raise ValueError(message)
    return changed


def elastix(arguments: list[str | Path], parameter_map: str) -> tuple[ElastixLog, float]:
    """Run ``impact-elastix``, with a line that shows its progress.

    Args:
        arguments: Its command line.
        parameter_map: Text of its parameter file, which tells how much there is to do.

    Returns:
        What it logged, and the seconds it took.

    Raises:
        RunError: It failed.
    """
    log = ElastixLog()
    progress = _Progress(parameter_map)
    tail: deque[str] = deque(maxlen=30)
    start = time.perf_counter()
    with subprocess.Popen(
        _command("elastix", arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line)
            if log.feed(line) or line.startswith("Resolution: "):
                progress.show(log, time.perf_counter() - start)
    progress.end()
    if process.returncode != 0:
        raise RunError(_failure("elastix", process.returncode, tail))
    return log, time.perf_counter() - start


def transformix(arguments: list[str | Path]) -> None:
    """Run ``impact-transformix``.

    Raises:
        RunError: It failed.
    """
    process = subprocess.run(
        _command("transformix", arguments),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode != 0:
        tail = (process.stdout + process.stderr).splitlines(keepends=True)[-30:]
        raise RunError(_failure("transformix", process.returncode, tail))


def _command(program: str, arguments: list[str | Path]) -> list[str]:
    return [sys.executable, "-m", "impact_plugin.command_line", program, *map(str, arguments)]


def _failure(program: str, exit_code: int, tail: Iterable[str]) -> str:
    return f"impact-{program} ended with exit code {exit_code}. Its last lines:\n{''.join(tail)}"


class _Progress:
    """Progress: one line, rewritten, in a terminal; elsewhere a line every fifty iterations."""

    def __init__(self, parameter_map: str) -> None:
        self._levels = int(numbers(parameter_map, "NumberOfResolutions")[0])
        self._iterations = numbers(parameter_map, "MaximumNumberOfIterations")
        self._live = sys.stdout.isatty()

    def show(self, log: ElastixLog, seconds: float) -> None:
        level, values = len(log.levels), log.levels[-1].values
        of = int(self._iterations[min(level, len(self._iterations)) - 1])
        text = f"  level {level} of {self._levels}  {seconds:6.1f} s"
        if values:
            text += f"  iteration {len(values):3d} of {of}  metric {values[-1]:10.6f}"
        if self._live:
            print(f"\r{text}\x1b[K", end="", flush=True)
        elif len(values) % 50 == 0 or len(values) == of:
            print(text, flush=True)

    def end(self) -> None:
        if self._live:
            print()
