"""The output folder of a cohort: whose it is, one run at a time, nothing left by a refused one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import msgspec

from impact_plugin import _io, _json
from impact_plugin.cohort.errors import CohortError, CohortProblem, Problems
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Checksums, Variant
from impact_plugin.images.reading import checksum
from impact_plugin.models.files import sha256

COHORT = "cohort.json"
"""What a cohort's folder says of itself."""

LOG = "cohort.jsonl"
CHECKSUMS = ".checksums.json"
LOCK = ".lock"
STARTED = ".started"
FAILED = "failed"
"""Where elastix's logs of failed tasks are."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a cohort's folder says of itself.

    Attributes:
        cohort_version: 1.
        pairs: By name the paths of fixed and moving image, and their checksums.
        variants: In the order in which they were asked for.
    """

    cohort_version: int = 1
    pairs: dict[str, Annotated[list[str], msgspec.Meta(min_length=4, max_length=4)]]
    variants: tuple[Variant, ...] = ()

    @classmethod
    def read(cls, said: Path) -> Description:
        """Read the file.

        Raises:
            OSError, ValueError: It cannot be read.
        """
        return _json.typed(json.loads(said.read_text(encoding="utf-8")), cls)


_OWN = (LOG, CHECKSUMS, LOCK, STARTED)
_PASSING = (".token-", ".writing-")
"""Left by a run that was killed before it had written whose folder it is."""


def check(folder: Path, pairs: Sequence[Pair]) -> Problems:
    """Tell whether a folder is another cohort's, or has other things in it.

    It is a cohort's own where it has one of its pairs: of the same name, and the same images by
    their paths or, where these were moved, by what is in them.
    """
    problem = _problem(folder, pairs)
    return Problems([CohortProblem("folder", problem)] if problem else [])


def _problem(folder: Path, pairs: Sequence[Pair]) -> str:
    said = folder / COHORT
    try:
        if folder.exists() and not folder.is_dir():
            return f"{folder} is a file, expected a folder for the results"
        if not said.is_file():
            if folder.is_dir() and any(not _is_own(each) for each in folder.iterdir()):
                return f"{folder} is not empty and not a cohort's folder: choose another"
            return ""
        theirs = Description.read(said).pairs
        if not pairs or any(_is_same(pair, theirs.get(pair.name)) for pair in pairs):
            return ""
        known = [pair for pair in pairs if pair.name in theirs]
        if any(_holds_same(pair, theirs[pair.name]) for pair in known[:_LOOKED_INTO]):
            return ""
    except (OSError, ValueError) as error:
        return f"{said} cannot be read ({error}): choose another folder"
    return (
        f"{folder} is the folder of another cohort, with {len(theirs)} pairs of which none is "
        "here: choose another folder"
    )


def describe(
    folder: Path, pairs: Sequence[Pair], variants: Sequence[Variant], checksums: Checksums
) -> int:
    """Write what a cohort's folder says of itself; pairs of earlier runs stay.

    Args:
        folder: The cohort's.
        pairs: Those of this run.
        variants: Those of this run.
        checksums: Checksums of the images.

    Returns:
        How many pairs of earlier runs are not among those of this one.
    """
    said = folder / COHORT
    before = Description.read(said).pairs if said.is_file() else {}
    ours = {
        pair.name: [
            *(pair.files[side] for side in _SIDES),
            *(checksums.of(pair.files[side]) for side in _SIDES),
        ]
        for pair in pairs
    }
    content = Description(pairs=before | ours, variants=tuple(variants))
    _io.write_text(said, json.dumps(msgspec.to_builtins(content), indent=1) + "\n")
    return len(before.keys() - ours.keys())


_SIDES = ("fixed", "moving")
_LOOKED_INTO = 3
"""Pairs of the same name whose images are read to tell whether a cohort was moved."""


def _is_same(pair: Pair, theirs: Sequence[str] | None) -> bool:
    return theirs is not None and [pair.files[side] for side in _SIDES] == list(theirs[:2])


def _holds_same(pair: Pair, theirs: Sequence[str]) -> bool:
    try:
        ours = [checksum(pair.files[side], sha256) for side in _SIDES]
    except (OSError, ValueError):  # said where the pairs are checked
        return False
    return ours == list(theirs[2:])


@contextmanager
def claimed(folder: Path) -> Iterator[str]:
    """Make a folder and keep other runs out of it; gives what people should know of that.

    The lock is the system's, which goes with the process, however it ends. What a refused start
    has made is taken away again: where no cohort was described, and nothing of an earlier one is
    there, the folder, too.

    Raises:
        CohortError: It cannot be made, or another process is at it.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock, note = _locked(folder)
    except OSError as error:
        _take_away(missing)
        raise CohortError.of("folder", f"{folder} cannot be written into: {error}") from error
    before = {each.name for each in folder.iterdir()}
    said = (folder / COHORT).read_bytes() if COHORT in before else b""
    try:
        yield note
    except CohortError:
        if said:
            _io.write_bytes(folder / COHORT, said)
        for name in {LOG, CHECKSUMS, COHORT} - before:
            (folder / name).unlink(missing_ok=True)
        (folder / LOCK).unlink(missing_ok=True)
        _take_away(missing)
        raise
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(lock)


def tidy(folder: Path) -> None:
    """Take away the folder of starts when all have ended."""
    with suppress(OSError):
        (folder / STARTED).rmdir()


def clear(folder: Path) -> None:
    """Take away what an earlier run left when it was killed."""
    shutil.rmtree(folder / STARTED, ignore_errors=True)
    leftovers = ("pairs/*/.unfinished-*", "pairs/*/.old-*", ".writing-*", ".token-*")
    for pattern in leftovers:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_own(path: Path) -> bool:
    return path.name in _OWN or path.name.startswith(_PASSING)


def _locked(folder: Path) -> tuple[int, str]:
    """Lock a folder; gives the open file, and what people should know."""
    path = folder / LOCK
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        note = ""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(lock)
            message = f"{folder} is in use by {holder}: wait for its end, or choose another folder"
            raise CohortError.of("folder", message) from None
        except OSError as error:  # as of NFS without its lock service
            note = (
                f"{folder} is on a file system without locks ({error.strerror}): see to it that "
                "no other run uses it"
            )
        if path.exists() and path.stat().st_ino == os.fstat(lock).st_ino:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return lock, note
        os.close(lock)  # whoever had it before took the file away: lock the one that others find


def _take_away(folders: Sequence[Path]) -> None:
    """Remove folders that are empty, the innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
