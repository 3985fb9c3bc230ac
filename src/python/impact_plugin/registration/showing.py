"""Results as a notebook shows them, and their pages in a browser."""

from __future__ import annotations

import html
import importlib
import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impact_plugin import _html, _versions
from impact_plugin._html import Markup
from impact_plugin._optional import require_for_pages
from impact_plugin.folders.data import RegistrationData
from impact_plugin.images import colour, conversion
from impact_plugin.images.grid import Geometry
from impact_plugin.images.reading import exists
from impact_plugin.registration.reporting import write_report
from impact_plugin.report.registration.thumbnails import thumbnails

if TYPE_CHECKING:
    import SimpleITK as sitk

_LARGEST = 2**27
"""Voxels above which a notebook's cell reads no image for small pictures: it would take minutes."""


def as_html(result: RegistrationData) -> str:
    """Give a result as a notebook shows it: what ran, how it went, and small pictures."""
    stopped = ", stopped early by the callback" if result.stopped else ""
    return _html.block(
        f"Registration: {' then '.join(result.stages) or 'no stage'}{stopped}",
        lambda: result.history.html_table(result.stages),
        lambda: _html.table((), _facts(result)),
        lambda: _pictures(result),
        lambda: _html.folded(
            f"{sum(result.timings.values()):.1f} s",
            _html.table((), [(name, f"{s:.2f} s") for name, s in result.timings.items()]),
        ),
        lambda: _html.folded("Versions", _html.table((), _said_versions(result))),
    )


def show(result: RegistrationData, path: str | Path | None, options: dict[str, Any]) -> None:
    """Show the page of a result; see :meth:`RegistrationResult.show`."""
    if path is None and (result.output_directory is None or _is_notebook()):
        path = Path(tempfile.mkdtemp(prefix="impact-plugin-")) / "report.html"
    page = write_report(result, path, **options)
    if _is_notebook():
        # Within something: of an iframe by itself IPython warns, for what it has no class for.
        frame = (
            f'<div><iframe srcdoc="{html.escape(page.read_text(encoding="utf-8"))}" width="100%" '
            'height="720" style="border:0" sandbox="allow-scripts"></iframe></div>'
        )
        display = importlib.import_module("IPython.display")
        display.display(display.HTML(frame))
    elif not (_has_display() and webbrowser.open(page.as_uri())):
        print(f"No browser can be opened here. The page of the registration is {page}")


def _is_notebook() -> bool:
    """Tell whether this runs in a notebook's kernel, where IPython was imported long ago."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def _has_display() -> bool:
    """Tell whether there is a display; without one, a browser in text would take the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _facts(result: RegistrationData) -> list[tuple[str, str]]:
    size = " x ".join(map(str, result.fixed.size))
    spacing = " x ".join(f"{each:.4g}" for each in result.fixed.spacing)
    kinds = [
        "{} of {} parameters".format(
            (parameters.get("Transform") or ["unknown"])[0],
            (parameters.get("NumberOfParameters") or ["?"])[0],
        )
        for parameters in result.chain.maps
    ]
    found = [
        ("fixed image", f"{size} voxels of {spacing} mm"),
        ("transform", " then ".join(kinds) or "identity"),
    ]
    if result.initial:
        found.append(("initial transform", f"the first {result.initial} of them"))
    if result.output_directory is not None:
        found.append(("folder", str(result.output_directory)))
    return found


def _pictures(result: RegistrationData) -> Markup:
    try:
        require_for_pages()
    except ImportError:
        return Markup("")
    fixed = _fixed(result)
    shown = thumbnails(fixed, result.image)
    legend = "registered" if fixed is None else "fixed magenta, registered green"
    figures = [_html.picture(source, f"{name}: {legend}") for name, source in shown]
    return Markup(f"<div>{''.join(figures)}</div>")


def _fixed(result: RegistrationData) -> sitk.Image | None:
    """Give the fixed image where it is at hand and lies on the registration's grid."""
    given = result.inputs[0] if result.inputs else None
    is_gone = isinstance(given, str | os.PathLike) and not exists(given)
    if given is None or is_gone or result.image.GetNumberOfPixels() > _LARGEST:
        return None
    try:
        image = colour.seen(conversion.to_sitk(given, "the fixed image"))
    except (OSError, ValueError, TypeError):  # no longer an image: the other one is shown alone
        return None
    return None if result.fixed.difference(Geometry.of(image)) else image


def _said_versions(result: RegistrationData) -> list[tuple[str, str]]:
    """Give the versions of the record, or else those that are installed now."""
    if result.record is not None:
        return [(name, version) for name, version in result.record.versions.items() if version]
    return [("now installed", _versions.describe())]
