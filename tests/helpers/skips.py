"""Which tests may be skipped, and what a run of the tests did skip.

A test that skips itself looks like one that passed. So CI, which sets IMPACT_REQUIRE_ALL=1, allows
the reasons that are listed here alone, and each run ends with the count of every reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn, TypeVar

import pytest

NO_GPU = "no CUDA device"
NOT_PRETENDED = "runs in processes with the pretended device: make pretended"
AS_ROOT = "root may read all files"
NOT_AS_ROOT = "only root may mount a disk"
NOT_SANITIZED = "needs a build with AddressSanitizer: make sanitize"

ALLOWED = {
    NO_GPU: "of a GPU",
    NOT_PRETENDED: "of the pretended device",
    AS_ROOT: "of root",
    NOT_AS_ROOT: "of root",
    NOT_SANITIZED: "of a build that CI does not make",
}
"""What the tests of each reason that CI allows are tests of."""

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


def skip_or_fail(variable: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where a variable of the environment is 1."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{reason} ({variable}=1 asks for this test)")
    pytest.skip(reason)


def judged(report: _Report) -> _Report:
    """Make a failure of a skip that is not allowed, where IMPACT_REQUIRE_ALL is 1."""
    if os.environ.get("IMPACT_REQUIRE_ALL") != "1" or not _is_skip(report):
        return report
    reason = _reason(report)
    if reason not in ALLOWED:
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} would be skipped: {reason}\nIMPACT_REQUIRE_ALL=1 allows this only "
            f"for {', '.join(map(repr, ALLOWED))} (tests/helpers/skips.py)."
        )
    return report


def counted(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> list[str]:
    """Give a line for each reason of the skips among some reports, the most frequent first."""
    count = Counter(_reason(report) for report in reports if _is_skip(report))
    return [
        f"{number} {ALLOWED.get(reason, 'for another reason')}: {reason}"
        for reason, number in count.most_common()
    ]


def _is_skip(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return report.skipped and not hasattr(report, "wasxfail")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # The file, the line, and "Skipped: reason".
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
