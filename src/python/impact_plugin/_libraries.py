"""Opening the compiled parts: one library for each torch, found by the version installed.

``impact_plugin/torch-2.13/libimpact_core.so`` is what was compiled for torch 2.13, and so on; all
go by the same name, so that what is linked with one of them runs with the one that was opened
first. ``libimpact_base.so`` and :mod:`impact_plugin._core` need no torch.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
import threading
from pathlib import Path

from impact_plugin import _versions
from impact_plugin._errors import MissingLibraryError

CORE = "libimpact_core.so"

_lock = threading.Lock()
_opened: list[ctypes.CDLL] = []


def open_core() -> None:
    """Open torch's libraries and the core compiled for them; once in a process.

    Raises:
        VersionMismatchError: The installed torch is none that this package was built for, or there
            is none.
        ImportError: A library cannot be opened. The message has every cause.
    """
    with _lock:
        if _opened:
            return
        package = torch_package()
        version = _version_of(package) if package else None
        folder = _versions.folder_of_torch(version)
        try:
            # By its own paths it finds the rest, CUDA included, wherever it is installed.
            torch = ctypes.CDLL(str((package or Path()) / "lib" / "libtorch.so"))
            core = ctypes.CDLL(str(folder / CORE))
        except OSError as error:
            message = (
                f"impact-plugin cannot open its part for torch {version}: {error}. Installed: "
                f"{_versions.describe()}. Install torch again, and this package:\n"
                f'  {sys.executable} -m pip install --force-reinstall "torch=={version}"\n'
                f"  {sys.executable} -m pip install --force-reinstall --no-deps impact-plugin"
            )
            raise MissingLibraryError(message) from error
        _opened.extend((torch, core))


def torch_package() -> Path | None:
    """Give the folder of the torch package that Python would import, without importing it."""
    spec = importlib.util.find_spec("torch")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _version_of(package: Path) -> str | None:
    """Read the version that a torch package states of itself."""
    try:
        text = (package / "version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    return found[1] if found else None
