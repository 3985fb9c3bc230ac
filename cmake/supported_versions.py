"""Which torch and which itk-elastix fit, read from the package's own versions.json."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "src/python/impact_plugin/versions.json"


@dataclass(frozen=True)
class Host:
    """A layout of elastix's classes.

    Args:
        folder: Of what is built for it, in the package.
        itk_elastix: The versions of itk-elastix that have it.
        elastix: The version of elastix in them, as it says itself.
        commit: That elastix's commit.
    """

    folder: str
    itk_elastix: tuple[str, ...]
    elastix: str
    commit: str


def hosts() -> tuple[Host, ...]:
    """Give all of them, the oldest first."""
    rows = json.loads(FILE.read_text())["hosts"]
    return tuple(Host(**{**row, "itk_elastix": tuple(row["itk_elastix"])}) for row in rows)


def torches() -> tuple[str, ...]:
    """Give the minor versions of torch, the oldest first."""
    return tuple(json.loads(FILE.read_text())["torch"])


def pairs() -> list[str]:
    """Give the pairs of versions to try: each torch with the last host, each host with the last."""
    versions = [version for host in hosts() for version in host.itk_elastix]
    found = [f"{torch},{versions[-1]}" for torch in torches()]
    return found + [f"{torches()[-1]},{version}" for version in versions[:-1]]


def main() -> None:
    """Print what the command line asks for, as CMake lists and `make matrix` have it."""
    lists = {
        "torch": ";".join(torches()),
        "hosts": ";".join(host.itk_elastix[-1] for host in hosts()),
        "pairs": " ".join(pairs()),
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=lists)
    print(lists[parser.parse_args().what])


if __name__ == "__main__":
    main()
