"""Headers packed for a machine that cannot fetch them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pack_headers import pack

HOST = "elastix-0.25.2"


def a_build(tmp_path: Path, read: list[str]) -> tuple[Path, str]:
    """A build folder, and a ninja that says which files it has read."""
    for name in ("itk/Core/a.h", "itk/Core/unused.h", "elastix/Main/m.cxx", "made/b.h"):
        (tmp_path / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).write_text(name)
    build = tmp_path / "build"
    (build / HOST).mkdir(parents=True)
    folders = ";".join(str(tmp_path / "cache" / n) for n in ("itk/Core", "itk/IO", "made"))
    (build / HOST / "impact_host.cmake").write_text(
        f'set(_impact_flags "-msse2;-fno")\nset(_impact_include_dirs "{folders}")\n'
        f'set(IMPACT_ELASTIX_SOURCE_DIR "{tmp_path}/cache/elastix")\n'
    )
    ninja = tmp_path / "ninja"
    lines = "\n".join(f"    {name}" for name in read)
    ninja.write_text(
        f"#!/bin/sh\ncat <<'END'\nx.o: #deps {len(read)}, deps mtime 1 (VALID)\n{lines}\n\nEND\n"
    )
    ninja.chmod(0o755)
    return build, str(ninja)


def test_what_was_read_is_packed_and_found_where_it_lies(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    read = [f"{cache}/itk/Core/a.h", "../cache/elastix/Main/m.cxx", f"{cache}/made/b.h", "/bin/sh"]
    build, ninja = a_build(tmp_path, read)
    output = tmp_path / "packed"
    (output / "stale").mkdir(parents=True)
    assert pack(build, output, ninja, HOST) == 3
    packed = {str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()}
    assert packed == {"itk/Core/a.h", "elastix/Main/m.cxx", "made/b.h", "impact_host.cmake"}
    assert (output / "itk/Core/a.h").read_text() == "itk/Core/a.h"
    here = "${CMAKE_CURRENT_LIST_DIR}"
    assert (output / "impact_host.cmake").read_text() == (
        'set(_impact_flags "-msse2;-fno")\n'
        f'set(_impact_include_dirs "{here}/itk/Core;{here}/made")\n'
        f'set(IMPACT_ELASTIX_SOURCE_DIR "{here}/elastix")\n'
    )


def test_a_build_that_has_read_nothing(tmp_path: Path) -> None:
    build, ninja = a_build(tmp_path, ["/bin/sh"])
    with pytest.raises(ValueError, match="build it first"):
        pack(build, tmp_path / "packed", ninja, HOST)
