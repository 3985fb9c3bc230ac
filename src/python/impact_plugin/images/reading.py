"""What reading an image must leave as it was."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from contextlib import contextmanager

from impact_plugin.images.silence import itk_silent


@contextmanager
def keeping_locale() -> Iterator[None]:
    """Keep the process's locale, and ITK silent.

    ITK's reader of VTK files sets it to "C" and leaves it so: what the process reads afterwards as
    text, without an encoding of its own, would be ASCII.
    """
    before = locale.setlocale(locale.LC_ALL)
    try:
        with itk_silent():
            yield
    finally:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)
