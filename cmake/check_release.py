"""Check that a release is ready: ``python cmake/check_release.py [TAG]``.

The version stands in pyproject.toml and nowhere else; the topmost section of CHANGELOG.md is of
that version. With a tag, it is that version with a v before it, and the section has a date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def faults(root: Path, tag: str = "") -> Iterator[str]:
    """Give what is missing, a sentence each.

    Args:
        root: The folder with pyproject.toml and CHANGELOG.md.
        tag: Of the release; empty: none is made yet.
    """
    stated = re.search(r'(?m)^version = "([^"]*)"$', (root / "pyproject.toml").read_text())
    version = stated[1] if stated else ""
    heading = re.search(r"(?m)^## (.*)$", (root / "CHANGELOG.md").read_text())
    section = heading[1] if heading else ""
    if not re.fullmatch(rf"{re.escape(version)}, (unreleased|\d{{4}}-\d\d-\d\d)", section):
        yield (
            f"the topmost section of CHANGELOG.md is {section!r}, and pyproject.toml has the "
            f"version {version}: expected '{version}, unreleased' or '{version}, YYYY-MM-DD'"
        )
    elif tag and section.endswith("unreleased"):
        yield f"the section of CHANGELOG.md is still {section!r}: write the date"
    if tag and tag != f"v{version}":
        yield f"the tag is {tag!r}, expected v{version}, the version in pyproject.toml"


def main() -> int:
    """Print the faults."""
    found = list(faults(ROOT, sys.argv[1] if len(sys.argv) > 1 else ""))
    print("\n".join(found) or "ready")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
