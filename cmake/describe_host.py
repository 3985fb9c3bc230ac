"""Compare the plugin with the elastix it is for, and write down what it takes that elastix to be.

Runs right after the plugin is linked. Both sides call virtual functions by their place in a class's
table, so each table that both have must have the same size and the same functions in it; else the
build stops. What the plugin only uses is taken as the host has it now. The loader compares the list
with the host of a user's process (src/cpp/loader/host_classes.cpp), the tests with other hosts.

Reads ELF files through binutils' readelf, which is there wherever a compiler is.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Library:
    """The symbols of a library or program, with the local ones unless it is stripped.

    Args:
        tables: Size in bytes of each virtual table, by symbol.
        places: Address of each virtual table.
        names: All symbols, defined or not.
        functions: The names of what stands at an address.
    """

    path: Path
    tables: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    functions: dict[int, set[str]] = field(default_factory=dict)

    def slots(self, tables: Iterable[str]) -> dict[str, list[frozenset[str]]]:
        """Give the functions in virtual tables, in order, each with all its names."""
        spans = sorted((self.places[table], table) for table in tables)
        begins = [begin for begin, _ in spans]
        found: dict[str, dict[int, frozenset[str]]] = {table: {} for _, table in spans}
        for line in readelf("-r", self.path):
            words = line.split()  # offset, info, kind, then: value, name, +, addend, or an address
            if len(words) < 4 or not words[2].startswith(("R_X86_64_", "R_AARCH64_")):
                continue
            place = int(words[0], 16)
            span = bisect.bisect_right(begins, place) - 1
            if span < 0 or place >= spans[span][0] + self.tables[spans[span][1]]:
                continue
            if words[2].endswith("_RELATIVE"):
                names = frozenset(self.functions.get(int(words[3], 16), ()))
            else:
                names = frozenset({words[4].partition("@")[0]} if len(words) > 4 else ())
            found[spans[span][1]][place] = names
        return {table: [slots[n] for n in sorted(slots)] for table, slots in found.items()}


def readelf(flag: str, path: Path) -> Iterator[str]:
    """Give the lines that readelf prints."""
    command = ["readelf", "-W", flag, str(path)]
    return iter(subprocess.check_output(command, text=True, errors="replace").splitlines())


def read(path: Path, exported: bool = False) -> Library:
    """Read the symbols of a library.

    Args:
        path: The library, or a program.
        exported: Only those that others see when it runs.
    """
    library = Library(path)
    for line in readelf("--dyn-syms" if exported else "-s", path):
        # number, address, size, type, binding, visibility, section, name
        words = line.split(None, 7)
        if len(words) < 8 or not words[0].endswith(":") or not words[0][:-1].isdigit():
            continue
        _, value, size, kind, _, _, section, symbol = words
        name = symbol.split()[0].partition("@")[0]
        library.names.add(name)
        if section == "UND":
            continue
        if kind in ("FUNC", "IFUNC"):
            library.functions.setdefault(int(value, 16), set()).add(name)
        elif name.startswith("_ZTV"):
            library.tables[name] = int(size, 0)
            library.places[name] = int(value, 16)
    return library


def used_tables(plugin: Library, host: Library) -> set[str]:
    """Find the host's classes that the plugin knows: by their tables, types or any function."""
    # A function of a class is named like its table but for _ZN or _ZNK in front and an E behind.
    classes = {table[4:-1]: table for table in host.tables if table.startswith("_ZTVN")}
    used = set()
    for name in plugin.names:
        if name.startswith(("_ZTV", "_ZTI")):
            used.add("_ZTV" + name[4:])
        elif name.startswith("_ZN"):
            nested = "N" + name[3:].removeprefix("K")
            used |= {classes[nested[:n]] for n in range(2, len(nested)) if nested[:n] in classes}
    return used & host.tables.keys()


def differences(plugin: Library, host: Library) -> list[str]:
    """Compare the virtual tables that both define: their sizes, and the functions in them."""
    shared = sorted(plugin.tables.keys() & host.tables.keys())
    ours, theirs = plugin.slots(shared), host.slots(shared)
    found = []
    for table in shared:
        if plugin.tables[table] != host.tables[table]:
            found.append(
                f"{table}: {plugin.tables[table]} bytes, the host has {host.tables[table]}"
            )
            continue
        if len(ours[table]) != len(theirs[table]):
            found.append(f"{table}: {len(ours[table])} entries, the host {len(theirs[table])}")
        for place, (our, their) in enumerate(zip(ours[table], theirs[table], strict=False)):
            if our and their and not our & their:
                found.append(f"{table}, entry {place}: {min(our)}, the host has {min(their)}")
    return found


def digest(slots: list[frozenset[str]]) -> str:
    """Give a short sum of the functions in a table."""
    # Functions of the same code have several names: the first one stands for all.
    text = "\n".join(min(names, default="") for names in slots)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def needed_versions(plugin: Path) -> list[str]:
    """Give the latest version of each kind that the plugin needs of the C++ library."""
    latest: dict[str, tuple[int, ...]] = {}
    for line in readelf("-V", plugin):
        for kind, numbers in re.findall(r"Name: (GLIBCXX|CXXABI)_([\d.]+)", line):
            version = tuple(int(number) for number in numbers.split("."))
            latest[kind] = max(latest.get(kind, version), version)
    return [f"{kind}_{'.'.join(map(str, numbers))}" for kind, numbers in sorted(latest.items())]


def describe(plugin: Library, host: Library, versions: list[str]) -> str:
    """Write what the loader compares."""
    used = sorted(used_tables(plugin, host))
    slots = host.slots(used)
    return "\n".join(
        [
            "# What the plugin takes elastix to be; cmake/describe_host.py has written it.",
            "# needs: library, version; class: virtual table, bytes, sum of the functions in it",
            *(f"needs libstdc++.so.6 {version}" for version in versions),
            *(
                f"class {table} {plugin.tables.get(table, host.tables[table])} "
                f"{digest(slots[table])}"
                for table in used
            ),
            "",
        ]
    )


def main() -> None:
    """Do what the command line asks; exit with the differences if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("plugin", type=Path, help="the plugin as linked, not stripped")
    parser.add_argument("host", type=Path, help="elastix: the library in its wheel, or a program")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    plugin, host = read(arguments.plugin), read(arguments.host, exported=True)
    if found := differences(plugin, host):
        lines = "\n  ".join(found[:20])
        sys.exit(
            f"impact: {arguments.plugin.name} does not fit {arguments.host}: "
            f"{len(found)} virtual tables differ, and calls between the two would go astray.\n"
            f"  {lines}\nThe headers are of another version, or compiled with other options "
            "(ITK_LEGACY_REMOVE)."
        )
    arguments.output.write_text(describe(plugin, host, needed_versions(arguments.plugin)))


if __name__ == "__main__":
    main()
