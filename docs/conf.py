"""How Sphinx makes the documentation site of these pages: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

import impact_plugin

project = "impact-plugin"
author = "the developers of impact-plugin"
release = impact_plugin.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
]
exclude_patterns = ["pictures"]
# "--option" stays as it is
smartquotes = False
html_theme = "furo"
html_title = f"impact-plugin {release}"
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# "attr" of classes that are documented as a whole
napoleon_use_ivar = True


_OUTSIDE = {
    "../ParameterMaps/README.md": "parameter-files.md",
    "../ParameterMaps": "parameter-files.md",
    "../docs/": "",
}


def read_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Take in what lies outside this folder, where a forge shows it, and turn links to it inwards.

    Pages in the index with a question mark are left out where they are not there.
    """
    if page == "parameter-files":
        text = (Path(app.srcdir).parent / "ParameterMaps/README.md").read_text(encoding="utf-8")
        link = r"\[`([a-z0-9_]+\.txt)`\]\(\1\)"
        source[0] = re.sub(link, r"{download}`\1 <../ParameterMaps/\1>`", text)
    if page == "index":
        optional = re.compile(r"^(\w+)\?$", re.MULTILINE)
        there = Path(app.srcdir)
        source[0] = optional.sub(
            lambda name: name[1] if (there / f"{name[1]}.md").is_file() else "", source[0]
        )
    for target, replacement in _OUTSIDE.items():
        end = "" if target.endswith("/") else ")"
        source[0] = source[0].replace(f"]({target}{end}", f"]({replacement}{end}")


def setup(app: Sphinx) -> None:
    """Connect it."""
    app.connect("source-read", read_source)
