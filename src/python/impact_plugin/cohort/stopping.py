"""Ctrl-C and SIGTERM: a cohort ends in order, with its table."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = {signal.SIGINT: "stopped by Ctrl-C", signal.SIGTERM: "stopped by SIGTERM"}


class Stopping:
    """Whether the process was told to end, and how that is heard.

    Attributes:
        why: Empty until then.
        polled: Whether somebody asks for ``why`` all the time. Otherwise the first signal raises
            KeyboardInterrupt, and none is heard while what follows from it is done.
    """

    def __init__(self) -> None:
        self.why = ""
        self.polled = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Handle both signals, in the main thread, which alone may."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Hear signals at the end of the block only.

        Raises:
            KeyboardInterrupt: There was one.
        """
        before, self.polled = self.polled, True
        try:
            yield
        finally:
            self.polled = before
        if self.why:
            raise KeyboardInterrupt(self.why)

    def _handle(self, number: int, _: FrameType | None) -> None:
        first = not self.why
        self.why = self.why or _SIGNALS[signal.Signals(number)]
        if first and not self.polled:
            raise KeyboardInterrupt(self.why)
