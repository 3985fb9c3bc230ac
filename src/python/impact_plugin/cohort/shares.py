"""How registrations share the processors, the memory and the GPUs of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from impact_plugin.cohort.plan import Task

_PART = 0.8
"""Part of the available memory to use; the rest is for other processes."""

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Without any of them there is no GPU that torch could use: CUDA's, ROCm's, WSL's."""


@dataclass(frozen=True)
class Machine:
    """What registrations on this machine share.

    Attributes:
        workers: How many processes there are, each with one registration at a time.
        processors: How many threads all registrations together may have.
        memory: How much memory all registrations together may take, bytes.
        threads: How many threads each registration has, where the caller said so.
        gpus: The values of ``CUDA_VISIBLE_DEVICES`` for one worker after the other; empty where
            workers use no GPU.
    """

    workers: int
    processors: int
    memory: int
    threads: int | None = None
    gpus: tuple[str, ...] = ()

    def threads_of(self, memory: int) -> int:
        """Give the threads of a registration: where few fit side by side, each has more."""
        if self.threads:
            return self.threads
        at_once = min(self.workers, max(1, self.memory // max(1, memory)))
        return max(1, self.processors // at_once)

    def fits(self, task: Task, running: Iterable[Task]) -> bool:
        """Tell whether a registration may start beside others; one alone always may."""
        others = list(running)
        return not others or (
            len(others) < self.workers
            and sum(each.memory for each in others) + task.memory <= self.memory
            and sum(each.threads for each in others) + task.threads <= self.processors
        )


def divide(
    predicted: Sequence[int],
    workers: int | None,
    threads: int | None,
    gpus: tuple[str, ...] = (),
) -> tuple[Machine, str]:
    """Choose the number of workers of this machine.

    There is one worker for each GPU. Without GPUs there are as many as processors, since several
    registrations side by side share no serial part. There are never more than registrations, or
    than fit into the memory when the smallest run side by side.

    Args:
        predicted: The memory of each registration that is to be done, bytes.
        workers: How many workers the caller wants, or None.
        threads: How many threads the caller wants for each registration, or None.
        gpus: The GPUs that workers are to use.

    Returns:
        The machine, and a sentence about it for people.
    """
    from impact_plugin import _core

    have, available = processors(), _core.available_memory()
    memory = int(_PART * available)
    wanted = workers or min(len(gpus) or max(1, have // (threads or 1)), max(1, len(predicted)))
    used = fit = 0
    for each in sorted(predicted):
        used += each
        if used > memory:
            break
        fit += 1
    number = max(1, min(wanted, fit) if predicted else wanted)
    total = max(have, number * (threads or 1))
    machine = Machine(number, total, memory, threads, gpus)
    gib = 2**30
    why = f"{number} worker{'s' if number > 1 else ''} on {have} processors"
    if gpus:
        why += f" and {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"
    if predicted:
        least, most = min(predicted) / gib, max(predicted) / gib
        size = f"{most:.1f}" if most - least < 0.05 else f"{least:.1f} to {most:.1f}"
        why += f"; a pair takes some {size} GiB of {available / gib:.1f} available"
        at_once = max(1, min(number, memory // max(predicted)))
        if number < wanted:
            why += f", so that {wanted} do not fit"
        elif at_once < number:
            why += f", so that {at_once} of the largest run at once"
    return machine, why


def processors() -> int:
    """Count the processors that this process may use, also within a container."""
    from dask.system import cpu_count

    count: int = cpu_count()
    return count


def gpus_of(device: str | None) -> tuple[str, ...]:
    """Name the GPUs that workers of this machine are to use, as ``CUDA_VISIBLE_DEVICES`` does.

    Args:
        device: None or "cuda": all that there are; "cuda:1": that one; "cpu": none.
    """
    if device == "cpu":
        return ()
    if said := os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        names = tuple(name.strip() for name in said.split(","))[: count_gpus()]
    else:
        names = tuple(map(str, range(count_gpus())))
    if device and ":" in device:
        number = int(device.partition(":")[2])
        return names[number : number + 1]
    return names


def count_gpus() -> int:
    """Count the GPUs that torch can use, in a process of its own.

    In this one, CUDA would take hold of them, and keep processes that are forked from using them.
    """
    if not any(Path(driver).exists() for driver in _DRIVERS):
        return 0
    code = "from impact_plugin import _devices; print(_devices.number_of_gpus())"
    try:
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
        )
        return int(found.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0
