"""ITK's own warnings, which name lines of its sources, kept from standard error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Silence:
    """Whether ITK may warn, which is one switch for the process: off while anybody wants it off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._before = True

    def add(self, number: int) -> None:
        import SimpleITK as sitk

        with self._lock:
            if self._wanted == 0:
                self._before = sitk.ProcessObject.GetGlobalWarningDisplay()
            self._wanted += number
            sitk.ProcessObject.SetGlobalWarningDisplay(self._before and self._wanted == 0)


_SILENCE = _Silence()


@contextmanager
def itk_silent() -> Iterator[None]:
    """Let ITK print no warnings, in any thread; what there is to say of a file is said here."""
    _SILENCE.add(1)
    try:
        yield
    finally:
        _SILENCE.add(-1)
