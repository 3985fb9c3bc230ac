"""Other versions of itk-elastix than the installed one, and other packages, in the cache."""

from __future__ import annotations

import importlib.metadata
import sysconfig
from collections.abc import Callable
from pathlib import Path

import obtain_hosts
import supported_versions
from fetch_sources import SourceError
from helpers import skips

SITE = Path(sysconfig.get_path("platlib"))
INSTALLED = importlib.metadata.version("itk-elastix")
HOSTS = supported_versions.hosts()
LATEST = {host.folder: host.itk_elastix[-1] for host in HOSTS}
"""Of each layout of classes the last version: what tests of both run with."""


def host_library(version: str) -> Path:
    """Give the path of that version's library; it is downloaded once, from where pip gets packages.

    Where pip cannot get it, as without a network, the test is skipped, or fails with
    IMPACT_REQUIRE_DOWNLOADS=1.
    """
    return _obtained(obtain_hosts.host_library, version)


def host_package(version: str) -> Path:
    """Give the folder of all that is in that version's wheel; likewise."""
    return _obtained(obtain_hosts.host_wheel, version)


def other_package(package: str, version: str) -> Path:
    """Give the folder of all that is in another package's wheel; likewise."""
    return _obtained(obtain_hosts.unpacked_wheel, package, version)


def folder_of(version: str) -> str:
    """Give the name of the folder of what is built for a version."""
    (folder,) = (host.folder for host in HOSTS if version in host.itk_elastix)
    return folder


def packages(folder: Path, *own: str) -> Path:
    """Make a folder of links to the installed packages, in some of which files can be replaced.

    Args:
        folder: Empty, or not there yet.
        own: Packages that become folders with links in them, and their folders of the same kind:
            what is found from the path of such a file by ``..`` is in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for entry in SITE.iterdir():
        if entry.name not in own:
            (folder / entry.name).symlink_to(entry)
    for name in own:
        (folder / name).mkdir()
        for entry in (SITE / name).iterdir():
            if entry.is_dir() and (entry.name.startswith(("elastix-", "torch-")) or name == "itk"):
                _link_all(entry, folder / name / entry.name)
            else:
                (folder / name / entry.name).symlink_to(entry)
    return folder


def packages_with(folder: Path, version: str) -> Path:
    """Make packages as installed, links, but with another version of itk-elastix.

    Where the installed plugin was not built for that version, the test is skipped, or fails with
    IMPACT_REQUIRE_HOSTS=1.

    Args:
        folder: Empty, or not there yet.
        version: The installed one is as good as another.
    """
    if not (SITE / "impact_plugin" / folder_of(version)).is_dir():
        reason = f"the plugin is not built for itk-elastix {version}: IMPACT_HOSTS, docs/build.md"
        skips.skip_or_fail("IMPACT_REQUIRE_HOSTS", reason)
    wheel = host_package(version)
    packages(folder, "itk", "impact_plugin", "itk_elastix.libs")
    (folder / f"itk_elastix-{INSTALLED}.dist-info").unlink()
    if folder_of(version) != folder_of(INSTALLED):
        torch = ".".join(importlib.metadata.version("torch").split(".")[:2])
        parts = SITE / "impact_testing-parts" / f"torch-{torch}" / folder_of(version)
        for module in parts.iterdir():
            (folder / module.name).unlink()
            (folder / module.name).symlink_to(module)
    for path in importlib.metadata.files("itk-elastix") or []:
        if path.parts[0] in ("itk", "itk_elastix.libs") and path.suffix != ".pyc":
            (folder / path).unlink()
    for file in wheel.rglob("*"):
        target = folder / file.relative_to(wheel)
        if file.is_file():
            target.parent.mkdir(exist_ok=True, parents=True)
            target.symlink_to(file)
    return folder


def _link_all(source: Path, target: Path) -> None:
    target.mkdir()
    for entry in source.iterdir():
        (target / entry.name).symlink_to(entry)


def _obtained(obtain: Callable[..., Path], *what: str) -> Path:
    try:
        return obtain(*what)
    except SourceError as error:
        skips.skip_or_fail("IMPACT_REQUIRE_DOWNLOADS", str(error))
