"""What is compared: ours, elastix's mutual information and NCC, and other people's programs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.evidence.rivals import RIVALS, Rival

from impact_plugin import preset_map, preset_names

WORKERS = Path(__file__).resolve().parent / "workers"
VERSION = 1  # of what workers do with a job: more, where the same job would give another result
METRICS = {"mi": "AdvancedMattesMutualInformation", "ncc": "AdvancedNormalizedCorrelation"}
GRIDS = (10, 15, 20)  # mm


@dataclass(frozen=True)
class Method:
    """A way to register a pair.

    Args:
        name: As in tables.
        worker: The script in `workers/` that runs it.
        job: What it is told, besides images, threads and seed.
        rival: Whose environment it runs in; None: ours.
        ours: Whether it is compared with the best of the others.
        starts: Whether it begins with the linear start that all such methods of a pair share.
        linear: Whether it is a candidate for that start.
        dimensions: Of the images that it takes.
        says: What it is, in a line.
    """

    name: str
    worker: str
    job: dict[str, Any] = field(hash=False)
    rival: Rival | None = None
    ours: bool = False
    starts: bool = False
    linear: bool = False
    dimensions: tuple[int, ...] = (2, 3)
    says: str = ""

    def identity(self) -> str:
        """Give a digest of all that its results depend on, apart from the pair and the machine."""
        parts = [repr(sorted(self.job.items())), str(VERSION)]
        parts += [
            Path(file).read_text() for file in self.job.get("files", ()) if Path(file).is_file()
        ]
        if self.rival is not None:
            parts += self.rival.packages
        elif self.ours:
            parts.append(our_code())
        else:
            parts.append(version("itk-elastix"))
        if self.job.get("what") in ("affine", "exchanged") and self.rival is None:
            parts += [repr(preset_map(name)) for name in ("affine_mind", "mind")]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def our_code() -> str:
    """Give a digest of what registrations of ours depend on: binaries, presets, start, fitting."""
    spec = find_spec("impact_plugin")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    files = [*package.rglob("*.so"), *package.parent.glob("itk_elastix.libs/libImpact*.so")]
    files += package.glob("parameter_maps/*.txt")
    for room in ("registration", "search", "transforms"):
        files += package.glob(f"{room}/*.py")
    contents = (hashlib.sha256(file.read_bytes()).digest() for file in sorted(files))
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


DEFAULT = Method(
    "impact", "registered.py", {"what": "presets", "files": []}, ours=True, says="our default"
)

LINEAR = (
    Method(
        "mi-affine",
        "registered.py",
        {"what": "affine", "metric": METRICS["mi"]},
        linear=True,
        says="the levels of affine_mind with mutual information",
    ),
    Method(
        "greedy-affine",
        "greedy.py",
        {"what": "affine", "metric": "NMI"},
        RIVALS["greedy"],
        linear=True,
        says="greedy's affine, NMI, from the images' middles",
    ),
)

DEFORMABLE = (
    *(
        Method(
            f"elastix-{short}",
            "registered.py",
            {"what": "defaults", "metric": metric},
            says=f"elastix's default maps, affine and B-spline, {short.upper()}",
        )
        for short, metric in METRICS.items()
    ),
    *(
        Method(
            f"{short}-{grid}",
            "registered.py",
            {"what": "exchanged", "metric": metric, "grid": grid},
            says=f"affine_mind and mind with {short.upper()}, last grid {grid} mm",
        )
        for short, metric in METRICS.items()
        for grid in GRIDS
    ),
    *(
        Method(
            f"greedy-{metric.lower()}",
            "greedy.py",
            {"what": "deformable", "metric": said},
            RIVALS["greedy"],
            starts=True,
            says=f"greedy, {said}",
        )
        for metric, said in (("NMI", "NMI"), ("NCC", "WNCC 2x2x2"))
    ),
    Method(
        "convex-adam",
        "convex_adam.py",
        {},
        RIVALS["convex-adam"],
        starts=True,
        dimensions=(3,),
        says="ConvexAdam on MIND, its defaults; 3D only",
    ),
    Method(
        "ants-syn",
        "ants_syn.py",
        {"metric": "mattes"},
        RIVALS["ants"],
        starts=True,
        says="ANTs' SyN, mutual information, its defaults",
    ),
)

METHODS = {method.name: method for method in (DEFAULT, *LINEAR, *DEFORMABLE)}
CHEAP = ("impact", "mi-20", "convex-adam")
"""Of the quick form."""


def own(text: str, *, fitted: bool) -> Method:
    """Make a method of parameter files.

    Args:
        text: NAME=FILE[,FILE]; where fitted, a preset's name may stand for a file.
        fitted: Take them as presets: their lengths are fitted to the images, and 3D maps of MIND
            become 2D ones; else as they stand.

    Raises:
        ValueError: It is something else, a file is missing, or the name is taken.
    """
    name, _, files = text.partition("=")
    if not name or not files or name in METHODS:
        message = (
            f"{text!r}: expected NAME=FILE or NAME=FILE,FILE, with a name other than "
            f"{', '.join(METHODS)}"
        )
        raise ValueError(message)
    found = [_file(each, fitted) for each in files.split(",")]
    what = "presets" if fitted else "maps"
    return Method(name, "registered.py", {"what": what, "files": found}, ours=True, says=files)


def _file(text: str, fitted: bool) -> str:
    if fitted and text in preset_names():
        return text
    path = Path(text).expanduser().resolve()
    if not path.is_file():
        also = f", or a preset: {', '.join(preset_names())}" if fitted else ""
        message = f"{text}: there is no such parameter file; give its path{also}"
        raise ValueError(message)
    return str(path)


def named(names: Sequence[str] | None, more: Sequence[Method]) -> tuple[Method, ...]:
    """Give the methods to run: those named, by default all; those of the user's own always.

    Raises:
        ValueError: There is no such method.
    """
    if wrong := set(names or ()) - METHODS.keys():
        message = f"there is no method {sorted(wrong)[0]!r}; the methods are {', '.join(METHODS)}"
        raise ValueError(message)
    return (*(METHODS[name] for name in (METHODS if names is None else names)), *more)
