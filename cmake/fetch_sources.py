"""Find or fetch the sources of elastix and ITK.

Each is looked for in four ways, and the first that has it wins: a directory the user names, the
cache, git (pinned by commit), and Debian's source packages (pinned by SHA-256). What is fetched
stays in the cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from supported_versions import hosts

PROBE_SECONDS = 20  # an unreachable host is given up this soon
FETCH_SECONDS = 3600  # ITK's archive is 388 MiB

DEBIAN_SUITE = "sid"


@dataclass(frozen=True)
class Source:
    """One source tree: what it is, and where and how each way finds it."""

    name: str
    version: str
    variable: str  # the variable by which a user names a directory
    version_file: str  # sets <NAME>_VERSION_MAJOR, _MINOR and _PATCH
    repository: str
    commit: str
    package: str  # Debian source package, as apt-get source takes it
    archive: str  # the upstream archive in that package
    sha256: str
    unneeded: str = r"(?!)"  # pattern of what stays packed, below the top directory; here: nothing


ELASTIX = Source(
    name="elastix",
    version="5.3.1",
    variable="IMPACT_ELASTIX_SOURCE_DIR",
    version_file="CMake/elastixVersion.cmake",
    repository="https://github.com/SuperElastix/elastix.git",
    commit=hosts()[0].commit,
    package="elastix=5.3.1-1",
    archive="elastix_5.3.1.orig.tar.gz",
    sha256="e891f2ad234d7cc8a87a08daf04c04c2da80dbe32e2629a03aefd51f591579a5",
)

ITK = Source(
    name="ITK",
    version="5.4.7",
    variable="IMPACT_ITK_SOURCE_DIR",
    version_file="CMake/itkVersion.cmake",
    repository="https://github.com/InsightSoftwareConsortium/ITK.git",
    commit="4c49df934c316ff87dbbd971b89e63df6bbd1836",
    package="insighttoolkit5=5.4.7-1",
    archive="insighttoolkit5_5.4.7.orig.tar.xz",
    sha256="339134599f7b7c3cbeed8f5e2a59d0a218ec7e93c5c6a08f347fce73ba85f03c",
    unneeded=r"(\.ExternalData|Documentation|Testing|Modules/[^/]+/[^/]+/test)/",
)


class UnavailableError(Exception):
    """One way does not yield a source; the message says why."""


class SourceError(Exception):
    """The sources or their headers cannot be had; the message says why and what to do."""


def announce(text: str) -> None:
    """Say what is going on, in the manner of CMake's status lines."""
    print(f"-- impact: {text}", flush=True)


def cache_directory() -> Path:
    """Return the directory for what is fetched: IMPACT_CACHE_DIR, else one in the user's cache."""
    if own := os.environ.get("IMPACT_CACHE_DIR"):
        return Path(own).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "impact-plugin"


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Hold the cache for this process, so that builds side by side fetch and configure once.

    Raises:
        SourceError: The cache directory cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle = (cache / "lock").open("w")
    except OSError as error:
        raise SourceError(
            f"cannot write the cache directory {cache}: {error}\nSet IMPACT_CACHE_DIR."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce(f"waiting for another build that is filling {cache}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str | Path], timeout: float, cwd: Path | None = None) -> str:
    """Run a command without a terminal and return what it printed.

    Raises:
        UnavailableError: The command is missing, fails or takes more than `timeout` seconds.
    """
    name = Path(command[0]).name
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            timeout=timeout,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise UnavailableError(f"cannot run {name}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{name} gave no answer within {timeout:g} s") from error
    if result.returncode != 0:
        lines = result.stdout.strip().splitlines()
        raise UnavailableError(lines[-1] if lines else f"{name} exited with {result.returncode}")
    return result.stdout


def check_version(source: Source, directory: Path) -> None:
    """Make sure that a directory holds the sources, in the version wanted.

    Raises:
        UnavailableError: It does not.
    """
    try:
        text = (directory / source.version_file).read_text()
    except OSError:
        raise UnavailableError(f"{directory} has no {source.version_file}") from None
    found = ".".join(re.findall(r'set\(\w+_VERSION_(?:MAJOR|MINOR|PATCH) "?(\d+)"?\)', text))
    if found != source.version:
        raise UnavailableError(
            f"{directory} holds {source.name} {found or 'of an unknown version'}"
        )


def check_sha256(file: Path, expected: str) -> None:
    """Make sure that a file is the one pinned.

    Raises:
        UnavailableError: It is another.
    """
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise UnavailableError(f"{file.name} has SHA-256 {digest.hexdigest()}, not {expected}")


def unpack(archive: Path, directory: Path, unneeded: str) -> Path:
    """Unpack an archive but for what is unneeded, and return the one directory it all lies in."""
    skipped = re.compile(rf"[^/]+/{unneeded}")
    with tarfile.open(archive, "r|*") as members:
        members.extraction_filter = getattr(tarfile, "data_filter", None)
        for member in members:
            if not skipped.match(member.name):
                members.extract(member, directory)
    (root,) = directory.iterdir()
    return root


def from_git(source: Source, staging: Path) -> Path:
    """Fetch the pinned commit, without history, from the project's repository."""
    run(["git", "ls-remote", source.repository, "HEAD"], PROBE_SECONDS)
    tree = staging / "git"
    run(["git", "init", "--quiet", tree], PROBE_SECONDS)

    def git(*arguments: str) -> str:
        settings = ("http.lowSpeedLimit=1000", "http.lowSpeedTime=30", "core.autocrlf=false")
        words = [word for setting in settings for word in ("-c", setting)]
        return run(["git", "-C", tree, *words, *arguments], FETCH_SECONDS)

    git("fetch", "--quiet", "--depth=1", source.repository, source.commit)
    git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    head = git("rev-parse", "HEAD").strip()
    if head != source.commit:
        raise UnavailableError(f"the repository gave commit {head}, not {source.commit}")
    return tree


def debian_source_list(directory: Path, configuration: Path) -> Path:
    """Write a list of Debian's source packages for apt, derived from the machine's own first list.

    Raises:
        UnavailableError: The machine has no such list.
    """
    files = sorted((configuration / "sources.list.d").glob("*.sources"))
    files.sort(key=lambda file: file.stem != "debian")  # before what other vendors have put there
    for file in (*files, configuration / "sources.list"):
        text = file.read_text() if file.is_file() else ""
        if file.suffix == ".sources":
            stanzas = [part for part in re.split(r"\n\s*\n", text) if "\nURIs:" in f"\n{part}"]
            if not stanzas:
                continue
            derived = stanzas[0]
            for field, value in (
                ("Types", "deb-src"),
                ("Suites", DEBIAN_SUITE),
                ("Components", "main"),
            ):
                lines = rf"^{field}:.*(\n[ \t].*)*$"
                derived = re.sub(lines, f"{field}: {value}", derived, flags=re.MULTILINE)
        elif line := re.search(r"^deb\s+((?:\[.*?\]\s+)?\S+)", text, re.MULTILINE):
            derived = f"deb-src {line[1]} {DEBIAN_SUITE} main"
        else:
            continue
        target = directory / f"source{file.suffix}"
        target.write_text(derived + "\n")
        return target
    raise UnavailableError(f"no package list of apt's in {configuration}")


def from_debian(source: Source, staging: Path) -> Path:
    """Download the upstream archive with apt's own client, its state kept apart, and unpack it."""
    if not shutil.which("apt-get"):
        raise UnavailableError("this system has no apt-get")
    state = staging.parent / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::Etc::sourcelist": debian_source_list(state, Path("/etc/apt")),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": PROBE_SECONDS,
        "Acquire::https::Timeout": PROBE_SECONDS,
    }
    apt = [
        "apt-get",
        "--quiet",
        *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
    ]
    run([*apt, "--error-on=any", "update"], FETCH_SECONDS)
    run([*apt, "source", "--download-only", source.package], FETCH_SECONDS, staging)
    archive = staging / source.archive
    check_sha256(archive, source.sha256)
    (tree := staging / "tree").mkdir()
    return unpack(archive, tree, source.unneeded)


def obtain(source: Source, given: str, cache: Path) -> Path:
    """Find a source, or fetch it into the cache.

    Args:
        source: What is wanted.
        given: The directory that the user names, or nothing. It is taken or refused, never passed
            over.
        cache: The cache directory, locked by the caller.

    Returns:
        The directory of the sources.

    Raises:
        SourceError: No way yields them; the message lists every way with its reason.
    """
    title = f"{source.name} {source.version}"
    remedy = (
        f"Set {ELASTIX.variable} and {ITK.variable} (as environment or CMake variables) to "
        f"unpacked sources of elastix {ELASTIX.version} and ITK {ITK.version}; docs/build.md says "
        "more."
    )
    if given:
        directory = Path(given).expanduser().resolve()
        try:
            check_version(source, directory)
        except UnavailableError as reason:
            raise SourceError(
                f"{source.variable} should hold the sources of {title}: {reason}\n{remedy}"
            ) from None
        announce(f"{title} from {source.variable}: {directory}")
        return directory

    cached = cache / f"{source.name}-{source.version}"
    try:
        check_version(source, cached)
    except UnavailableError as reason:
        failures = [f"{source.variable}: not set", f"cache: {reason}"]
    else:
        announce(f"{title} from the cache: {cached}")
        return cached

    ways = (
        (f"git {source.repository}", from_git),
        (f"Debian source package {source.package}", from_debian),
    )
    for label, way in ways:
        announce(f"{title}: trying {label} (a download takes a while, once)")
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache) as staging:
            try:
                tree = way(source, Path(staging))
                check_version(source, tree)
            except (UnavailableError, OSError, tarfile.TarError) as reason:
                announce(f"{title}: {reason}")
                failures.append(f"{label}: {reason}")
            else:
                shutil.rmtree(cached, ignore_errors=True)
                tree.rename(cached)
                announce(f"{title} from {label}, now in the cache: {cached}")
                return cached
    tried = "\n".join(f"  {number}. {failure}" for number, failure in enumerate(failures, 1))
    raise SourceError(
        f"cannot find the sources of {title}. Tried in this order:\n{tried}\n{remedy}"
    )
