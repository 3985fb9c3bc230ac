"""A folder that looks like an installation of elastix, for programs that start one of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from impact_plugin import _versions
from impact_plugin._arguments import make_folder
from impact_plugin._errors import FileError, InputError
from impact_plugin._io import expanded, write_bytes, write_text
from impact_plugin.elastix.process import interpreter

MARK = "impact-plugin.txt"
"""The file by which a folder is known to be one of these."""

# What other programs set for libraries and modules of their own, and would have ours find.
_THEIRS = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
_TEXT = """\
elastix and transformix with the IMPACT metric, for programs that want an elastix of their own.
bin/elastix and bin/transformix start those of impact-plugin in {prefix};
lib is empty, and is there because programs look for it.
Made by `impact-plugin elastix-folder`, which can be run again, and needs to be where that
environment was moved. Nothing else refers to this folder: remove it as any other.
"""
# No module of the folder that it is called in may become one of Python's own.
_CODE = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from impact_plugin.command_line import {name}_main; sys.exit({name}_main())"
)
_PROGRAM = """\
#!/bin/sh
# Made by impact-plugin elastix-folder.
python={python}
if [ ! -x "$python" ]; then
  echo "$0: impact-plugin was installed for $python, which is not there any more. Run \
'impact-plugin elastix-folder' again, where it is installed now." >&2
  exit 1
fi
# As where impact-plugin was installed: those of the calling program are for its own libraries.
{variables}
exec "$python" -c {code} "$@"
"""


def write_installation(folder: str | os.PathLike[str]) -> Path:
    """Make or renew such a folder; see :func:`impact_plugin.command_line.elastix_folder`."""
    _versions.check()
    place = expanded(folder, "folder").absolute()
    _check_ours(place)
    make_folder("folder", place)
    write_text(place / MARK, _TEXT.format(prefix=sys.prefix))
    (place / "lib").mkdir(exist_ok=True)
    for name in ("elastix", "transformix"):
        program = place / "bin" / name
        write_bytes(program, os.fsencode(_program(name)), executable=True)
        _try(program)
    return place


def _check_ours(place: Path) -> None:
    """Raise ValueError where a folder has files of others."""
    try:
        found = sorted(path.name for path in place.iterdir())
    except OSError:
        return  # not there, a file, or closed: what makes folders says so
    if found and MARK not in found:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        message = (
            f"folder is {str(place)!r}, expected a new or an empty folder, or one that "
            f"elastix-folder has made before: it has {shown}, and no {MARK}"
        )
        raise InputError(message)


def _program(name: str) -> str:
    variables = (
        f"export {each}={shlex.quote(os.environ[each])}"
        if os.environ.get(each)
        else f"unset {each}"
        for each in _THEIRS
    )
    return _PROGRAM.format(
        python=shlex.quote(interpreter()),
        variables="\n".join(variables),
        code=shlex.quote(_CODE.format(name=name)),
    )


def _try(program: Path) -> None:
    """Raise OSError where a program does not start."""
    try:
        run = subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", check=False
        )
        reason = "" if run.returncode == 0 else (run.stderr or run.stdout).strip()
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        message = f"{program} was written, and does not start: {reason}"
        raise FileError(message)
