"""Loading the plugin by hand, for installations in which elastix cannot find it by itself.

elastix, asked for a metric named ``Impact``, loads ``libImpactMetric.so`` by its bare name. In an
ordinary installation that file lies in ``itk_elastix.libs``, where elastix looks. Where it lies
elsewhere (an editable install, packages spread over several folders), loading it beforehand by its
full path has the same effect: the dynamic linker hands elastix the library that is already in the
process.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import threading
from pathlib import Path

from impact_plugin import _versions
from impact_plugin._errors import MissingFileError, MissingLibraryError

LIBRARY = "libImpactMetric.so"
"""The name by which elastix loads the plugin."""

_lock = threading.Lock()
_report: str | None = None
_handle: ctypes.CDLL | None = None


def load_plugin() -> str:
    """Make ``(Metric "Impact")`` available to the elastix inside this process.

    Only needed where elastix does not find the plugin by itself. The first call imports ``itk`` and
    loads its elastix module, which takes some ten seconds; itk's own common module must be in the
    process before anything that links elastix, or the process hangs or crashes at its end. Further
    calls return at once. Any thread may call it.

    Returns:
        What was done, in one line: the library's path, and whether elastix would have found it
        unaided.

    Raises:
        VersionMismatchError: The installed torch or itk-elastix does not fit.
        FileNotFoundError: The plugin's library is nowhere to be found.
        ImportError: ``itk`` or the library cannot be loaded. The message says why.
    """
    global _handle, _report  # once per process, like the loading itself
    with _lock:
        if _report is None:
            _versions.check()
            path = find_library()
            _load_itk_elastix()
            try:
                _handle = ctypes.CDLL(str(path))
            except OSError as error:
                message = (
                    f"The IMPACT plugin {path} cannot be loaded: {error}. "
                    f"Installed: {_versions.describe()}"
                )
                raise MissingLibraryError(message) from error
            how = (
                "elastix finds it there by itself"
                if path in _where_elastix_looks()
                else "elastix now uses it"
            )
            _report = f'(Metric "Impact") is available from {path}: {how}.'
        return _report


def find_library() -> Path:
    """Find the plugin's library.

    Returns:
        The absolute path of ``libImpactMetric.so``: the file that this distribution installed, else
        the one that lies where elastix looks, else the one in the folder that holds this package.

    Raises:
        FileNotFoundError: There is none. The message lists the places that were searched.
    """
    candidates = [
        *_installed_files(),
        *_where_elastix_looks(),
        Path(__file__).absolute().parents[1] / "itk_elastix.libs" / LIBRARY,
    ]
    for path in candidates:
        if path.is_file():
            return path
    searched = "\n".join(f"  {path}" for path in dict.fromkeys(candidates))
    message = (
        f"The IMPACT plugin {LIBRARY} is in none of these places:\n{searched}\n"
        "Install the package with `pip install impact-plugin`, or with `pip install .` in its "
        "source folder; a source folder on PYTHONPATH holds no compiled files."
    )
    raise MissingFileError(message)


def _installed_files() -> list[Path]:
    """Give the paths of the library among the files that this distribution installed."""
    try:
        files = importlib.metadata.files("impact-plugin") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())).absolute() for file in files if file.name == LIBRARY]


def _where_elastix_looks() -> list[Path]:
    """Give the path at which elastix itself finds the plugin, if itk-elastix is installed."""
    try:
        elastix = importlib.metadata.distribution("itk-elastix")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(elastix.locate_file(f"itk_elastix.libs/{LIBRARY}"))).absolute()]


def _load_itk_elastix() -> None:
    """Load itk's common module and after it its elastix module; the order matters."""
    try:
        import itk  # slow: only here, where it is needed

        # itk loads a module when something in it is first touched.
        for name in ("Image", "ElastixRegistrationMethod"):
            getattr(itk, name)
    except (ImportError, AttributeError) as error:
        message = (
            f"itk's elastix module cannot be loaded: {error}. Installed: {_versions.describe()}"
        )
        raise MissingLibraryError(message) from error
