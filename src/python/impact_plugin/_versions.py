"""Which torch and itk-elastix the compiled parts fit, and what to say when others are found."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from dataclasses import dataclass


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


# pyproject.toml says the same for pip; tests/test_python_api.py compares the two.
REQUIREMENTS = (
    # A binary fits one minor version of torch: its C++ interface changes with every one.
    Requirement("torch", "==2.13.*", (2, 13), (2, 14)),
    # 0.25.2 and 0.25.3 are elastix 5.3.1. 0.25.4 is a later elastix, whose classes are laid out
    # differently.
    Requirement("itk-elastix", ">=0.25.2,<0.25.4", (0, 25, 2), (0, 25, 4)),
)


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
        for name in ("impact-plugin", *(requirement.distribution for requirement in REQUIREMENTS))
    )


def check() -> None:
    """Check the installed torch and itk-elastix, without importing either.

    Raises:
        VersionMismatchError: One of them is missing or does not fit. The message names the versions
            found, the versions needed and the command that mends it.
    """
    found = [(requirement, installed(requirement.distribution)) for requirement in REQUIREMENTS]
    if all(version is not None and requirement.allows(version) for requirement, version in found):
        return
    state = " and ".join(
        f"{requirement.distribution} {version or '(none)'}" for requirement, version in found
    )
    needed = " and ".join(str(requirement) for requirement in REQUIREMENTS)
    command = " ".join(f'"{requirement}"' for requirement in REQUIREMENTS)
    message = (
        f"impact-plugin needs {needed}, and found {state}. "
        "Its compiled parts fit no other version. Mend it with:\n"
        f"  {sys.executable} -m pip install {command}"
    )
    raise VersionMismatchError(message)
