"""One registration in a process of its own, and what it tells: times and memory."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "cmake"):
    sys.path.insert(0, str(folder))

from fetch_sources import ELASTIX, cache_directory  # noqa: E402
from impact_plugin.elastix.log import ElastixLog  # noqa: E402

TIMEOUT = 900  # seconds of one registration
SPARE = 2**30  # bytes of memory left to the rest of the machine
PLUGINS = {"peer": "ImpactMetricCuda", "ours": "ImpactMetric", "torch": "ImpactMetric"}

Record = dict[str, Any]
"""What one run gave: numbers by name, or the reason of its failure under `failed`."""


def build_peer() -> Path:
    """Build elastix's own component, unless the cache holds just that.

    Returns:
        The folder of the library, for LD_LIBRARY_PATH.

    Raises:
        CalledProcessError: It cannot be built; the output says why.
    """
    source = ROOT / "benchmarks" / "peer"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    compiler = subprocess.run(
        [os.environ.get("CXX", "c++"), "--version"], capture_output=True, text=True, check=True
    ).stdout.partition("\n")[0]
    identity = [
        *(ELASTIX.version, version("torch"), version("itk-elastix"), sys.prefix, compiler),
        (source / "CMakeLists.txt").read_text(),
        (ROOT / "cmake" / "ImpactHost.cmake").read_text(),
    ]
    folder = cache_directory() / f"peer-{digest(chr(0).join(identity).encode())}"
    if not (folder / "complete").exists():
        print(f"building elastix's own component, once, in {folder}", flush=True)
        options = ["-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}"]
        for command in (
            ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(folder), *options],
            ["cmake", "--build", str(folder)],
        ):
            subprocess.run(command, env=environment, check=True)
        (folder / "complete").touch()
    return folder


def digest(content: bytes) -> str:
    """Give a short name for some content."""
    return hashlib.sha256(content).hexdigest()[:12]


def identities(peer: Path) -> dict[str, str]:
    """What each method's measurements depend on, besides the parameters: our binaries, versions."""
    package = _folder("impact_plugin")
    ours = sorted([*package.rglob("*.so"), *package.parent.glob("itk_elastix.libs/libImpact*.so")])
    host = f"itk-elastix {version('itk-elastix')}"
    code = digest(b"".join(library.read_bytes() for library in ours))
    return {
        "peer": peer.name,
        "ours": code,
        "torch": code,
        "mi": host,
        "ncc": host,
    }


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def available_memory() -> int:
    """Bytes that new processes may still take."""
    found = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    assert found is not None
    return int(found[1]) * 1024


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Args:
        seconds: From its start to its end.
        peak: Bytes of its largest resident size.
        failure: Why it failed, in a few words; nothing if it did not.
        cpu: Seconds of processors, its own and those of the processes that it waited for.
    """

    seconds: float
    peak: float
    failure: str
    cpu: float


def run(command: list[str], environment: Mapping[str, str], output: Path) -> Ended:
    """Run a process to its end, or for TIMEOUT seconds, within the memory that is there."""
    memory = available_memory() - SPARE
    killed = threading.Event()
    start = time.perf_counter()
    with output.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=dict(environment)
        )

    def kill() -> None:
        killed.set()
        process.kill()

    resource.prlimit(process.pid, resource.RLIMIT_DATA, (memory, memory))
    timer = threading.Timer(TIMEOUT, kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    seconds = time.perf_counter() - start
    process.returncode = code = os.waitstatus_to_exitcode(status)
    failure = ""
    if killed.is_set():
        failure = f"stopped after {TIMEOUT} s"
    elif code < 0:
        failure = f"killed by {signal.Signals(-code).name}"
    elif code > 0:
        failure = f"exit code {code}: {reason(output.read_text(errors='replace'))}"
    return Ended(seconds, usage.ru_maxrss * 1024.0, failure, usage.ru_utime + usage.ru_stime)


def reason(log: str) -> str:
    """Find what a failed run's output says most tellingly, in a line."""
    for pattern in (r".*(bad_alloc|allocate).*", r"What message: .*", r".*(?i:error): .*", r".+"):
        if found := re.search(pattern, log):
            return found[0].removeprefix("What message: ").strip()[:120]
    return "no output"


def iteration_times(table: str) -> list[float]:
    """Read the milliseconds of each iteration, the last column of elastix's IterationInfo file."""
    header, *rows = table.strip().splitlines()
    if not header.endswith("Time[ms]"):
        message = f"expected a table whose last column is Time[ms], and got {header!r}"
        raise ValueError(message)
    return [float(row.split()[-1]) for row in rows]


def measurements(log: str, levels: list[list[float]], seconds: float) -> Record:
    """Take what a run's output says about its time.

    Args:
        log: What elastix printed.
        levels: The milliseconds of the iterations of each level.
        seconds: Of the whole process.

    Returns:
        `iteration_ms`, the median of the last level without its first iteration; and in seconds
        `start` (models and features: elastix's initialization before the registration and before
        each level, and what a first iteration takes beyond a median one),
        `estimation` of the step size, `iterations`, `resampling` with writing, and `total`.
    """
    reader = ElastixLog()
    for line in log.splitlines():
        reader.feed(line)
    medians = [statistics.median(times[1:]) for times in levels]
    iterations = sum(sum(times[1:]) + median for times, median in zip(levels, medians, strict=True))
    # elastix counts into the first iteration what its level prepares; the reader takes off what the
    # log names, and the rest is a preparation, too.
    unnamed = sum(level.seconds for level in reader.levels) - iterations * 1e-3
    return {
        "iteration_ms": medians[-1],
        "start": reader.stages["trying the models"] + reader.stages["features"] + unnamed,
        "estimation": reader.stages["step size estimation"],
        "iterations": iterations * 1e-3,
        "resampling": reader.stages["resampling and writing"],
        "total": seconds,
    }


def environment_of(method: str, threads: int, peer: Path) -> dict[str, str]:
    """The environment of a run: its threads, the peer in our place, our chains off."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if method == "torch":
        environment["IMPACT_CHAINS"] = "off"
    if method == "peer":
        path = [str(peer), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(path)
    return environment


def register(
    arguments: list[str | Path], method: str, threads: int, peer: Path, folder: Path
) -> Record:
    """Register in a fresh process.

    Args:
        arguments: elastix's, but for the output folder and the threads.
        method: One of METRICS.
        threads: Of elastix and of torch.
        peer: The folder of build_peer.
        folder: An empty folder to write to.

    Returns:
        What was measured, or the failure.

    Raises:
        RuntimeError: The metric that ran is not the one that was to be measured.
    """
    command = [sys.executable, "-m", "impact_plugin.command_line", "elastix"]
    command += [*map(str, arguments), "-out", str(folder), "-threads", str(threads)]
    output = folder / "run.log"
    ended = run(command, environment_of(method, threads, peer), output)
    log = output.read_text(errors="replace")
    loaded = set(re.findall(r"Lazy-loaded IMPACT plugin '(\w+)'", log))
    if ended.failure:
        return {"failed": ended.failure, "total": ended.seconds, "peak": ended.peak}
    expected = {PLUGINS[method]} if method in PLUGINS else set()
    if loaded != expected:
        message = f"{method} should have loaded {expected}, and loaded {loaded}: {output}"
        raise RuntimeError(message)
    tables = sorted(folder.glob("IterationInfo.0.R*.txt"))
    levels = [iteration_times(table.read_text()) for table in tables]
    return {**measurements(log, levels, ended.seconds), "peak": ended.peak}
