"""What many registrations leave behind on the heap, by LeakSanitizer.

In `make sanitize` alone: it takes a build with AddressSanitizer. IMPACT_LEAK_RUNS is how many
registrations, by default 20.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers import programs, skips

PROGRAMS = Path(__file__).resolve().parent / "programs"
COUNT = int(os.environ.get("IMPACT_LEAK_RUNS", "20"))
OURS = re.compile(r"/(impact_plugin(/(elastix|torch)-[^/]+)?|itk_elastix\.libs)/[^/]*\.so")

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "__lsan_do_leak_check"),
    reason=skips.NOT_SANITIZED,
)


@dataclass(frozen=True)
class Leak:
    """Blocks that nothing points to any more, all made at one place.

    Args:
        size: Bytes.
        stack: Where they were made, a function on each line.
    """

    size: int
    stack: str

    @property
    def ours(self) -> bool:
        """Whether code of ours is among the functions."""
        return OURS.search(self.stack) is not None


def leaks_of(folder: Path, *arguments: str | Path) -> tuple[list[Leak], str]:
    """Run a Python program, and give what it leaves behind and what it prints."""
    options = {
        "detect_leaks": 1,
        "fast_unwind_on_malloc": 0,  # torch and ITK are compiled without frame pointers
        "malloc_context_size": 40,
        "log_path": folder / "leaks",
    }
    run = programs.python(
        *arguments,
        environment={
            "ASAN_OPTIONS": ":".join(f"{name}={value}" for name, value in options.items()),
            "LSAN_OPTIONS": "exitcode=0:max_leaks=0",
            "PYTHONMALLOC": "malloc",
            "IMPACT_MODEL_TIME_LIMIT": "3000",
        },
    )
    assert run.returncode == 0, run.stdout + run.stderr
    reports = [file.read_text(errors="replace") for file in folder.glob("leaks.*")]
    found = re.findall(
        r"(?m)^(?:Direct|Indirect) leak of (\d+) byte.*\n((?: +#.*\n)+)", "".join(reports)
    )
    return [Leak(int(size), stack) for size, stack in found], run.stdout


def test_a_leak_is_seen(tmp_path: Path) -> None:
    """An array that we have made, and that is never let go."""
    program = (
        "import ctypes, numpy\nfrom impact_plugin import _networks\n"
        "features = numpy.ones((81, 9), 'f4')\n"
        "_, gradient = _networks.distance('L2', features, 2 * features)\n"
        "assert gradient.nbytes == 8 * 9**3\n"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(gradient))\n"
        "del gradient, _\n"
    )
    found, _ = leaks_of(tmp_path, "-c", program)
    assert sum(leak.size for leak in found if leak.ours) >= 8 * 9**3


def test_registrations_leave_nothing(layers: dict[int, str], tmp_path: Path) -> None:
    found, printed = leaks_of(tmp_path, PROGRAMS / "long_run.py", "loop", layers[3], str(COUNT))
    assert printed.count(",") == COUNT - 1
    ours = [leak for leak in found if leak.ours]
    print(
        f"{COUNT} registrations: {sum(leak.size for leak in ours)} bytes of ours, "
        f"{sum(leak.size for leak in found)} in all"
    )
    assert not ours, "\n".join(f"{leak.size} bytes\n{leak.stack}" for leak in ours[:20])
