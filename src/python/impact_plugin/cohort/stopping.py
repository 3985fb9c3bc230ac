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
        why: Which signal came first; empty until then.
        polled: Whether somebody looks at ``why`` all the time. Otherwise the first signal raises
            KeyboardInterrupt, and later ones are ignored while the run is taken down.
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
        """Put off signals until the end of the block.

        Raises:
            KeyboardInterrupt: A signal came within the block.
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
