"""What readers of images say when they fail, and what they warn of."""

from __future__ import annotations

import re
import sys
import warnings

_LONGEST_REASON = 300  # characters


def reason_of(error: Exception) -> str:
    """Give what an exception of SimpleITK says, without where in its sources it was thrown."""
    text = re.sub(r"\AException thrown in SimpleITK .*(\n|\Z)", "", str(error).strip())
    # errno, of whatever failed last
    lines = [line for line in text.splitlines() if not line.startswith("Reason: ")]
    text = " ".join(" ".join(lines).split())
    text = re.sub(r"\A((ITK |sitk::)ERROR: )?(\w+\(0x[0-9a-f]+\): )?", "", text)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."


def notice(message: str, category: type[UserWarning]) -> None:
    """Warn of an image, in the line that called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("impact_plugin."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
