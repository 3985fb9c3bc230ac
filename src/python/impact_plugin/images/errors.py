"""What readers of images say when they fail."""

from __future__ import annotations

import re

_LONGEST_REASON = 300  # characters


def reason_of(error: Exception) -> str:
    """Give what an exception of SimpleITK says, without where in its sources it was thrown."""
    text = re.sub(r"\AException thrown in SimpleITK .*(\n|\Z)", "", str(error).strip())
    # errno, of whatever failed last
    lines = [line for line in text.splitlines() if not line.startswith("Reason: ")]
    text = " ".join(" ".join(lines).split())
    text = re.sub(r"\A((ITK |sitk::)ERROR: )?(\w+\(0x[0-9a-f]+\): )?", "", text)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."
