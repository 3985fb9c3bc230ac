"""Which torch and itk-elastix the compiled parts fit, and what to say when others are found."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class VersionMismatchError(ImportError):
    """The installed torch or itk-elastix is not one that impact-plugin was built for."""


@dataclass(frozen=True)
class Requirement:
    """The versions of one distribution that the compiled modules fit.

    Args:
        distribution: Name of the distribution, as pip knows it.
        specifier: The allowed versions, as pip writes them.
        at_least: First allowed release.
        below: First release that is too new.
    """

    distribution: str
    specifier: str
    at_least: tuple[int, ...]
    below: tuple[int, ...]

    def allows(self, version: str) -> bool:
        """Tell whether ``version`` fits; a local part such as ``+cpu`` does not matter."""
        return self.at_least <= release(version) < self.below

    def __str__(self) -> str:
        return f"{self.distribution}{self.specifier}"


# What a wheel may have parts for. pyproject.toml says the same for pip; tests/test_python_api.py
# compares the two. 0.25.2 and 0.25.3 are elastix 5.3.1. 0.25.4 is a later elastix, whose classes
# are laid out differently.
TORCH = Requirement("torch", ">=2.8,<2.16", (2, 8), (2, 16))
ITK_ELASTIX = Requirement("itk-elastix", ">=0.25.2,<0.25.4", (0, 25, 2), (0, 25, 4))


def built_torches() -> list[tuple[int, ...]]:
    """Give the minor versions of torch that this installation has parts for, in order.

    A binary fits one: torch's C++ interface changes with every one.
    """
    folders = Path(__file__).parent.glob("torch-*")
    return sorted(release(folder.name.removeprefix("torch-")) for folder in folders)


def requirements() -> tuple[Requirement, Requirement]:
    """Give the versions of torch and itk-elastix that this installation fits.

    A release has parts for every torch that fits at all, what is built from source for the one it
    was built with; a source tree has none.
    """
    built = built_torches()
    if not built:
        return TORCH, ITK_ELASTIX
    names = [".".join(map(str, numbers)) for numbers in built]
    *major, minor = built[-1]
    below = (*major, minor + 1)
    if len(built) == 1:
        return Requirement("torch", f"=={names[0]}.*", built[0], below), ITK_ELASTIX
    specifier = f">={names[0]},<{'.'.join(map(str, below))}"
    return Requirement("torch", specifier, built[0], below), ITK_ELASTIX


def release(version: str) -> tuple[int, ...]:
    """Give the release numbers of a version: ``"2.13.0+cpu"`` is ``(2, 13, 0)``.

    Args:
        version: A version as distributions state it.

    Returns:
        The numbers before any pre-release, post-release or local part; empty where there are none.
    """
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in match.group(1).split(".")) if match else ()


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


def check() -> None:
    """Check the installed torch and itk-elastix, without importing either.

    Raises:
        VersionMismatchError: One of them is missing or does not fit. The message names the versions
            found, the versions needed and the command that mends it.
    """
    needed = requirements()
    found = [(requirement, installed(requirement.distribution)) for requirement in needed]
    if all(version is not None and requirement.allows(version) for requirement, version in found):
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
        if version is not None and release(version)[: len(built)] == built:
            return Path(__file__).parent / f"torch-{'.'.join(map(str, built))}"
    torch, itk_elastix = requirements()
    found = [(torch, version), (itk_elastix, installed(itk_elastix.distribution))]
    raise VersionMismatchError(_mismatch(found))


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
