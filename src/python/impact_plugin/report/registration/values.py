"""The variables of the template for a registration's page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np

import impact_plugin
from impact_plugin.evaluation.results import Table
from impact_plugin.folders import record_file
from impact_plugin.parameters import map_files
from impact_plugin.report import pictures
from impact_plugin.report.registration import course, deformation, scene
from impact_plugin.report.registration.content import Content

_MODES = (
    ("colours", "colours: fixed magenta, moving green"),
    ("fade", "overlay: fade between the images"),
    ("checkerboard", "checkerboard"),
    ("difference", "difference"),
    ("determinant", "Jacobian determinant"),
    ("grid", "deformation grid"),
    ("fixed", "fixed image alone"),
    ("moving", "moving image alone"),
)
_MODES_OF_BOTH_IMAGES = ("colours", "fade", "checkerboard", "difference")


def collect(content: Content, built: scene.Scene, tables: list[Table]) -> dict[str, Any]:
    """Collect the template's variables.

    Args:
        content: The registration.
        built: The slices.
        tables: Tables of landmark errors and label agreement.
    """
    viewer = built.viewer
    has_fixed = scene.FIXED in viewer.names()
    modes = [
        mode
        for mode in _MODES
        if (has_fixed or mode[0] not in (*_MODES_OF_BOTH_IMAGES, "fixed"))
        and (built.steps or mode[0] not in (*_MODES_OF_BOTH_IMAGES, "moving"))
    ]
    seconds = sum(content.timings.values())
    warped = built.deformation
    return {
        "version": impact_plugin.__version__,
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "title": content.title,
        "summary": _summary(content, seconds),
        "notes": content.notes,
        "modes": modes,
        "first_mode": modes[0][0] if has_fixed or not built.steps else "moving",
        "steps": built.steps,
        "has_fixed": has_fixed,
        "range": f"{deformation.RANGE:g}",
        "gradient": _gradient(),
        "folded_colour": deformation.FOLDED,
        "line_spacing": f"{built.line_spacing:g}",
        "planes": viewer.rows(),
        "convention": _convention(built, content),
        "windows": built.windows,
        "middles": built.middles,
        "quality": tables,
        "folded": warped.folded,
        "folding": _folding(warped),
        "statistics": [[name, f"{value:.4g}"] for name, value in warped.statistics().items()],
        "histogram": _histogram(warped),
        "curves": course.curves(content.history, content.stages),
        "timings": [
            (name, f"{value:.2f}", round(100 * max(0.0, value) / seconds, 1) if seconds else 0)
            for name, value in content.timings.items()
        ],
        "warnings": content.warnings,
        "parameters": [
            *content.parameters,
            *(
                (
                    f"transform {number}: {parameters['Transform'][0]}",
                    map_files.shortened(parameters),
                )
                for number, parameters in enumerate(content.chain.maps, start=1)
            ),
            *([("record.json", record_file.text(content.record))] if content.record else []),
        ],
        "versions": [list(pair) for pair in content.versions.items()],
        "viewer": viewer.as_dict(),
    }


def _summary(content: Content, seconds: float) -> str:
    parts = [" then ".join(content.stages) or "no stage"]
    if len(content.history):
        parts.append(f"{len(content.history)} iterations")
    if seconds:
        parts.append(f"{seconds:.1f} s")
    if content.stopped:
        parts.append("ended early by the callback")
    size = " x ".join(map(str, content.fixed_geometry.size))
    spacing = " x ".join(f"{each:.4g}" for each in content.fixed_geometry.spacing)
    return f"{', '.join(parts)}. Fixed image: {size} voxels of {spacing} mm."


def _convention(built: scene.Scene, content: Content) -> str:
    shown = {name: len(numbers) for name, numbers in built.viewer.numbers.items()}
    if content.fixed_geometry.dimension == 2:
        text = "A 2D image, x to the right and y down"
    else:
        text = (
            "Seen as radiologists do: in the axial and the coronal plane the patient's right (R) "
            "is on the left of the picture, in the sagittal plane the front (A); head (S) on top"
        )
    text += (
        f". True proportions, pixels of {built.viewer.pixel:.3g} mm. Planes lie along the voxels "
        "of the fixed image"
    )
    if built.obliqueness > 0.1:
        text += f", whose axes are up to {built.obliqueness:.1f} degrees off those of LPS"
    size = content.fixed_geometry.size
    if len(size) == 3 and any(count < max(size) for count in shown.values()):
        text += "; of all slices are shown " + ", ".join(
            f"{count} ({name})" for name, count in shown.items()
        )
    return text + "."


def _folding(warped: deformation.Deformation) -> str:
    total = warped.jacobian.voxels
    of = f"{total} points"
    where = "the voxels of the fixed image"
    if warped.step > 1:
        where += f", one in {warped.step} along each axis"
    if warped.folded:
        return (
            f"Folded: at {warped.folded} of {of} ({100 * warped.jacobian.folding:.3g} %) "
            f"the Jacobian determinant is 0 or less ({where})."
        )
    return f"Nothing is folded: the Jacobian determinant is above 0 at all {of} ({where})."


def _gradient() -> str:
    steps = np.linspace(-1, 1, 13)
    colours = deformation.colours((deformation.RANGE**steps).astype(np.float32))
    return ", ".join(f"rgb({r}, {g}, {b})" for r, g, b in colours.tolist())


def _histogram(warped: deformation.Deformation) -> str:
    made = pictures.figure(5.5, 2.6)
    panel = made.subplots()
    values = warped.determinant.ravel()
    low, high = np.percentile(values, (0.05, 99.95))
    low, high = min(float(low), 0.9), max(float(high), 1.1)
    panel.hist(np.clip(values, low, high), bins=80, range=(low, high), color="#7fa3c7")
    panel.axvline(1.0, color="#1c2630", linewidth=0.8)
    if warped.folded:
        panel.axvspan(min(low, 0.0), 0.0, color="#ffe600", alpha=0.5)
    panel.set(xlabel="Jacobian determinant", ylabel="points", yscale="log")
    panel.grid(alpha=0.3)
    return pictures.figure_uri(made)
