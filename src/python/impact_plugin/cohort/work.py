"""What a worker does with one pair. Whatever happens comes back as data, not as an exception."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

from impact_plugin.cohort.plan import TASK, Task

Row = dict[str, Any]
"""What is known of one task after it ran: a row of the cohort's table."""


def started_file(task: Task) -> Path:
    """Give the file in which each start of a task is a line, until it ends in whatever way.

    What is left of it tells which pair ran on a worker that died, and which only waited there.
    """
    return Path(task.cohort) / ".started" / f"{task.pair.name}@{task.variant.name}"


def starts(task: Task) -> int:
    """Count the starts of a task that did not end: its worker died."""
    try:
        return len(started_file(task).read_text().splitlines())
    except FileNotFoundError:
        return 0


def run(task: Task) -> Row:
    """Register a pair, measure the result and put it in its place, or say why not."""
    begun = time.perf_counter()
    row: Row = {
        "pair": task.pair.name,
        "variant": task.variant.name,
        "key": task.key,
        "status": "failed",
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        "error": "",
    }
    died = starts(task)
    if died > task.retries:
        return row | died_row(died)
    marker = started_file(task)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        with marker.open("a") as file:
            file.write(f"{row['worker']} {time.time():.3f}\n")
        with _PeakMemory() as memory:
            measured = _register(task, row, begun, memory)
        row |= measured
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}"
        row["traceback"] = traceback.format_exc(limit=-6)
        row["seconds"] = round(time.perf_counter() - begun, 3)
    marker.unlink(missing_ok=True)
    return row


def died_row(times: int) -> Row:
    """Say that a pair's worker died each time it ran."""
    return {
        "status": "failed",
        "attempts": times,
        "error": f"WorkerDied: its worker died each of the {times} times that it ran: killed by "
        "the system, as where memory runs out, or a crash; see the worker's log",
    }


def _register(task: Task, row: Row, begun: float, memory: _PeakMemory) -> Row:
    import impact_plugin
    from impact_plugin.cohort import measuring
    from impact_plugin.pairwise import storage

    if task.feature_cache:
        os.environ["IMPACT_FEATURE_CACHE"] = task.feature_cache
    pair = task.pair
    result = impact_plugin.register_images(
        pair.files["fixed"],
        pair.files["moving"],
        fixed_mask=pair.files.get("fixed_mask"),
        moving_mask=pair.files.get("moving_mask"),
        initial_transform=pair.initial_transform,
        models=task.models,
        threads=task.threads,
        device=task.device,
        progress=False,
        **_maps(task),
        iterations=pair.options.get("iterations"),
        seed=pair.options.get("seed"),
    )
    figures = measuring.figures(pair, result)
    metric = result.history.metric
    done = row | {
        "status": "done",
        "metric": float(metric[-1]) if len(metric) else None,
        **figures,
        "seconds": round(time.perf_counter() - begun, 3),
        "peak_memory_mb": round(memory.peak / 2**20, 1),
    }
    place = task.folder
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.parent / f".unfinished-{uuid.uuid4().hex}"
    try:
        unfinished.mkdir()
        storage.write_files(result, unfinished, place)
        (unfinished / TASK).write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
        if place.exists():
            old = place.parent / f".old-{uuid.uuid4().hex}"
            place.rename(old)
            unfinished.rename(place)
            shutil.rmtree(old, ignore_errors=True)
        else:
            unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return done


def _maps(task: Task) -> dict[str, Any]:
    """Give the arguments for the maps: the preset, unless the pair changes parameters."""
    overrides = dict(task.pair.overrides)
    if task.variant.presets and not overrides:
        return {"preset": list(task.variant.presets)}
    from impact_plugin.check import ImageHeader
    from impact_plugin.engine import parameter_text
    from impact_plugin.pairwise import presets

    if task.variant.maps:
        maps = [parameter_text.read(Path(path)) for path in task.variant.maps]
        return {"parameter_maps": [each | overrides for each in maps]}
    import SimpleITK as sitk

    dimension = len(ImageHeader.read(task.pair.files["fixed"]).size)
    maps = [presets.load(name, dimension) for name in task.variant.presets]
    # Outside, the least value of the moving image, as with a preset that is not changed.
    least = float(sitk.GetArrayViewFromImage(sitk.ReadImage(task.pair.files["moving"])).min())
    said = {} if "DefaultPixelValue" in overrides else {"default_pixel_value": least}
    return {"parameter_maps": [each | overrides for each in maps], **said}


class _PeakMemory:
    """The most memory that the children of this process have had together, bytes: elastix."""

    def __init__(self, interval: float = 0.25) -> None:
        self.peak = 0
        self._interval = interval
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._end.wait(self._interval):
            used = 0
            for child in me.children(recursive=True):
                try:
                    used += child.memory_info().rss
                except psutil.Error:  # it has ended
                    continue
            self.peak = max(self.peak, used)
