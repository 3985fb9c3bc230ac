"""Runs elastix and transformix as child processes and listens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

CALLER = "IMPACT_CALLER"
"""The environment variable by which a child knows the process that started it."""

Program = Literal["elastix", "transformix"]


def run(
    program: Program,
    arguments: Sequence[str | Path],
    listen: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    module: str = "impact_plugin.elastix.child",
) -> int:
    """Run elastix or transformix and pass on its output, line by line as it comes.

    An exception, from ``listen`` or a KeyboardInterrupt, also ends the child. Several threads may
    call this at once.

    Args:
        program: The program to run.
        arguments: Its command line.
        listen: Called with each line of output, without the line break. elastix waits for it once
            the pipe between them is full.
        environment: Variables in addition to this process's.
        module: The module that the child runs: :mod:`.child`, or another that calls its ``main``.

    Returns:
        The exit code; negative where a signal ended it, see :func:`describe_exit`.

    Raises:
        RuntimeError: This Python does not know its own interpreter, as some programs that embed it
            do not.
    """
    command = [interpreter(), "-m", module, program]
    with subprocess.Popen(
        [*command, *(os.fspath(argument) for argument in arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=child_environment(environment),
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                listen(line.rstrip("\n"))
            return process.wait()
        except BaseException:
            process.kill()
            raise


def answered(
    module: str,
    request: Callable[[], bytes],
    time_limit: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[bytes, int]:
    """Ask a module of ours that runs in a process of its own.

    The answer has a file of its own, since what runs there may print; that comes on standard error.

    Args:
        module: It reads the request on standard input, and writes the answer to the descriptor
            whose number is its argument.
        request: Gives the request, while the process starts.
        time_limit: Seconds; None for no limit.
        environment: Variables in addition to this process's.

    Returns:
        The answer, empty where the process gave none, and its exit code.

    Raises:
        subprocess.TimeoutExpired: It took longer, and was ended.
        RuntimeError: This Python does not know its own interpreter.
    """
    with tempfile.TemporaryFile() as answers:
        with subprocess.Popen(
            [interpreter(), "-m", module, str(answers.fileno())],
            stdin=subprocess.PIPE,
            stdout=2,  # standard error, by its number: sys.stderr need not be a file
            pass_fds=[answers.fileno()],
            env=child_environment(environment),
        ) as process:
            try:
                process.communicate(request(), timeout=time_limit)
            finally:
                process.kill()
        answers.seek(0)
        return answers.read(), process.returncode


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment for a child that ends with this process.

    Args:
        more: Variables in addition to this process's.
    """
    # Threads of torch that wait for each other in a loop take the processors of those that work.
    waiting = {"OMP_WAIT_POLICY": "passive"}
    # A file random.py in the current folder must not become the child's module of that name.
    own = {"PYTHONSAFEPATH": "1", CALLER: str(os.getpid())}
    return {**waiting, **os.environ, **own, **(more or {})}


def interpreter() -> str:
    """Give the path of this Python's interpreter.

    Raises:
        RuntimeError: It is not known, as in some programs that embed Python.
    """
    if not sys.executable:
        message = (
            "sys.executable is empty: this Python runs inside another program and does not know "
            "its own interpreter. Set sys.executable to the path of a python that has "
            "impact-plugin."
        )
        raise RuntimeError(message)
    return sys.executable


def describe_exit(code: int) -> str:
    """Say in words how a process ended.

    Example:
        >>> describe_exit(-9)
        'was ended by the signal SIGKILL, as the system does where memory runs out'
    """
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = {
        "SIGKILL": ", as the system does where memory runs out",
        "SIGINT": ", by Ctrl-C",
    }.get(name, "")
    return f"was ended by the signal {name}{hint}"
