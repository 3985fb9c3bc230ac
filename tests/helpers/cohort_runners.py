"""What stands in for registrations where the registration is not the point."""

from __future__ import annotations

import json
import os
import signal
import time

from impact_plugin.cohort import work
from impact_plugin.cohort.plan import TASK, Task
from impact_plugin.cohort.work import Row


def fake(task: Task) -> Row:
    """Do as the worker's function does; names of pairs say what becomes of them."""
    died = work.starts(task)
    row: Row = {
        "pair": task.pair.name,
        "variant": task.variant.name,
        "key": task.key,
        "attempts": task.attempt + died,
    }
    if died and row["attempts"] > 1 + task.retries:
        return row | work.died_row(died, task)
    marker = work.started_file(task)
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.open("a") as file:
        file.write("start\n")
    time.sleep(0.02)
    if task.pair.name.startswith("kills"):
        os.kill(os.getpid(), signal.SIGKILL)
    if task.pair.name.startswith("bad"):
        row |= {"status": "failed", "error": "ValueError: bad"}
    else:
        row |= {"status": "done", "error": "", "seconds": 0.02}
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / TASK).write_text(json.dumps(row))
    marker.unlink()
    return row


def interrupted(task: Task) -> Row:
    """Do as :func:`fake`, and slowly, so that a run can be stopped before its end."""
    time.sleep(0.5)
    return fake(task)


def fails_then_dies(task: Task) -> Row:
    """Fail at the first try, kill the worker at the second, be done at the third."""
    row = {"pair": task.pair.name, "variant": task.variant.name, "key": task.key}
    if task.attempt == 1:
        return {**row, "status": "failed", "error": "ValueError: first", "attempts": 1}
    if work.starts(task) == 0:
        marker = work.started_file(task)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(f"host:{os.getpid()} 0\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return fake(task)


def segfaults(task: Task) -> Row:
    """Crash as native code does."""
    marker = work.started_file(task)
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.open("a") as file:
        file.write(f"host:{os.getpid()} 0\n")
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def noting(task: Task) -> Row:
    """Note in the cohort's folder when it ran, and with how many threads."""
    begun = time.time()
    time.sleep(0.3)
    row = fake(task)
    line = f"{begun} {time.time()} {task.memory} {task.threads}\n"
    (task.folder / "ran.txt").write_text(line)
    return row


def kills_its_job_once(task: Task) -> Row:
    """End the first pair's job, all of it, as a queue does at the end of its time."""
    if task.pair.name == "p0" and work.starts(task) == 0:
        marker = work.started_file(task)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(f"host:{os.getpid()} 0\n")
        os.killpg(os.getpgid(0), signal.SIGKILL)
    return fake(task)
