"""What a worker does with one pair. Whatever happens comes back as data, not as an exception."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import socket
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import structs

from impact_plugin import _versions
from impact_plugin._errors import FileError
from impact_plugin.cohort.folder import FAILED, STARTED
from impact_plugin.cohort.plan import TASK, Task
from impact_plugin.cohort.table import Row

if TYPE_CHECKING:
    from impact_plugin.images.colour import Channel
    from impact_plugin.registration.result import RegistrationResult

Register = Callable[[Task], "RegistrationResult"]
"""What registers the images of a task's pair, on a worker."""


DIED = "WorkerDied"
"""How the error of a row begins whose workers died."""


def row_of(task: Task, status: Literal["failed", "not run"], **more: Any) -> Row:  # noqa: ANN401
    """Begin the row of a task."""
    return Row(pair=task.pair.name, variant=task.variant.name, key=task.key, status=status, **more)


def started_file(task: Task) -> Path:
    """Give the file in which each start of a task is a line, until it ends in whatever way.

    What is left of it tells which pair ran on a worker that died, and which only waited there.
    """
    return Path(task.cohort) / STARTED / f"{task.pair.name}@{task.variant.name}"


def starts(task: Task) -> int:
    """Count the starts of a task that did not end: its worker died."""
    return len(_lines(task))


def last_worker(task: Task) -> str:
    """Give the worker on which a task that did not end has started last: host and process."""
    lines = _lines(task)
    return lines[-1].split(" ")[0] if lines else ""


def register(task: Task) -> RegistrationResult:
    """Register the images of a task's pair, as the task says.

    Raises:
        RegistrationError: elastix failed; and whatever else ``register_images`` raises.
    """
    import impact_plugin

    pair = task.pair
    with _feature_cache(task.feature_cache):
        return impact_plugin.register_images(
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
            channel=channel_of(task),
        )


def channel_of(task: Task) -> Channel:
    """Give what stands for the colours of a task's images; that was said before it started."""
    return cast("Channel", task.pair.options.get("channel", "luminance"))


def run(task: Task, register: Register = register) -> Row:
    """Register a pair, measure the result and put it in its place, or say why not.

    Args:
        task: What to do.
        register: What registers the images.
    """
    begun = time.perf_counter()
    died = starts(task)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    row = row_of(task, "failed", worker=worker, attempts=task.attempt + died, error="")
    if died and task.attempt + died > 1 + task.retries:
        return structs.replace(died_row(task, died), worker=worker)
    marker = started_file(task)
    stack = ExitStack()
    try:
        _check_versions(task)
        marker.parent.mkdir(parents=True, exist_ok=True)
        with marker.open("a") as file:
            file.write(f"{worker} {time.time():.3f}\n")
        stack.enter_context(_own_temporary_folder())
        with _PeakMemory() as memory:
            result = register(task)
            done = structs.replace(
                row,
                **_figures(task, result),
                seconds=round(time.perf_counter() - begun, 3),
                peak_memory_mb=round(memory.peak / 2**20, 1),
            )
            _keep(task, result, done)
        row = done
    except Exception as error:
        row = structs.replace(
            row,
            error=f"{type(error).__name__}: {_with_log_kept(error, task)}",
            traceback=traceback.format_exc(limit=-6),
            seconds=round(time.perf_counter() - begun, 3),
        )
    stack.close()
    with suppress(OSError):  # the folder is gone, or its file system: what came before says so
        marker.unlink(missing_ok=True)
    return row


def died_row(task: Task, times: int, cause: str = "") -> Row:
    """Say that a pair's worker died each time it ran.

    Args:
        task: The task of the pair.
        times: How many times its worker died, without another end between them.
        cause: What is known of the last time.
    """
    where = f" (last {last_worker(task)})" if last_worker(task) else ""
    cause = cause or (
        "killed by the system, as where memory runs out, or a crash; see the worker's log"
    )
    error = f"{DIED}: its worker died each of the {times} times that it ran{where}: {cause}"
    return row_of(task, "failed", attempts=times + task.attempt - 1, error=error)


def _lines(task: Task) -> list[str]:
    try:
        return started_file(task).read_text().splitlines()
    except OSError:
        return []


def _check_versions(task: Task) -> None:
    """Refuse to work with other versions than the cohort's; workers come and go.

    Raises:
        RuntimeError: They differ.
    """
    ours = _versions.describe()
    if task.versions and ours != task.versions:
        message = f"this worker has {ours}, and the cohort is of {task.versions}"
        raise RuntimeError(message)


def _figures(task: Task, result: RegistrationResult) -> dict[str, Any]:
    """Give what the table says of a registration that is done, in the numbers that JSON has."""
    from impact_plugin.cohort import measuring

    metric = result.history.metric
    row: dict[str, Any] = {"status": "done", "metric": float(metric[-1]) if len(metric) else None}
    try:
        row |= measuring.figures(task.pair, result, task.outside)
    except Exception as error:  # what was registered is there all the same
        row["measure_error"] = f"{type(error).__name__}: {error}"
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _keep(task: Task, result: RegistrationResult, row: Row) -> None:
    """Write a result and its row to their place, in place of what an earlier run left there."""
    from impact_plugin.registration import storage

    with suppress(OSError):
        failed_log(task).unlink(missing_ok=True)
    place = task.folder
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.parent / f".unfinished-{uuid.uuid4().hex}"
    try:
        unfinished.mkdir()
        storage.write_files(result, unfinished, place)
        text = json.dumps(row.as_dict(), indent=2) + "\n"
        (unfinished / TASK).write_text(text, encoding="utf-8")
        put(unfinished, place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def put(unfinished: Path, place: Path) -> None:
    """Give a folder its name when all of it is on the disk, in place of an earlier one."""
    for path in [each for each in unfinished.rglob("*") if each.is_file()]:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for _ in range(100):  # a worker of an earlier run, now alone, may end at the same moment
        old = place.parent / f".old-{uuid.uuid4().hex}"
        try:
            if place.exists():
                place.rename(old)
            unfinished.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
        else:
            return
        finally:
            shutil.rmtree(old, ignore_errors=True)
    message = f"{place} is written by another process all the time"
    raise FileError(message)


def failed_log(task: Task) -> Path:
    """Give where elastix's log of a task that failed is kept."""
    return Path(task.cohort) / FAILED / f"{task.pair.name}@{task.variant.name}.log"


def _with_log_kept(error: Exception, task: Task) -> str:
    """Move elastix's log to where others find it; gives the message, which names it."""
    log = getattr(error, "log", None)
    if not isinstance(log, Path) or not log.is_file():
        return str(error)
    kept = failed_log(task)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, kept)
        log.unlink()
    except OSError:
        return str(error)
    return str(error).replace(str(log), str(kept))


@contextmanager
def _own_temporary_folder() -> Iterator[None]:
    """Keep temporary files in a folder of this process, and delete those of processes that died."""
    import psutil

    front = f"impact-plugin-worker-{socket.gethostname()}-"
    place = Path(tempfile.gettempdir())
    for other in place.glob(front + "*"):
        number = other.name.removeprefix(front)
        with suppress(OSError):
            is_ours = number.isdecimal() and other.stat().st_uid == os.getuid()
            if is_ours and not psutil.pid_exists(int(number)):
                shutil.rmtree(other, ignore_errors=True)
    own = place / f"{front}{os.getpid()}"
    before = tempfile.tempdir
    own.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = str(own)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _feature_cache(folder: str | None) -> Iterator[None]:
    """Set the environment variable for one registration: other cohorts use the worker, too."""
    name = "IMPACT_FEATURE_CACHE"
    before = os.environ.get(name)
    if folder is not None:
        os.environ[name] = folder
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _maps(task: Task) -> dict[str, Any]:
    """Give the arguments for the maps: the preset, unless the pair changes parameters."""
    overrides = dict(task.pair.overrides)
    if task.variant.presets and not overrides:
        return {"preset": list(task.variant.presets)}
    import SimpleITK as sitk

    from impact_plugin.check import ImageHeader
    from impact_plugin.cohort import maps
    from impact_plugin.images import colour, reading
    from impact_plugin.registration.fitting import Fit

    fixed, moving = (
        ImageHeader.read(task.pair.files[side], channel_of(task)) for side in ("fixed", "moving")
    )
    read = maps.read(task.variant, fixed.dimension, Fit.of(fixed.grid, moving.grid))
    arguments: dict[str, Any] = {"parameter_maps": [each | overrides for each in read]}
    if task.variant.presets and "DefaultPixelValue" not in overrides:
        # Outside, the least value of the moving image, as with a preset that is not changed.
        moving = reading.read(task.pair.files["moving"], "the moving image")
        moving = colour.to_grey(moving, "the moving image", channel_of(task))
        arguments["default_pixel_value"] = float(sitk.GetArrayViewFromImage(moving).min())
    return arguments


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
