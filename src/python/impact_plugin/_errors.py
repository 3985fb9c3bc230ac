"""The base of the errors that the package raises, and the most common of them."""

from __future__ import annotations


class ImpactError(Exception):
    """What the package raises about its input, its files or a run of elastix.

    Each error is of one of Python's own kinds as well, so that ``except ValueError`` works, too.
    A wrong *type* of an argument is a plain ``TypeError``.
    """


class InputError(ImpactError, ValueError):
    """An argument, or what a file holds, is not allowed; the message says what is."""


class FileError(ImpactError, OSError):
    """A file cannot be read or written; the message says why."""


class MissingFileError(FileError, FileNotFoundError):
    """A file is not where the message says that it was looked for."""


class MissingLibraryError(ImpactError, ImportError):
    """A library cannot be loaded; the message says what to install."""


for _error in (ImpactError, InputError, FileError, MissingFileError, MissingLibraryError):
    _error.__module__ = "impact_plugin"  # where tracebacks and documentation are to name it
