"""The output folder of a cohort: whose it is, one run at a time, nothing left by a refused one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from impact_plugin import _files
from impact_plugin.cohort.errors import CohortError
from impact_plugin.cohort.pairs import Pair
from impact_plugin.cohort.plan import Variant, describe_variants

COHORT = "cohort.json"
"""What a cohort's folder says of itself."""

LOG = "cohort.jsonl"
CHECKSUMS = ".checksums.json"
LOCK = ".lock"
STARTED = ".started"

_OWN = (LOG, CHECKSUMS, LOCK, STARTED)
_PASSING = (".token-", ".writing-")
"""Of a run that was killed before it had written whose folder it is."""


def check(folder: Path, pairs: Sequence[Pair]) -> list[str]:
    """Tell whether a folder is another cohort's, or has other things in it."""
    said = folder / COHORT
    try:
        if folder.exists() and not folder.is_dir():
            return [f"{folder} is a file, expected a folder for the results"]
        if not said.is_file():
            if folder.is_dir() and any(not _is_own(each) for each in folder.iterdir()):
                return [f"{folder} is not empty and not a cohort's folder: choose another"]
            return []
        content = json.loads(said.read_text(encoding="utf-8"))
        theirs = {tuple(each) for each in content["pairs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{said} cannot be read ({error!r}): choose another folder"]
    if pairs and theirs.isdisjoint(_identity(pairs)):
        return [
            f"{folder} is the folder of another cohort, with {len(theirs)} pairs of which none is "
            "here: choose another folder"
        ]
    return []


def describe(folder: Path, pairs: Sequence[Pair], variants: Sequence[Variant]) -> None:
    """Write what a cohort's folder says of itself."""
    content = {
        "cohort_version": 1,
        "pairs": sorted(_identity(pairs)),
        "variants": describe_variants(variants),
    }
    _files.write_text(folder / COHORT, json.dumps(content, indent=1) + "\n")


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
        raise CohortError([f"{folder} cannot be written into: {error}"]) from error
    before = {each.name for each in folder.iterdir()}
    try:
        yield note
    except CohortError:
        if not (folder / COHORT).exists():
            for name in {LOG, CHECKSUMS} - before:
                (folder / name).unlink(missing_ok=True)
            (folder / LOCK).unlink(missing_ok=True)
            _take_away(missing)
        raise
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(lock)


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
            raise CohortError([message]) from None
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


def _identity(pairs: Sequence[Pair]) -> set[tuple[str, str, str]]:
    return {(each.name, each.files["fixed"], each.files["moving"]) for each in pairs}
