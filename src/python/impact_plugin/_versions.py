"""Which torch and itk-elastix the compiled parts fit, and what to say when others are found.

``versions.json`` beside this file is the one place that says which: CMake and the loader read it
too. Versions of itk-elastix whose classes are laid out alike share a folder of compiled files, such
as ``elastix-0.25.2``.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from impact_plugin._errors import ImpactError

_PACKAGE = Path(__file__).parent


class VersionMismatchError(ImpactError, ImportError):
    """The installed torch or itk-elastix is not one that impact-plugin was built for."""


@dataclass(frozen=True)
class Requirement:
    """The versions of one distribution that the compiled modules fit.

    Args:
        distribution: Name of the distribution, as pip knows it.
        specifier: The allowed versions, as pip writes them.
        at_least: First allowed release.
        below: First release that is too new.
        without: Minor versions between that do not fit.
    """

    distribution: str
    specifier: str
    at_least: tuple[int, ...]
    below: tuple[int, ...]
    without: tuple[tuple[int, ...], ...] = ()

    def allows(self, version: str) -> bool:
        """Tell whether ``version`` fits; a local part such as ``+cpu`` does not matter."""
        found = release(version)
        return self.at_least <= found < self.below and found[:2] not in self.without

    def __str__(self) -> str:
        return f"{self.distribution}{self.specifier}"


@dataclass(frozen=True)
class Host:
    """Versions of itk-elastix whose classes are laid out alike.

    Args:
        folder: Folder of the files compiled for them, in this package.
        itk_elastix: The versions.
        elastix: The version of elastix in them, as it says itself.
        commit: That elastix's commit.
    """

    folder: str
    itk_elastix: tuple[str, ...]
    elastix: str
    commit: str

    def has(self, version: str) -> bool:
        """Tell whether a version is one of these; what follows its third number does not matter."""
        return any(release(version)[:3] == release(own) for own in self.itk_elastix)

    def __str__(self) -> str:
        return f"{self.folder} (for itk-elastix {' or '.join(self.itk_elastix)})"


def release(version: str) -> tuple[int, ...]:
    """Give the release numbers of a version: ``"2.13.0+cpu"`` is ``(2, 13, 0)``.

    Args:
        version: A version as distributions state it.

    Returns:
        The numbers before any pre-release, post-release or local part; empty where there are none.
    """
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in match.group(1).split(".")) if match else ()


def range_of(first: str, last: str) -> str:
    """Give all versions from the first to before the minor version after the last, as pip does."""
    major, minor = release(last)[:2]
    return f">={first},<{major}.{minor + 1}"


_FITTING = json.loads((_PACKAGE / "versions.json").read_text(encoding="utf-8"))
TORCH_MINORS: tuple[str, ...] = tuple(_FITTING["torch"])
HOSTS = tuple(
    Host(row["folder"], tuple(row["itk_elastix"]), row["elastix"], row["commit"])
    for row in _FITTING["hosts"]
)
ITK_ELASTIX_VERSIONS = tuple(version for host in HOSTS for version in host.itk_elastix)
"""All versions of itk-elastix that are known to fit."""


def _whole(distribution: str, versions: Sequence[str]) -> Requirement:
    """Allow the first of some versions to the last, and what follows it within its minor one."""
    *before, last = release(versions[-1])[:2]
    specifier = range_of(versions[0], versions[-1])
    return Requirement(distribution, specifier, release(versions[0]), (*before, last + 1))


# What a wheel may have parts for. pyproject.toml says the same for pip; tests/test_python_api.py
# compares the two.
TORCH = _whole("torch", TORCH_MINORS)
ITK_ELASTIX = _whole("itk-elastix", ITK_ELASTIX_VERSIONS)


def built_torches() -> list[str]:
    """Give the minor versions of torch that this installation has parts for, in order.

    A binary fits one: torch's C++ interface changes with every one.
    """
    return sorted(
        (path.name.removeprefix("torch-") for path in _PACKAGE.glob("torch-*")), key=release
    )


def requirements() -> tuple[Requirement, Requirement]:
    """Give the versions of torch and itk-elastix that this installation fits.

    A release has parts for every torch that fits at all, what is built from source for the ones it
    was built with; a source tree has none.
    """
    built = built_torches()
    if not built:
        return TORCH, ITK_ELASTIX
    torch = _whole("torch", built)
    if len(built) == 1:
        return dataclasses.replace(torch, specifier=f"=={built[0]}.*"), ITK_ELASTIX
    between = [minor for minor in TORCH_MINORS if torch.allows(minor) and minor not in built]
    specifier = torch.specifier + "".join(f",!={minor}.*" for minor in between)
    without = tuple(release(minor) for minor in between)
    return dataclasses.replace(torch, specifier=specifier, without=without), ITK_ELASTIX


def installed(distribution: str) -> str | None:
    """Give the installed version of a distribution from its metadata, or None without one."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe() -> str:
    """Name the installed versions of this package and of the two that it was built for."""
    return ", ".join(
        f"{name} {installed(name) or 'not installed'}"
        for name in ("impact-plugin", TORCH.distribution, ITK_ELASTIX.distribution)
    )


def host() -> Host | None:
    """Give what the installed itk-elastix is one of; None where it is missing or fits none."""
    version = installed("itk-elastix")
    return next((known for known in HOSTS if version is not None and known.has(version)), None)


def built_hosts() -> list[Host]:
    """Give what this installation has compiled files for; nothing in a source folder."""
    return [known for known in HOSTS if (_PACKAGE / known.folder).is_dir()]


def host_folder() -> Path | None:
    """Give the folder of the compiled files for the installed itk-elastix, where there is one."""
    known = host()
    return _PACKAGE / known.folder if known in built_hosts() and known is not None else None


def check() -> None:
    """Check the installed torch and itk-elastix, without importing either.

    Raises:
        VersionMismatchError: One of them is missing or does not fit. The message names the versions
            found, the versions needed and the command that mends it.
    """
    needed = requirements()
    found = [(requirement, installed(requirement.distribution)) for requirement in needed]
    if all(version is not None and requirement.allows(version) for requirement, version in found):
        _check_host()
        return
    raise VersionMismatchError(_mismatch(found))


def folder_of_torch(version: str | None) -> Path:
    """Give the folder of what was compiled for a torch.

    Args:
        version: The version of the torch that is to be used; None: there is none.

    Raises:
        VersionMismatchError: There is no such folder.
    """
    for built in built_torches():
        if version is not None and release(version)[:2] == release(built):
            return _PACKAGE / f"torch-{built}"
    torch, itk_elastix = requirements()
    found = [(torch, version), (itk_elastix, installed(itk_elastix.distribution))]
    raise VersionMismatchError(_mismatch(found))


def libraries() -> tuple[Path, ...]:
    """Give the compiled libraries of the metric for the installed torch and itk-elastix.

    Empty where one of the two is missing or fits none of what was built.
    """
    host, torch = host_folder(), installed("torch")
    for built in built_torches():
        if host and torch and release(torch)[:2] == release(built):
            core = _PACKAGE / f"torch-{built}" / "libimpact_core.so"
            return host / "libimpact_elastix.so", _PACKAGE / "libimpact_base.so", core
    return ()


def install_command() -> str:
    """Give the command that installs what fits."""
    return f"{sys.executable} -m pip install " + " ".join(f'"{each}"' for each in requirements())


def _mismatch(found: Sequence[tuple[Requirement, str | None]]) -> str:
    state = " and ".join(
        f"{requirement.distribution} {version or '(none)'}" for requirement, version in found
    )
    needed = " and ".join(str(requirement) for requirement, _ in found)
    return (
        f"impact-plugin needs {needed}, and found {state}. "
        f"Its compiled parts fit no other version. Mend it with:\n  {install_command()}"
    )


def _check_host() -> None:
    """Check that there are compiled files for the installed itk-elastix.

    Raises:
        VersionMismatchError: It is newer than this package, or none of those this was built for.
    """
    known, version = host(), installed("itk-elastix")
    if known is None:
        message = (
            f"itk-elastix {version} is not known to fit: impact-plugin is for "
            f"{' or '.join(ITK_ELASTIX_VERSIONS)}. Mend it with:\n"
            f'  {sys.executable} -m pip install "itk-elastix=={ITK_ELASTIX_VERSIONS[-1]}"'
        )
        raise VersionMismatchError(message)
    built = built_hosts()
    if built and known not in built:
        message = (
            f"itk-elastix {version} fits impact-plugin, but this one was built without it. It has: "
            f"{', '.join(map(str, built))}. Mend it with:\n"
            f'  {sys.executable} -m pip install "itk-elastix=={built[-1].itk_elastix[-1]}"\n'
            "or build it for the one installed:\n"
            f"  {sys.executable} -m pip install --force-reinstall --no-deps "
            "--no-binary impact-plugin impact-plugin"
        )
        raise VersionMismatchError(message)
