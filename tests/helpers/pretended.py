"""The pretended device of tests/cpp/pretended_device.cpp, in place of a GPU.

torch takes a device of its own kind (PrivateUse1) once in a process, before its first gradient, and
from then on the parameter GPU means it. So tests that need it run in processes of their own, those
of `make pretended`, which sets IMPACT_PRETENDED_DEVICE=1; tests/conftest.py then calls `open_here`.
"""

from __future__ import annotations

import ctypes
import os
import sysconfig
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

NUMBER_OF_DEVICES = 2
IS_WANTED = os.environ.get("IMPACT_PRETENDED_DEVICE") == "1"


@dataclass(frozen=True)
class Counts:
    """What a device did since it was last told to count from zero.

    Copies are those between it and the CPU; waits are the times that the host had to wait for it;
    `peak` is the most memory in use, bytes.
    """

    copies_up: int
    bytes_up: int
    copies_down: int
    bytes_down: int
    waits: int
    operators: int
    peak: int


def library() -> Path:
    """Give the path of the library for the torch that is installed.

    Raises:
        RuntimeError: There is none.
    """
    series = ".".join(torch.__version__.split(".")[:2])
    folder = Path(sysconfig.get_path("platlib")) / "impact_testing-parts" / f"torch-{series}"
    path = folder / "libpretended_device.so"
    if not path.is_file():
        message = (
            f"{path} is missing: the pretended device is built for the torch that is installed "
            "where the plugin is built with -DIMPACT_TESTS=ON, and installed as its component "
            "testing (make install does both)"
        )
        raise RuntimeError(message)
    return path


_opened: list[ctypes.CDLL] = []


def is_open() -> bool:
    """Tell whether this process has the pretended device."""
    return bool(_opened)


def open_here() -> None:
    """Give this process the pretended device, before its first gradient.

    Raises:
        RuntimeError: It is not built for the torch that is installed, or cannot be opened.
    """
    path = library()
    try:
        _opened.append(ctypes.CDLL(str(path)))
    except OSError as error:
        message = f"{path} cannot be opened beside torch {torch.__version__}: {error}"
        raise RuntimeError(message) from error
    module = types.ModuleType("torch.pretended")
    vars(module).update(
        _is_in_bad_fork=lambda: False,
        manual_seed_all=lambda seed: None,
        device_count=lambda: NUMBER_OF_DEVICES,
        is_available=lambda: True,
    )
    torch._register_device_module("pretended", module)  # type: ignore[no-untyped-call]


def variables() -> dict[str, str]:
    """Give what of the environment gives Pythons that are started the device, too: elastix's."""
    paths = [str(Path(__file__).parent / "pretended_processes"), os.environ.get("PYTHONPATH")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


class _Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in Counts.__dataclass_fields__]


class Device:
    """One pretended device, in a process that has it.

    Args:
        number: As in the parameter GPU.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"pretended:{number}"
        self._library = _opened[0]

    @property
    def used(self) -> int:
        """Bytes of its memory in use, in pages of 4096."""
        function = self._library.pretended_used
        function.restype = ctypes.c_int64
        return int(function(self.number))

    def used_at_most(self, size: int | None) -> int:
        """Give the bytes in use, once they are no more than so many, after a second at the latest.

        Autograd's thread lets go of its last tensors a moment after the result is there. None: give
        the least of some moments.
        """
        least = self.used
        for _ in range(1000 if size is not None else 50):
            if size is not None and least <= size:
                break
            time.sleep(0.001)
            least = min(least, self.used)
        return least

    def counts(self) -> Counts:
        counts = _Counts()
        self._library.pretended_counts(self.number, ctypes.byref(counts))
        return Counts(**{name: getattr(counts, name) for name in Counts.__dataclass_fields__})

    def count_from_zero(self) -> None:
        self._library.pretended_reset(self.number)

    @contextmanager
    def limited(self, more: int) -> Iterator[None]:
        """Leave only so many bytes more than are in use now."""
        self._set_limit(self.used + more)
        try:
            yield
        finally:
            self._set_limit(4 << 30)

    @contextmanager
    def lost(self, after: int, late: bool = False) -> Iterator[None]:
        """Lose the device after so many operators; it is back at the end.

        Late: it says so when the host next waits, and at every call from then on, as CUDA does.
        """
        self._lose_after(after, late)
        try:
            yield
        finally:
            self._lose_after(-1)

    def _set_limit(self, size: int) -> None:
        self._library.pretended_set_limit(self.number, ctypes.c_size_t(size))

    def _lose_after(self, operators: int, late: bool = False) -> None:
        self._library.pretended_lose_after(self.number, ctypes.c_int64(operators), int(late))
