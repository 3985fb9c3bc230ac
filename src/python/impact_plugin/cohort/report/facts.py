"""What a cohort's folder tells: its table, its variants, its log."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impact_plugin import _json
from impact_plugin._errors import InputError, MissingFileError
from impact_plugin.cohort.folder import COHORT, LOG, Description
from impact_plugin.cohort.journal import Line
from impact_plugin.cohort.table import COLUMNS, PARQUET
from impact_plugin.folders.summary import Summary


@dataclass(frozen=True)
class Run:
    """One of the runs that made a cohort.

    Attributes:
        begun: Seconds since 1970.
        ended: When it wrote to the log last.
        interrupted: Why it ended before all was done; "" where it did not, or was killed.
    """

    begun: float
    ended: float
    interrupted: str = ""


@dataclass(frozen=True)
class Facts:
    """A cohort as its report tells of it.

    Attributes:
        folder: The cohort's.
        table: pandas.DataFrame with the columns of ``impact_plugin.cohort.table``.
        variants: Names in the order in which they were asked for, and what each consists of.
        runs: In order.
        versions: Versions that finished registrations were made with; "" if none has finished.
        notes: What cannot be told, and why.
    """

    folder: Path
    table: Any
    variants: dict[str, str]
    runs: list[Run]
    versions: str
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> Any:  # noqa: ANN401
        """The rows of registrations that are done."""
        return self.table[self.table["status"] == "done"]

    def result_folder(self, pair: str, variant: str) -> Path:
        """Where the result of a registration is."""
        return self.folder / "pairs" / pair / variant


def read(folder: Path) -> Facts:
    """Read a cohort's folder.

    Raises:
        FileNotFoundError: It is not there, or not a cohort's.
        ValueError: Its table is none.
    """
    path = folder / PARQUET
    if not path.is_file():
        message = (
            f"{folder} is no cohort's folder: there is no {PARQUET}, which impact-plugin cohort "
            "writes at the end of a run. Give its output folder (-o)"
        )
        raise MissingFileError(message)
    table = _table(path)
    notes: list[str] = []
    variants = _variants(folder / COHORT, notes)
    for name in table["variant"].unique():
        variants.setdefault(str(name), "")
    here = set(table["variant"])
    variants = {name: text for name, text in variants.items() if name in here}
    return Facts(folder, table, variants, _runs(folder / LOG), _versions(folder, table), notes)


def _table(path: Path) -> Any:  # noqa: ANN401
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        message = f"{path} cannot be read: {error}"
        raise InputError(message) from error
    if missing := [name for name in ("pair", "variant", "status") if name not in table]:
        message = f"{path} is no cohort's table: it has no column {', '.join(missing)}"
        raise InputError(message)
    return table.reindex(columns=list(COLUMNS))


def _variants(path: Path, notes: list[str]) -> dict[str, str]:
    try:
        found = Description.read(path).variants
        return {each.name: " then ".join(each.presets or each.maps) for each in found}
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read, so that the stages are not known: {error}")
        return {}


def _runs(path: Path) -> list[Run]:
    """Read the log; a line that a killed run left unfinished is passed over."""
    runs: list[Run] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return runs
    for line in lines:
        try:
            said = _json.typed(json.loads(line), Line)
        except ValueError:
            continue
        if said.event == "started":
            runs.append(Run(said.time, said.time))
        elif runs:
            text = said.interrupted if said.event == "ended all" else ""
            runs[-1] = Run(runs[-1].begun, max(said.time, runs[-1].ended), text)
    return runs


def _versions(folder: Path, table: Any) -> str:  # noqa: ANN401
    """Take them from one result: those of one table share them, since keys have them in."""
    for row in table[table["status"] == "done"].head(3).itertuples():
        with suppress(OSError, ValueError):
            return Summary.read(folder / "pairs" / row.pair / row.variant).versions
    return ""
