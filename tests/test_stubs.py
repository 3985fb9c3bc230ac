"""The stubs of the compiled modules say what the modules have."""

from __future__ import annotations

from pathlib import Path

from helpers import programs

# pybind11's classes have a metaclass of its own, which is nobody's business, and those that cannot
# be made from Python a constructor that refuses.
ALLOWED = r"""
(impact_plugin\._(core|networks_api)|impact_testing)\.[A-Z]\w+
impact_plugin\._core\.(Finding|\w+Settings|ParameterDescription)\.__init__
impact_plugin\._networks_api\.(Checked\w+|LayerLayout|LevelCheck|MeasuredLayer)\.__init__
"""


def test_stubs_match_the_modules(tmp_path: Path) -> None:
    allowlist = tmp_path / "allowed.txt"
    allowlist.write_text(ALLOWED)
    modules = [f"impact_plugin.{name}" for name in ("_core", "_networks_api", "_elastix")]
    modules.append("impact_testing")
    options = ("--concise", "--ignore-unused-allowlist", "--allowlist", str(allowlist))
    opened = "import impact_plugin._networks; from mypy.stubtest import main; main()"
    run = programs.python(
        *("-c", opened, *modules, *options),
        environment={"MYPYPATH": str(Path(__file__).parent)},
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout + run.stderr
