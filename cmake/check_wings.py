"""Check which part of the C++ includes which: the order of the wings, written down here.

The wings of src/cpp/impact stand on floors: each may include its own files and those of the floors
below. Beside them stand the layers that use them. What includes torch or ITK is bounded, too: what
is below `runtime` is built without torch, and only `metric`, `elastix` and the bindings see ITK.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# From the ground up. A wing of a floor does not include its neighbours.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("base",),
    ("kernels", "settings"),
    ("api",),
    ("runtime",),
    ("chain", "compare", "tensors"),
    ("models",),
    ("features", "patches"),
    ("similarity",),
)
FLOOR = {wing: number for number, wings in enumerate(FLOORS) for wing in wings}

# What the layers beside the wings see of them; the bindings see all that `_core` offers.
LAYERS = {
    "loader": frozenset[str](),
    "metric": frozenset({"base", "kernels", "settings", "api"}),
    "elastix": frozenset({"base", "kernels", "settings", "api"}),
}

_INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
_TORCH = re.compile(r"(ATen|c10|torch|caffe2)/")
_ITK = re.compile(r"(itk|elx|vnl)\w*(/|\.h)")
_SUFFIXES = {".h", ".hxx", ".cpp", ".cxx"}


def faults(root: Path) -> Iterator[str]:
    """Give what breaks the order, a line each.

    Args:
        root: The folder that holds `impact`, `metric`, `elastix` and `loader`.
    """
    for path in sorted(root.rglob("*")):
        if path.suffix not in _SUFFIXES:
            continue
        parts = path.relative_to(root).parts
        wing = parts[1] if parts[0] == "impact" else ""
        name = "/".join(parts)
        if parts[0] == "impact" and (len(parts) != 3 or wing not in FLOOR):
            yield f"{name}: not in one of the wings {', '.join(FLOOR)}"
            continue
        for own, foreign in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            if reason := _reason(parts[0], wing, own, foreign):
                yield f"{name} includes {own or foreign}: {reason}"


def _reason(layer: str, wing: str, own: str, foreign: str) -> str:
    """Tell why an include may not be; empty where it may."""
    if own.startswith("impact/"):
        other = own.split("/")[1]
        if other not in FLOOR:
            return "no such wing"
        if wing and other != wing and FLOOR[other] >= FLOOR[wing]:
            return f"{other} is not below {wing}"
        if layer in LAYERS and other not in LAYERS[layer]:
            allowed = ", ".join(sorted(LAYERS[layer])) or "none of the wings"
            return f"{layer} sees {allowed}"
        return ""
    if wing and own:
        return 'files of the wings are included as "impact/WING/FILE"'
    included = own or foreign
    if _TORCH.match(included) and (layer in LAYERS or (wing and FLOOR[wing] < FLOOR["runtime"])):
        return "torch is seen from runtime upwards"
    if wing and _ITK.match(included):
        return "the wings know neither ITK nor elastix"
    return ""


def main() -> int:
    """Check this repository, or the folder that the command line names."""
    root = Path(__file__).parents[1] / "src/cpp"
    found = list(faults(Path(sys.argv[1]) if len(sys.argv) > 1 else root))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
