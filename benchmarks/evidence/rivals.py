"""The rivals' environments: one virtual environment each, pinned, made when it is first wanted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS = 1800  # of one installation


class RivalError(Exception):
    """A rival that cannot be installed; the message says which and why."""


@dataclass(frozen=True)
class Rival:
    """Other people's program.

    Args:
        name: Of its environment.
        packages: What pip installs, pinned.
        module: What must be importable then.
    """

    name: str
    packages: tuple[str, ...]
    module: str

    def python(self, folder: Path) -> Path:
        """Give the Python of its environment, made in a folder, unless it is there.

        Raises:
            RivalError: It cannot be made; or could not before, with the same packages.
        """
        home, wanted = folder / self.name, " ".join(self.packages)
        done, failed = home.with_suffix(".installed"), home.with_suffix(".failed")
        python = home / "bin" / "python"
        if done.is_file() and done.read_text() == wanted and python.exists():
            return python
        if failed.is_file() and failed.read_text().startswith(wanted + "\n"):
            raise RivalError(failed.read_text().partition("\n")[2])
        print(f"installing {wanted}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        for command in (
            [sys.executable, "-m", "venv", "--clear", home],
            [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *self.packages,
            ],
            [python, "-c", f"import {self.module}"],
        ):
            try:
                subprocess.run(
                    list(map(str, command)),
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                )
            except (OSError, subprocess.SubprocessError) as error:
                said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
                reason = f"{wanted} cannot be installed: {said[-1] if said else error}"
                failed.write_text(f"{wanted}\n{reason}")
                raise RivalError(reason) from error
        done.write_text(wanted)
        failed.unlink(missing_ok=True)
        return python


NOT_HAD = {"itk-impact": "it wants torch 2.12, of which pip has only builds with CUDA, gigabytes"}
"""Rivals that are not tried, and why."""

RIVALS = {
    rival.name: rival
    for rival in (
        Rival("greedy", ("picsl_greedy==1.4.0.3",), "picsl_greedy"),
        Rival("convex-adam", ("convexAdam==0.2.0", "torch==2.13.0"), "convexAdam.convex_adam_MIND"),
        Rival("ants", ("antspyx==0.6.3",), "ants"),
    )
}
