"""Many registrations in one process, one after the other or at once, for tests/test_long_runs.py.

    python long_run.py loop MODEL COUNT
    python long_run.py threads MODEL COUNT

MODEL is a TorchScript file with three layers (helpers.tiny_models.Layers). Both modes take turns.
The loop prints the process's memory in KiB after each registration, the threads the parameters that
each has found, as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path

from in_one_process import (  # type: ignore[import-not-found]  # beside this program
    MODES,
    check,
    images,
    register,
)


def resident() -> int:
    """Give this process's resident memory in KiB."""
    found = re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def loop(model: str, count: int) -> list[int]:
    """Register again and again, always the same two images."""
    pair = images()
    sizes = []
    for number in range(count):
        check(register(model, MODES[number % 2], pair))
        sizes.append(resident())
    return sizes


def threads(model: str, count: int) -> list[list[str]]:
    """Register in threads of one process that all begin at once."""
    pair = images()
    begin = threading.Barrier(count)
    found: list[list[str]] = [[] for _ in range(count)]

    def work(number: int) -> None:
        begin.wait()
        found[number] = register(model, MODES[number % 2], pair)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return found


if __name__ == "__main__":
    what, model_file, times = sys.argv[1:]
    run = {"loop": loop, "threads": threads}[what]
    print(json.dumps(run(model_file, int(times))))
