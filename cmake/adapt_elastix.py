"""Make the headers of the elastix in itk-elastix 0.25.4 out of those of elastix 5.3.1.

That elastix is a commit between two versions, which neither PyPI nor Debian has as sources. What
its classes have other than those of 5.3.1 was read out of its library (docs/decisions.md): virtual
tables slot by slot, and the places of data in the code of its functions. Where git reaches the
project's repository, that commit itself is taken instead. Either way each build compares all
virtual tables with the library (describe_host.py), and tests the sizes and places of data
(tests/test_host_data.py).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fetch_sources import (
    ELASTIX,
    Source,
    SourceError,
    UnavailableError,
    announce,
    check_version,
    from_git,
    obtain,
)

_CONFIGURATION = "Core/Configuration/elxConfiguration.h"
_PARAMETERS = "Common/ParameterFileParser/itkParameterMapInterface.h"
_BSPLINE = "Common/Transforms/itkAdvancedBSplineDeformableTransformBase.h"

# What only the later elastix has: a function that notes which parameters were asked for.
_MARK = "AccessParameter"


def adapt_configuration(text: str) -> str:
    """Give ``elastix::Configuration`` the later layout, and the note of what was asked for."""
    pointer = (
        "const itk::ParameterMapInterface::Pointer m_ParameterMapInterface"
        "{ itk::ParameterMapInterface::New() };"
    )
    by_value = (
        "itk::ParameterMapInterface m_ParameterMapInterface{};\n"
        "  std::unique_ptr<bool[]> m_IsParameterAccessed{};"
    )
    text = _replaced(_CONFIGURATION, text, pointer, by_value)
    text = _replaced(
        _CONFIGURATION, text, "#include <map>\n", "#include <map>\n#include <memory>\n"
    )
    text = _replaced(
        _CONFIGURATION,
        text,
        "  BeforeAll() override;\n",
        "  BeforeAll() override;\n\n  void\n  AfterRegistration() override;\n",
    )
    text = _replaced(
        _CONFIGURATION,
        text,
        "  int\n  Initialize(const CommandLineArgumentMapType & _arg, const itk::",
        "  void\n  Initialize(const CommandLineArgumentMapType & _arg, const itk::",
    )
    # Every function that asks the map for a parameter says so first.
    text = text.replace("m_ParameterMapInterface->", "m_ParameterMapInterface.")
    asking = (
        r"(?m)^( +)((?:bool +found = |return )m_ParameterMapInterface\.(?:ReadParameter|"
        r"HasParameter|GetValues|RetrieveValues<T>|CountNumberOfParameterEntries)\()"
    )
    text, count = re.subn(asking, r"\1this->AccessParameter(parameterName);\n\1\2", text)
    if count != 9:
        raise _unfit(_CONFIGURATION, f"9 functions that read parameters, and found {count}")
    return _replaced(
        _CONFIGURATION,
        text,
        "private:\n  CommandLineArgumentMapType ",
        "private:\n  void\n  AccessParameter(const std::string & parameterName) const;\n\n"
        "  CommandLineArgumentMapType ",
    )


def adapt_parameters(text: str) -> str:
    """Make ``itk::ParameterMapInterface`` a plain class: no itk object, no virtual function."""
    for old, new in (
        ("class ParameterMapInterface : public Object\n", "class ParameterMapInterface\n"),
        ("  using Superclass = Object;\n", ""),
        ("  using Pointer = SmartPointer<Self>;\n", ""),
        ("  using ConstPointer = SmartPointer<const Self>;\n", ""),
        ("  itkNewMacro(Self);\n", "  ParameterMapInterface();\n  ~ParameterMapInterface();\n"),
        ("  itkOverrideGetNameOfClassMacro(ParameterMapInterface);\n", ""),
        (
            "  itkSetMacro(PrintErrorMessages, bool);\n",
            "  void\n  SetPrintErrorMessages(const bool value)\n  {\n"
            "    m_PrintErrorMessages = value;\n  }\n",
        ),
        (
            "  itkGetConstMacro(PrintErrorMessages, bool);\n",
            "  bool\n  GetPrintErrorMessages() const\n  {\n    return m_PrintErrorMessages;\n  }\n",
        ),
        (
            "protected:\n  ParameterMapInterface();\n  ~ParameterMapInterface() override;\n",
            "",
        ),
    ):
        text = _replaced(_PARAMETERS, text, old, new)
    return text.replace("itkExceptionMacro(", "itkGenericExceptionMacro(")


def adapt_bspline(text: str) -> str:
    """Make ``SetCoefficientImages`` virtual."""
    plain = "  void\n  SetCoefficientImages(ImagePointer images[]);\n"
    return _replaced(_BSPLINE, text, plain, plain.replace("void", "virtual void"))


_CHANGES: dict[str, Callable[[str], str]] = {
    _CONFIGURATION: adapt_configuration,
    _PARAMETERS: adapt_parameters,
    _BSPLINE: adapt_bspline,
}


def _unfit(file: str, expected: str) -> SourceError:
    return SourceError(
        f"{file} is not that of elastix {ELASTIX.version}, from which the headers for a later "
        f"itk-elastix are made: expected {expected}. Delete it from the cache, or name unchanged "
        f"sources by {ELASTIX.variable}."
    )


def _replaced(file: str, text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise _unfit(file, f"once {old.strip()!r}, and found it {text.count(old)} times")
    return text.replace(old, new)


def is_later(directory: Path) -> bool:
    """Tell whether sources are those of the later elastix."""
    try:
        return _MARK in (directory / _CONFIGURATION).read_text()
    except OSError:
        return False


def adapt(source: Path, cache: Path, commit: str) -> Path:
    """Copy the sources of elastix 5.3.1 into the cache and change what is different later.

    Args:
        source: Sources of elastix 5.3.1; they stay as they are.
        cache: The cache directory, locked by the caller.
        commit: The later elastix.

    Raises:
        SourceError: Something that is to be changed is not there.
    """
    try:
        texts = {file: (source / file).read_text() for file in _CHANGES}
    except OSError as error:
        raise _unfit(str(error.filename), "this file") from None
    changed = {file: change(texts[file]) for file, change in _CHANGES.items()}
    content = "\0".join([str(source), *texts.values(), *changed.values()])
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    target = cache / f"elastix-{ELASTIX.version}-as-{commit[:8]}-{digest}"
    if target.exists():
        announce(f"elastix {commit[:8]} from the cache: {target}")
        return target
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=cache) as staging:
        copy = Path(staging) / "copy"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".git", "Testing"))
        for file, text in changed.items():
            (copy / file).write_text(text)
        copy.rename(target)
    announce(f"elastix {commit[:8]} made out of elastix {ELASTIX.version}: {target}")
    return target


def obtain_later(commit: str, given: str, cache: Path) -> Path:
    """Find, fetch or make the headers of a later elastix.

    Args:
        commit: Which.
        given: The directory of elastix's sources that the user names, or nothing. Where they are of
            version 5.3.1, a copy is adapted.
        cache: The cache directory, locked by the caller.

    Returns:
        The directory of the sources.

    Raises:
        SourceError: No way yields them.
    """
    later = replace(ELASTIX, commit=commit)
    if given:
        directory = obtain(ELASTIX, given, cache)
        return directory if is_later(directory) else adapt(directory, cache, commit)
    fetched = cache / f"elastix-{commit[:8]}"
    if is_later(fetched):
        announce(f"elastix {commit[:8]} from the cache: {fetched}")
        return fetched
    if not any(cache.glob(f"elastix-{ELASTIX.version}-as-{commit[:8]}-*")):
        announce(f"elastix {commit[:8]}: trying git {ELASTIX.repository}")
        try:
            return _fetch(later, fetched)
        except (UnavailableError, OSError) as reason:
            announce(f"elastix {commit[:8]}: {reason}; made out of version {ELASTIX.version}")
    return adapt(obtain(ELASTIX, "", cache), cache, commit)


def _fetch(later: Source, target: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target.parent) as staging:
        tree = from_git(later, Path(staging))
        check_version(later, tree)
        if not is_later(tree):
            raise UnavailableError(f"commit {later.commit} has no {_MARK} in {_CONFIGURATION}")
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)
    return target
