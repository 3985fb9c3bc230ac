"""Runs elastix and transformix as child processes and listens to them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

CALLER = "IMPACT_CALLER"
"""The environment variable by which a child knows the process that started it."""

Program = Literal["elastix", "transformix"]

Ask = Callable[[bytes, float | None], tuple[bytes, int]]
"""Takes a request and how many seconds the answer may take (None: any; subprocess.TimeoutExpired);
gives the answer, empty where there was none, and the exit code."""


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


@contextlib.contextmanager
def answering(module: str, environment: Mapping[str, str] | None = None) -> Iterator[Ask]:
    """Run a module of ours in a process of its own, which is asked once.

    The process starts at once, so that it can import what it needs before it is asked, and is ended
    with the context. The answer has a file of its own, since what runs there may print; that comes
    on standard error.

    Args:
        module: It reads the request on standard input, and writes the answer to the descriptor
            whose number is its argument.
        environment: Variables in addition to this process's.

    Raises:
        RuntimeError: This Python does not know its own interpreter.
    """
    with (
        tempfile.TemporaryFile() as answers,
        subprocess.Popen(
            [interpreter(), "-m", module, str(answers.fileno())],
            stdin=subprocess.PIPE,
            stdout=2,  # standard error, by its number: sys.stderr need not be a file
            pass_fds=[answers.fileno()],
            env=child_environment(environment),
        ) as process,
    ):

        def ask(request: bytes, time_limit: float | None) -> tuple[bytes, int]:
            process.communicate(request, timeout=time_limit)
            answers.seek(0)
            return answers.read(), process.returncode

        try:
            yield ask
        finally:
            process.kill()


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
